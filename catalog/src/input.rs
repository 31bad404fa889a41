//! What a source (watches or a file) tells the catalog's single writer.

use crate::import::Import;
use crate::name::ServiceKey;
use crate::peer::Peer;
use crate::record::{Kind, Record};

/// One message from a source of this cluster's own state.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Objects that changed or were deleted, as watch events told.
    Records(Vec<Record>),
    /// The epoch of every list from here on; a source says it before its first list and whenever it rises. Records
    /// carry theirs themselves, so only a source whose revisions can restart needs it: without it the epoch of a
    /// list without objects can only be guessed.
    Epoch(u64),
    /// A complete list of one kind; what it does not contain was deleted at or before its revision.
    Relist {
        /// The kind that was listed.
        kind: Kind,
        /// The list's own revision.
        revision: u64,
        /// Every live object.
        records: Vec<Record>,
    },
    /// One imported service changed, or is gone.
    Import(ServiceKey, Option<Import>),
    /// All imported services.
    Imports(Vec<(ServiceKey, Import)>),
    /// All peers.
    Peers(Vec<Peer>),
}
