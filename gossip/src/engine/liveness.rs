//! Heads, ages, silent sessions, and telling "they are gone" from "I am cut off".

use strait_catalog::{ClusterId, STALE_FULL_MS, Version};

use super::buckets::BucketSet;
use super::link::SILENT_MS;
use super::{CloseReason, Engine, SessionId};
use crate::frame::{Heads, Receipt};

/// Peers that went stale within this time of each other count as one event.
const TOGETHER_MS: u64 = 30_000;
/// Old tombstones are looked for this often.
const COLLECT_MS: u64 = 10_000;

impl Engine {
    /// What has to happen by itself; call it at [`Self::next_tick`] or whenever it is convenient.
    pub fn tick(&mut self, now_ms: u64) {
        if now_ms < self.next_second {
            return;
        }
        self.next_second = now_ms + 1_000;
        let local = self.catalog.local().clone();
        if self.watching() {
            self.catalog.freshness(&local).note(now_ms, self.source_age_ms);
        }
        let silent = |last: u64| now_ms.saturating_sub(last) > SILENT_MS;
        let dead: Vec<_> = self.links.iter().filter(|(_, l)| silent(l.last_frame_at)).map(|(id, _)| *id).collect();
        for id in dead {
            self.close(id, CloseReason::Silent);
        }
        self.judge_isolation(now_ms);
        if now_ms >= self.next_collection {
            self.next_collection = now_ms + COLLECT_MS;
            for key in self.catalog.collect_tombstones(now_ms) {
                self.tallies.touch(&self.catalog, &key);
            }
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub const fn next_tick(&self) -> u64 {
        self.next_second
    }

    pub(super) fn heads(&mut self, now_ms: u64, id: SessionId, frame: &Heads) {
        self.receipts(id, &frame.receipts);
        for head in &frame.heads {
            let Ok(cluster) = ClusterId::parse(&head.cluster) else { continue };
            let Some(link) = self.links.get(&id) else { return };
            if self.authority(link, &cluster).is_err() {
                continue;
            }
            let version = Version::new(head.epoch, head.revision);
            let equal = self.compare(now_ms, id, &cluster, head);
            let known = self.knowledge(&cluster);
            known.head = known.head.max(Some(version));
            known.equal = Some(equal);
            self.note_age(now_ms, &cluster, head.age_ms, equal || self.catalog.highest(&cluster) >= version);
        }
    }

    /// The other side holds what the last settled head spoke of; everything since was marked.
    fn receipts(&mut self, id: SessionId, receipts: &[Receipt]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        for receipt in receipts {
            let Ok(cluster) = ClusterId::parse(&receipt.cluster) else { continue };
            if link.told.get(&cluster) == Some(&receipt.hash) {
                link.baseline.insert(cluster, BucketSet::ALL);
            }
        }
    }

    /// Knowledge is as old as the head that it has caught up with. A head that runs ahead of the records makes
    /// nothing fresh.
    fn note_age(&mut self, now_ms: u64, cluster: &ClusterId, age_ms: Option<u64>, caught_up: bool) {
        let own_source_speaks = cluster == self.catalog.local() && self.watching();
        if let Some(age) = age_ms
            && caught_up
            && !own_source_speaks
        {
            self.catalog.freshness(cluster).note(now_ms, age);
        }
    }

    /// More than half of the peers stale within half a minute: it is more likely that this daemon lost them than
    /// that they all died, so their weights stop falling (Eureka's self-preservation). Over when at least half of
    /// them are heard again.
    fn judge_isolation(&mut self, now_ms: u64) {
        let peers: Vec<ClusterId> = self.catalog.peers().keys().cloned().collect();
        let (mut stale, mut together) = (0, 0);
        for cluster in &peers {
            let age = self.catalog.freshness(cluster).age_ms(now_ms);
            let known = self.knowledge(cluster);
            match age {
                Some(age) if age > STALE_FULL_MS => {
                    let since = *known.stale_since.get_or_insert(now_ms);
                    stale += 1;
                    together += usize::from(now_ms.saturating_sub(since) <= TOGETHER_MS);
                }
                _ => known.stale_since = None,
            }
        }
        let isolated = if self.isolated { stale * 2 > peers.len() } else { together * 2 > peers.len() };
        if isolated != self.isolated {
            tracing::warn!(isolated, stale, peers = peers.len(), "peers went stale or came back together");
        }
        for cluster in &peers {
            self.catalog.freshness(cluster).freeze(isolated, now_ms);
        }
        self.isolated = isolated;
    }
}
