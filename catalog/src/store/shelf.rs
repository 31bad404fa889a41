//! The records of one cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Applied, Authority};
use crate::name::ServiceKey;
use crate::policy::PolicyRecord;
use crate::record::{Key, Kind, Record};
use crate::value::Value;
use crate::version::Version;

/// Tombstones are kept this long, longer than partitions usually last: 24 h.
const TOMBSTONE_MS: u64 = 24 * 3600 * 1000;
/// And at most this many a cluster, so that a flood of deletions cannot fill the memory.
const TOMBSTONE_CAP: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    records: BTreeMap<(Kind, Arc<str>), Record>,
    /// When each tombstone arrived.
    tombstones: BTreeMap<(Kind, Arc<str>), u64>,
    highest: Version,
    generation: u64,
    live: usize,
}

fn place(key: &Key) -> (Kind, Arc<str>) {
    (key.kind, key.name.clone())
}

/// Which of two records of the same key stays.
fn prevails(new: &Record, held: &Record, authority: Authority) -> Applied {
    if new == held {
        return Applied::Same;
    }
    let newer = match new.version().cmp(&held.version()) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => match (new.is_tombstone(), held.is_tombstone()) {
            (true, false) => true,
            (false, true) => false,
            _ => authority == Authority::Owner || new.wire() > held.wire(),
        },
    };
    if newer { Applied::Changed } else { Applied::Older }
}

impl Shelf {
    pub(super) fn apply(&mut self, record: Record, authority: Authority, now_ms: u64) -> Applied {
        let at = place(record.key());
        if let Some(held) = self.records.get(&at) {
            let applied = prevails(&record, held, authority);
            if applied != Applied::Changed {
                return applied;
            }
        }
        self.highest = self.highest.max(record.version());
        self.generation += 1;
        if record.is_tombstone() {
            self.tombstones.insert(at.clone(), now_ms);
        } else {
            self.tombstones.remove(&at);
        }
        self.live += usize::from(!record.is_tombstone());
        let replaced = self.records.insert(at, record);
        self.live -= usize::from(replaced.is_some_and(|r| !r.is_tombstone()));
        Applied::Changed
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(&place(key))
    }

    pub(super) const fn live_count(&self) -> usize {
        self.live
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Record> {
        self.records.values().filter(|r| !r.is_tombstone())
    }

    pub(super) fn live_of(&self, kind: Kind) -> impl Iterator<Item = &Record> {
        self.records
            .range((kind, Arc::from(""))..)
            .take_while(move |((k, _), _)| *k == kind)
            .map(|(_, r)| r)
            .filter(|r| !r.is_tombstone())
    }

    /// The live slices of one service.
    pub(super) fn slices(&self, service: &str) -> impl Iterator<Item = &Record> {
        self.all_slices(service).filter(|r| !r.is_tombstone())
    }

    fn all_slices(&self, service: &str) -> impl Iterator<Item = &Record> {
        self.all_below(Kind::SLICE, service)
    }

    /// The live policies of one service, each with its own name.
    pub(super) fn policies(&self, service: &str) -> impl Iterator<Item = (&str, &PolicyRecord)> {
        self.all_below(Kind::POLICY, service).filter_map(|record| match record.value() {
            Some(Value::Policy(policy)) => Some((record.key().name.rsplit_once('/')?.1, policy)),
            _ => None,
        })
    }

    /// The records of a kind that is named `namespace/service/…`.
    fn all_below(&self, kind: Kind, service: &str) -> impl Iterator<Item = &Record> {
        let prefix = format!("{service}/");
        self.records
            .range((kind, Arc::from(prefix.as_str()))..)
            .take_while(move |((k, name), _)| *k == kind && name.starts_with(&prefix))
            .map(|(_, r)| r)
    }

    pub(super) fn live_at(&self, kind: Kind, name: &str) -> Option<&Record> {
        self.records.get(&(kind, Arc::from(name))).filter(|r| !r.is_tombstone())
    }

    /// True when the service of that name (`namespace/name`) has a live export.
    pub(super) fn exports(&self, service: &str) -> bool {
        self.live_at(Kind::EXPORT, service).is_some()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Every key held of one service, dead or alive.
    pub(super) fn parts(&self, service: &str) -> Vec<Key> {
        let one = |kind| self.records.get(&(kind, Arc::from(service)));
        let single = one(Kind::SERVICE).into_iter().chain(one(Kind::EXPORT));
        single.chain(self.all_slices(service)).map(|r| r.key().clone()).collect()
    }

    pub(super) fn services(&self) -> BTreeSet<ServiceKey> {
        self.records.values().filter_map(|r| r.key().service()).collect()
    }

    pub(super) const fn highest(&self) -> Version {
        self.highest
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the keys that were forgotten.
    pub(super) fn collect_tombstones(&mut self, now_ms: u64) -> Vec<Key> {
        let mut by_age: Vec<_> = self.tombstones.iter().map(|(k, at)| (*at, k.clone())).collect();
        by_age.sort_unstable();
        let over = by_age.len().saturating_sub(TOMBSTONE_CAP);
        let mut forgotten = Vec::new();
        for (i, (at, key)) in by_age.into_iter().enumerate() {
            if i < over || now_ms.saturating_sub(at) > TOMBSTONE_MS {
                self.tombstones.remove(&key);
                forgotten.extend(self.records.remove(&key).map(|r| r.key().clone()));
            }
        }
        forgotten
    }

    /// Forgets the Service and the live slices of a service, without a trace. Returns their keys.
    pub(super) fn forget_service(&mut self, service: &str) -> Vec<Key> {
        let alive: Vec<Key> =
            self.slices(service).chain(self.live_at(Kind::SERVICE, service)).map(|r| r.key().clone()).collect();
        for key in &alive {
            self.records.remove(&place(key));
            self.live -= 1;
            self.generation += 1;
        }
        alive
    }
}
