//! An API server: objects, one revision for all of them, and a log that watches follow.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use strait_catalog::{Audience, Authority, Catalog, ClusterId, Key, Kind, Record, ServiceKey, Value, Version};

/// The kinds every API server has; 77 stands for those of a later version.
pub(super) const KINDS: [Kind; 6] = [Kind::SERVICE, Kind::EXPORT, Kind::SLICE, Kind::GATEWAY, Kind::CLUSTER, Kind(77)];

/// One change of one object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) at_ms: u64,
    /// Live, or a tombstone at the revision of the deletion.
    pub(super) record: Record,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) cluster: ClusterId,
    pub(super) epoch: u64,
    pub(super) revision: u64,
    /// All live objects.
    pub(super) objects: BTreeMap<Key, Record>,
    /// By kind, in order of revision.
    pub(super) log: BTreeMap<Kind, Vec<Change>>,
    /// Every version that ever was, by key: what others may hold.
    history: BTreeMap<Key, Vec<Record>>,
    /// Services that had no ready endpoint at some moment after they came to be.
    pub(super) once_empty: BTreeSet<ServiceKey>,
}

impl Source {
    pub(super) fn new(cluster: ClusterId, revision: u64) -> Self {
        Self {
            cluster,
            epoch: 0,
            revision,
            objects: BTreeMap::new(),
            log: KINDS.into_iter().map(|k| (k, Vec::new())).collect(),
            history: BTreeMap::new(),
            once_empty: BTreeSet::new(),
        }
    }

    fn write(&mut self, at_ms: u64, record: Record) {
        let key = record.key().clone();
        if record.is_tombstone() {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key.clone(), record.clone());
        }
        self.history.entry(key.clone()).or_default().push(record.clone());
        self.log.entry(key.kind).or_default().push(Change { at_ms, record });
        if let Some(service) = key.service().filter(|_| key.kind == Kind::SLICE)
            && self.ready(&service) == 0
        {
            self.once_empty.insert(service);
        }
    }

    pub(super) fn put(&mut self, at_ms: u64, key: Key, value: Value) {
        self.revision += 1;
        self.write(at_ms, Record::live(key, Version::new(self.epoch, self.revision), value));
    }

    /// An object of a kind that only its bytes are known of.
    pub(super) fn put_opaque(&mut self, at_ms: u64, key: Key, bytes: Bytes) {
        self.revision += 1;
        let (record, _) = Record::received(key, Version::new(self.epoch, self.revision), bytes);
        self.write(at_ms, record);
    }

    pub(super) fn delete(&mut self, at_ms: u64, key: &Key) {
        if self.objects.contains_key(key) {
            self.revision += 1;
            self.write(at_ms, Record::tombstone(key.clone(), Version::new(self.epoch, self.revision)));
        }
    }

    /// The state of some earlier revision becomes the present one, under a new epoch; watches start again.
    pub(super) fn restore(&mut self, rng: &mut fastrand::Rng) {
        let then = rng.u64(self.revision.saturating_sub(20)..=self.revision);
        let mut changes: Vec<Record> = self.log.values().flatten().map(|c| c.record.clone()).collect();
        changes.sort_by_key(Record::version);
        changes.retain(|r| r.version().revision <= then);
        let mut past = BTreeMap::new();
        for record in changes {
            if record.is_tombstone() {
                past.remove(record.key());
            } else {
                past.insert(record.key().clone(), record);
            }
        }
        self.epoch += 1;
        self.revision = then;
        self.log.values_mut().for_each(Vec::clear);
        // What came to be since then never was.
        for key in self.objects.keys().filter(|k| !past.contains_key(*k)) {
            let gone = Record::tombstone(key.clone(), Version::new(self.epoch, 0));
            self.history.entry(key.clone()).or_default().push(gone);
        }
        self.objects.clear();
        for (key, record) in past {
            let revision = record.version().revision;
            let (again, _) = Record::received(key, Version::new(self.epoch, revision), record.wire().clone());
            // Visible to every watch at once: there is no older state to lag behind in.
            self.write(0, again);
        }
        self.log.values_mut().for_each(|log| log.sort_by_key(|c| c.record.version()));
        let services: BTreeSet<_> = self.history.keys().filter_map(Key::service).collect();
        let empty: Vec<_> = services.into_iter().filter(|s| self.ready(s) == 0).collect();
        self.once_empty.extend(empty);
    }

    pub(super) fn slices(&self, service: &ServiceKey) -> Vec<Key> {
        let of = |k: &&Key| k.kind == Kind::SLICE && k.service().as_ref() == Some(service);
        self.objects.keys().filter(of).cloned().collect()
    }

    pub(super) fn ready(&self, service: &ServiceKey) -> u32 {
        self.slices(service).iter().map(|k| slice_ready(&self.objects[k])).sum()
    }

    /// The live objects of one kind after the first `position` changes, and the revision of that list.
    pub(super) fn list(&self, kind: Kind, position: usize) -> (u64, Vec<Record>) {
        let log = &self.log[&kind];
        let mut alive = BTreeMap::new();
        for change in &log[..position] {
            if change.record.is_tombstone() {
                alive.remove(change.record.key());
            } else {
                alive.insert(change.record.key().clone(), change.record.clone());
            }
        }
        let revision = log.get(position).map_or(self.revision, |next| next.record.version().revision - 1);
        (revision, alive.into_values().collect())
    }

    /// Why a record could not have come from here; `None` when it could.
    pub(super) fn disowns(&self, held: &Record, audience: Audience) -> Option<String> {
        let history = self.history.get(held.key()).map(Vec::as_slice).unwrap_or_default();
        if held.is_tombstone() {
            // The newest version up to the tombstone's must have been deleted, at whatever revision.
            let upto = history.iter().rposition(|r| r.version() <= held.version());
            let deleted =
                upto.is_none_or(|i| history[i].is_tombstone() || history.get(i + 1).is_some_and(Record::is_tombstone));
            let versions = || history.iter().map(|r| (r.version().to_string(), r.is_tombstone())).collect::<Vec<_>>();
            return (!deleted)
                .then(|| format!("{} was never deleted at {}: {:?}", held.key(), held.version(), versions()));
        }
        let Some(made) = history.iter().find(|r| r.version() == held.version() && !r.is_tombstone()) else {
            return Some(format!("{} at {} was never written", held.key(), held.version()));
        };
        let mut catalog = Catalog::new(self.cluster.clone());
        catalog.apply(made.clone(), Authority::Owner, 0);
        let expected = catalog.projected(made.key(), audience).map(|(r, _)| r.digest());
        (expected != Some(held.digest())).then(|| format!("{} has other content than its owner gave it", held.key()))
    }

    /// Every version of every part of a service, in order.
    pub(super) fn past(&self, service: &ServiceKey) -> Vec<&Record> {
        let parts = self.history.iter().filter(|(k, _)| k.service().as_ref() == Some(service));
        let mut all: Vec<_> = parts.flat_map(|(_, records)| records).collect();
        all.sort_by_key(|r| r.version());
        all
    }

    /// A catalog that holds exactly what is here.
    pub(super) fn truth(&self) -> Catalog {
        let mut catalog = Catalog::new(self.cluster.clone());
        for record in self.objects.values() {
            catalog.apply(record.clone(), Authority::Owner, 0);
        }
        catalog
    }
}

pub(super) fn slice_ready(record: &Record) -> u32 {
    match record.value() {
        Some(Value::Slice(slice)) => slice.zones.iter().map(|z| z.ready).sum(),
        _ => 0,
    }
}
