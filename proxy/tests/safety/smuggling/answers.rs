//! What a client reads on one connection, told apart by framing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer as the client reads it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// It comes from a pod, not from the proxy.
    pub from_pod: bool,
    pub body: String,
}

/// What came back on one connection.
#[derive(Debug)]
pub struct Heard {
    pub answers: Vec<Answer>,
    /// What could not be read as an answer.
    pub rest: String,
    /// The connection was closed from the other end.
    pub closed: bool,
}

/// Writes all of it at once and reads until the other end closes, or has nothing more to say.
pub async fn say(to: SocketAddr, bytes: &[u8], patience: Duration) -> Heard {
    let mut tcp = TcpStream::connect(to).await.unwrap();
    // It may be closed before all was written: what was answered counts.
    let _ = tcp.write_all(bytes).await;
    let (mut all, mut closed) = (Vec::new(), false);
    let mut part = [0; 16 * 1024];
    while let Ok(read) = tokio::time::timeout(patience, tcp.read(&mut part)).await {
        match read {
            Ok(count @ 1..) => all.extend(&part[..count]),
            _ => {
                closed = true;
                break;
            }
        }
    }
    let (answers, rest) = answers(&all);
    Heard { answers, rest: String::from_utf8_lossy(rest).into_owned(), closed }
}

fn answers(mut bytes: &[u8]) -> (Vec<Answer>, &[u8]) {
    let mut found = Vec::new();
    while let Some((answer, rest)) = answer(bytes) {
        bytes = rest;
        // 100 Continue is no answer yet.
        if answer.status >= 200 {
            found.push(answer);
        }
    }
    (found, bytes)
}

fn answer(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let (head, mut rest) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let fields: Vec<(String, &str)> =
        lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_ascii_lowercase(), v.trim())).collect();
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
    let mut body = Vec::new();
    if let Some(length) = field("content-length") {
        let length: usize = length.parse().ok()?;
        body.extend(rest.get(..length)?);
        rest = &rest[length..];
    } else if field("transfer-encoding") == Some("chunked") {
        loop {
            let end = rest.windows(2).position(|w| w == b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
            body.extend(rest.get(end + 2..end + 2 + size)?);
            rest = rest.get(end + 2 + size + 2..)?;
            if size == 0 {
                break;
            }
        }
    }
    let from_pod = field("x-strait-served-by").is_some();
    Some((Answer { status, from_pod, body: String::from_utf8_lossy(&body).trim_end().to_owned() }, rest))
}
