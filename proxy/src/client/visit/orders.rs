//! What a worker tells its clients' connections, and when.
//!
//! A worker has one watch over all its clients (`watch_over`) instead of a timer and a phase watch in each of them, which
//! every wake of a connection would have to look at.

use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::{Manner, Visit};
use crate::client::clock::Overdue;
use crate::door::Standing;
use crate::shared::Phase;
use crate::worker::Worker;

/// How often all clients are looked at, and how often while they are to leave.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_LEAVING: Duration = Duration::from_millis(100);
/// How long an HTTP/1.1 connection is idle before it is parked: longer than the pauses of a client that is at work.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// How long an HTTP/2 connection is idle before it may be sent away because there are too many.
const SURPLUS_AFTER: Duration = Duration::from_secs(10);
/// How long a new HTTP/2 connection may open streams during a drain before it is told to go.
const DRAIN_GOAWAY: Duration = Duration::from_millis(500);

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Stay,
    /// Give up what an idle connection does not need.
    Park,
    /// Take the fast path again.
    Return,
    /// End when the requests under way are answered.
    Leave,
    /// End now.
    Cut,
}

impl Visit {
    /// Why its client has been quiet for too long, if it has.
    fn overdue(&self, worker: &Worker, now: Instant) -> Option<Overdue> {
        let timeouts = &worker.shared.timeouts;
        if self.wire.get().is_some_and(|wire| wire.is_late(now, timeouts.head, timeouts.body)) {
            return Some(Overdue::Head);
        }
        if self.overstays(now, timeouts.unread) {
            return Some(Overdue::Told);
        }
        self.clock.overdue(now, timeouts.head, timeouts.idle_client)
    }

    /// True when it was told to go and stays for no good reason.
    fn overstays(&self, now: Instant, unread: Duration) -> bool {
        let vacant = self.active.get() == 0 && self.streams.as_ref().is_some_and(|streams| streams.is_empty());
        let unsent = self.wire.get().is_some_and(|wire| wire.is_unsent());
        self.parting.is_over(vacant, if unsent { unread } else { Duration::ZERO }, now)
    }

    /// What the connection must be told at this moment.
    fn judge(&self, worker: &Rc<Worker>, phase: Phase, overdue: Option<Overdue>, now: Instant) -> Order {
        // A reader that nobody reads from hears of nothing, and does not leave by itself.
        let still = self.clock.waited(now) >= worker.shared.timeouts.body && !self.clock.is_unsent();
        let late = overdue.is_some() || still;
        let stuck = (late || matches!(phase, Phase::Stopping(_))) && self.only_takes_in();
        if matches!(overdue, Some(Overdue::Head | Overdue::Told)) || stuck {
            return Order::Cut;
        }
        let standing = self.door.standing(worker);
        let patience = match (self.manner, phase) {
            (_, Phase::Stopping(_)) => Some(Duration::ZERO),
            (Manner::Http2, Phase::Draining) => Some(DRAIN_GOAWAY),
            _ => None,
        };
        let since = |now| {
            let since = self.leaving_since.get().unwrap_or(now);
            self.leaving_since.set(Some(since));
            now.saturating_duration_since(since)
        };
        let over = match self.manner {
            Manner::Http1 => standing == Standing::Gone,
            Manner::Http2 => standing != Standing::Open || self.outstayed(now),
        };
        if overdue.is_some() || over || patience.is_some_and(|patience| since(now) >= patience) {
            Order::Leave
        } else if self.manner == Manner::Http1 && self.is_idle() && self.clock.waited(now) >= PARK_AFTER {
            Order::Park
        } else {
            Order::Stay
        }
    }

    fn tell(&self, order: Order, now: Instant) {
        if self.order.get() == Order::Cut || order == Order::Stay || self.order.get() == order {
            return;
        }
        if order == Order::Leave && self.manner == Manner::Http2 {
            self.parting.tell(now);
        }
        self.order.set(order);
        self.bell.ring();
    }
}

/// Looks after all clients of the worker until the runtime ends: slow heads, idle connections, listeners that are no
/// more, and the daemon's own end.
pub(crate) async fn watch_over(worker: Rc<Worker>) {
    let mut phase = worker.phase.clone();
    loop {
        let now_phase = *phase.borrow_and_update();
        look(&worker, now_phase, Instant::now());
        let pause = if now_phase == Phase::Running { LOOK } else { LOOK_LEAVING };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Without a sender the process is at its end as well.
            changed = phase.changed() => if changed.is_err() { tokio::time::sleep(LOOK_LEAVING).await },
        }
    }
}

fn look(worker: &Rc<Worker>, phase: Phase, now: Instant) {
    let mut visits = worker.visits.0.borrow_mut();
    visits.retain(|visit| {
        let Some(visit) = visit.upgrade() else { return false };
        let overdue = visit.overdue(worker, now);
        let order = visit.judge(worker, phase, overdue, now);
        let cut = match overdue.filter(|_| visit.order.get() != Order::Cut) {
            Some(Overdue::Head) => Some(&worker.metrics.slow_heads),
            Some(Overdue::Told) => Some(&worker.metrics.overstayed),
            Some(Overdue::Idle) | None => None,
        };
        cut.iter().for_each(|cut| cut.increment(1));
        visit.tell(order, now);
        if let Some(streams) = &visit.streams {
            worker.metrics.stuck.increment(streams.cut_stuck(now, worker.shared.timeouts.unread));
        }
        true
    });
    let idle = visits
        .iter()
        .filter_map(Weak::upgrade)
        .filter(|visit| visit.manner == Manner::Http2 && visit.order.get() == Order::Stay && visit.is_idle());
    let idle = idle.map(|visit| (visit.clock.waited(now), visit)).filter(|(waited, _)| *waited >= SURPLUS_AFTER);
    for visit in surplus(idle.collect(), worker.shared.limits.idle_http2) {
        worker.metrics.surplus.increment(1);
        visit.tell(Order::Leave, now);
    }
}

/// Those beyond `most`, of whom each has waited for so long: the longest.
fn surplus<T>(mut idle: Vec<(Duration, T)>, most: usize) -> impl Iterator<Item = T> {
    let beyond = idle.len().saturating_sub(most);
    idle.sort_unstable_by_key(|(waited, _)| std::cmp::Reverse(*waited));
    idle.truncate(beyond);
    idle.into_iter().map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_go_who_have_waited_for_the_longest() {
        let idle = |waits: &[u64]| waits.iter().map(|s| (Duration::from_secs(*s), *s)).collect();
        let go = |waits, most| surplus(idle(waits), most).collect::<Vec<_>>();
        assert_eq!(go(&[20, 50, 30, 40], 2), [50, 40]);
        assert!(go(&[20, 50], 2).is_empty());
        assert_eq!(go(&[20, 50], 0), [50, 20]);
    }
}
