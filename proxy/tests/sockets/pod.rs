//! A pod: a real HTTP/1.1 server on a loopback address, which can be killed as pods are.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{AbortHandle, JoinSet};

type Body = BoxBody<Bytes, hyper::Error>;

/// A running pod. Dropping it closes its sockets at once.
pub struct Pod {
    pub requests: Arc<AtomicU32>,
    /// Those that have carried a request: a check of the pod carries none.
    pub connections: Arc<AtomicU32>,
    task: AbortHandle,
}

impl Pod {
    pub async fn start(address: SocketAddr, name: &str) -> Self {
        Self::serve(address, name, false).await
    }

    /// A pod that speaks HTTP/2 only, as gRPC servers do.
    pub async fn start_h2c(address: SocketAddr, name: &str) -> Self {
        Self::serve(address, name, true).await
    }

    async fn serve(address: SocketAddr, name: &str, h2c: bool) -> Self {
        let listener = stand(address).await;
        let (requests, connections) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let run = run(listener, h2c, name.to_owned(), requests.clone(), connections.clone());
        let task = tokio::spawn(run).abort_handle();
        Self { requests, connections, task }
    }

    pub fn count(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener there, once a pod that stood there a moment ago has closed.
pub async fn stand(address: SocketAddr) -> TcpListener {
    let mut tries = 0;
    loop {
        match listen(address) {
            Ok(listener) => return listener,
            Err(error) => assert!(tries < 500, "{address}: {error}"),
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn run(listener: TcpListener, h2c: bool, name: String, requests: Arc<AtomicU32>, connections: Arc<AtomicU32>) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (name, requests, connections) = (name.clone(), requests.clone(), connections.clone());
        let first = std::sync::Once::new();
        let service = service_fn(move |request| {
            requests.fetch_add(1, Ordering::SeqCst);
            first.call_once(|| {
                connections.fetch_add(1, Ordering::SeqCst);
            });
            let name = name.clone();
            async move { Ok::<_, Infallible>(answer(&name, request).await) }
        });
        if h2c {
            let conn = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            open.spawn(conn);
            continue;
        }
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new());
        open.spawn(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}

async fn answer(name: &str, mut request: Request<Incoming>) -> Response<Body> {
    let text = |text: String| Full::from(text).map_err(|never: Infallible| match never {}).boxed();
    match request.uri().path() {
        "/slow" => {
            let ms = request.uri().query().unwrap().parse().unwrap();
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Response::new(text(name.to_owned()))
        }
        "/bytes" => {
            let count = request.uri().query().unwrap().parse().unwrap();
            Response::new(text("x".repeat(count)))
        }
        "/echo" => Response::new(request.into_body().boxed()),
        "/head" => {
            let head: String =
                request.headers().iter().map(|(n, v)| format!("{n}: {}\n", v.to_str().unwrap())).collect();
            let mut response = Response::new(text(format!("{} {}\n{head}", request.method(), request.uri())));
            response.headers_mut().insert("x-strait-served-by", "a liar".parse().unwrap());
            response.headers_mut().insert("x-strait-error", "a liar".parse().unwrap());
            response.headers_mut().insert("connection", "x-private".parse().unwrap());
            response.headers_mut().insert("x-private", "1".parse().unwrap());
            response
        }
        "/shout" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut word = [0; 5];
                while io.read_exact(&mut word).await.is_ok() {
                    word.make_ascii_uppercase();
                    io.write_all(&word).await.unwrap();
                }
            });
            Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header("connection", "upgrade")
                .header("upgrade", "shout")
                .body(text(String::new()))
                .unwrap()
        }
        "/grpc" => {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let frames =
                [Ok(Frame::data(sent)), Ok(Frame::data(name.to_owned().into())), Ok(Frame::trailers(trailers))];
            let body = BoxBody::new(StreamBody::new(futures_util::stream::iter(frames)));
            Response::builder().header("content-type", "application/grpc").body(body).unwrap()
        }
        path if path.starts_with("/grpc/") => {
            // A call whose head says 200 and whose trailers say this status; none: it ends without trailers.
            let mut frames = vec![Ok(Frame::data(Bytes::from_static(b"part")))];
            let status = &path["/grpc/".len()..];
            if status != "none" {
                let trailers = http::HeaderMap::from_iter([(
                    http::HeaderName::from_static("grpc-status"),
                    status.parse::<http::HeaderValue>().unwrap(),
                )]);
                frames.push(Ok(Frame::trailers(trailers)));
            }
            let body = BoxBody::new(StreamBody::new(futures_util::stream::iter(frames)));
            Response::builder().header("content-type", "application/grpc").body(body).unwrap()
        }
        "/refuse-body" => {
            Response::builder().status(StatusCode::EXPECTATION_FAILED).body(text("no".to_owned())).unwrap()
        }
        path if path.starts_with("/status/") => {
            let status: u16 = path["/status/".len()..].parse().unwrap();
            Response::builder().status(status).body(text(name.to_owned())).unwrap()
        }
        // HTTP/2 has nobody who takes a body off an answer to HEAD.
        _ if request.method() == http::Method::HEAD => Response::new(text(String::new())),
        _ => {
            // Reads what came, so that the connection can be kept.
            let _ = request.into_body().collect().await;
            Response::new(text(name.to_owned()))
        }
    }
}
