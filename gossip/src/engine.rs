//! The replication engine: owns the catalog, takes events with the time they happened, says what to send.
//!
//! No socket, no clock, no thread: the same calls with the same seed give the same frames. The driver runs one
//! engine over TLS sessions; the simulator runs many over a schedule.
//!
//! For each open session there is a link: the set of keys the other side may lack, never a queue of messages.
//! What is sent is computed when the socket can take it, so a slow peer costs memory for keys only and always gets
//! the newest version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strait_catalog::{Audience, Authority, Catalog, ClusterId, Input, Key, Kind, Peer, Record, Snapshot, Value};

use crate::config::DaemonId;

mod buckets;
mod dirty;
mod knowledge;
mod link;
mod liveness;
#[cfg(any(test, feature = "sim"))]
mod proof;
mod receive;
mod repair;
mod report;
mod send;
mod settings;
mod tally;
#[cfg(test)]
mod tests;

pub use knowledge::Counts;
pub use link::{CloseReason, PeerInfo, SessionId};
pub use report::{ClusterReport, LinkReport, Report};
pub use settings::{EngineConfig, Limits};

use knowledge::Knowledge;
use link::{Link, Role};
use tally::Tallies;

/// Changes are gathered for this long before they are sent, in milliseconds.
pub const COALESCE_MS: u64 = 50;

/// See the module's documentation.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    catalog: Catalog,
    awaited: BTreeSet<Kind>,
    imports_awaited: bool,
    rng: fastrand::Rng,
    links: BTreeMap<SessionId, Link>,
    tallies: Tallies,
    knowledge: BTreeMap<ClusterId, Knowledge>,
    source_age_ms: u64,
    isolated: bool,
    urgent: bool,
    next_second: u64,
    next_collection: u64,
    closing: Vec<(SessionId, CloseReason)>,
}

impl Engine {
    /// An engine around a catalog that nobody else changes any more.
    #[must_use]
    pub fn new(config: EngineConfig, mut catalog: Catalog) -> Self {
        if config.expected.is_empty() && !config.imports_expected {
            catalog.mark_synced();
        }
        let mut tallies = Tallies::new(catalog.local().clone());
        tallies.rebuild(&catalog);
        Self {
            awaited: config.expected.clone(),
            imports_awaited: config.imports_expected,
            rng: fastrand::Rng::with_seed(config.seed),
            config,
            catalog,
            links: BTreeMap::new(),
            tallies,
            knowledge: BTreeMap::new(),
            source_age_ms: 0,
            isolated: false,
            urgent: false,
            next_second: 0,
            next_collection: 0,
            closing: Vec::new(),
        }
    }

    /// The catalog, to look at.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// This daemon.
    #[must_use]
    pub const fn daemon(&self) -> &DaemonId {
        &self.config.daemon
    }

    /// True while this daemon takes itself for the one that is cut off.
    #[must_use]
    pub const fn isolated(&self) -> bool {
        self.isolated
    }

    /// Takes what the own source tells.
    pub fn input(&mut self, now_ms: u64, input: Input) {
        match input {
            Input::Epoch(epoch) => self.catalog.set_epoch(epoch),
            Input::Records(records) => self.observe(now_ms, records, None),
            Input::Relist { kind, revision, records } => {
                self.observe(now_ms, records, Some((kind, revision)));
                self.came(now_ms, |engine| engine.awaited.remove(&kind));
            }
            Input::Import(service, import) => self.catalog.set_import(service, import),
            Input::Imports(imports) => {
                self.catalog.set_imports(imports);
                self.came(now_ms, |engine| std::mem::take(&mut engine.imports_awaited));
            }
            Input::Peers(peers) => self.set_peers(peers),
        }
    }

    /// How old the source's knowledge is; travels with the own head.
    pub const fn set_source_age(&mut self, age_ms: u64) {
        self.source_age_ms = age_ms;
    }

