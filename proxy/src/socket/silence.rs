//! Whether a peer's machine is still there, however busy its program is.
//!
//! A program may be silent for as long as it likes: a model that thinks, a query that waits for a lock, a garbage collector. Its
//! kernel is not: it acknowledges what is sent to it, and a keepalive probe each second when nothing is and nothing comes. So what is
//! looked at is when the peer's kernel was last heard. `TCP_USER_TIMEOUT` cannot tell the two apart, since it also runs while a program
//! does not read; and pings of HTTP/2 are answered by programs, of which gRPC's close connections that are pinged more often
//! than every five minutes (gRFC A8).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::heard::{Heard, heard};

/// How soon is looked again at the most.
const LOOK: Duration = Duration::from_millis(250);
/// Nothing heard for so long, at two looks in a row, is silence: two probes were lost, and it is not this machine that was late.
const SILENCE: Duration = Duration::from_millis(2_100);

impl Heard {
    /// True when it should have been heard by now. A peer that takes nothing is only asked now and then: with what it has not
    /// acknowledged, or by probes of its window, less and less often.
    fn is_silent(self) -> bool {
        let Some(since) = self.since.filter(|since| *since > SILENCE) else { return false };
        self.owes.map_or(!self.queued, |again| since > again)
    }

    /// When it can be silent at the soonest.
    fn look_in(self) -> Duration {
        SILENCE.saturating_sub(self.since.unwrap_or_default()).max(LOOK)
    }
}

/// A watch over one connection with keepalive probes each second.
#[derive(Debug)]
pub(crate) struct Watch {
    look: Pin<Box<Sleep>>,
    suspect: bool,
}

impl Watch {
    /// Looks from now on.
    pub(crate) fn new() -> Self {
        Self { look: Box::pin(tokio::time::sleep(SILENCE)), suspect: false }
    }

    /// Ready when the peer's machine has fallen silent.
    pub(crate) fn poll_silent(&mut self, tcp: BorrowedFd<'_>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            // A socket that cannot be asked tells whoever uses it.
            let heard = heard(tcp).ok();
            let silent = heard.is_some_and(Heard::is_silent);
            if silent && self.suspect {
                return Poll::Ready(());
            }
            self.suspect = silent;
            let pause = if silent { LOOK } else { heard.map_or(SILENCE, Heard::look_in) };
            self.look.as_mut().reset(Instant::now() + pause);
        }
    }
}

/// Returns when the machine at the other end of that connection has fallen silent.
pub(crate) async fn fallen_silent(tcp: OwnedFd) {
    let mut watch = Watch::new();
    std::future::poll_fn(|cx| watch.poll_silent(tcp.as_fd(), cx)).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::socket::{connect, patient};

    #[test]
    fn who_owes_a_word_is_silent_and_who_takes_nothing_is_not() {
        const MS: fn(u64) -> Duration = Duration::from_millis;
        for (what, since, owes, queued, silent) in [
            ("a probe may be lost", Some(2_000), None, false, false),
            ("two are not", Some(2_200), None, false, true),
            ("nor what was sent again and again", Some(2_200), Some(1_600), false, true),
            ("more waits", Some(2_200), Some(1_600), true, true),
            ("it takes nothing, and said so the last time", Some(2_900), Some(3_200), true, false),
            ("its window is closed", Some(100_000), None, true, false),
            ("both have ended", None, None, false, false),
        ] {
            let heard = Heard { since: since.map(MS), owes: owes.map(MS), queued };
            assert_eq!(heard.is_silent(), silent, "{what}: {heard:?}");
        }
    }

    #[test]
    fn nobody_is_looked_at_before_he_can_be_silent() {
        let of = |ms| Heard { since: Some(Duration::from_millis(ms)), owes: None, queued: false }.look_in().as_millis();
        assert_eq!([of(0), of(1_000), of(2_050), of(60_000)], [2_100, 1_100, 250, 250]);
    }

    /// The kernel's word, for as long as it takes to mistake either for silence.
    #[tokio::test]
    async fn neither_an_idle_peer_nor_one_that_does_not_read_is_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let idle = connect(to, Duration::from_secs(10), patient()).await.unwrap();
        let mut stalled = connect(to, Duration::from_secs(10), patient()).await.unwrap();
        let _peers = (listener.accept().await.unwrap(), listener.accept().await.unwrap());
        let fds = [idle.as_fd().try_clone_to_owned().unwrap(), stalled.as_fd().try_clone_to_owned().unwrap()];
        let [idle_fd, stalled_fd] = fds;
        let fill = async { stalled.write_all(&vec![0; 64 << 20]).await };
        tokio::select! {
            () = fallen_silent(idle_fd) => panic!("an idle peer acknowledges probes"),
            () = fallen_silent(stalled_fd) => panic!("a peer that does not read acknowledges what it has"),
            _ = fill => panic!("nobody reads that"),
            () = tokio::time::sleep(Duration::from_secs(8)) => {}
        }
    }
}
