//! Connections to pods of this cluster: HTTP/1.1, kept in one stack per pod and worker, the freshest on top.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;

mod bare;
mod h2c;
mod io;
mod spoken;
mod stacks;

pub(crate) use bare::{BarePods, Turn};
pub(crate) use h2c::H2cPods;
pub(crate) use io::PodIo;

use self::stacks::{Condition, Stacks};
use crate::body::RequestBody;
use crate::config::{Limits, Timeouts};
use crate::retry::Failure;
use crate::socket::{connect, hasty, patient};
use crate::takeover::{Begun, Dialing};

/// Servers close idle connections after some seconds, few of them sooner than this.
const FRESH: Duration = Duration::from_secs(1);

/// Bytes that are read ahead of a client on one connection, about: pieces of a body grow up to it. A longer head of an answer is
/// refused.
const READ_AHEAD: usize = 64 << 10;

/// How long a connection may have been idle that a request is sent over, which can be repeated or not: what cannot is not put at
/// the risk of one that its pod may be about to close.
pub(crate) const fn longest_idle(repeatable: bool) -> Duration {
    if repeatable { Duration::MAX } else { FRESH }
}

/// What a connection carries towards the pod, which decides how silence is read.
///
/// A peer's window is never full of heads and small bodies, so 300 ms without an acknowledgement mean a dead node; a pod that
/// reads a long body slowly, or not for a while, is not dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Load {
    /// Heads and small bodies.
    Small,
    /// Long and streamed bodies, and upgraded connections.
    Bulk,
}

/// Which stack a connection belongs to.
pub(crate) type PodKey = (SocketAddr, Load);

/// A connection to a pod.
pub(crate) struct PodConnection {
    /// hyper's handle.
    pub(crate) sender: SendRequest<RequestBody>,
    /// It has carried a request before: the pod may close it at any moment.
    pub(crate) reused: bool,
    /// It was made just now, which nobody knows yet.
    pub(crate) made: bool,
}

/// One worker's idle connections.
pub(crate) struct Pods {
    stacks: Stacks<PodKey, SendRequest<RequestBody>>,
    connect: Duration,
}

