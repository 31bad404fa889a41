//! Clients of HTTP/1.1 that end their own direction before their answer has come.
//!
//! The kernel says the same of one that still reads (`nc -N`, a script that shuts its socket for writing) and of one
//! that is gone, for which a pod should not go on working. Who is gone resets what it is sent. So a short while is
//! waited, which most answers need no longer, and then the client is sent an informational answer: one that reads
//! ignores it (RFC 9110 §15.2), one that is gone resets the connection. Once the answer itself is written, that tells.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::clock::Stage;

/// How long a client that is gone may look like one that reads, before it is asked.
const UNASKED: Duration = Duration::from_millis(100);
/// How often it is asked: it may leave later.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long after it was asked its reset is looked for, a round trip in a cluster and more, and how often later. So
/// often an upload is looked at.
const LOOK_SOON: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_secs(1);
/// An answer of which nothing was written for so long does not tell any more whether somebody reads.
const UNWRITTEN: Duration = Duration::from_secs(5);

/// The informational answer without any meaning to who did not expect it.
pub(super) const ARE_YOU_THERE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is to be done about such a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Look again after this time.
    Look(Duration),
    /// Ask it.
    Ask,
    /// Take it for gone.
    Gone,
}

/// How long ago something was so.
#[derive(Clone, Copy, Debug)]
struct Since {
    /// The client ended its direction.
    ended: Duration,
    /// This stage was first seen.
    stage: Duration,
    /// It was asked.
    asked: Option<Duration>,
    /// Something was written to it.
    written: Duration,
}

/// What is next, for the request that is under way. A body that was cut short shows when more of it is asked for, and
/// is not just being handed over; until then it may have come whole. What is `unsent` tells by itself: the kernel gives
/// up on who is gone.
fn next(stage: Stage, unsent: bool, since: Since) -> Next {
    let Since { ended, asked, written, .. } = since;
    match (stage, asked) {
        (Stage::Starved, _) if since.stage >= LOOK_SOON => Next::Gone,
        (Stage::Upload | Stage::Starved, _) => Next::Look(LOOK_SOON),
        (Stage::Whole | Stage::WholeOld, _) if ended < UNASKED => Next::Look(UNASKED - ended),
        (Stage::WholeOld, _) => Next::Gone,
        (Stage::Whole, None) => Next::Ask,
        (Stage::Whole, Some(asked)) if asked >= ASK_EVERY => Next::Ask,
        (Stage::Answer, _) if !unsent && written.min(since.stage) >= UNWRITTEN => Next::Gone,
        (Stage::Whole, Some(asked)) if asked < LOOK_SOON => Next::Look(LOOK_SOON - asked),
        (Stage::Whole | Stage::Answer, _) => Next::Look(LOOK),
    }
}

/// One client that has ended its direction, and when it is looked at next.
#[derive(Debug)]
pub(super) struct HalfClosed {
    ended: Instant,
    stage: (Stage, Instant),
    asked: Option<Instant>,
    written: Instant,
    timer: Pin<Box<Sleep>>,
}

/// What came of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The client is to be asked now.
    Ask,
    /// It counts as gone.
    Gone,
}

impl HalfClosed {
    /// It has ended its direction now.
    pub(super) fn new(stage: Stage) -> Self {
        let now = Instant::now();
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { ended: now, stage: (stage, now), asked: None, written: now, timer }
    }

    /// Something was written to it.
    pub(super) fn wrote(&mut self) {
        self.written = Instant::now();
    }

    /// Until there is something to do. `unsent`: the client has not taken everything that was written.
    pub(super) fn poll_look(&mut self, stage: Stage, unsent: bool, cx: &mut Context<'_>) -> Poll<Look> {
        loop {
            let now = Instant::now();
            if self.stage.0 != stage {
                self.stage = (stage, now);
            }
            let since = Since {
                ended: now - self.ended,
                stage: now - self.stage.1,
                asked: self.asked.map(|at| now - at),
                written: now - self.written,
            };
            match next(stage, unsent, since) {
                Next::Gone => return Poll::Ready(Look::Gone),
                Next::Ask => {
                    self.asked = Some(now);
                    return Poll::Ready(Look::Ask);
                }
                Next::Look(after) => self.timer.as_mut().reset(now + after),
            }
            std::task::ready!(self.timer.as_mut().poll(cx));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn since(ended: u64, stage: u64, asked: Option<u64>, written: u64) -> Since {
        Since { ended: ms(ended), stage: ms(stage), asked: asked.map(ms), written: ms(written) }
    }

    #[test]
    fn who_waits_is_asked_now_and_then() {
        let whole = |ended, asked| next(Stage::Whole, false, since(ended, ended, asked, ended));
        assert_eq!(whole(0, None), Next::Look(ms(100)));
        assert_eq!(whole(100, None), Next::Ask);
        assert_eq!(whole(100, Some(0)), Next::Look(ms(50)));
        assert_eq!(whole(150, Some(50)), Next::Look(ms(1_000)));
        assert_eq!(whole(60_000, Some(5_000)), Next::Ask);
    }

    #[test]
    fn who_cannot_be_asked_has_a_moment_and_half_an_upload_too() {
        assert_eq!(next(Stage::WholeOld, false, since(99, 99, None, 99)), Next::Look(ms(1)));
        assert_eq!(next(Stage::WholeOld, false, since(100, 100, None, 100)), Next::Gone);
        assert_eq!(next(Stage::Upload, false, since(60_000, 60_000, None, 60_000)), Next::Look(ms(50)));
        assert_eq!(next(Stage::Starved, false, since(60_000, 49, None, 60_000)), Next::Look(ms(50)));
        assert_eq!(next(Stage::Starved, false, since(60_000, 50, None, 60_000)), Next::Gone);
    }

    #[test]
    fn an_answer_tells_by_being_written() {
        let answer = |begun, written| next(Stage::Answer, false, since(60_000, begun, Some(0), written));
        assert_eq!(answer(60_000, 4_999), Next::Look(ms(1_000)));
        assert_eq!(answer(60_000, 5_000), Next::Gone);
        assert_eq!(answer(10, 60_000), Next::Look(ms(1_000)), "an old silence is not the client's");
        let unsent = next(Stage::Answer, true, since(60_000, 60_000, None, 60_000));
        assert_eq!(unsent, Next::Look(ms(1_000)), "nor is that of one that reads slowly");
    }
}
