//! A request's attempts, one after another, until an answer begins or there is no sense in another.

use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

mod hedge;

use crate::attempt::Reply;
use crate::balance::{Attempted, Choice, pick, pick_local_only};
use crate::deadline::worth_beginning;
use crate::failure::Kind;
use crate::outgoing::Outgoing;
use crate::policy::ServicePolicy;
use crate::retry::{Failure, Next, Tally, next};
use crate::route::{Between, Replay, ServiceRoute};
use crate::worker::Worker;
pub(crate) use hedge::hedge_after;
use hedge::{Ground, Missed, Past};

/// Pause, ±50 %, before each further attempt of a request that is held, or for which everything was tried.
const PAUSE: Duration = Duration::from_millis(60);
/// How long a replay waits for room in the budget, and how often it looks.
const FOR_ROOM: Duration = Duration::from_millis(500);
const LOOK_FOR_ROOM: Duration = Duration::from_millis(10);
/// How long a request without any place to go is held by a daemon that has just started: the first sync with another
/// cluster takes a handshake and an exchange over its distance.
pub(crate) const FOR_NEWS: Duration = Duration::from_millis(1_500);

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Any cluster: it came from a client.
    Anywhere,
    /// This cluster only: it came through the gateway.
    Local,
}

impl Scope {
    /// How many attempts it counts for that a request was sent to its pod again when a kept connection ended under it. None
    /// in the cluster that its client asks: a crash of many pods ends many such connections, and each of them is no pod that
    /// has failed the request. A gateway adds one attempt at most, whatever the reason.
    pub(crate) fn resent(self, request: &Outgoing) -> u32 {
        u32::from(request.take_resent() && self == Self::Local)
    }
}

/// A request that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// What the asker is told.
    pub(crate) kind: Kind,
    /// A pod may have received it.
    pub(crate) touched: bool,
}

/// Sends the request until an answer begins. Returns the answer and the cluster it comes from.
///
/// # Errors
/// [`Lost`] with the last failure, or what kept it from being tried at all.
pub(crate) async fn exchange(
    worker: &Rc<Worker>,
    route: &ServiceRoute,
    scope: Scope,
    request: &Outgoing,
) -> Result<(Reply, strait_catalog::ClusterId), Lost> {
    let timeouts = &worker.shared.timeouts;
    let policy = policy(route, scope);
    let (whole, each) = (policy.request(timeouts), policy.attempt(timeouts));
    let allowance = request.allow(policy.allowance());
    let deadline = request.deadline.at();
    let mut now = request.deadline.began();
    let mut tried = Attempted::none_by(request.urgency());
    let mut tally = Tally { sent: sent_before(scope, allowance.sent), cheap: 0 };
    let mut held_since: Option<Instant> = None;
    let mut waiting_since: Option<Instant> = None;
    let mut lost = Lost { kind: Kind::NoEndpoints, touched: false };
    let mut room: Option<Replay> = None;
    let mut hold = false;
    let mut takeover = request.takeover.as_deref();
    let mut between: Option<Between> = None;
    loop {
        if hold && !pause(&mut held_since, timeouts.hold).await {
            return Err(lost);
        }
        if held_since.or(waiting_since).is_some() {
            now = Instant::now();
        }
        // Exports and endpoints change while a request waits: it goes by what is known now.
        let renewed = held_since.or(waiting_since).and_then(|_| worker.shared.routes.load().get(&route.key).cloned());
        let current = renewed.as_deref().unwrap_or(route);
        // What was handed over goes on where it was begun.
        let chosen = takeover.take().map(|takeover| takeover.chosen.choice());
        let Some(choice) = chosen.or_else(|| choose(worker, current, scope, &tried, now)) else {
            // Right after the start others have not told yet what they have.
            let longest = FOR_NEWS.min(whole);
            if scope == Scope::Anywhere && worker.shared.is_new() && pause(&mut waiting_since, longest).await {
                continue;
            }
            return Err(lost);
        };
        if choice.repeated && !hold {
            if !pause(&mut held_since, timeouts.hold).await {
                return Err(lost);
            }
            now = Instant::now();
        }
        if !worth_beginning(deadline.saturating_duration_since(now), choice.rtt()) {
            return Err(Lost { kind: Kind::Timeout, ..lost });
        }
        let own_end = each.map(|limit| now + limit).filter(|end| *end < deadline);
        let ground = Ground { worker, route: current, scope, request, allowance };
        let past = Past { tried: &mut tried, tally: &mut tally, touched: &mut lost.touched };
        drop(between.take());
        let failure = match ground.round(choice, now, own_end.unwrap_or(deadline), past).await {
            Ok(answered) => return Ok(answered),
            Err(Missed::Failed(failure)) => failure,
            Err(Missed::Late) if own_end.is_some() => Failure::AttemptTimeout,
            Err(Missed::Late) => return Err(Lost { kind: Kind::Timeout, touched: true }),
        };
        drop(room.take());
        between = Some(current.repeats.between());
        tally.sent += scope.resent(request);
        tally.note(failure);
        lost.kind = failure.kind();
        now = Instant::now();
        let time_left = deadline.saturating_duration_since(now);
        let next = next(failure, &request.method, request.left(), tally, allowance.sent, time_left);
        hold = next == Next::Hold;
        if hold && scope == Scope::Local {
            // The daemon that asks can try other clusters meanwhile; if they all fail it is the one that waits.
            return Err(lost);
        }
        match next {
            Next::GiveUp => return Err(lost),
            Next::Again | Next::Hold => {}
            Next::Move => request.note_repeated(),
            Next::Replay => {
                room = Some(wait_for_room(worker, current, allowance.budget_percent).await.ok_or(lost)?);
                request.note_repeated();
                now = Instant::now();
            }
        }
        worker.metrics.retry(failure);
    }
}

