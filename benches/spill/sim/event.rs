//! What happens when: a queue in the order of time, and of planning at equal times, so that a run repeats exactly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use strait_proxy::route::LoadReport;

use super::pods::Job;

/// How an attempt ended, as its daemon sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Answered,
    Refused,
    Broken,
    ServerError,
    /// A gateway's answer, with its report: what its own exchange came to.
    Relayed(Result<bool, Lost>, LoadReport),
}

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lost {
    /// There is nobody to ask.
    NoEndpoints,
    /// What was tried did not accept.
    ConnectFailed,
    /// Turned away at once, because too much is under way.
    Overloaded,
    /// It broke and could not be repeated.
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A client of that cluster sends a request.
    Arrival(usize),
    /// A daemon's regular look.
    Tick(usize),
    /// A look that an event asked for.
    Look(usize),
    /// An attempt reaches a pod.
    AtPod { job: Job, cluster: usize, pod: usize },
    /// A pod, in that life of it, has done its work.
    Served { job: Job, cluster: usize, pod: usize, life: u32 },
    /// An attempt reaches a gateway's daemon.
    AtGateway { job: Job, agent: usize },
    /// An attempt has ended.
    Back { job: Job, end: End },
    /// An exchange goes on after a pause.
    Again(u64),
    /// The client's patience is over, or the asking daemon's.
    Leave(u64),
    /// A slice's change reaches a daemon.
    News { agent: usize, cluster: usize, ready: Vec<usize> },
    /// The next sample.
    Sample,
}

struct Planned(u64, u64, Event);

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// All that is still to happen.
#[derive(Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Reverse<Planned>>,
    planned: u64,
}

impl Events {
    /// Plans an event, in microseconds.
    pub(crate) fn plan(&mut self, at_us: u64, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse(Planned(at_us, self.planned, event)));
    }

    /// The next event up to that time.
    pub(crate) fn next(&mut self, until_us: u64) -> Option<(u64, Event)> {
        if self.heap.peek()?.0.0 > until_us {
            return None;
        }
        self.heap.pop().map(|Reverse(Planned(at, _, event))| (at, event))
    }
}
