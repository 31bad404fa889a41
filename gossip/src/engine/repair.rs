//! Repair: how two sides that hold different sets find out which records differ.
//!
//! The side that lacks something pulls. Nothing is remembered between the steps, so a step that is lost or answered
//! late does no harm; the next head starts again.
//!
//! ```text
//! holder ── Head(hash) ──────────────► puller    hashes differ
//! holder ◄── Buckets(256 hashes) ───── puller
//! holder ── Ask(differing buckets) ──► puller
//! holder ◄── Keys(entries) ─────────── puller    tombstones included
//! holder ── Push(what is newer) ─────► puller    and tombstones for what the owner knows to be absent
//! ```
//!
//! A puller that holds nothing skips to Keys without entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use strait_catalog::{Audience, ClusterId, Key, Kind, Version};

use super::buckets::BucketSet;
use super::link::Mismatch;
use super::tally::{Held, State, Tally};
use super::{Engine, SessionId};
use crate::frame::{Ask, Body, Buckets, CHUNK, Entry, Head, Keys, MAX_FRAME};

/// A sender that is behind, and a sibling whose watch is ahead or behind, are given this long to become equal by
/// themselves before sets are compared key by key.
const PATIENCE_MS: u64 = 3_000;
/// The waits between fruitless repairs double from here…
const AGAIN_MS: u64 = 700;
/// …to here: a set that cannot become equal (a cap, a record too large) must not keep the link busy.
const LONGEST_MS: u64 = 10_000;
/// Bytes of one bucket's list: a bucket stands in one frame, and 256 of them hold any honest cluster with ease.
const BUCKET_MAX: usize = MAX_FRAME / 4 * 3;
/// Keys of one frame that are answered with "absent", so that a made-up list does not fill the memory.
const ABSENT_MAX: usize = 4_096;