    fn observe(&mut self, now_ms: u64, mut records: Vec<Record>, list: Option<(Kind, u64)>) {
        let local = self.catalog.local().clone();
        let (before, kind) = (records.len(), list.map(|(kind, _)| kind));
        records.retain(|r| r.key().cluster == local && kind.is_none_or(|k| r.key().kind == k));
        if records.len() < before {
            tracing::error!(count = before - records.len(), "the source gave records of another cluster or kind");
        }
        let listed: BTreeSet<&Key> = records.iter().map(Record::key).collect();
        let vanish = kind == Some(Kind::SLICE)
            && self.catalog.view(&local, Audience::Sibling).any(|r| ready(&r) > 0 && !listed.contains(r.key()));
        let urgent = vanish || records.iter().any(|r| crosses_zero(self.catalog.get(r.key()), r));
        let changed = match list {
            Some((kind, revision)) => self.catalog.relist(kind, revision, records, now_ms),
            None => self.catalog.observe(records, now_ms),
        };
        self.after_change(now_ms, &changed, None, urgent);
    }

    /// Notes a full list; `first` tells whether it was awaited. The last one of these makes the catalog synced.
    fn came(&mut self, now_ms: u64, first: impl FnOnce(&mut Self) -> bool) {
        if first(self) && self.awaited.is_empty() && !self.imports_awaited {
            self.synced(now_ms);
        }
    }

    /// The first full list of every kind is in: from here on the own records are offered to others.
    fn synced(&mut self, now_ms: u64) {
        self.catalog.mark_synced();
        for link in self.links.values_mut() {
            link.heads_due = now_ms;
        }
    }

    fn set_peers(&mut self, peers: Vec<Peer>) {
        self.catalog.set_peers(peers);
        let local = self.catalog.local().clone();
        let known = |c: &ClusterId| *c == local || self.catalog.peers().contains_key(c);
        self.tallies.retain(known);
        self.knowledge.retain(|c, _| known(c));
        let strangers: Vec<_> = self.links.iter().filter(|(_, l)| !known(&l.peer)).map(|(id, _)| *id).collect();
        for link in self.links.values_mut() {
            link.retain_clusters(known);
        }
        for id in strangers {
            self.close(id, CloseReason::NotAPeer);
        }
    }

    /// A session whose peer is authenticated has come up.
    pub fn session_up(&mut self, now_ms: u64, id: SessionId, peer: PeerInfo) {
        let local = self.catalog.local();
        if peer.cluster != *local && !self.catalog.peers().contains_key(&peer.cluster) {
            self.closing.push((id, CloseReason::NotAPeer));
            return;
        }
        let role = if peer.cluster == *local { Role::Sibling } else { Role::Remote };
        self.links.insert(id, Link::new(peer, role, now_ms));
    }

    /// A session is gone, for whatever reason.
    pub fn session_down(&mut self, id: SessionId) {
        self.links.remove(&id);
    }

    /// Sessions that the engine has given up; the driver says goodbye and closes them.
    pub fn take_closed(&mut self) -> Vec<(SessionId, CloseReason)> {
        std::mem::take(&mut self.closing)
    }

    fn close(&mut self, id: SessionId, reason: CloseReason) {
        if self.links.remove(&id).is_some() {
            self.closing.push((id, reason));
        }
    }

    /// Makes a snapshot of what changed since the last, if anything did.
    pub fn publish(&mut self) -> Option<Arc<Snapshot>> {
        self.urgent = false;
        self.catalog.publish()
    }

    /// True when something changed since the last snapshot.
    #[must_use]
    pub fn unpublished(&self) -> bool {
        self.catalog.unpublished()
    }

    /// Who is at the other end of a session; `None` before its hello.
    #[must_use]
    pub fn daemon_of(&self, id: SessionId) -> Option<&DaemonId> {
        self.links.get(&id)?.introduction.as_ref().map(|i| &i.daemon)
    }

