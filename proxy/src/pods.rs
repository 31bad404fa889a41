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
    /// Heads and kept bodies.
    Small,
    /// Streamed bodies and upgraded connections.
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
    Some((parts.io.into_inner(), parts.read_buf))
}

pub(crate) fn failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::Refused,
    }
}
