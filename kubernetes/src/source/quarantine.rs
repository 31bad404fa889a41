//! Objects that are left out: counted each time, named once.

use std::collections::BTreeSet;

use metrics::Counter;

use super::error::Unfit;
use super::object::ObjectName;
use super::target::Watched;

/// How many objects are remembered as named; beyond that they are counted only.
const REMEMBERED: usize = 1_000;

/// The objects of one kind that are left out at present.
pub(super) struct Quarantine {
    named: BTreeSet<ObjectName>,
    counter: Counter,
}

impl Quarantine {
    pub(super) const fn new(counter: Counter) -> Self {
        Self { named: BTreeSet::new(), counter }
    }

    pub(super) fn put(&mut self, watched: Watched, name: &ObjectName, reason: &Unfit) {
        self.counter.increment(1);
        if self.named.len() < REMEMBERED && self.named.insert(name.clone()) {
            tracing::warn!(kind = watched.as_str(), object = %name, %reason, "object is left out");
        }
    }

    /// The object is fine now, or gone.
    pub(super) fn free(&mut self, name: &ObjectName) {
        if !self.named.is_empty() {
            self.named.remove(name);
        }
    }
}
