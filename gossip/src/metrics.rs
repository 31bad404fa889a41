//! Figures for operators, by cluster. Values come from the engine's report once a second.

use std::collections::BTreeMap;

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};
use strait_catalog::ClusterId;

use crate::engine::{ClusterReport, Report};

const RECORDS: &str = "strait_sync_records";
const AGE: &str = "strait_sync_age_seconds";
const LAG: &str = "strait_sync_lag_revisions";
const SESSIONS: &str = "strait_sync_sessions";
const UNSENT: &str = "strait_sync_unsent_records";
const QUARANTINED: &str = "strait_sync_quarantined_records";
const ACCEPTED: &str = "strait_sync_records_accepted_total";
const CHANGED: &str = "strait_sync_records_changed_total";
const REFUSED: &str = "strait_sync_records_refused_total";
const FRAMES: &str = "strait_sync_frames_total";
const UNKNOWN: &str = "strait_sync_frames_unknown_total";
const REPAIRS: &str = "strait_sync_repairs_total";
const DIAL_FAILURES: &str = "strait_sync_dial_failures_total";
const SNAPSHOTS: &str = "strait_sync_snapshots_total";
const ISOLATED: &str = "strait_sync_isolated";

fn describe() {
    describe_gauge!(RECORDS, "Live records held of each cluster.");
    describe_gauge!(AGE, Unit::Seconds, "Age of the newest knowledge about each cluster.");
    describe_gauge!(LAG, "API server revisions between a cluster's newest head and the records held of it.");
    describe_gauge!(SESSIONS, "Sync sessions that have said hello; those to the own cluster are its siblings.");
    describe_gauge!(UNSENT, "Records that wait to be sent, over all sessions to a cluster.");
    describe_gauge!(QUARANTINED, "Records held that cannot be read and are out of use.");
    describe_counter!(ACCEPTED, "Records of a cluster received and taken in.");
    describe_counter!(CHANGED, "Records of a cluster received that changed what is held.");
    describe_counter!(REFUSED, "Records refused from sessions of a cluster, by reason.");
    describe_counter!(FRAMES, "Frames exchanged with a cluster, by direction.");
    describe_counter!(UNKNOWN, "Frames of a type this version does not know.");
    describe_counter!(REPAIRS, "Repairs begun because the hashes of a cluster's records differed.");
    describe_counter!(DIAL_FAILURES, "Attempts to reach a cluster that ended without a session.");
    describe_counter!(SNAPSHOTS, "Snapshots published.");
    describe_gauge!(ISOLATED, "1 while more than half of the peers went stale together and weights are frozen.");
}

/// Handles of one cluster.
struct Row {
    records: Gauge,
    age: Gauge,
    lag: Gauge,
    sessions: Gauge,
    unsent: Gauge,
    quarantined: Gauge,
    accepted: Counter,
    changed: Counter,
    frames_in: Counter,
    frames_out: Counter,
    unknown: Counter,
    repairs: Counter,
    dial_failures: Counter,
    refused: BTreeMap<&'static str, Counter>,
}

impl Row {
    fn new(cluster: &ClusterId) -> Self {
        let name = || cluster.to_string();
        Self {
            records: gauge!(RECORDS, "cluster" => name()),
            age: gauge!(AGE, "cluster" => name()),
            lag: gauge!(LAG, "cluster" => name()),
            sessions: gauge!(SESSIONS, "cluster" => name()),
            unsent: gauge!(UNSENT, "cluster" => name()),
            quarantined: gauge!(QUARANTINED, "cluster" => name()),
            accepted: counter!(ACCEPTED, "cluster" => name()),
            changed: counter!(CHANGED, "cluster" => name()),
            frames_in: counter!(FRAMES, "cluster" => name(), "direction" => "in"),
            frames_out: counter!(FRAMES, "cluster" => name(), "direction" => "out"),
            unknown: counter!(UNKNOWN, "cluster" => name()),
            repairs: counter!(REPAIRS, "cluster" => name()),
            dial_failures: counter!(DIAL_FAILURES, "cluster" => name()),
            refused: BTreeMap::new(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point; the figures are far below 2^52")]
    fn update(&mut self, report: &ClusterReport) {
        self.records.set(report.records as f64);
        if let Some(age) = report.age_ms {
            self.age.set(age as f64 / 1000.0);
        }
        self.lag.set(report.lag_revisions as f64);
        self.sessions.set(report.links.iter().filter(|l| l.daemon.is_some()).count() as f64);
        self.unsent.set(report.links.iter().map(|l| l.unsent).sum::<usize>() as f64);
        self.quarantined.set(report.quarantined as f64);
        let counts = &report.counts;
        self.accepted.absolute(counts.accepted);
        self.changed.absolute(counts.changed);
        self.frames_in.absolute(counts.frames_in);
        self.frames_out.absolute(counts.frames_out);
        self.unknown.absolute(counts.frames_unknown);
        self.repairs.absolute(counts.repairs);
        for (reason, count) in &counts.refused {
            let cluster = report.cluster.to_string();
            let handle = self
                .refused
                .entry(reason)
                .or_insert_with(|| counter!(REFUSED, "cluster" => cluster, "reason" => *reason));
            handle.absolute(*count);
        }
    }

    /// A cluster that is no peer any more counts nothing and holds nothing.
    fn silence(&self) {
        for gauge in [&self.records, &self.lag, &self.sessions, &self.unsent, &self.quarantined] {
            gauge.set(0.0);
        }
        self.age.set(f64::NAN);
    }
}

/// All handles.
pub(crate) struct SyncMetrics {
    rows: BTreeMap<ClusterId, Row>,
    snapshots: Counter,
    isolated: Gauge,
}

impl SyncMetrics {
    pub(crate) fn new() -> Self {
        describe();
        Self { rows: BTreeMap::new(), snapshots: counter!(SNAPSHOTS), isolated: gauge!(ISOLATED) }
    }

    fn row(&mut self, cluster: &ClusterId) -> &mut Row {
        self.rows.entry(cluster.clone()).or_insert_with(|| Row::new(cluster))
    }

    pub(crate) fn published(&self) {
        self.snapshots.increment(1);
    }

    pub(crate) fn dial_failed(&mut self, cluster: &ClusterId) {
        self.row(cluster).dial_failures.increment(1);
    }

    pub(crate) fn retain(&mut self, known: impl Fn(&ClusterId) -> bool) {
        self.rows.retain(|cluster, row| {
            let keep = known(cluster);
            if !keep {
                row.silence();
            }
            keep
        });
    }

    pub(crate) fn update(&mut self, report: &Report) {
        self.isolated.set(f64::from(u8::from(report.isolated)));
        for cluster in report.peers.iter().chain([&report.own]) {
            self.row(&cluster.cluster).update(cluster);
        }
    }
}
