//! Checks of pods by connections of our own.

use metrics::{Counter, counter};

/// Their counters.
pub(crate) struct CheckMetrics {
    passed: Counter,
    failed: Counter,
}

impl CheckMetrics {
    pub(crate) fn new() -> Self {
        let checks = |outcome| counter!("strait_proxy_checks_total", "outcome" => outcome);
        Self { passed: checks("passed"), failed: checks("failed") }
    }

    /// The pod accepted.
    pub(crate) fn passed(&self) {
        self.passed.increment(1);
    }

    /// It did not.
    pub(crate) fn failed(&self) {
        self.failed.increment(1);
    }
}
