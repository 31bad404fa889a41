//! What becomes of objects: the pure half of a watch. Knows no socket and no clock.

use strait_catalog::{Input, Version};

use super::error::Unfit;
use super::object::{Change, ObjectName, Sighting};

mod epochs;
mod imports;
mod peers;
mod records;

pub(super) use epochs::Epochs;
pub(super) use imports::Imports;
pub(super) use peers::Peers;
pub(super) use records::Records;

/// Turns the objects of one kind into inputs. Remembers which objects it knows, so that it can tell what is gone.
pub(super) trait Follow: Send + Sync + 'static {
    /// What an object says.
    type Fact: Send;

    /// Reads one object's JSON; `Ok(None)` when it says nothing of interest.
    fn read(&self, json: &str) -> Result<Option<Self::Fact>, Unfit>;

    /// The objects that are known to say something.
    fn known(&self) -> impl Iterator<Item = &ObjectName> + Send;

    /// Takes from a list what must be known before its version can be.
    fn heed(&self, _seen: &[Sighting<Self::Fact>]) {}

    /// Takes in a complete list.
    fn listed(&mut self, version: Version, seen: Vec<Sighting<Self::Fact>>) -> Vec<Input>;

    /// Takes in watch events, in their order.
    fn changed(&mut self, epoch: u64, changes: Vec<Change<Self::Fact>>) -> Vec<Input>;
}
