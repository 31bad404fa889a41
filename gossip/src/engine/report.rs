//! The engine's state as figures.

use strait_catalog::{Audience, ClusterId, Version};

use super::{Counts, Engine, SessionId};
use crate::config::DaemonId;
use crate::status::Direction;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// Its id.
    pub id: SessionId,
    /// Who dialled.
    pub direction: Direction,
    /// The other daemon, once it said hello.
    pub daemon: Option<DaemonId>,
    /// How long it is open, in milliseconds.
    pub up_ms: u64,
    /// Records waiting to be sent.
    pub unsent: usize,
}

/// One cluster; the own one too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterReport {
    /// Which.
    pub cluster: ClusterId,
    /// Open sessions to it.
    pub links: Vec<LinkReport>,
    /// Live records held.
    pub records: usize,
    /// The highest version held.
    pub highest: Version,
    /// Age of the knowledge, in milliseconds.
    pub age_ms: Option<u64>,
    /// The newest head heard of.
    pub head: Option<Version>,
    /// Revisions missing up to that head.
    pub lag_revisions: u64,
    /// The last comparison's outcome.
    pub equal: Option<bool>,
    /// Records held that cannot be read.
    pub quarantined: usize,
    /// Counters.
    pub counts: Counts,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The own cluster.
    pub own: ClusterReport,
    /// Of the own records, how many other clusters may see.
    pub shown: usize,
    /// All peers, sorted by id.
    pub peers: Vec<ClusterReport>,
    /// The source is through its first lists.
    pub synced: bool,
    /// The daemon takes itself for cut off.
    pub isolated: bool,
    /// Age of the source's knowledge, in milliseconds.
    pub source_age_ms: u64,
}

impl Engine {
    /// The figures of this moment.
    pub fn report(&mut self, now_ms: u64) -> Report {
        let local = self.catalog.local().clone();
        let peers: Vec<_> = self.catalog.peers().keys().cloned().collect();
        Report {
            own: self.cluster_report(now_ms, &local),
            shown: self.tallies.get(&local, Audience::Remote).map_or(0, super::tally::Tally::count),
            peers: peers.iter().map(|c| self.cluster_report(now_ms, c)).collect(),
            synced: self.catalog.is_synced(),
            isolated: self.isolated,
            source_age_ms: self.source_age_ms,
        }
    }

    fn cluster_report(&mut self, now_ms: u64, cluster: &ClusterId) -> ClusterReport {
        let age_ms = self.catalog.freshness(cluster).age_ms(now_ms);
        let highest = self.catalog.highest(cluster);
        let links = self.links.iter().filter(|(_, l)| l.peer == *cluster).map(|(id, l)| LinkReport {
            id: *id,
            direction: l.direction,
            daemon: l.introduction.as_ref().map(|i| i.daemon.clone()),
            up_ms: now_ms.saturating_sub(l.up_at),
            unsent: l.dirty.len(),
        });
        let links = links.collect();
        let records = self.catalog.live_count(cluster);
        let known = self.knowledge(cluster);
        ClusterReport {
            cluster: cluster.clone(),
            links,
            records,
            highest,
            age_ms,
            head: known.head,
            lag_revisions: known.head.map_or(0, |head| lag(head, highest)),
            equal: known.equal,
            quarantined: known.quarantined.len(),
            counts: known.counts.clone(),
        }
    }
}

/// Within one epoch the difference; across epochs everything of the new one is missing.
const fn lag(head: Version, held: Version) -> u64 {
    if head.epoch > held.epoch {
        head.revision
    } else if head.epoch == held.epoch {
        head.revision.saturating_sub(held.revision)
    } else {
        0
    }
}
