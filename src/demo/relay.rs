//! A TCP relay that adds the distance between two regions, and can refuse or swallow what crosses it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod alarm;

pub use alarm::Alarm;

/// What the path does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carry everything, late by the distance.
    Carry,
    /// Refuse new connections and reset those that are open, as a host without that service does.
    Refuse,
    /// Swallow everything without a word, as a cut cable does.
    Swallow,
}

/// What crossed the relay.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections carried.
    pub connections: AtomicU64,
    /// Bytes carried.
    pub bytes: AtomicU64,
    /// Connections refused or reset by [`Mode::Refuse`].
    pub refused: AtomicU64,
    /// Chunks and connections that vanished in [`Mode::Swallow`].
    pub swallowed: AtomicU64,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    mode: watch::Sender<Mode>,
    counters: Arc<Counters>,
}

/// Bytes in flight on the way, each direction: more than 100 Mbit/s over 140 ms.
const IN_FLIGHT: usize = 256;
const CHUNK: usize = 16 * 1024;

impl Relay {
    /// Listens at `from` and carries to `to`; `round_trip` is the whole distance there and back, kept by `alarm`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(
        from: SocketAddr,
        to: SocketAddr,
        round_trip: Duration,
        alarm: Arc<Alarm>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let listener = bind(from)?;
        let (mode, modes) = watch::channel(Mode::Carry);
        let counters = Arc::new(Counters::default());
        let path =
            Path { to, one_way: round_trip / 2, alarm, modes, counters: counters.clone(), tasks: tasks.clone(), stop };
        tasks.spawn(accept(listener, from, path));
        Ok(Self { mode, counters })
    }

    /// Changes what the path does, at once.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What crossed it.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

#[derive(Clone)]
struct Path {
    to: SocketAddr,
    one_way: Duration,
    alarm: Arc<Alarm>,
    modes: watch::Receiver<Mode>,
    counters: Arc<Counters>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Accepts while the mode allows it; refusing means that nobody listens.
async fn accept(listener: TcpListener, at: SocketAddr, mut path: Path) {
    let mut listener = Some(listener);
    loop {
        let mode = *path.modes.borrow_and_update();
        match (mode, &listener) {
            (Mode::Refuse, Some(_)) => listener = None,
            (Mode::Carry | Mode::Swallow, None) => match bind(at) {
                Ok(bound) => listener = Some(bound),
                Err(error) => tracing::warn!(%at, %error, "the relay cannot listen again"),
            },
            _ => {}
        }
        let incoming = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = path.stop.cancelled() => return,
            changed = path.modes.changed() => if changed.is_err() { return },
            Ok((stream, _)) = incoming => {
                path.tasks.spawn(path.clone().carry(stream));
            }
        }
    }
}

impl Path {
    /// Carries one connection to its end, a reset, or the end of the demo.
    async fn carry(self, near: TcpStream) {
        let mut modes = self.modes.clone();
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = refused(&mut modes) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(to = %self.to, "the relay resets a connection");
            }
            () = self.both_ways(near) => {}
        }
    }

    async fn both_ways(&self, near: TcpStream) {
        self.swallowing().await;
        // The handshake of a connection over that distance costs one round trip before the first byte.
        self.alarm.wait_until(Instant::now() + self.one_way * 2).await;
        self.swallowing().await;
        let Ok(socket) = TcpSocket::new_v4() else { return };
        let Ok(far) = socket.connect(self.to).await else { return };
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let quick = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
        // A reset mid-way, not an orderly end, is what the other side of a refusing host sees.
        let linger = near.set_zero_linger().and_then(|()| far.set_zero_linger());
        if quick.and(linger).is_err() {
            return;
        }
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        tokio::join!(self.one_way(near_in, far_out), self.one_way(far_in, near_out));
    }

    /// Carries one direction: read now, write when it is due.
    async fn one_way(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (sender, mut due) = mpsc::channel::<(Instant, Bytes)>(IN_FLIGHT);
        let read = async move {
            let mut buffer = BytesMut::with_capacity(CHUNK);
            while let Ok(1..) = from.read_buf(&mut buffer).await {
                let chunk = buffer.split().freeze();
                if sender.send((Instant::now() + self.one_way, chunk)).await.is_err() {
                    return;
                }
                buffer.reserve(CHUNK);
            }
        };
        let write = async {
            while let Some((at, chunk)) = due.recv().await {
                self.alarm.wait_until(at).await;
                self.swallowing().await;
                self.counters.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                if to.write_all(&chunk).await.is_err() {
                    return;
                }
            }
            // An orderly end travels as slowly as data does.
            self.alarm.wait_until(Instant::now() + self.one_way).await;
            let _ = to.shutdown().await;
        };
        tokio::join!(read, write);
    }

    /// Returns at once, or while the path swallows, never until it carries again.
    async fn swallowing(&self) {
        let mut modes = self.modes.clone();
        if *modes.borrow_and_update() != Mode::Swallow {
            return;
        }
        self.counters.swallowed.fetch_add(1, Ordering::Relaxed);
        while *modes.borrow_and_update() == Mode::Swallow {
            if modes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn refused(modes: &mut watch::Receiver<Mode>) {
    while *modes.borrow_and_update() != Mode::Refuse {
        if modes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
