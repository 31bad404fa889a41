//! Connections to pods of this cluster: HTTP/1.1, kept in one stack per pod and worker, the freshest on top.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rapidhash::RapidHashMap;

mod h2c;
mod io;
mod spoken;

pub(crate) use h2c::H2cPods;

use self::io::PodIo;
use crate::body::RequestBody;
use crate::config::{Limits, Timeouts};
use crate::retry::Failure;
use crate::socket::{connect, hasty, patient};

/// Servers close idle connections after some seconds, few of them sooner than this.
const FRESH: Duration = Duration::from_secs(1);

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
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// One worker's idle connections.
pub(crate) struct Pods {
    /// Pods' addresses come from the API server, so a fast hash is safe.
    stacks: RefCell<RapidHashMap<PodKey, Vec<Idle>>>,
    most: usize,
    keep: Duration,
    connect: Duration,
}

impl Pods {
    pub(crate) fn new(timeouts: &Timeouts, limits: &Limits) -> Self {
        Self {
            stacks: RefCell::default(),
            most: limits.idle_per_pod,
            keep: timeouts.idle_pod,
            connect: timeouts.connect_pod,
        }
    }

    /// The freshest idle connection that is ready for a request, if it has not been idle for longer than that.
    fn take(&self, key: PodKey, now: Instant, longest: Duration) -> Option<SendRequest<RequestBody>> {
        let mut stacks = self.stacks.borrow_mut();
        let stack = stacks.get_mut(&key)?;
        let mut at = stack.len();
        while at > 0 {
            at -= 1;
            let idle = &stack[at];
            let idle_for = now.saturating_duration_since(idle.since);
            // Everything below is older still.
            if idle_for > self.keep {
                stack.drain(..=at);
                return None;
            }
            if idle_for > longest {
                return None;
            }
            if idle.sender.is_closed() {
                stack.remove(at);
            } else if idle.sender.is_ready() {
                return Some(stack.remove(at).sender);
            }
        }
        None
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn put(&self, key: PodKey, sender: SendRequest<RequestBody>) {
        if sender.is_closed() {
            return;
        }
        let mut stacks = self.stacks.borrow_mut();
        let stack = stacks.entry(key).or_default();
        if stack.len() < self.most {
            stack.push(Idle { sender, since: Instant::now() });
        }
    }

    /// An idle connection, else a new one. What cannot be repeated (`once`) is not put at the risk of one that its pod may be about
    /// to close.
    ///
    /// # Errors
    /// [`Failure::Refused`] or [`Failure::ConnectTimeout`].
    pub(crate) async fn connection(&self, key: PodKey, now: Instant, once: bool) -> Result<PodConnection, Failure> {
        match self.take(key, now, if once { FRESH } else { self.keep }) {
            Some(sender) => Ok(PodConnection { sender, reused: true }),
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
        let mut builder = Builder::new();
        // Head and kept body go in one piece, which costs less than several; what is streamed is not copied for that.
        builder.writev(load == Load::Bulk);
        let (sender, driver) =
            builder.handshake(TokioIo::new(PodIo::new(tcp, load))).await.map_err(|_| Failure::Refused)?;
        tokio::task::spawn_local(async move {
            // An error ends the request that meets it; here is nothing to add.
            let _ = driver.with_upgrades().await;
        });
        Ok(PodConnection { sender, reused: false })
    }

    /// Drops what has been idle for too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.stacks.borrow_mut().retain(|_, stack| {
            stack.retain(|idle| now.duration_since(idle.since) <= self.keep && !idle.sender.is_closed());
            !stack.is_empty()
        });
    }
}

pub(crate) fn failure(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::Refused,
    }
}
