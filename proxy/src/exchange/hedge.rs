//! A second attempt beside one that stays silent: what a black hole costs a request is this wait, not a timeout.
//!
//! An attempt that has brought no answer's head for longer than its place usually takes is joined by another at
//! another endpoint; the first answer wins and the loser is dropped, which counts as a request abandoned by its client
//! would. Only what may be replayed is hedged, hedges take their room from the budget of replays, and the wait follows
//! the place's own latency, so that a model that thinks for seconds is not asked twice.
//!
//! Nothing here runs before an attempt's wait is over: the timer that ends the attempt is set to this moment first.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use strait_catalog::ClusterId;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Scope;
use crate::attempt::{Reply, attempt};
use crate::balance::{Attempted, Choice, pick_beside};
use crate::metrics::Hedge;
use crate::outgoing::Outgoing;
use crate::retry::{Allowance, Failure, Tally};
use crate::route::{Replay, ServiceRoute};
use crate::worker::Worker;

/// The least that is waited beyond what is usual: pauses of garbage collectors and busy nodes are no black holes.
const MARGIN: Duration = Duration::from_millis(100);
/// The most: a model that thinks for a minute is given five seconds more.
const MOST_MARGIN: Duration = Duration::from_secs(5);
/// The wait for a place of which too few answers are known: long for a service that answers at once, and short for one
/// that thinks, which the budget then keeps from being asked twice too often.
const UNKNOWN: Duration = Duration::from_secs(5);
/// How soon a hedge for which there was no room or no place is thought of again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long an attempt may stay silent before another joins it: the 99th percentile of the place's good answers, as
/// much again (100 ms to 5 s), and the round trip to its cluster, so that a gateway may hedge among its own pods first.
pub(crate) fn hedge_after(usual: Option<Duration>, rtt: Duration) -> Duration {
    usual.map_or(UNKNOWN, |usual| usual + usual.clamp(MARGIN, MOST_MARGIN)) + rtt
}

/// Whether there may be another attempt that a pod may see, beside so many under way, when `most` may.
pub(super) const fn may(replayable: bool, tally: Tally, under_way: u32, most: u32) -> bool {
    replayable && tally.sent + under_way < most
}

/// How a round came to nothing: one attempt, and those that joined it.
pub(super) enum Missed {
    /// All failed; the last failure, which the tally does not hold yet.
    Failed(Failure),
    /// Time ran out.
    Late,
}

/// An answer that began, and the cluster it comes from.
pub(super) type Answered = (Reply, ClusterId);

/// What a request's attempts have in common.
#[derive(Clone, Copy)]
pub(super) struct Ground<'r> {
    pub(super) worker: &'r Rc<Worker>,
    pub(super) route: &'r ServiceRoute,
    pub(super) scope: Scope,
    pub(super) request: &'r Outgoing,
    pub(super) allowance: Allowance,
}

/// What a request has been through.
pub(super) struct Past<'p> {
    pub(super) tried: &'p mut Attempted,
    pub(super) tally: &'p mut Tally,
    pub(super) touched: &'p mut bool,
}

impl<'r> Ground<'r> {
    /// Makes the attempt that was chosen at `began`, and others beside it once it is overdue, until `end`.
    pub(super) async fn round(
        self,
        choice: Choice<'r>,
        began: Instant,
        end: Instant,
        past: Past<'_>,
    ) -> Result<Answered, Missed> {
        let Past { tried, tally, touched } = past;
        let hedged = may(self.request.replayable(), *tally, 1, self.allowance.sent);
        let overdue = hedged.then(|| began + hedge_after(choice.usual(), choice.rtt())).filter(|at| *at < end);
        let mut reached = false;
        let ended = {
            let mut first = pin!(attempt(self.worker, &self.route.key, &choice, self.request, began, &mut reached));
            let waited = match overdue {
                Some(overdue) => timeout_at(overdue, first.as_mut()).await.ok(),
                None => self.until(began, end, first.as_mut()).await,
            };
            match waited {
                Some(Ok(reply)) => Ok((reply, choice.cluster.clone())),
                Some(Err(failure)) => {
                    if !failure.blames_connection() {
                        tried.note(&choice);
                    }
                    Err(Missed::Failed(failure))
                }
                None if overdue.is_none() => {
                    tried.note(&choice);
                    Err(Missed::Late)
                }
                // Boxed, so that requests that are answered in time do not carry it.
                None => Box::pin(self.race(first, choice, end, Past { tried, tally, touched: &mut *touched })).await,
            }
        };
        *touched |= reached || matches!(ended, Err(Missed::Late));
        ended
    }

    /// An attempt that is not hedged, until `end`, or so long after its body has last moved. `None` when it is late.
    async fn until<F: Future>(self, began: Instant, mut end: Instant, mut attempt: Pin<&mut F>) -> Option<F::Output> {
        let limit = end.saturating_duration_since(began);
        loop {
            match timeout_at(end, attempt.as_mut()).await {
                Ok(output) => return Some(output),
                Err(_) => end = self.request.later(limit, end)?,
            }
        }
    }

