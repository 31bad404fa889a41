//! What the controller counts.

use metrics::{Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::run::ControllerStatus;

const WRITES: &str = "strait_controller_writes_total";
const LEADING: &str = "strait_controller_leading";
const IMPORTS: &str = "strait_controller_imports";
const LISTENERS: &str = "strait_controller_listeners";
const TROUBLES: &str = "strait_controller_troubles";

/// Registers the help texts; to be called once, after the recorder was installed.
pub fn describe() {
    describe_counter!(WRITES, "Writes to the API server by what was written and how it ended");
    describe_gauge!(LEADING, "1 while this controller holds the lease");
    describe_gauge!(IMPORTS, "ServiceImports that stand in this cluster");
    describe_gauge!(LISTENERS, Unit::Count, "Listener numbers of 20000-29999 by state: in use, or resting after use");
    describe_gauge!(TROUBLES, "Things that stand in the way of what should be; the log names them");
}

pub(super) struct Figures {
    leading: Gauge,
    imports: Gauge,
    in_use: Gauge,
    resting: Gauge,
    troubles: Gauge,
}

impl Figures {
    pub(super) fn new() -> Self {
        Self {
            leading: gauge!(LEADING),
            imports: gauge!(IMPORTS),
            in_use: gauge!(LISTENERS, "state" => "in_use"),
            resting: gauge!(LISTENERS, "state" => "resting"),
            troubles: gauge!(TROUBLES),
        }
    }

    /// Writes are rare, so their handle is looked up each time; both words are of closed sets.
    pub(super) fn wrote(&self, verb: &'static str, outcome: &'static str) {
        counter!(WRITES, "what" => verb, "outcome" => outcome).increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn state(&self, status: &ControllerStatus, resting: usize) {
        self.leading.set(if status.leading { 1.0 } else { 0.0 });
        self.imports.set(status.imports as f64);
        self.in_use.set(status.listeners as f64);
        self.resting.set(resting as f64);
        self.troubles.set(status.troubles.len() as f64);
    }
}
