//! One connection and one request on it, without any repetition.

use std::error::Error;
use std::io::{self, ErrorKind};

use bytes::Bytes;
use http::header::{HOST, HeaderName};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::sample::Kind;
use crate::target::Target;

/// Answers are short here; a longer one is a wrong one, and memory stays bounded.
const LONGEST_BODY: usize = 64 * 1024;
/// Who answered, set by the proxy for callers that ask.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-strait-served-by");
/// Why the proxy could not get an answer, on errors of its own.
const ERROR: HeaderName = HeaderName::from_static("x-strait-error");

/// An open HTTP/1.1 connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// A second handle on the socket, to look whether the server has closed it.
    socket: std::net::TcpStream,
    driver: JoinHandle<()>,
}

/// What a request brought back.
#[derive(Debug)]
pub struct Answer {
    /// Status, any.
    pub status: u16,
    /// The value of the header that names the server, when there was one.
    pub served_by: Option<String>,
    /// `x-strait-error`, when there was one.
    pub error: Option<String>,
    /// The body as text, lossy.
    pub body: String,
}

impl Connection {
    /// Resolves the name with the system's resolver, connects to its addresses in turn and begins HTTP/1.1.
    ///
    /// # Errors
    /// `Dns` when there is no address by the deadline, `ConnectTimeout` when no connection; otherwise why the last address failed.
    pub async fn open(target: &Target, deadline: Instant) -> Result<Self, Kind> {
        let lookup = tokio::net::lookup_host((target.host.as_str(), target.port));
        let addresses: Vec<_> =
            timeout_at(deadline, lookup).await.map_err(|_| Kind::Dns)?.map_err(|_| Kind::Dns)?.collect();
        let mut last = Kind::Dns;
        for address in addresses {
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Err(_) => return Err(Kind::ConnectTimeout),
                Ok(Err(e)) => last = classify_io(&e),
                Ok(Ok(stream)) => {
                    return Self::begin(stream).await.map_err(|e| classify(e.as_ref()));
                }
            }
        }
        Err(last)
    }

    async fn begin(stream: TcpStream) -> Result<Self, Box<dyn Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let socket = stream.into_std()?;
        let stream = TcpStream::from_std(socket.try_clone()?)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // Its errors reach the request they belong to through the sender.
            let _ = connection.await;
        });
        Ok(Self { sender, socket, driver })
    }

    /// Whether the server has not closed it, as far as this side's kernel knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let quiet = matches!(self.socket.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
        quiet && !self.sender.is_closed()
    }

    /// One GET. Returns the connection too when it can carry another request.
    ///
    /// # Errors
    /// How the request failed; the connection is then gone.
    pub async fn get(
        mut self,
        target: &Target,
        server_header: &HeaderName,
        deadline: Instant,
    ) -> Result<(Answer, Option<Self>), Kind> {
        let request = http::Request::get(target.path.as_str())
            .header(HOST, target.authority.as_str())
            .header("user-agent", "strait-load")
            .header("accept", "*/*")
            .body(Empty::new())
            .map_err(|_| Kind::Other)?;
        let answer =
            timeout_at(deadline, self.exchange(request, server_header)).await.map_err(|_| Kind::AnswerTimeout)??;
        let reusable = matches!(timeout_at(deadline, self.sender.ready()).await, Ok(Ok(())));
        Ok((answer, reusable.then_some(self)))
    }

    async fn exchange(
        &mut self,
        request: http::Request<Empty<Bytes>>,
        server_header: &HeaderName,
    ) -> Result<Answer, Kind> {
        let response = self.sender.send_request(request).await.map_err(|e| classify(&e))?;
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (served_by, error) = (header(server_header), header(&ERROR));
        let body =
            Limited::new(response.into_body(), LONGEST_BODY).collect().await.map_err(|e| classify(e.as_ref()))?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Answer { status, served_by, error, body })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Finds the reason in a chain of errors.
fn classify(error: &(dyn Error + 'static)) -> Kind {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<io::Error>() {
            return classify_io(io);
        }
        if let Some(hyper) = e.downcast_ref::<hyper::Error>()
            && (hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled())
        {
            return Kind::Closed;
        }
        cause = e.source();
    }
    Kind::Other
}

fn classify_io(error: &io::Error) -> Kind {
    match error.kind() {
        ErrorKind::ConnectionRefused => Kind::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Kind::Reset,
        ErrorKind::UnexpectedEof => Kind::Closed,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Kind::Unreachable,
        ErrorKind::TimedOut => Kind::ConnectTimeout,
        _ => Kind::Other,
    }
}
