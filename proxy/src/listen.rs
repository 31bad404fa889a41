//! A worker's listening sockets: bound as snapshots ask, accepted from, and emptied before they close.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::board::{Socket, Use};
use crate::quiet::Quiet;
use crate::socket::listen;

/// Pause after an error of `accept` that would only repeat at once (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is done with an accepted connection.
pub(crate) type OnAccept = Rc<dyn Fn(TcpStream, SocketAddr)>;

struct Listener {
    usage: Use,
    socket: Socket,
    stop: CancellationToken,
    /// No longer wanted since then.
    leaving: Option<Instant>,
}

impl Listener {
    /// One line for a listener that cannot be bound, however often it is tried, and one when it can. One worker tells: they
    /// all bind the same addresses.
    fn tell(&self, address: SocketAddr, failed_before: bool) {
        match &self.socket {
            Socket::Failed(error) if !failed_before => {
                tracing::warn!(%address, usage = %self.usage, error, "listener cannot be bound; it is tried again every second");
            }
            Socket::Bound if failed_before => {
                tracing::info!(%address, usage = %self.usage, "listener is bound now");
            }
            _ => {}
        }
    }
}

/// One worker's listeners.
pub(crate) struct Listeners {
    open: HashMap<SocketAddr, Listener>,
    tells: bool,
    /// What strangers bring about.
    strangers: Rc<Quiet>,
}

impl Listeners {
    /// None yet. `tells`: what cannot be bound goes to the log.
    pub(crate) fn new(tells: bool, strangers: Rc<Quiet>) -> Self {
        Self { open: HashMap::new(), tells, strangers }
    }

    /// Binds what is wanted and not bound (again, where it failed before), and closes what has not been wanted for
    /// `grace`. `door` says what becomes of the connections of a new listener.
    pub(crate) fn reconcile(
        &mut self,
        wanted: &BTreeMap<SocketAddr, Use>,
        grace: Duration,
        door: impl Fn(SocketAddr, &Use) -> OnAccept,
    ) {
        let now = Instant::now();
        let mut failed = Vec::new();
        self.open.retain(|address, listener| {
            if matches!(listener.socket, Socket::Failed(_)) {
                failed.push(*address);
            }
            let keep = match wanted.get(address) {
                Some(usage) if *usage == listener.usage => {
                    listener.leaving = None;
                    listener.socket == Socket::Bound
                }
                // Another service has the address now: the new listener is bound beside the old one below.
                Some(_) => false,
                None => {
                    let since = *listener.leaving.get_or_insert(now);
                    listener.socket == Socket::Bound && now.duration_since(since) < grace
                }
            };
            if !keep {
                listener.stop.cancel();
            }
            keep
        });
        for (address, usage) in wanted {
            if !self.open.contains_key(address) {
                let listener = open(*address, usage, door(*address, usage), &self.strangers);
                if self.tells {
                    listener.tell(*address, failed.contains(address));
                }
                self.open.insert(*address, listener);
            }
        }
    }

    /// Every listener that is still wanted, for the board.
    pub(crate) fn states(&self) -> BTreeMap<SocketAddr, (Use, Socket)> {
        let wanted = self.open.iter().filter(|(_, l)| l.leaving.is_none());
        wanted.map(|(address, l)| (*address, (l.usage.clone(), l.socket.clone()))).collect()
    }

    /// Stops accepting; what the kernel has already completed is still accepted.
    pub(crate) fn close(&mut self) {
        for (_, listener) in self.open.drain() {
            listener.stop.cancel();
        }
    }
}

fn open(address: SocketAddr, usage: &Use, on: OnAccept, strangers: &Rc<Quiet>) -> Listener {
    let stop = CancellationToken::new();
    let socket = match listen(address) {
        Ok(listener) => {
            tokio::task::spawn_local(accept(listener, stop.clone(), on, strangers.clone()));
            Socket::Bound
        }
        Err(error) => Socket::Failed(format!("{}: {error}", cause(&error))),
    };
    Listener { usage: usage.clone(), socket, stop, leaving: None }
}

/// What an error of `bind` most likely means.
fn cause(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    match error.kind() {
        AddrInUse => "another process has the port",
        AddrNotAvailable => "the address is not this machine's",
        PermissionDenied => "ports below 1024 need a privilege",
        _ => "the kernel refuses",
    }
}

/// Accepts until told to stop, then empties the queue: connections that a closing `SO_REUSEPORT` socket has not
/// accepted yet are reset, not handed to its siblings.
async fn accept(listener: TcpListener, stop: CancellationToken, on: OnAccept, strangers: Rc<Quiet>) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => on(stream, peer),
                Err(error) if passing(&error) => {}
                Err(error) => {
                    if strangers.allow("accept", Instant::now()) {
                        tracing::warn!(%error, "accept failed; it is tried again ten times a second");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    // The kernel is asked itself: tokio's view of readiness may be older than the newest connection.
    let Ok(rest) = listener.into_std() else { return };
    while let Ok((stream, peer)) = rest.accept() {
        let ready = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = ready {
            on(stream, peer);
        }
    }
}

/// Errors of the one connection, not of the listener.
fn passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use socket2::SockRef;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Counts the lines of a log.
    struct Lines(&'static AtomicU32);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            if event.metadata().target().ends_with("::listen") {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_again_and_again_is_told_once() {
        static LINES: AtomicU32 = AtomicU32::new(0);
        let _log = tracing::subscriber::set_default(Lines(&LINES));
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        // From here on the kernel accepts nothing, and says so.
        SockRef::from(&listener).shutdown(std::net::Shutdown::Both).unwrap();
        let quiet = Rc::new(Quiet::new(Duration::from_secs(3_600)));
        let accepting = accept(listener, CancellationToken::new(), Rc::new(|_, _| ()), quiet);
        assert!(tokio::time::timeout(100 * ACCEPT_PAUSE, accepting).await.is_err());
        assert_eq!(LINES.load(Ordering::Relaxed), 1);
    }
}