    /// True when some slice's ready count came to or left zero since the last publish: then readers should not wait.
    #[must_use]
    pub const fn urgent(&self) -> bool {
        self.urgent
    }

    /// What this daemon may say about a cluster on a link, and in which projection; `None` when nothing.
    fn audience(&self, link: &Link, cluster: &ClusterId) -> Option<Audience> {
        let local = cluster == self.catalog.local();
        match link.role {
            _ if self.config.leaf || (local && !self.catalog.is_synced()) => None,
            Role::Remote => local.then_some(Audience::Remote),
            Role::Sibling if local => Some(Audience::Sibling),
            Role::Sibling => self.catalog.peers().contains_key(cluster).then_some(Audience::Remote),
        }
    }

    /// On whose word records of a cluster are taken from a link; the error is the name of the refusal.
    fn authority(&self, link: &Link, cluster: &ClusterId) -> Result<Authority, &'static str> {
        let local = cluster == self.catalog.local();
        match link.role {
            Role::Remote if *cluster == link.peer => Ok(Authority::Owner),
            Role::Remote if local => Err("own-cluster"),
            Role::Remote => Err("not-owner"),
            Role::Sibling if link.leaf() => Err("leaf"),
            Role::Sibling if local || self.catalog.peers().contains_key(cluster) => Ok(Authority::Sibling),
            Role::Sibling => Err("unknown-cluster"),
        }
    }

    /// The projection in which records of a cluster arrive over a link, so that both ends hash the same.
    fn projection(&self, link: &Link, cluster: &ClusterId) -> Audience {
        match link.role {
            Role::Sibling if cluster == self.catalog.local() => Audience::Sibling,
            _ => Audience::Remote,
        }
    }

    /// Brings tallies and links up to date with changed records. Records go on to everyone who may have them, except
    /// where they came from, and except own records to siblings: those have their own watch, and what that misses
    /// the comparison of hashes finds.
    fn after_change(&mut self, now_ms: u64, changed: &[Key], from: Option<SessionId>, urgent: bool) {
        self.urgent |= urgent;
        let send_at = if urgent { now_ms } else { now_ms + COALESCE_MS };
        for cause in changed {
            for key in self.catalog.related(cause) {
                self.tallies.touch(&self.catalog, &key);
                self.mark(&key, from.filter(|_| key == *cause), send_at);
            }
        }
    }

    fn mark(&mut self, key: &Key, except: Option<SessionId>, send_at: u64) {
        let mut links = std::mem::take(&mut self.links);
        for (id, link) in &mut links {
            let wanted = Some(*id) != except && !self.watches_itself(link, &key.cluster);
            if wanted && self.audience(link, &key.cluster).is_some() {
                link.mark(key, None, send_at);
            }
        }
        self.links = links;
    }

    /// The own source is through its first lists, so it is the one that knows how old the own knowledge is.
    fn watching(&self) -> bool {
        !self.config.expected.is_empty() && self.catalog.is_synced()
    }

    /// A sibling sees this cluster's records by its own watch.
    fn watches_itself(&self, link: &Link, cluster: &ClusterId) -> bool {
        link.role == Role::Sibling && !link.leaf() && cluster == self.catalog.local()
    }

    fn knowledge(&mut self, cluster: &ClusterId) -> &mut Knowledge {
        self.knowledge.entry(cluster.clone()).or_default()
    }
}

/// Ready endpoints that a slice record counts.
fn ready(record: &Record) -> u32 {
    match record.value() {
        Some(Value::Slice(slice)) => slice.zones.iter().fold(0, |sum, z| sum.saturating_add(z.ready)),
        _ => 0,
    }
}

/// True when a slice comes to zero ready endpoints or leaves zero.
fn crosses_zero(old: Option<&Record>, new: &Record) -> bool {
    new.key().kind == Kind::SLICE && (old.map_or(0, ready) == 0) != (ready(new) == 0)
}
