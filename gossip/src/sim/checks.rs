//! What must hold after every event, and what must hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use strait_catalog::{Audience, ClusterId, Key, Record, ServiceKey, Snapshot, Version};

use super::source::{Source, slice_ready};
use crate::engine::Engine;

/// What one daemon was seen to hold.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    versions: BTreeMap<Key, (Version, bool)>,
    /// Services that were seen exported with a ready endpoint.
    served: BTreeSet<(ClusterId, ServiceKey)>,
}

impl Shadow {
    /// Versions only rise, a tombstone never turns back, and every record is its owner's.
    pub(super) fn records(
        &mut self,
        engine: &Engine,
        sources: &[Source],
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<(), String> {
        for key in keys {
            let Some(held) = engine.catalog().get(&key) else { continue };
            let now = (held.version(), held.is_tombstone());
            let before = self.versions.insert(key.clone(), now);
            if before.is_some_and(|before| now < before) {
                return Err(format!("{key} went back from {before:?} to {now:?}"));
            }
            if before == Some(now) {
                continue;
            }
            let Some(source) = sources.iter().find(|s| s.cluster == key.cluster) else {
                return Err(format!("{key} is of no known cluster"));
            };
            let own = key.cluster == *engine.catalog().local();
            let audience = if own { Audience::Sibling } else { Audience::Remote };
            if let Some(why) = source.disowns(held, audience) {
                return Err(why);
            }
        }
        Ok(())
    }

    /// A service that always had a ready endpoint at its source is never seen without one again.
    pub(super) fn snapshot(&mut self, engine: &Engine, snapshot: &Snapshot, sources: &[Source]) -> Result<(), String> {
        for (service, view) in snapshot.services() {
            for (cluster, backend) in view.exporters() {
                let id = (cluster.clone(), service.clone());
                if backend.ready > 0 {
                    self.served.insert(id);
                    continue;
                }
                let Some(source) = sources.iter().find(|s| s.cluster == *cluster) else { continue };
                if !source.once_empty.contains(service) && self.served.contains(&id) {
                    let held = engine.catalog().parts(cluster, &service.to_string());
                    let held: Vec<_> = held.iter().filter_map(|k| engine.catalog().get(k)).map(brief).collect();
                    return Err(format!(
                        "{service} of {cluster} is seen empty, which it never was\nheld: {held:#?}\nthere: {:#?}",
                        source.past(service).iter().map(|r| brief(r)).collect::<Vec<_>>(),
                    ));
                }
            }
        }
        Ok(())
    }
}

fn brief(record: &Record) -> String {
    let state = if record.is_tombstone() { "dead".to_owned() } else { format!("ready {}", slice_ready(record)) };
    format!("{} {} {state}", record.version().revision, record.key())
}

/// Why a daemon does not hold the truth yet; `None` when it does.
pub(super) fn differs(engine: &Engine, snapshot: &Snapshot, sources: &[Source], truths: &[Engine]) -> Option<String> {
    for (source, truth) in sources.iter().zip(truths) {
        let own = source.cluster == *engine.catalog().local();
        if engine.fingerprint(&source.cluster) != truth.fingerprint(&source.cluster) {
            return Some(format!("other records of {}", source.cluster));
        }
        if own && engine.own_fingerprint() != truth.own_fingerprint() {
            return Some("other own records than its siblings".to_owned());
        }
        for (service, view) in truth_snapshot(truth).services() {
            let Some(expected) = view.backends.get(&source.cluster).filter(|b| b.exported()) else { continue };
            let held = snapshot.service(service).and_then(|v| v.backends.get(&source.cluster).cloned());
            let same = held.is_some_and(|h| (h.ready, h.total) == (expected.ready, expected.total) && h.exported());
            if !same {
                return Some(format!("{service} of {} is published otherwise", source.cluster));
            }
        }
        let exported = |s: &Snapshot| {
            s.services()
                .filter(|(_, v)| v.backends.get(&source.cluster).is_some_and(strait_catalog::Backend::exported))
                .count()
        };
        if exported(snapshot) != exported(&truth_snapshot(truth)) {
            return Some(format!("services of {} that are not exported any more", source.cluster));
        }
    }
    None
}

fn truth_snapshot(truth: &Engine) -> std::sync::Arc<Snapshot> {
    truth.catalog().snapshot()
}