impl Engine {
    /// Compares a head with what is held here and begins a repair if that is due. True when the sets are equal.
    pub(super) fn compare(&mut self, now_ms: u64, id: SessionId, cluster: &ClusterId, head: &Head) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        let audience = self.projection(link, cluster);
        let tally = self.tallies.get(cluster, audience);
        let count = tally.map_or(0, Tally::count);
        let equal = tally.map_or(0, Tally::hash) == head.hash && count as u64 == head.count;
        let (mine, theirs) = (tally.map(Tally::highest).unwrap_or_default(), Version::new(head.epoch, head.revision));
        let watched = cluster == self.catalog.local() && self.watching();
        let patient = count > 0 && (theirs < mine || (watched && theirs != mine));
        let Some(link) = self.links.get_mut(&id) else { return false };
        if equal {
            link.mismatches.remove(cluster);
            link.receipts.insert(cluster.clone(), head.hash);
            return true;
        }
        if !head.settled {
            return false;
        }
        let mismatch =
            link.mismatches.entry(cluster.clone()).or_insert(Mismatch { since: now_ms, next_at: now_ms, step: 0 });
        if now_ms < mismatch.next_at || (patient && now_ms < mismatch.since + PATIENCE_MS) {
            return false;
        }
        mismatch.next_at = now_ms + (AGAIN_MS << mismatch.step.min(8)).min(LONGEST_MS);
        mismatch.step += 1;
        if count == 0 {
            link.keys.insert(cluster.clone(), BucketSet::ALL);
        } else {
            link.buckets.insert(cluster.clone());
        }
        self.knowledge(cluster).counts.repairs += 1;
        false
    }

    /// The next frame of a repair that this side owes.
    pub(super) fn next_repair(&mut self, id: SessionId) -> Option<Body> {
        let link = self.links.get_mut(&id)?;
        if let Some(cluster) = link.buckets.pop_first() {
            return Some(self.own_buckets(id, &cluster));
        }
        if let Some((cluster, set)) = link.asks.pop_first() {
            return Some(Body::Ask(Ask { cluster: cluster.to_string(), buckets: set.to_wire() }));
        }
        let (cluster, set) = link.keys.pop_first()?;
        let (frame, rest) = self.own_keys(id, &cluster, set);
        if !rest.is_empty()
            && let Some(link) = self.links.get_mut(&id)
        {
            link.keys.insert(cluster, rest);
        }
        Some(frame)
    }

    fn own_buckets(&self, id: SessionId, cluster: &ClusterId) -> Body {
        let hashes = self.tally_on(id, cluster).map_or_else(|| vec![0; 256], |t| t.buckets().to_vec());
        Body::Buckets(Buckets { cluster: cluster.to_string(), hashes })
    }

    fn tally_on(&self, id: SessionId, cluster: &ClusterId) -> Option<&Tally> {
        let link = self.links.get(&id)?;
        self.tallies.get(cluster, self.projection(link, cluster))
    }

    /// Whole buckets up to about a chunk, and the buckets that are left. Hidden records are listed too: the holder
    /// may know that they are gone, and they must not come back to light with the next export.
    fn own_keys(&self, id: SessionId, cluster: &ClusterId, wanted: BucketSet) -> (Body, BucketSet) {
        let tally = self.tally_on(id, cluster);
        let (mut rest, mut done, mut entries) = (wanted, BucketSet::default(), Vec::new());
        let mut bytes = 0;
        for bucket in wanted.iter() {
            let mut listed: Vec<Entry> = tally.into_iter().flat_map(|t| t.bucket(bucket)).map(entry).collect();
            let size = |e: &Entry| e.name.len() + 40;
            let mut all: usize = listed.iter().map(size).sum();
            if all > BUCKET_MAX {
                // What is left out is sent again in vain, which beats a frame that nobody accepts.
                listed.sort_by_key(|e| e.deleted);
                while all > BUCKET_MAX {
                    all -= listed.pop().as_ref().map_or(all, size);
                }
            }
            if !entries.is_empty() && bytes + all > CHUNK {
                break;
            }
            bytes += all;
            entries.append(&mut listed);
            rest.remove(bucket);
            done.insert(bucket);
        }
        (Body::Keys(Keys { cluster: cluster.to_string(), buckets: done.to_wire(), entries }), rest)
    }

    /// First step, at the holder.
    pub(super) fn buckets(&mut self, id: SessionId, frame: &Buckets) {
        let Some((cluster, audience)) = self.served(id, &frame.cluster) else { return };
        let tally = self.tallies.get(&cluster, audience);
        let zeros = [0; 256];
        let mine = tally.map_or(&zeros[..], Tally::buckets);
        if frame.hashes.len() != mine.len() {
            return;
        }
        let differing: BucketSet =
            (0..=u8::MAX).zip(mine.iter().zip(&frame.hashes)).filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect();
        if let Some(link) = self.links.get_mut(&id)
            && !differing.is_empty()
        {
            link.asks.entry(cluster).or_default().extend(&differing);
        }
    }

    /// The cluster of a frame and its projection, when this side may speak for that cluster on that session.
    fn served(&self, id: SessionId, cluster: &str) -> Option<(ClusterId, Audience)> {
        let cluster = ClusterId::parse(cluster).ok()?;
        let audience = self.audience(self.links.get(&id)?, &cluster)?;
        Some((cluster, audience))
    }

    /// Second step, at the puller.
    pub(super) fn ask(&mut self, id: SessionId, frame: &Ask) {
        let Ok(cluster) = ClusterId::parse(&frame.cluster) else { return };
        let Some(link) = self.links.get(&id) else { return };
        if self.authority(link, &cluster).is_err() {
            return;
        }
        let set: BucketSet = frame.buckets.iter().copied().collect();
        if let Some(link) = self.links.get_mut(&id)
            && !set.is_empty()
        {
            link.keys.entry(cluster).or_default().extend(&set);
        }
    }

    /// Third step, at the holder: what the puller lacks or holds in an older version becomes dirty. From here on
    /// it is known what the puller holds of these buckets.
    pub(super) fn keys(&mut self, now_ms: u64, id: SessionId, frame: Keys) {
        let Some((cluster, audience)) = self.served(id, &frame.cluster) else { return };
        let set: BucketSet = frame.buckets.iter().copied().collect();
        let theirs = listed(&cluster, frame.entries, &set);
        // Others may know of own versions that the own source has not shown yet: it lags, or was restored from a backup.
        let newest = theirs.values().map(|t| t.version).max();
        let known = self.knowledge(&cluster);
        known.head = known.head.max(newest);
        let mut newer = self.lacking(&cluster, audience, &set, &theirs);
        newer.extend(self.gone(&cluster, audience, &theirs));
        let Some(link) = self.links.get_mut(&id) else { return };
        link.baseline.entry(cluster).or_default().extend(&set);
        for (key, absent) in newer {
            link.mark(&key, absent, now_ms);
        }
    }

    fn lacking(
        &self,
        cluster: &ClusterId,
        audience: Audience,
        set: &BucketSet,
        theirs: &BTreeMap<(Kind, Arc<str>), Listed>,
    ) -> Vec<(Key, Option<Version>)> {
        let Some(tally) = self.tallies.get(cluster, audience) else { return Vec::new() };
        let shown = set.iter().flat_map(|b| tally.bucket(b)).filter(|(_, _, held)| held.state == State::Shown);
        let lacking = shown.filter(|(kind, name, held)| match theirs.get(&(*kind, Arc::clone(name))) {
            None => true,
            Some(t) if t.version != held.version => t.version < held.version,
            Some(t) => !t.deleted && t.digest != held.digest,
        });
        lacking.map(|(kind, name, _)| (Key { cluster: cluster.clone(), kind, name: name.clone() }, None)).collect()
    }

    /// What the puller holds alive and this side knows to be deleted.
    fn gone(
        &self,
        cluster: &ClusterId,
        audience: Audience,
        theirs: &BTreeMap<(Kind, Arc<str>), Listed>,
    ) -> Vec<(Key, Option<Version>)> {
        let tally = self.tallies.get(cluster, audience);
        let alive = theirs.iter().filter(|(_, t)| !t.deleted);
        let keys = alive.filter_map(|((kind, name), t)| {
            let key = Key { cluster: cluster.clone(), kind: *kind, name: name.clone() };
            match tally.and_then(|tally| tally.get(&key)) {
                Some(held) => (held.state == State::Dead && held.version >= t.version).then_some((key, None)),
                None => self.catalog.absence(&key, t.version).map(|_| (key, Some(t.version))),
            }
        });
        keys.take(ABSENT_MAX).collect()
    }
}

fn entry((kind, name, held): (Kind, &Arc<str>, &Held)) -> Entry {
    Entry {
        kind: kind.0,
        name: name.to_string(),
        epoch: held.version.epoch,
        revision: held.version.revision,
        digest: held.digest,
        deleted: held.state == State::Dead,
    }
}

/// What the other side says it holds.
struct Listed {
    version: Version,
    digest: u64,
    deleted: bool,
}

/// The entries by key, without those of buckets that the frame does not speak for.
fn listed(cluster: &ClusterId, entries: Vec<Entry>, set: &BucketSet) -> BTreeMap<(Kind, Arc<str>), Listed> {
    entries
        .into_iter()
        .filter_map(|e| {
            let key = Key { cluster: cluster.clone(), kind: Kind(e.kind), name: e.name.into() };
            let listed = Listed { version: Version::new(e.epoch, e.revision), digest: e.digest, deleted: e.deleted };
            set.contains(key.bucket()).then_some(((key.kind, key.name), listed))
        })
        .collect()
}