/// How many of the attempts that may reach a pod are spent before the first here. The cluster that a client asks makes
/// up to three, each perhaps through a gateway: a gateway adds one of its own to the first of them and none to a replay
/// or a hedge, which may be sent only [once](crate::retry::Allowance::ONCE), so that no retry is retried.
const fn sent_before(scope: Scope, most: u32) -> u32 {
    match scope {
        Scope::Anywhere => 0,
        Scope::Local => most.saturating_sub(2),
    }
}

/// A cluster's policy is for its own clients. What comes from another cluster is limited there.
fn policy(route: &ServiceRoute, scope: Scope) -> &ServicePolicy {
    static NONE: LazyLock<ServicePolicy> = LazyLock::new(ServicePolicy::default);
    match scope {
        Scope::Anywhere => &route.policy,
        Scope::Local => &NONE,
    }
}

/// Waits a moment before what failed everywhere is tried once more; false when the request was held for long enough.
pub(crate) async fn pause(held_since: &mut Option<Instant>, longest: Duration) -> bool {
    let since = *held_since.get_or_insert_with(Instant::now);
    if since.elapsed() >= longest {
        return false;
    }
    tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
    true
}

/// The next target, by the shares or of the own cluster.
pub(crate) fn choose<'r>(
    worker: &Worker,
    route: &'r ServiceRoute,
    scope: Scope,
    tried: &Attempted,
    now: Instant,
) -> Option<Choice<'r>> {
    let now_ms = worker.shared.ms_at(now.into());
    worker.with_rng(|rng| match scope {
        Scope::Anywhere => pick(route, rng, now_ms, tried),
        Scope::Local => pick_local_only(route, rng, now_ms, tried),
    })
}

/// A replay beyond the budget waits a little for one before it: a burst of them is spread, not refused.
async fn wait_for_room(worker: &Worker, route: &ServiceRoute, percent: u32) -> Option<Replay> {
    let until = Instant::now() + FOR_ROOM;
    loop {
        if let Some(room) = route.replay(percent, false) {
            return Some(room);
        }
        if Instant::now() >= until {
            worker.metrics.budget_spent.increment(1);
            return None;
        }
        tokio::time::sleep(LOOK_FOR_ROOM).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::retry::{Allowance, Left};

    /// What follows a broken attempt that was the `nth` to reach a pod here.
    fn after(nth: u32, scope: Scope, allowance: Allowance) -> Next {
        let tally = Tally { sent: sent_before(scope, allowance.sent) + nth, cheap: 0 };
        next(Failure::Broken, &Method::GET, Left::Whole, tally, allowance.sent, Duration::from_secs(1))
    }

    #[test]
    fn a_gateway_repeats_once_and_never_what_was_repeated() {
        let usual = Allowance::default();
        assert_eq!(after(1, Scope::Anywhere, usual), Next::Replay);
        assert_eq!(after(2, Scope::Anywhere, usual), Next::Replay);
        assert_eq!(after(3, Scope::Anywhere, usual), Next::GiveUp);
        assert_eq!(after(1, Scope::Local, usual), Next::Replay);
        assert_eq!(after(2, Scope::Local, usual), Next::GiveUp);
        assert_eq!(after(1, Scope::Local, Allowance::ONCE), Next::GiveUp);
        assert_eq!(
            next(Failure::Refused, &Method::GET, Left::Whole, Tally { sent: 0, cheap: 1 }, 1, Duration::from_secs(1)),
            Next::Again,
            "what touched nothing is tried again all the same"
        );
    }
}
