//! Which pods the balancer has checked: those that could not be reached, when their back-off is over, and those of
//! which nothing was heard although their service is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use strait_catalog::{Protocol, Snapshot};
use tokio::sync::mpsc;

use crate::health::{Reason, Slot, idle, on_probation, take};
use crate::plan::{Speech, speech};
use crate::route::{Address, Candidate, Class, RouteKey, ServiceRoute};

/// A service without a request for this long is not asked, in milliseconds: every node would check every pod.
const ASKED_MS: u64 = 60_000;
/// Between two looks at the pods of one service, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// Idle pods of one service that one look has checked.
const A_LOOK: usize = 4;

/// One pod to check.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) slot: Arc<Slot>,
    pub(crate) address: SocketAddr,
    pub(crate) reason: Reason,
}

/// Where checks are asked for. Bounded: what does not fit is asked for again at a later tick, and until then requests
/// find out, as they do without checks.
#[derive(Clone, Debug)]
pub(crate) struct Checking {
    queue: mpsc::Sender<Check>,
    idle_ms: u64,
}

/// When one service was asked and looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    asked_ms: Option<u64>,
    looked_ms: u64,
}

impl Checking {
    /// Checks that go into that queue; pods are idle after `idle`.
    pub(crate) fn new(queue: mpsc::Sender<Check>, idle: Duration) -> Self {
        Self { queue, idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Has an ejected pod checked. False when a request has to try it: a check cannot tell, or there is no room for one.
    pub(super) fn probation(&self, candidate: &Candidate, now_ms: u64) -> bool {
        on_probation(&candidate.slot, now_ms) && self.ask(candidate, Reason::Probation, now_ms)
    }

    /// Has some of the service's idle pods checked, if it was asked lately (`busy`: just now).
    pub(super) fn look(&self, route: &ServiceRoute, snapshot: &Snapshot, looks: &mut Looks, busy: bool, now_ms: u64) {
        if busy {
            looks.asked_ms = Some(now_ms);
        }
        let asked = looks.asked_ms.is_some_and(|at| now_ms.saturating_sub(at) < ASKED_MS);
        if !asked || now_ms.saturating_sub(looks.looked_ms) < LOOK_MS.min(self.idle_ms) {
            return;
        }
        looks.looked_ms = now_ms;
        let Some(local) = route.local().filter(|_| speaks_http(snapshot, &route.key)) else { return };
        let idle = |c: &&Candidate| c.class == Class::Ready && idle(&c.slot, self.idle_ms, now_ms);
        for candidate in local.targets.candidates.iter().filter(idle).take(A_LOOK) {
            self.ask(candidate, Reason::Idle, now_ms);
        }
    }

    /// True when it is queued, now or a moment ago.
    fn ask(&self, candidate: &Candidate, reason: Reason, now_ms: u64) -> bool {
        let Address::Pod(address) = candidate.address else { return false };
        let Ok(room) = self.queue.try_reserve() else { return false };
        if take(&candidate.slot, now_ms) {
            room.send(Check { slot: candidate.slot.clone(), address, reason });
        }
        true
    }
}

/// A connection that says nothing is noise in the log of a database: ports that do not speak HTTP are checked only when
/// they could not be reached before.
fn speaks_http(snapshot: &Snapshot, key: &RouteKey) -> bool {
    let Some(view) = snapshot.service(&key.service) else { return false };
    let imported = view.import.iter().flat_map(|import| &import.ports);
    let imported = imported.filter(|p| p.protocol == Protocol::Tcp && p.port == key.port);
    let own = view.backends.get(&snapshot.local).into_iter().flat_map(|backend| &backend.ports);
    let own = own.filter(|p| p.protocol() == Protocol::Tcp && p.port == u32::from(key.port));
    let told = imported.map(|p| speech(&p.name, &p.app_protocol)).next();
    told.or_else(|| own.map(|p| speech(&p.name, &p.app_protocol)).next()).is_some_and(|speech| speech != Speech::Raw)
}
