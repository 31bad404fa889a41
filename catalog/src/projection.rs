//! What others may see of a cluster's records.

use crate::record::{Kind, Record};
use crate::value::{SliceRecord, Value};

/// Who is at the other end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Another daemon of the same cluster: everything, pod addresses included.
    Sibling,
    /// A daemon of another cluster: records of live exports, without pod addresses unless headless.
    Remote,
}

/// The record as the audience sees it. Applying it twice changes nothing, so sender and receiver hash the same.
pub(crate) fn project(record: &Record, audience: Audience) -> Record {
    match (audience, record.key().kind, record.value()) {
        (Audience::Remote, Kind::SLICE, Some(Value::Slice(slice))) if !slice.headless && !slice.endpoints.is_empty() => {
            let bare = SliceRecord { endpoints: Vec::new(), ..slice.clone() };
            Record::live(record.key().clone(), record.version(), Value::Slice(bare))
        }
        _ => record.clone(),
    }
}

/// The names of services with a live export among a cluster's records decide which others are shown.
pub(crate) fn shown(record: &Record, audience: Audience, exported: impl Fn(&str) -> bool) -> bool {
    if audience == Audience::Sibling {
        return true;
    }
    match record.key().kind {
        Kind::SERVICE => exported(&record.key().name),
        Kind::SLICE => record.key().name.rsplit_once('/').is_some_and(|(service, _)| exported(service)),
        _ => true,
    }
}

/// Deletions travel to everyone who may have seen the record alive: parts of a service only where the service is
/// or was exported, so that names that were never exported stay at home.
pub(crate) fn tombstone_shown(record: &Record, audience: Audience, ever_exported: impl Fn(&str) -> bool) -> bool {
    let hidden = audience == Audience::Remote && matches!(record.key().kind, Kind::SERVICE | Kind::SLICE);
    !hidden || ever_exported(record.key().group())
}
