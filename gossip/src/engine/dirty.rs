//! What one peer may lack: keys, grouped by service, never messages.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use strait_catalog::{ClusterId, Key, Kind, Version};

use crate::frame::{MAX_FRAME, WireRecord};

/// A group is sent in one frame, up to this many bytes: only a service of several thousand endpoints is larger.
const GROUP_MAX: usize = MAX_FRAME / 2;

/// Records that change together: all parts of a service, or one other record. `bool` is true for services, so that
/// within a cluster its gateways and its own record come first.
type Group = (ClusterId, bool, Arc<str>);

/// For a key that the peer holds and this side perhaps never had: the version the peer holds.
type Absent = Option<Version>;

#[derive(Debug, Default)]
pub(crate) struct Dirty {
    groups: BTreeMap<Group, BTreeMap<(Kind, Arc<str>), Absent>>,
    /// The group sent last: the next chunk starts behind it, so that constant change at the front starves nobody.
    after: Option<Group>,
    len: usize,
}

fn group_of(key: &Key) -> Group {
    let name = if key.kind == Kind::SLICE { Arc::from(key.group()) } else { key.name.clone() };
    (key.cluster.clone(), key.is_part_of_service(), name)
}

/// Its size on the wire, roughly.
pub(crate) fn size(record: &WireRecord) -> usize {
    record.name.len() + record.value.len() + 32
}

impl Dirty {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn mark(&mut self, key: &Key, absent: Absent) {
        let group = self.groups.entry(group_of(key)).or_default();
        let before = group.len();
        let held = group.entry((key.kind, key.name.clone())).or_default();
        *held = (*held).max(absent);
        self.len += group.len() - before;
    }

    pub(crate) fn concerns(&self, cluster: &ClusterId) -> bool {
        self.groups
            .range((Bound::Included((cluster.clone(), false, Arc::from(""))), Bound::Unbounded))
            .next()
            .is_some_and(|(group, _)| group.0 == *cluster)
    }

    pub(crate) fn retain(&mut self, known: impl Fn(&ClusterId) -> bool) {
        self.groups.retain(|group, _| known(&group.0));
        self.len = self.groups.values().map(BTreeMap::len).sum();
    }

    fn next_group(&self) -> Option<Group> {
        let behind =
            self.after.clone().and_then(|after| self.groups.range((Bound::Excluded(after), Bound::Unbounded)).next());
        behind.or_else(|| self.groups.iter().next()).map(|(group, _)| group.clone())
    }

    /// Takes whole groups of one cluster up to about `budget` bytes; `complete` names further keys that have to go
    /// with a service, `resolve` turns each key into the record to send, or `None` when there is nothing to say any
    /// more. Tombstones stand behind live records, for groups that are too large for one frame. `None` when nothing
    /// is left.
    pub(crate) fn take(
        &mut self,
        budget: usize,
        complete: impl Fn(&ClusterId, &str) -> Vec<Key>,
        mut resolve: impl FnMut(Key, Absent) -> Option<WireRecord>,
    ) -> Option<(ClusterId, Vec<WireRecord>)> {
        let mut chunk: Option<(ClusterId, Vec<WireRecord>)> = None;
        let mut used = 0;
        while let Some(group) = self.next_group() {
            if chunk.as_ref().is_some_and(|(cluster, _)| *cluster != group.0) {
                break;
            }
            let mut keys = self.groups.remove(&group).unwrap_or_default();
            self.len -= keys.len();
            if group.1 {
                for key in complete(&group.0, &group.2) {
                    keys.entry((key.kind, key.name)).or_default();
                }
            }
            let mut records: Vec<_> = keys
                .iter()
                .filter_map(|((kind, name), absent)| {
                    let key = Key { cluster: group.0.clone(), kind: *kind, name: name.clone() };
                    resolve(key, *absent)
                })
                .collect();
            records.sort_by_key(|r| r.deleted);
            let bytes: usize = records.iter().map(size).sum();
            if used > 0 && used + bytes > budget {
                self.len += keys.len();
                self.groups.insert(group, keys);
                break;
            }
            let rest = records.split_off(fitting(&records));
            for late in rest {
                let key = Key { cluster: group.0.clone(), kind: Kind(late.kind), name: late.name.into() };
                let absent = keys.get(&(key.kind, key.name.clone())).copied().flatten();
                self.mark(&key, absent);
            }
            used += bytes;
            if !records.is_empty() {
                let (_, all) = chunk.get_or_insert_with(|| (group.0.clone(), Vec::new()));
                all.append(&mut records);
            }
            // A group that was cut goes on with the next chunk.
            let whole = !self.groups.contains_key(&group);
            if whole {
                self.after = Some(group);
            }
            if !whole || used >= budget {
                break;
            }
        }
        chunk
    }
}

