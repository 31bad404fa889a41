//! What the watches tell of themselves, one set of handles for each watched kind.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

const AGE: &str = "strait_source_age_seconds";
const SYNCED: &str = "strait_source_synced";
const OBJECTS: &str = "strait_source_objects";
const EVENTS: &str = "strait_source_events_total";
const RELISTS: &str = "strait_source_relists_total";
const RESTARTS: &str = "strait_source_watch_restarts_total";
const ERRORS: &str = "strait_source_errors_total";
const QUARANTINED: &str = "strait_source_quarantined_total";
const CONFIRMATIONS: &str = "strait_source_relist_confirmations_total";

/// Registers the help texts of this crate's metrics; to be called once, after the recorder was installed.
pub fn describe() {
    describe_gauge!(
        AGE,
        Unit::Seconds,
        "Seconds since the API server last answered for this kind: a list, an event, a bookmark or a watch's regular end. \
         An idle watch stays silent for up to 65 s"
    );
    describe_gauge!(SYNCED, "1 once the first full list of this kind was taken in");
    describe_gauge!(OBJECTS, "Objects of this kind that are known");
    describe_counter!(EVENTS, "Watch events taken in, bookmarks aside");
    describe_counter!(RELISTS, "Full lists taken in");
    describe_counter!(RESTARTS, "Watches started again: `ended` regularly, `stalled` past their deadline, or `failed`");
    describe_counter!(ERRORS, "Failed lists and watches, by reason");
    describe_counter!(QUARANTINED, "Objects left out because they cannot be read or used");
    describe_counter!(CONFIRMATIONS, "Lists repeated because they would have removed more than half of the objects");
}

/// Why a watch was started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Its time was up, as asked for.
    Ended,
    /// It neither spoke nor ended in time: a half-dead connection.
    Stalled,
    /// It broke, or was closed before its time.
    Failed,
}

/// The handles of one watched kind.
#[derive(Clone)]
pub(crate) struct SourceMetrics {
    kind: &'static str,
    pub(crate) age_seconds: Gauge,
    pub(crate) synced: Gauge,
    pub(crate) objects: Gauge,
    pub(crate) events: Counter,
    pub(crate) relists: Counter,
    pub(crate) quarantined: Counter,
    pub(crate) confirmations: Counter,
    ended: Counter,
    stalled: Counter,
    failed: Counter,
}

impl SourceMetrics {
    pub(crate) fn new(kind: &'static str) -> Self {
        let restarts = |reason: &'static str| counter!(RESTARTS, "kind" => kind, "reason" => reason);
        Self {
            kind,
            age_seconds: gauge!(AGE, "kind" => kind),
            synced: gauge!(SYNCED, "kind" => kind),
            objects: gauge!(OBJECTS, "kind" => kind),
            events: counter!(EVENTS, "kind" => kind),
            relists: counter!(RELISTS, "kind" => kind),
            quarantined: counter!(QUARANTINED, "kind" => kind),
            confirmations: counter!(CONFIRMATIONS, "kind" => kind),
            ended: restarts("ended"),
            stalled: restarts("stalled"),
            failed: restarts("failed"),
        }
    }

    pub(crate) fn restarted(&self, why: Restart) {
        match why {
            Restart::Ended => self.ended.increment(1),
            Restart::Stalled => self.stalled.increment(1),
            Restart::Failed => self.failed.increment(1),
        }
    }

    /// Errors are rare, so their handle is looked up each time; the reasons are a closed set.
    pub(crate) fn failed(&self, reason: &'static str) {
        counter!(ERRORS, "kind" => self.kind, "reason" => reason).increment(1);
    }
}
