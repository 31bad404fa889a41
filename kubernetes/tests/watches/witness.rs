//! The receiving end of a source: a catalog, and a count of the lists that came.

use std::collections::BTreeMap;
use std::time::Duration;

use strait_catalog::{Catalog, ClusterId, Import, Input, Key, Kind, Peer, Record, ServiceKey};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Witness {
    rx: mpsc::Receiver<Input>,
    pub(crate) catalog: Catalog,
    pub(crate) imports: BTreeMap<ServiceKey, Import>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) lists: BTreeMap<Kind, usize>,
}

impl Witness {
    pub(crate) fn new(cluster: ClusterId, rx: mpsc::Receiver<Input>) -> Self {
        Self { rx, catalog: Catalog::new(cluster), imports: BTreeMap::new(), peers: Vec::new(), lists: BTreeMap::new() }
    }

    /// Takes inputs until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                let input = self.rx.recv().await.unwrap_or_else(|| panic!("the source ended before: {what}"));
                self.take(input);
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Epoch(epoch) => self.catalog.set_epoch(epoch),
            Input::Records(records) => drop(self.catalog.observe(records, 0)),
            Input::Relist { kind, revision, records } => {
                *self.lists.entry(kind).or_default() += 1;
                self.catalog.relist(kind, revision, records, 0);
            }
            Input::Import(key, Some(import)) => drop(self.imports.insert(key, import)),
            Input::Import(key, None) => drop(self.imports.remove(&key)),
            Input::Imports(imports) => self.imports = imports.into_iter().collect(),
            Input::Peers(peers) => self.peers = peers,
        }
    }

    pub(crate) fn listed(&self, kind: Kind) -> usize {
        self.lists.get(&kind).copied().unwrap_or_default()
    }

    pub(crate) fn record(&self, key: &Key) -> Option<&Record> {
        self.catalog.get(key)
    }

    pub(crate) fn live(&self, key: &Key) -> bool {
        self.record(key).is_some_and(|record| !record.is_tombstone())
    }

    pub(crate) fn buried(&self, key: &Key) -> bool {
        self.record(key).is_some_and(Record::is_tombstone)
    }
}
