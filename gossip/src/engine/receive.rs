//! Frames that come in.

use bytes::Bytes;
use strait_catalog::{Applied, ClusterId, Key, Kind, Record, Version};

use super::link::Introduction;
use super::{CloseReason, Engine, SessionId, crosses_zero};
use crate::config::DaemonId;
use crate::frame::{Body, Frame, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Push, WireRecord};

impl Engine {
    /// Takes one frame of an open session; frames of sessions that were given up are ignored.
    pub fn frame(&mut self, now_ms: u64, id: SessionId, frame: Frame) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.last_frame_at = now_ms;
        let introduced = link.introduction.is_some();
        let peer = link.peer.clone();
        self.knowledge(&peer).counts.frames_in += 1;
        match frame.body {
            Some(Body::Hello(hello)) if !introduced => self.hello(now_ms, id, &hello),
            Some(Body::Bye(bye)) => self.close(id, CloseReason::Bye(shortened(&bye.reason))),
            Some(Body::Hello(_)) => self.close(id, CloseReason::NoHello),
            Some(_) if !introduced => self.close(id, CloseReason::NoHello),
            Some(Body::Push(push)) => self.push(now_ms, id, &peer, push),
            Some(Body::Heads(heads)) => self.heads(now_ms, id, &heads),
            Some(Body::Buckets(buckets)) => self.buckets(id, &buckets),
            Some(Body::Ask(ask)) => self.ask(id, &ask),
            Some(Body::Keys(keys)) => self.keys(now_ms, id, keys),
            None => self.unknown_frame(id, &peer),
        }
    }

    fn unknown_frame(&mut self, id: SessionId, peer: &ClusterId) {
        self.knowledge(peer).counts.frames_unknown += 1;
        if let Some(link) = self.links.get_mut(&id)
            && link.log_once("frame")
        {
            tracing::info!(cluster = %peer, "frames of an unknown type are skipped; the other side may be newer");
        }
    }

    fn hello(&mut self, now_ms: u64, id: SessionId, hello: &Hello) {
        let local = self.catalog.local().clone();
        let Some(link) = self.links.get_mut(&id) else { return };
        let daemon = DaemonId::new(&hello.daemon);
        let refusal = if hello.cluster != link.peer.as_str() {
            Some(CloseReason::WrongCluster { certified: link.peer.clone(), said: shortened(&hello.cluster) })
        } else if hello.protocol_min > PROTOCOL_MAX || hello.protocol_max < PROTOCOL_MIN {
            Some(CloseReason::Protocol { min: hello.protocol_min, max: hello.protocol_max })
        } else if link.peer == local && daemon == self.config.daemon {
            Some(CloseReason::Myself)
        } else {
            None
        };
        link.introduction = Some(Introduction { daemon, leaf: hello.leaf });
        link.heads_due = now_ms;
        if let Some(reason) = refusal {
            self.close(id, reason);
        }
    }

    fn push(&mut self, now_ms: u64, id: SessionId, peer: &ClusterId, push: Push) {
        let Ok(cluster) = ClusterId::parse(&push.cluster) else {
            return self.refuse(id, peer, "malformed", push.records.len());
        };
        let Some(link) = self.links.get(&id) else { return };
        let authority = match self.authority(link, &cluster) {
            Ok(authority) => authority,
            Err(reason) => return self.refuse(id, peer, reason, push.records.len()),
        };
        let (mut changed, mut urgent, mut accepted) = (Vec::new(), false, 0);
        for record in push.records {
            let record = match self.admit(id, &cluster, record) {
                Ok(record) => record,
                Err(reason) => {
                    self.refuse(id, peer, reason, 1);
                    continue;
                }
            };
            accepted += 1;
            let crosses = crosses_zero(self.catalog.get(record.key()), &record);
            let key = record.key().clone();
            if self.catalog.apply(record, authority, now_ms) == Applied::Changed {
                urgent |= crosses;
                changed.push(key);
            }
        }
        let counts = &mut self.knowledge(&cluster).counts;
        counts.accepted += accepted;
        counts.changed += changed.len() as u64;
        if let Some(mismatch) = self.links.get_mut(&id).and_then(|l| l.mismatches.get_mut(&cluster))
            && !changed.is_empty()
        {
            mismatch.step = 0;
        }
        self.after_change(now_ms, &changed, Some(id), urgent);
    }

    /// A record as it may be stored; the error is the name of the refusal. One that cannot be read is stored all the
    /// same, out of use, so that both ends hold equal sets.
    fn admit(&mut self, id: SessionId, cluster: &ClusterId, wire: WireRecord) -> Result<Record, &'static str> {
        let limits = self.config.limits;
        if wire.name.len() > limits.name_bytes {
            return Err("misnamed");
        }
        if wire.value.len() > limits.record_bytes {
            return Err("too-large");
        }
        let key = Key { cluster: cluster.clone(), kind: Kind(wire.kind), name: wire.name.into() };
        let version = Version::new(wire.epoch, wire.revision);
        if !Kind::KNOWN.contains(&key.kind) && self.links.get_mut(&id).is_some_and(|l| l.log_once("kind")) {
            tracing::info!(%cluster, record = %key, "records of a kind that this version does not know are kept and passed on");
        }
        if wire.deleted {
            self.knowledge(cluster).quarantined.remove(&key);
            return Ok(Record::tombstone(key, version));
        }
        let full = *cluster != *self.catalog.local() && self.catalog.live_count(cluster) >= limits.records;
        if full && self.catalog.get(&key).is_none_or(Record::is_tombstone) {
            return Err("cap");
        }
        // A copy, since the slice would keep the whole received buffer alive.
        let (record, unreadable) = Record::received(key.clone(), version, Bytes::copy_from_slice(&wire.value));
        match unreadable {
            Some(error) => {
                self.knowledge(cluster).quarantined.insert(key.clone());
                if self.links.get_mut(&id).is_some_and(|l| l.log_once("quarantine")) {
                    tracing::warn!(%cluster, record = %key, %error, "a record cannot be read and is out of use");
                }
            }
            None => {
                self.knowledge(cluster).quarantined.remove(&key);
            }
        }
        Ok(record)
    }

    fn refuse(&mut self, id: SessionId, peer: &ClusterId, reason: &'static str, count: usize) {
        *self.knowledge(peer).counts.refused.entry(reason).or_default() += count as u64;
        if let Some(link) = self.links.get_mut(&id)
            && link.log_once(reason)
        {
            tracing::warn!(cluster = %peer, reason, count, "records were refused; more of this session are only counted");
        }
    }
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
