//! Frames that go out, computed when the socket can take one.

use strait_catalog::{Audience, ClusterId, Key, Record, Version};

use super::link::Link;
use super::tally::Tally;
use super::{Engine, SessionId};
use crate::frame::{Body, CHUNK, Frame, Head, Heads, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Push, Receipt, WireRecord};

/// A head that is due waits for this many dirty keys to go first, so that the other side can compare at once; behind
/// more than that it overtakes them.
const FEW: usize = 64;
/// Heads go out once a second, spread by a fifth to either side.
const HEADS_MS: std::ops::RangeInclusive<u64> = 800..=1200;

fn on_wire(record: &Record) -> WireRecord {
    WireRecord {
        kind: record.key().kind.0,
        name: record.key().name.to_string(),
        epoch: record.version().epoch,
        revision: record.version().revision,
        deleted: record.is_tombstone(),
        value: record.wire().clone(),
    }
}

impl Engine {
    /// The next frame for a session, or `None` when there is nothing to say now; [`Self::next_send`] tells when.
    pub fn poll_send(&mut self, now_ms: u64, id: SessionId) -> Option<Frame> {
        let link = self.links.get_mut(&id)?;
        let peer = link.peer.clone();
        let body = if !link.hello_sent {
            link.hello_sent = true;
            Some(self.introduce())
        } else if link.introduction.is_none() {
            None
        } else {
            self.poll_introduced(now_ms, id)
        }?;
        self.knowledge(&peer).counts.frames_out += 1;
        Some(body.into())
    }

    /// When [`Self::poll_send`] will next have a frame, if nothing happens until then; in the past for "now".
    #[must_use]
    pub fn next_send(&self, id: SessionId) -> Option<u64> {
        let link = self.links.get(&id)?;
        if !link.hello_sent {
            return Some(link.up_at);
        }
        link.introduction.as_ref()?;
        if !link.buckets.is_empty() || !link.asks.is_empty() || !link.keys.is_empty() {
            return Some(0);
        }
        let flush = if link.dirty.is_empty() { u64::MAX } else { link.flush_at };
        Some(link.heads_due.min(flush))
    }

    fn introduce(&self) -> Body {
        Body::Hello(Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            features: 0,
            cluster: self.catalog.local().to_string(),
            daemon: self.config.daemon.to_string(),
            leaf: self.config.leaf,
        })
    }

    fn poll_introduced(&mut self, now_ms: u64, id: SessionId) -> Option<Body> {
        let link = self.links.get(&id)?;
        if now_ms >= link.heads_due {
            if !link.dirty.is_empty()
                && link.dirty.len() <= FEW
                && let Some(push) = self.next_push(id)
            {
                return Some(push);
            }
            return Some(self.next_heads(now_ms, id));
        }
        if let Some(step) = self.next_repair(id) {
            return Some(step);
        }
        let link = self.links.get(&id)?;
        if !link.dirty.is_empty() && now_ms >= link.flush_at { self.next_push(id) } else { None }
    }

    fn next_push(&mut self, id: SessionId) -> Option<Body> {
        let mut dirty = std::mem::take(&mut self.links.get_mut(&id)?.dirty);
        let link = self.links.get(&id)?;
        let limit = self.config.limits.record_bytes;
        let mut oversized = None;
        let complete = |cluster: &ClusterId, service: &str| self.completion(link, cluster, service);
        let chunk = dirty.take(CHUNK, complete, |key, absent| {
            let audience = self.audience(link, &key.cluster)?;
            let record = self.to_send(&key, audience, absent)?;
            if record.value.len() > limit {
                oversized = Some(key);
                return None;
            }
            Some(record)
        });
        let link = self.links.get_mut(&id)?;
        link.dirty = dirty;
        if let Some(key) = oversized
            && link.log_once("oversized")
        {
            tracing::error!(record = %key, limit, "a record is too large to be sent and stays unknown to others");
        }
        chunk.map(|(cluster, records)| Body::Push(Push { cluster: cluster.to_string(), records }))
    }

    /// What has to go along with a changed service: everything held of it, unless every change since a known state
    /// of the other side was marked. Own records to siblings are marked by repairs only, so there it is always all.
    fn completion(&self, link: &Link, cluster: &ClusterId, service: &str) -> Vec<Key> {
        let parts = self.catalog.parts(cluster, service);
        let known = parts
            .first()
            .is_none_or(|k| link.baseline.get(cluster).is_some_and(|buckets| buckets.contains(k.bucket())));
        if known && !self.watches_itself(link, cluster) { Vec::new() } else { parts }
    }

    /// The newest of a key, or the assertion that it does not exist any more.
    fn to_send(&self, key: &Key, audience: Audience, absent: Option<Version>) -> Option<WireRecord> {
        let record = self.catalog.seen_by(key, audience);
        record.or_else(|| self.catalog.absence(key, absent?)).as_ref().map(on_wire)
    }

    fn next_heads(&mut self, now_ms: u64, id: SessionId) -> Body {
        let due = now_ms + self.rng.u64(HEADS_MS);
        let local = self.catalog.local().clone();
        let mut clusters: Vec<_> = self.catalog.peers().keys().cloned().collect();
        clusters.push(local.clone());
        let mut heads = Vec::new();
        for cluster in clusters {
            let Some(link) = self.links.get(&id) else { break };
            let Some(audience) = self.audience(link, &cluster) else { continue };
            let settled = !link.dirty.concerns(&cluster);
            let age_ms = if cluster == local {
                Some(self.source_age_ms)
            } else {
                self.catalog.freshness(&cluster).age_ms(now_ms)
            };
            let tally = self.tallies.get(&cluster, audience);
            // What was never heard of is not worth a head.
            if tally.is_none() && age_ms.is_none() {
                continue;
            }
            let highest = tally.map(Tally::highest).unwrap_or_default();
            let hash = tally.map_or(0, Tally::hash);
            heads.push(Head {
                cluster: cluster.to_string(),
                epoch: highest.epoch,
                revision: highest.revision,
                hash,
                count: tally.map_or(0, Tally::count) as u64,
                age_ms,
                settled,
            });
            if let Some(link) = self.links.get_mut(&id)
                && settled
            {
                link.told.insert(cluster, hash);
            }
        }
        let mut receipts = Vec::new();
        if let Some(link) = self.links.get_mut(&id) {
            link.heads_due = due;
            for (cluster, hash) in std::mem::take(&mut link.receipts) {
                receipts.push(Receipt { cluster: cluster.to_string(), hash });
            }
        }
        Body::Heads(Heads { heads, receipts })
    }
}
