//! Samples of a stretch of time, added up, for what tests claim.

use super::tally::{Clients, Sample, percentile_of};

/// A stretch of samples, added up.
pub(crate) struct Stretch<'s>(&'s [Sample]);

impl<'s> Stretch<'s> {
    /// The samples after `from_s` and up to `to_s`.
    pub(crate) fn of(samples: &'s [Sample], from_s: f64, to_s: f64) -> Self {
        let from = samples.partition_point(|s| s.at_s <= from_s);
        let to = samples.partition_point(|s| s.at_s <= to_s);
        Self(&samples[from..to])
    }

    fn sum(&self, of: impl Fn(&Clients) -> u32) -> u32 {
        self.0.iter().flat_map(|s| &s.clients).map(of).sum()
    }

    /// Good answers.
    pub(crate) fn good(&self) -> u32 {
        self.sum(Clients::good)
    }

    /// Requests that ended otherwise.
    pub(crate) fn bad(&self) -> u32 {
        self.sum(Clients::bad)
    }

    /// Turned away with 503.
    pub(crate) fn shed(&self) -> u32 {
        self.sum(|c| c.shed)
    }

    /// Clients whose patience ended.
    pub(crate) fn gave_up(&self) -> u32 {
        self.sum(|c| c.gave_up)
    }

    /// A percentile of the wait of a cluster's clients, in milliseconds; those that gave up count with their patience.
    pub(crate) fn waited_ms(&self, clients: usize, percentile: f64) -> f64 {
        percentile_of(self.0.iter().flat_map(|s| s.clients[clients].waited_ms.iter().copied()), percentile)
    }

    /// A percentile of the time to a 503, of all clients, in milliseconds.
    pub(crate) fn shed_ms(&self, percentile: f64) -> f64 {
        percentile_of(self.0.iter().flat_map(|s| &s.clients).flat_map(|c| c.shed_ms.iter().copied()), percentile)
    }

    /// The most requests that a pod of a cluster held, at any sample.
    pub(crate) fn most_held(&self, cluster: usize) -> usize {
        self.0.iter().map(|s| s.pods[cluster].most).max().unwrap_or(0)
    }

    /// Mean requests held by a cluster's pods.
    #[expect(clippy::cast_precision_loss, reason = "counts of a simulation")]
    pub(crate) fn held(&self, cluster: usize) -> f64 {
        self.0.iter().map(|s| s.pods[cluster].held as f64).sum::<f64>() / self.0.len().max(1) as f64
    }

    /// How long it is, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        match self.0 {
            [first, second, ..] => (second.at_s - first.at_s) * f64::from(u32::try_from(self.0.len()).unwrap_or(0)),
            _ => 0.0,
        }
    }
}
