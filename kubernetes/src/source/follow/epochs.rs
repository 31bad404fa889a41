//! ConfigMap `strait-epoch`: tells nobody anything, but sets the epoch of everything that is told.

use k8s_openapi::api::core::v1::ConfigMap;
use strait_catalog::{Input, Version};

use super::Follow;
use crate::epoch::read_epoch;
use crate::source::epoch_cell::EpochCell;
use crate::source::error::Unfit;
use crate::source::object::{Change, ObjectName, Sighting};
use crate::source::project::parse;

/// Hands on what the ConfigMap says. Its deletion changes nothing: an epoch never goes back.
pub(in crate::source) struct Epochs {
    cell: EpochCell,
}

impl Epochs {
    pub(in crate::source) const fn new(cell: EpochCell) -> Self {
        Self { cell }
    }
}

impl Follow for Epochs {
    type Fact = u64;

    fn read(&self, json: &str) -> Result<Option<u64>, Unfit> {
        let map: ConfigMap = parse(json)?;
        read_epoch(&map).map(Some).ok_or_else(|| Unfit::field("data.epoch", "", "an integer"))
    }

    fn known(&self) -> impl Iterator<Item = &ObjectName> + Send {
        std::iter::empty()
    }

    /// Before the list's version is known: the ConfigMap of a restored etcd must be read at the epoch it sets.
    fn heed(&self, seen: &[Sighting<u64>]) {
        seen.iter().filter_map(|sighting| sighting.fact).for_each(|epoch| self.cell.raise(epoch));
    }

    fn listed(&mut self, _version: Version, _seen: Vec<Sighting<u64>>) -> Vec<Input> {
        Vec::new()
    }

    fn changed(&mut self, _epoch: u64, changes: Vec<Change<u64>>) -> Vec<Input> {
        for change in changes {
            if let Change::Set(seen) = change {
                self.heed(&[seen]);
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sight(epochs: &Epochs, text: &str) -> Sighting<u64> {
        let json = format!(r#"{{"metadata":{{"name":"strait-epoch"}},"data":{{"epoch":"{text}"}}}}"#);
        let name = ObjectName { namespace: "strait-system".into(), name: "strait-epoch".into() };
        Sighting { name, revision: 4, fact: epochs.read(&json).unwrap() }
    }

    #[test]
    fn the_epoch_is_heeded_and_never_lowered() {
        let cell = EpochCell::new(1);
        let mut epochs = Epochs::new(cell.clone());
        epochs.heed(&[sight(&epochs, "3")]);
        assert_eq!(cell.get(), 3);
        let lower = Change::Set(sight(&epochs, "2"));
        assert_eq!(epochs.changed(3, vec![lower]), []);
        assert_eq!(cell.get(), 3);
        let higher = Change::Set(sight(&epochs, "5"));
        let gone = Change::Gone(sight(&epochs, "5").name, 9);
        assert_eq!(epochs.changed(3, vec![higher, gone]), []);
        assert_eq!(cell.get(), 5);
        assert!(epochs.read(r#"{"metadata":{"name":"strait-epoch"},"data":{"epoch":"x"}}"#).is_err());
    }
}
