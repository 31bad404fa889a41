//! Clients: one connection a request, or one kept for many.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// How long a client waits: long, for nothing here is about being quick.
pub const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    /// From the request to the end of its answer.
    pub took: Duration,
}

impl Got {
    pub fn served_by(&self) -> &str {
        self.headers.get("x-strait-served-by").map_or("", |v| v.to_str().unwrap())
    }
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "model.ml").body(Full::default()).unwrap()
}

pub fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(path).header("host", "model.ml").body(Full::from(body.to_owned())).unwrap()
}

/// One request on a connection of its own.
pub async fn once(to: SocketAddr, request: Request<Full<Bytes>>) -> Result<Got, String> {
    let mut kept = Kept::open(to).await?;
    kept.send(request).await
}

/// A kept-alive connection.
pub struct Kept {
    pub sender: http1::SendRequest<Full<Bytes>>,
}

impl Kept {
    pub async fn open(to: SocketAddr) -> Result<Self, String> {
        let tcp = TcpStream::connect(to).await.map_err(|e| format!("connect: {e}"))?;
        tcp.set_nodelay(true).unwrap();
        let (sender, conn) = http1::handshake(TokioIo::new(tcp)).await.map_err(|e| format!("handshake: {e}"))?;
        tokio::spawn(conn);
        Ok(Self { sender })
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Got, String> {
        let began = tokio::time::Instant::now();
        let whole = async {
            self.sender.ready().await.map_err(|e| format!("ready: {e}"))?;
            let response = self.sender.send_request(request).await.map_err(|e| format!("send: {e:?}"))?;
            Ok(Got { took: began.elapsed(), ..read(response).await? })
        };
        tokio::time::timeout(PATIENCE, whole).await.map_err(|_| "out of patience".to_owned())?
    }
}

pub async fn read(response: Response<Incoming>) -> Result<Got, String> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|e| format!("body: {e}"))?.to_bytes();
    Ok(Got {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        took: Duration::ZERO,
    })
}

/// A client that begins with HTTP/2.
pub async fn http2<B>(to: SocketAddr) -> http2::SendRequest<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let tcp = TcpStream::connect(to).await.unwrap();
    let (sender, conn) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(conn);
    sender
}
