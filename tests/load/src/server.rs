//! A pod that speaks everything a mesh has to carry, on one port: HTTP/1.1, HTTP/2 with prior knowledge, gRPC streams,
//! server-sent events, WebSocket, and bodies of any length.
//!
//! | Path | Answer |
//! |---|---|
//! | `/` | the server's name and the version in which it was asked |
//! | `/events?count=N&every=MS` | N server-sent events |
//! | `/bytes?count=N` | N bytes of [`crate::pattern`] |
//! | `/sink` | takes a body of the pattern; how long it was, or 400 and where it went wrong |
//! | `/socket` | WebSocket, every text comes back |
//! | any, `content-type: application/grpc` | every message comes back, then `grpc-status: 0` |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::pattern;
use crate::websocket::{self, Frame, Opcode};

/// How an HTTP/2 connection begins; three letters tell it from every method.
const PREFACE: &[u8] = b"PRI";

struct Pod {
    name: String,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Serves until `stop` is cancelled; what is open then is dropped.
pub async fn serve(listener: TcpListener, name: String, stop: CancellationToken) {
    let pod = Arc::new(Pod { name, tasks: TaskTracker::new(), stop });
    loop {
        tokio::select! {
            biased;
            () = pod.stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => pod.spawn(connection(stream, Arc::clone(&pod))),
                // Out of descriptors, or the client has gone: the next one may do better.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
    pod.tasks.close();
    pod.tasks.wait().await;
}

impl Pod {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }
}

/// What breaks a connection is its client's to tell.
async fn connection(stream: TcpStream, pod: Arc<Pod>) {
    let Some(is_h2) = speaks_h2(&stream).await else { return };
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, Arc::clone(&pod)));
    if is_h2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    }
}

/// `None` when the client left before it said enough.
async fn speaks_h2(stream: &TcpStream) -> Option<bool> {
    let mut begin = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut begin).await {
            Ok(0) | Err(_) => return None,
            Ok(n) if begin[..n] != PREFACE[..n] => return Some(false),
            Ok(n) if n == PREFACE.len() => return Some(true),
            Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn answer(request: Request<Incoming>, pod: Arc<Pod>) -> Result<Response<Body>, Infallible> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/grpc") {
        return Ok(grpc(request));
    }
    Ok(match request.uri().path() {
        "/" => text(StatusCode::OK, format!("{} {:?}\n", pod.name, request.version())),
        "/events" => {
            let every = Duration::from_millis(number(&request, "every").unwrap_or(100));
            let body = Body::events(number(&request, "count").unwrap_or(10), every);
            with(Response::new(body), CONTENT_TYPE, "text/event-stream")
        }
        "/bytes" => {
            let total = number(&request, "count").unwrap_or(0);
            with(Response::new(Body::Pattern { offset: 0, total }), CONTENT_LENGTH, &total.to_string())
        }
        "/sink" => sink(request).await,
        "/socket" => socket(request, &pod),
        other => text(StatusCode::NOT_FOUND, format!("nothing at {other}\n")),
    })
}

fn text(status: StatusCode, said: String) -> Response<Body> {
    let mut response = Response::new(Body::text(said));
    *response.status_mut() = status;
    response
}

fn with(mut response: Response<Body>, field: http::HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(field, value);
    }
    response
}

fn number(request: &Request<Incoming>, name: &str) -> Option<u64> {
    let pairs = request.uri().query().unwrap_or_default().split('&').filter_map(|p| p.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok())
}

fn grpc(request: Request<Incoming>) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Body::Echo { from: request.into_body(), trailers: Some(trailers) };
    with(Response::new(body), CONTENT_TYPE, "application/grpc")
}

async fn sink(request: Request<Incoming>) -> Response<Body> {
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let data = match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => data,
            Ok(Err(_)) => continue,
            Err(e) => return text(StatusCode::BAD_REQUEST, format!("broke off after {length} bytes: {e}\n")),
        };
        if let Some(at) = pattern::first_wrong(length, &data) {
            return text(StatusCode::BAD_REQUEST, format!("byte {at} is wrong\n"));
        }
        length += data.len() as u64;
    }
    text(StatusCode::OK, format!("{length}\n"))
}

fn socket(mut request: Request<Incoming>, pod: &Pod) -> Response<Body> {
    let key = request.headers().get("sec-websocket-key").and_then(|k| k.to_str().ok()).map(websocket::accept);
    let Some(accept) = key else { return text(StatusCode::BAD_REQUEST, "not a WebSocket handshake\n".to_owned()) };
    let upgrade = hyper::upgrade::on(&mut request);
    pod.spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let mut stream = TokioIo::new(stream);
        while let Ok(frame) = websocket::read(&mut stream).await {
            let closing = frame.opcode == Opcode::Close;
            let sent = websocket::write(&mut stream, &Frame { ..frame }, None).await;
            if closing || sent.is_err() {
                return;
            }
        }
    });
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, String::new());
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    with(response, http::HeaderName::from_static("sec-websocket-accept"), &accept)
}