    /// The attempt is overdue: whoever answers first.
    async fn race<F>(
        self,
        mut first: Pin<&mut F>,
        choice: Choice<'r>,
        end: Instant,
        past: Past<'_>,
    ) -> Result<Answered, Missed>
    where
        F: Future<Output = Result<Reply, Failure>>,
    {
        let Past { tried, tally, touched } = past;
        tried.note(&choice);
        let mut others = FuturesUnordered::new();
        let (mut first_runs, mut denied) = (true, false);
        let mut look = Instant::now();
        loop {
            tally.sent += self.scope.resent(self.request);
            let under_way = u32::from(first_runs) + u32::try_from(others.len()).unwrap_or(u32::MAX);
            let failure = tokio::select! {
                biased;
                result = first.as_mut(), if first_runs => match result {
                    Ok(reply) => return Ok((reply, choice.cluster.clone())),
                    Err(failure) => {
                        first_runs = false;
                        failure
                    }
                },
                Some(Hedged { result, cluster, reached }) = others.next(), if !others.is_empty() => {
                    *touched |= reached;
                    match result {
                        Ok(reply) => {
                            self.worker.metrics.hedges.count(Hedge::Won);
                            return Ok((reply, ClusterId::clone(cluster)));
                        }
                        Err(failure) => failure,
                    }
                }
                () = sleep_until(look), if may(true, *tally, under_way, self.allowance.sent) => {
                    look = Instant::now() + match self.another(&choice, tried) {
                        Ok((next, room)) => {
                            others.push(self.hedge(next, room));
                            hedge_after(next.usual(), next.rtt())
                        }
                        Err(missing) => {
                            // Counted once a request, not once a look.
                            if !std::mem::replace(&mut denied, true) {
                                self.worker.metrics.hedges.count(missing);
                            }
                            LOOK_AGAIN
                        }
                    };
                    continue;
                }
                () = sleep_until(end) => return Err(Missed::Late),
            };
            if under_way == 1 {
                return Err(Missed::Failed(failure));
            }
            tally.note(failure);
            self.worker.metrics.retry(failure);
            look = Instant::now();
        }
    }

    /// Where the next hedge goes, which counts as tried, and its room in the budget.
    fn another(self, first: &Choice<'_>, tried: &mut Attempted) -> Result<(Choice<'r>, Replay), Hedge> {
        let now_ms = self.worker.shared.now_ms();
        let local_only = self.scope == Scope::Local;
        let pick = |rng: &mut fastrand::Rng| pick_beside(self.route, rng, now_ms, tried, first, local_only);
        let choice = self.worker.with_rng(pick).ok_or(Hedge::NoPlace)?;
        let room = self.route.replay(self.allowance.budget_percent, true).ok_or(Hedge::NoRoom)?;
        tried.note(&choice);
        Ok((choice, room))
    }

    /// One attempt beside others.
    async fn hedge(self, choice: Choice<'r>, _room: Replay) -> Hedged<'r> {
        self.request.note_repeated();
        self.worker.metrics.hedges.count(Hedge::Sent);
        let mut reached = false;
        let result = attempt(self.worker, &self.route.key, &choice, self.request, Instant::now(), &mut reached).await;
        Hedged { result, cluster: choice.cluster, reached }
    }
}

/// How a hedge ended.
struct Hedged<'r> {
    result: Result<Reply, Failure>,
    cluster: &'r ClusterId,
    /// A pod may have received it.
    reached: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_wait_follows_the_places_own_latency() {
        for (what, usual, rtt, expected) in [
            ("a fast pod", Some(MS(1)), MS(0), MS(101)),
            ("an ordinary one", Some(MS(40)), MS(0), MS(140)),
            ("a slow one is given twice its time", Some(MS(800)), MS(0), MS(1_600)),
            ("a model that thinks", Some(MS(20_000)), MS(0), MS(25_000)),
            (
                "far away: its usual time has the distance in it, and its gateway goes first",
                Some(MS(70)),
                MS(65),
                MS(235),
            ),
            ("nothing known", None, MS(65), MS(5_065)),
        ] {
            assert_eq!(hedge_after(usual, rtt), expected, "{what}");
        }
    }

    #[test]
    fn who_is_hedged() {
        let sent = |sent| Tally { sent, cheap: 7 };
        for (what, replayable, tally, under_way, expected) in [
            ("a first attempt", true, sent(0), 1, true),
            ("what may not be replayed", false, sent(0), 1, false),
            ("a second hedge", true, sent(0), 2, true),
            ("no third", true, sent(0), 3, false),
            ("a replay", true, sent(1), 1, true),
            ("a hedged replay", true, sent(1), 2, false),
            ("the last replay", true, sent(2), 1, false),
        ] {
            assert_eq!(may(replayable, tally, under_way, 3), expected, "{what}");
        }
    }

    proptest::proptest! {
        /// Never sooner than what is usual and a tenth of a second.
        #[test]
        fn ordinary_answers_are_not_hedged(usual in 0..60_000_u64, rtt in 0..400_u64) {
            let wait = hedge_after(Some(MS(usual)), MS(rtt));
            proptest::prop_assert!(wait >= MS(usual) + MARGIN);
            proptest::prop_assert!(wait <= MS(2 * usual + rtt) + MARGIN && wait <= MS(usual + rtt) + MOST_MARGIN);
        }
    }
}
