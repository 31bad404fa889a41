//! What others may see of a cluster's records.

use crate::record::{Kind, Record};
use crate::value::{SliceRecord, Value};

/// Who is at the other end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Another daemon of the same cluster: everything but policies, pod addresses included.
    Sibling,
    /// A daemon of another cluster: records of live exports, without pod addresses unless headless.
    Remote,
}

/// The record as the audience sees it. Applying it twice changes nothing, so sender and receiver hash the same.
pub(crate) fn project(record: &Record, audience: Audience) -> Record {
    match (audience, record.key().kind, record.value()) {
        (Audience::Remote, Kind::SLICE, Some(Value::Slice(slice)))
            if !slice.headless && !slice.endpoints.is_empty() =>
        {
            let bare = SliceRecord { endpoints: Vec::new(), ..slice.clone() };
            Record::live(record.key().clone(), record.version(), Value::Slice(bare))
        }
        _ => record.clone(),
    }
}

/// The names of services with a live export among a cluster's records decide which others are shown. It holds for
/// tombstones as well: were only deletions told while a service is not exported, the other side would hold a state
/// with holes, which a lagging sibling's export could bring to light as an emptiness that never was. All of them are
/// told with the next export. A policy is shown to nobody: others have no use for it, and siblings derive it themselves,
/// so that a daemon that does not know the kind never passes it on.
pub(crate) fn shown(record: &Record, audience: Audience, exported: impl Fn(&str) -> bool) -> bool {
    if record.key().kind == Kind::POLICY {
        return false;
    }
    audience == Audience::Sibling
        || !matches!(record.key().kind, Kind::SERVICE | Kind::SLICE)
        || exported(record.key().group())
}
