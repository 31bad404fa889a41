//! A backend that reads HTTP/1.1 to the letter of RFC 9112 and takes note of all it reads. What is not to the letter is a
//! violation: the proxy must not have sent it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::log::Log;

pub struct Strict {
    pub violations: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Strict {
    pub async fn start(at: SocketAddr, log: Log) -> Self {
        let listener = crate::pod::stand(at).await;
        let violations = Arc::new(Mutex::new(Vec::new()));
        let noted = violations.clone();
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (log, noted) = (log.clone(), noted.clone());
                tokio::spawn(async move {
                    let mut read = Bytes { tcp, all: Vec::new(), at: 0 };
                    if let Err(why) = serve(&mut read, &log).await {
                        noted.lock().unwrap().push(format!("{why}: {:?}", String::from_utf8_lossy(&read.all)));
                    }
                });
            }
        });
        Self { violations, task: task.abort_handle() }
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection's bytes, all kept.
struct Bytes {
    tcp: TcpStream,
    all: Vec<u8>,
    at: usize,
}

impl Bytes {
    async fn more(&mut self) -> bool {
        let mut part = [0; 4096];
        match self.tcp.read(&mut part).await {
            Ok(count @ 1..) => {
                self.all.extend(&part[..count]);
                true
            }
            _ => false,
        }
    }

    /// A line without its CRLF; `None` at the end of the connection.
    async fn line(&mut self) -> Option<Result<String, &'static str>> {
        loop {
            if let Some(end) = self.all[self.at..].iter().position(|b| *b == b'\n') {
                let line = &self.all[self.at..self.at + end];
                self.at += end + 1;
                let Some(line) = line.strip_suffix(b"\r") else { return Some(Err("a line that ends in LF alone")) };
                if line.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
                    return Some(Err("a control character"));
                }
                return Some(Ok(line.iter().map(|b| char::from(*b)).collect()));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.all.len() < self.at + count {
            if !self.more().await {
                return None;
            }
        }
        self.at += count;
        Some(self.all[self.at - count..self.at].to_vec())
    }
}

/// Serves a connection to its end. An end in the middle of a request is the proxy giving up, which is its right.
async fn serve(read: &mut Bytes, log: &Log) -> Result<(), &'static str> {
    loop {
        let Some(request) = read.line().await else { return Ok(()) };
        let request = request?;
        let [method, target, version] = request.split(' ').collect::<Vec<_>>()[..] else {
            return Err("a request line that is not three words");
        };
        if !token(method) || version != "HTTP/1.1" || target.bytes().any(|b| b <= 0x20 || b == 0x7f) {
            return Err("a request line that is none");
        }
        let Some(head) = fields(read).await? else { return Ok(()) };
        let body = match framing(&head)? {
            None => Some(Vec::new()),
            Some(Framing::Length(length)) => read.take(length).await,
            Some(Framing::Chunked) => chunks(read).await?,
        };
        let line = match &body {
            Some(body) => log.whole(method, target, body),
            None => return Ok(()),
        };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{line}\n", line.len() + 1);
        if read.tcp.write_all(answer.as_bytes()).await.is_err() {
            return Ok(());
        }
    }
}

type Fields = Vec<(String, String)>;

async fn fields(read: &mut Bytes) -> Result<Option<Fields>, &'static str> {
    let mut fields = Vec::new();
    loop {
        let Some(line) = read.line().await else { return Ok(None) };
        let line = line?;
        if line.is_empty() {
            return Ok(Some(fields));
        }
        let (name, value) = line.split_once(':').ok_or("a field without a colon")?;
        if !token(name) {
            return Err("a field name that is no token");
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

fn token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

enum Framing {
    Length(usize),
    Chunked,
}

fn framing(head: &Fields) -> Result<Option<Framing>, &'static str> {
    let all = |name: &str| head.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    if all("host").len() != 1 {
        return Err("not one Host");
    }
    match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Ok(None),
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => {
            length.parse().map(|length| Some(Framing::Length(length))).map_err(|_| "a length that is none")
        }
        ([], [coding]) if coding == "chunked" => Ok(Some(Framing::Chunked)),
        _ => Err("a body framed in two ways, or oddly"),
    }
}

async fn chunks(read: &mut Bytes) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let Some(size) = read.line().await else { return Ok(None) };
        let size = size?;
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("a chunk size that is none");
        }
        let size = usize::from_str_radix(&size, 16).map_err(|_| "a chunk size that is none")?;
        if size == 0 {
            return Ok(fields(read).await?.map(|_| body));
        }
        let Some(data) = read.take(size).await else { return Ok(None) };
        body.extend(data);
        match read.line().await {
            None => return Ok(None),
            Some(Ok(line)) if line.is_empty() => {}
            Some(_) => return Err("a chunk that is longer than it says"),
        }
    }
}
