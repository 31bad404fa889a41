//! A fleet in one thread: many engines, a made-up network, made-up API servers, and a seed that decides everything.
//!
//! Discrete events on a virtual clock in milliseconds. The engines are the ones that run in production; the network
//! delays, holds, cuts and reverses nothing they do not have to survive, the API servers change at random, watches
//! lag by kind and daemon, daemons die and come back empty, and liars forge records. While all that happens every
//! change at every daemon is checked ([`Violation`]); when it is over the fleet has to become equal.
//!
//! ```
//! # #[cfg(feature = "sim")]
//! strait_gossip::sim::run(&strait_gossip::sim::Scenario::drawn(7)).unwrap();
//! ```

mod checks;
mod network;
mod node;
mod source;
mod watch;
mod world;
mod writer;

#[cfg(test)]
mod tests;

use world::World;

/// Which faults a run may meet. Each seed draws a random subset, so that rare combinations come up too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Sessions that are cut.
    pub cuts: bool,
    /// Pairs of clusters that cannot reach each other for a while, in one direction or both.
    pub partitions: bool,
    /// Daemons that die and come back with nothing.
    pub restarts: bool,
    /// One-way delays up to two seconds instead of 5 to 90 ms.
    pub delays: bool,
    /// Watches that lag up to three seconds, by kind and daemon.
    pub lags: bool,
    /// Lists in the middle of a watch, older ones too.
    pub relists: bool,
    /// Sessions on which records of others are forged.
    pub liars: bool,
    /// API servers that are restored from a backup and go on in a new epoch.
    pub restores: bool,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How many clusters.
    pub clusters: usize,
    /// At most how many daemons each has.
    pub daemons: usize,
    /// How many services each may have.
    pub services: usize,
    /// How long there are faults and writes, in virtual milliseconds.
    pub turmoil_ms: u64,
    /// Mean time between two writes in one cluster, in virtual milliseconds.
    pub write_ms: u64,
    /// Which faults.
    pub faults: Faults,
}

impl Scenario {
    /// Draws size and faults from the seed.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5ce_a21e);
        // Mostly small, since small fleets run fast and reach most interleavings; sometimes many clusters.
        let clusters = if rng.u8(..) < 16 { rng.usize(7..=16) } else { rng.usize(3..=5) };
        let daemons = if clusters > 6 { 1 } else { rng.usize(1..=3) };
        let faults = Faults {
            cuts: rng.bool(),
            partitions: rng.bool(),
            restarts: rng.bool(),
            delays: rng.bool(),
            lags: rng.bool(),
            relists: rng.bool(),
            liars: rng.bool(),
            restores: rng.u8(..) < 64,
        };
        Self {
            seed,
            clusters,
            daemons,
            services: rng.usize(1..=5),
            turmoil_ms: 10_000,
            write_ms: rng.u64(60..=600),
            faults,
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Hash over all events: the same scenario always gives the same.
    pub trace: u64,
    /// How many events.
    pub events: u64,
    /// How long after the last fault the fleet was equal, in virtual milliseconds.
    pub converged_ms: u64,
    /// Changes at API servers.
    pub writes: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Sessions that came up.
    pub sessions: u64,
    /// Sessions cut by a fault.
    pub cuts: u64,
    /// Partitions.
    pub partitions: u64,
    /// Restarts.
    pub restarts: u64,
    /// Forged frames.
    pub lies: u64,
    /// API servers restored from a backup.
    pub restores: u64,
    /// Records refused by all daemons together.
    pub refused: u64,
    /// Repairs begun by all daemons together.
    pub repairs: u64,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed} at {at_ms} ms, daemon {daemon}: {what}")]
pub struct Violation {
    /// The scenario's seed.
    pub seed: u64,
    /// Virtual time.
    pub at_ms: u64,
    /// Where.
    pub daemon: String,
    /// What was promised and what happened.
    pub what: String,
}

/// Runs one scenario to its end.
///
/// # Errors
/// The first [`Violation`].
pub fn run(scenario: &Scenario) -> Result<Outcome, Violation> {
    World::new(scenario).run()
}