impl Pods {
    pub(crate) fn new(timeouts: &Timeouts, limits: &Limits) -> Self {
        Self { stacks: Stacks::new(timeouts, limits), connect: timeouts.connect_pod }
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn put(&self, key: PodKey, sender: SendRequest<RequestBody>) {
        if !sender.is_closed() {
            self.stacks.put(key, sender, Instant::now());
        }
    }

    /// An idle connection that a request may be sent over, which can be repeated or not; else a new one.
    ///
    /// # Errors
    /// [`Failure::Refused`] or [`Failure::ConnectTimeout`].
    pub(crate) async fn connection(
        &self,
        key: PodKey,
        now: Instant,
        repeatable: bool,
    ) -> Result<PodConnection, Failure> {
        match self.stacks.take(key, now, longest_idle(repeatable), condition) {
            Some(sender) => Ok(PodConnection { sender, reused: true, made: false }),
            // Boxed, so that the many that find one do not carry it.
            None => Box::pin(self.dial(key)).await,
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// As [`Self::connection`].
    pub(crate) async fn dial(&self, (address, load): PodKey) -> Result<PodConnection, Failure> {
        let patience = match load {
            Load::Small => hasty(),
            Load::Bulk => patient(),
        };
        let tcp = connect(address, self.connect, patience).await.map_err(|error| failure(&error))?;
        let sender = drive(PodIo::new(tcp, load), load).await?;
        Ok(PodConnection { sender, reused: false, made: true })
    }

    /// A new connection for a request of the fast path.
    pub(crate) fn dial_bare(&self, address: SocketAddr) -> Dialing {
        Box::pin(connect(address, self.connect, hasty()))
    }

    /// The connection that a request of the fast path was begun on.
    ///
    /// # Errors
    /// As [`Self::connection`], and [`Failure::Broken`] when the pod takes no more of a request that it has a part of.
    pub(crate) async fn take_over(&self, begun: Begun) -> Result<PodConnection, Failure> {
        let (io, reused, made) = match begun {
            Begun::Dialing(dialing) => {
                (PodIo::new(dialing.await.map_err(|error| failure(&error))?, Load::Small), false, true)
            }
            Begun::Failed(error) => return Err(failure(&error)),
            Begun::Sent { mut tcp, reused, unsent, body, heard } => {
                tcp.write_all(&unsent).await.map_err(|_| Failure::Broken)?;
                (PodIo::taken_over(tcp, body, heard), reused, false)
            }
        };
        let sender = drive(io, Load::Small).await?;
        Ok(PodConnection { sender, reused, made })
    }

    /// Drops what has been idle for too long, or is closed.
    pub(crate) fn sweep(&self) {
        self.stacks.sweep(Instant::now(), SendRequest::is_closed);
    }
}

fn condition(sender: &SendRequest<RequestBody>) -> Condition {
    match (sender.is_closed(), sender.is_ready()) {
        (true, _) => Condition::Over,
        (false, true) => Condition::Ready,
        (false, false) => Condition::Busy,
    }
}

/// Gives a connection to hyper, in a task of its own.
async fn drive(io: PodIo, load: Load) -> Result<SendRequest<RequestBody>, Failure> {
    let mut builder = Builder::new();
    builder.max_buf_size(READ_AHEAD);
    // Head and kept body go in one piece, which costs less than several; what is streamed is not copied for that.
    builder.writev(load == Load::Bulk);
    let (sender, driver) = builder.handshake(TokioIo::new(io)).await.map_err(|_| Failure::Refused)?;
    tokio::task::spawn_local(async move {
        // An error ends the request that meets it; here is nothing to add.
        let _ = driver.with_upgrades().await;
    });
    Ok(sender)
}

/// A pod's connection that has left HTTP, and what was read of it already; `None` when it has ended instead.
pub(crate) async fn left_http(upgrade: OnUpgrade) -> Option<(PodIo, Bytes)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<PodIo>>().ok()?;
    // One that is empty may still hold the memory it was read into.
    let said = if parts.read_buf.is_empty() { Bytes::new() } else { parts.read_buf };
    Some((parts.io.into_inner(), said))
}

pub(crate) fn failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::Refused,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{Request, Response, StatusCode};
    use http_body_util::BodyExt;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// What a request is answered by a pod that says this.
    async fn told(said: Vec<u8>) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = (listener.local_addr().unwrap(), Load::Small);
        tokio::spawn(async move {
            let (mut pod, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                pod.read_buf(&mut asked).await.unwrap();
            }
            // All of it, unless nobody wants it.
            let _ = pod.write_all(&said).await;
        });
        let pods =
            Pods::new(&Timeouts { connect_pod: Duration::from_secs(20), ..Timeouts::default() }, &Limits::default());
        let request = Request::get("/").header("host", "m").body(RequestBody::Empty).unwrap();
        pods.dial(key).await.unwrap().sender.send_request(request).await
    }

    #[tokio::test]
    async fn a_connection_reads_little_ahead() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let bytes = 32 * READ_AHEAD;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
                let mut body = told([head.into_bytes(), vec![b'x'; bytes]].concat()).await.unwrap().into_body();
                let mut left = bytes;
                while let Some(frame) = body.frame().await {
                    let piece = frame.unwrap().into_data().unwrap();
                    // hyper fills what its buffer has, which grows by doubling.
                    assert!(piece.len() <= 2 * READ_AHEAD, "{} bytes", piece.len());
                    left -= piece.len();
                }
                assert_eq!(left, 0);
            })
            .await;
    }

    #[tokio::test]
    async fn a_head_may_be_as_long() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let with = |bytes| {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-long: {}\r\n\r\n", "a".repeat(bytes))
                        .into_bytes()
                };
                assert_eq!(told(with(READ_AHEAD - 1_024)).await.unwrap().status(), StatusCode::OK);
                let error = told(with(4 * READ_AHEAD)).await.err();
                assert!(error.is_some_and(|error| error.is_parse_too_large()));
            })
            .await;
    }
}
