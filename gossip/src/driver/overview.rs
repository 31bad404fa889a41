//! The status, put together from the engine's report and what only the control task knows.

use strait_catalog::ClusterId;

use super::control::Control;
use crate::engine::{ClusterReport, Report};
use crate::status::{OwnStatus, PeerStatus, SessionStatus, SyncStatus};

pub(super) fn status(control: &Control, report: &Report, snapshot: u64) -> SyncStatus {
    let own = &report.own;
    let dials = |cluster: &ClusterId| control.plan.remotes.contains(cluster);
    SyncStatus {
        cluster: own.cluster.clone(),
        daemon: control.config.daemon.clone(),
        leaf: control.config.leaf,
        synced: report.synced,
        isolated: report.isolated,
        snapshot,
        own: OwnStatus {
            records: own.records,
            shown: report.shown,
            highest: own.highest,
            source_age_ms: report.source_age_ms,
        },
        siblings: row(control, own, !control.plan.siblings.is_empty()),
        peers: report.peers.iter().map(|p| row(control, p, dials(&p.cluster))).collect(),
    }
}

fn row(control: &Control, report: &ClusterReport, dials: bool) -> PeerStatus {
    let sessions: Vec<_> = report
        .links
        .iter()
        .map(|link| SessionStatus {
            direction: link.direction,
            daemon: link.daemon.clone(),
            address: control.sessions.get(&link.id).and_then(|s| s.address).map(|a| a.to_string()),
            up_seconds: link.up_ms / 1000,
            unsent: link.unsent,
        })
        .collect();
    PeerStatus {
        cluster: report.cluster.clone(),
        connected: sessions.iter().any(|s| s.daemon.is_some()),
        dials,
        sessions,
        last_error: control.errors.get(&report.cluster).cloned(),
        records: report.records,
        age_ms: report.age_ms,
        head: report.head,
        lag_revisions: report.lag_revisions,
        equal: report.equal,
        refused: report.counts.refused_total(),
        quarantined: report.quarantined,
    }
}
