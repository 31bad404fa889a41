//! Whether the other end of a link still says anything, and the means to end a link that does not.
//!
//! The connection sends the pings; the verdict is made here, by whatever comes and not by their answers alone. This watch
//! counts bytes as they are read and gives a late look the benefit of its own lateness: on a machine that stalled for a
//! moment every link would be declared dead otherwise, with the answers waiting in the buffers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The most that a late look may extend a link's allowance.
const MAX_INDULGENCE: Duration = Duration::from_secs(1);
/// A look this late has missed nothing.
const PUNCTUAL: Duration = Duration::from_millis(20);

/// Shared by a link's socket and its watch.
#[derive(Debug)]
pub(crate) struct Pulse {
    origin: Instant,
    last_read_us: AtomicU64,
    suspect: AtomicBool,
    dead: AtomicBool,
    /// Wakes those who wait for suspicion.
    suspected: Notify,
    reader: AtomicWaker,
    /// Someone waits for the next byte.
    awaited: AtomicBool,
    heard: Notify,
}

impl Pulse {
    /// A link that was heard of just now.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            last_read_us: AtomicU64::new(0),
            suspect: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            suspected: Notify::new(),
            reader: AtomicWaker::new(),
            awaited: AtomicBool::new(false),
            heard: Notify::new(),
        })
    }

    fn beat(&self) {
        let us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_read_us.store(us, Ordering::Relaxed);
        if self.awaited.swap(false, Ordering::Relaxed) {
            self.heard.notify_one();
        }
    }

    /// Returns at the next byte that comes.
    pub(crate) async fn next_beat(&self) {
        self.awaited.store(true, Ordering::Relaxed);
        self.heard.notified().await;
    }

    fn last_read(&self) -> Instant {
        self.origin + Duration::from_micros(self.last_read_us.load(Ordering::Relaxed))
    }

    /// True while nothing was heard for longer than it should take.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }

    /// Declares or withdraws suspicion.
    pub(crate) fn suspect(&self, suspect: bool) {
        self.suspect.store(suspect, Ordering::Release);
        if suspect {
            self.suspected.notify_waiters();
        }
    }

    /// Returns when the link is or becomes suspect.
    pub(crate) async fn suspicion(&self) {
        loop {
            let suspected = self.suspected.notified();
            if self.is_suspect() || self.is_dead() {
                return;
            }
            suspected.await;
        }
    }

    /// True once the link was declared dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Ends the link: its socket fails from now on, and with it every request on it, at once.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// Returns when nothing was heard for `allowance`, net of this thread's own stalls.
    pub(crate) async fn flatline(&self, allowance: Duration) {
        let mut look_at = self.last_read() + allowance;
        loop {
            tokio::time::sleep_until(look_at).await;
            // The reactor runs between two polls of this task: what lies in the socket is read before the verdict.
            tokio::task::yield_now().await;
            let now = Instant::now();
            match judge(now - self.last_read().min(now), allowance, now.saturating_duration_since(look_at)) {
                Verdict::Dead => return,
                Verdict::LookAgainIn(wait) => look_at = now + wait,
            }
        }
    }
}

/// What a look at a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Dead,
    LookAgainIn(Duration),
}

/// Dead after `allowance` of silence, unless this look came late: then what was missed is granted once more.
fn judge(silence: Duration, allowance: Duration, late: Duration) -> Verdict {
    if silence < allowance {
        Verdict::LookAgainIn(allowance - silence)
    } else if late > PUNCTUAL {
        Verdict::LookAgainIn(late.min(MAX_INDULGENCE))
    } else {
        Verdict::Dead
    }
}

/// A socket that tells its pulse.
#[derive(Debug)]
pub(crate) struct Watched {
    tcp: TcpStream,
    pulse: Arc<Pulse>,
}

impl Watched {
    /// Watches that socket.
    pub(crate) const fn new(tcp: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self { tcp, pulse }
    }

    fn check(&self) -> io::Result<()> {
        if self.pulse.is_dead() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the link between gateways was declared dead"));
        }
        Ok(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.pulse.reader.register(cx.waker());
        this.check()?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.tcp).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.pulse.beat();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check()?;
        Pin::new(&mut this.tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check()?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn silence_kills_but_a_late_look_does_not() {
        assert_eq!(judge(MS(100), MS(530), MS(0)), Verdict::LookAgainIn(MS(430)));
        assert_eq!(judge(MS(530), MS(530), MS(1)), Verdict::Dead);
        assert_eq!(judge(MS(900), MS(530), MS(370)), Verdict::LookAgainIn(MS(370)));
        assert_eq!(judge(MS(9_000), MS(530), MS(8_000)), Verdict::LookAgainIn(MAX_INDULGENCE));
    }

    #[tokio::test]
    async fn a_killed_link_fails_its_reader_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tcp, _peer) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let pulse = Pulse::new();
        let mut watched = Watched::new(tcp.unwrap(), pulse.clone());
        let read = async { watched.read_u8().await };
        let kill = async {
            tokio::task::yield_now().await;
            pulse.kill();
        };
        let (read, ()) = tokio::join!(read, kill);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn the_allowance_runs_from_the_last_byte() {
        let pulse = Pulse::new();
        let start = Instant::now();
        let beats = async {
            for _ in 0..10 {
                tokio::time::sleep(MS(400)).await;
                pulse.beat();
            }
        };
        tokio::join!(pulse.flatline(MS(530)), beats);
        assert_eq!(start.elapsed(), MS(4_530));
    }
}
