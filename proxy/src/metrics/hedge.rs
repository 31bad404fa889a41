//! Attempts that joined a silent one.

use metrics::{Counter, counter};

/// What became of the wish for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hedge {
    /// It was sent.
    Sent,
    /// It answered first.
    Won,
    /// The budget had no room for it.
    NoRoom,
    /// There was nowhere else to send it.
    NoPlace,
}

/// One worker's counters.
pub(crate) struct HedgeMetrics([Counter; 4]);

impl HedgeMetrics {
    pub(super) fn new() -> Self {
        let outcomes = ["sent", "won", "no_room", "no_place"];
        Self(outcomes.map(|outcome| counter!("strait_proxy_hedges_total", "outcome" => outcome)))
    }

    /// Counts one.
    pub(crate) fn count(&self, hedge: Hedge) {
        self.0[hedge as usize].increment(1);
    }
}
