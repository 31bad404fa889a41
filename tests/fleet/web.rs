//! One request, without any repetition.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// A GET on a connection of its own.
pub async fn get(at: SocketAddr, path: &str) -> Result<Answer, String> {
    let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(at)).await;
    let stream = stream.map_err(|_| "no connection in time".to_owned())?.map_err(|e| e.to_string())?;
    get_on(stream, at, path).await
}

/// A GET on a connection that is there.
pub async fn get_on(stream: TcpStream, at: SocketAddr, path: &str) -> Result<Answer, String> {
    let asked = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let driver = tokio::spawn(connection);
        let request = http::Request::get(path).header("host", at.to_string()).body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        driver.abort();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// The same, to be run beside something else.
pub async fn get_owned(at: SocketAddr, path: String) -> Result<Answer, String> {
    get(at, &path).await
}