/// How many records from the front fit into one frame.
fn fitting(records: &[WireRecord]) -> usize {
    let mut used = 0;
    let over = records.iter().position(|r| {
        used += size(r);
        used > GROUP_MAX
    });
    over.map_or(records.len(), |at| at.max(1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn key(cluster: &str, kind: Kind, name: &str) -> Key {
        Key { cluster: ClusterId::parse(cluster).unwrap(), kind, name: name.into() }
    }

    fn record(key: &Key, bytes: usize) -> WireRecord {
        WireRecord {
            kind: key.kind.0,
            name: key.name.to_string(),
            epoch: 0,
            revision: 1,
            deleted: key.name.ends_with("-gone"),
            value: Bytes::from(vec![0; bytes]),
        }
    }

    fn alone(_: &ClusterId, _: &str) -> Vec<Key> {
        Vec::new()
    }

    fn names(records: &[WireRecord]) -> Vec<&str> {
        records.iter().map(|r| r.name.as_str()).collect()
    }

    #[test]
    fn a_service_is_never_cut_and_its_tombstones_come_last() {
        let mut dirty = Dirty::default();
        for name in ["a/x/0-gone", "a/x/1", "a/x/2"] {
            dirty.mark(&key("c", Kind::SLICE, name), None);
        }
        dirty.mark(&key("c", Kind::SERVICE, "a/x"), None);
        dirty.mark(&key("c", Kind::SLICE, "a/y/1"), None);
        let (_, first) = dirty.take(100, alone, |k, _| Some(record(&k, 60))).unwrap();
        assert_eq!(names(&first), ["a/x", "a/x/1", "a/x/2", "a/x/0-gone"]);
        let (_, second) = dirty.take(100, alone, |k, _| Some(record(&k, 60))).unwrap();
        assert_eq!(names(&second), ["a/y/1"]);
        assert!(dirty.is_empty() && dirty.take(100, alone, |k, _| Some(record(&k, 60))).is_none());
    }

    #[test]
    fn a_service_of_unknown_state_goes_whole() {
        let mut dirty = Dirty::default();
        dirty.mark(&key("c", Kind::SLICE, "a/x/1"), None);
        dirty.mark(&key("c", Kind::GATEWAY, "node"), None);
        let all = |c: &ClusterId, s: &str| vec![key(c.as_str(), Kind::SLICE, &format!("{s}/2"))];
        let (_, chunk) = dirty.take(1000, all, |k, _| Some(record(&k, 1))).unwrap();
        assert_eq!(names(&chunk), ["node", "a/x/1", "a/x/2"]);
    }

    #[test]
    fn constant_change_at_the_front_starves_nobody() {
        let mut dirty = Dirty::default();
        for name in ["n/a", "n/b", "n/c"] {
            dirty.mark(&key("c", Kind::SERVICE, name), None);
        }
        let mut sent = Vec::new();
        for _ in 0..3 {
            let (_, chunk) = dirty.take(10, alone, |k, _| Some(record(&k, 60))).unwrap();
            sent.extend(chunk.into_iter().map(|r| r.name));
            dirty.mark(&key("c", Kind::SERVICE, "n/a"), None);
        }
        assert_eq!(sent, ["n/a", "n/b", "n/c"]);
        assert_eq!(dirty.len(), 1);
    }

    #[test]
    fn a_chunk_is_of_one_cluster_and_others_follow() {
        let mut dirty = Dirty::default();
        dirty.mark(&key("c", Kind::SERVICE, "n/a"), None);
        dirty.mark(&key("d", Kind::SERVICE, "n/a"), None);
        assert!(dirty.concerns(&ClusterId::parse("d").unwrap()));
        assert!(!dirty.concerns(&ClusterId::parse("e").unwrap()));
        let mut clusters = Vec::new();
        while let Some((cluster, records)) = dirty.take(1 << 16, alone, |k, _| Some(record(&k, 1))) {
            assert_eq!(records.len(), 1);
            clusters.push(cluster.to_string());
        }
        assert_eq!(clusters, ["c", "d"]);
    }

    #[test]
    fn a_giant_group_is_cut_to_frames_with_the_living_first() {
        let mut dirty = Dirty::default();
        for i in 0..20 {
            let gone = if i < 3 { "-gone" } else { "" };
            dirty.mark(&key("c", Kind::SLICE, &format!("a/x/{i:02}{gone}")), None);
        }
        let mut all = Vec::new();
        while let Some((_, chunk)) = dirty.take(1 << 16, alone, |k, _| Some(record(&k, 100_000))) {
            assert!(chunk.iter().map(size).sum::<usize>() <= GROUP_MAX);
            all.extend(chunk.into_iter().map(|r| r.deleted));
        }
        assert_eq!(all.len(), 20);
        assert!(all[17..].iter().all(|d| *d) && !all[..17].iter().any(|d| *d), "{all:?}");
    }
}
