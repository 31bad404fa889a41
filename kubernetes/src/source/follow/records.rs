//! Objects that become records.

use std::collections::BTreeMap;

use strait_catalog::{Input, Key, Kind, Record, Version};

use super::Follow;
use crate::source::SourceConfig;
use crate::source::error::Unfit;
use crate::source::object::{Change, ObjectName, Sighting};
use crate::source::project::{Fact, Read};

/// Turns the objects of one kind into records of one kind.
pub(in crate::source) struct Records {
    kind: Kind,
    config: SourceConfig,
    read: Read,
    /// Which record each object stood for last.
    known: BTreeMap<ObjectName, Key>,
}

impl Records {
    pub(in crate::source) fn new(kind: Kind, config: SourceConfig, read: Read) -> Self {
        Self { kind, config, read, known: BTreeMap::new() }
    }

    fn set(&mut self, epoch: u64, seen: Sighting<Fact>, records: &mut Vec<Record>) {
        let version = Version::new(epoch, seen.revision);
        let fact = seen.fact;
        let before = match &fact {
            Some((key, _)) => self.known.insert(seen.name, key.clone()),
            None => self.known.remove(&seen.name),
        };
        let key = fact.as_ref().map(|(key, _)| key);
        // The object stands for another record now, or for none.
        if let Some(before) = before.filter(|before| Some(before) != key) {
            records.push(Record::tombstone(before, version));
        }
        records.extend(fact.map(|(key, value)| Record::live(key, version, value)));
    }
}

impl Follow for Records {
    type Fact = Fact;

    fn read(&self, json: &str) -> Result<Option<Fact>, Unfit> {
        (self.read)(&self.config, json)
    }

    fn known(&self) -> impl Iterator<Item = &ObjectName> + Send {
        self.known.keys()
    }

    fn listed(&mut self, version: Version, seen: Vec<Sighting<Fact>>) -> Vec<Input> {
        self.known.clear();
        let mut records = Vec::with_capacity(seen.len());
        for sighting in seen {
            self.set(version.epoch, sighting, &mut records);
        }
        let list = Input::Relist { kind: self.kind, revision: version.revision, records };
        vec![Input::Epoch(version.epoch), list]
    }

    fn changed(&mut self, epoch: u64, changes: Vec<Change<Fact>>) -> Vec<Input> {
        let mut records = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::Set(seen) => self.set(epoch, seen, &mut records),
                Change::Gone(name, revision) => records
                    .extend(self.known.remove(&name).map(|key| Record::tombstone(key, Version::new(epoch, revision)))),
            }
        }
        if records.is_empty() { Vec::new() } else { vec![Input::Records(records)] }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
