//! What one request has tried, and how urgent it is.

use super::choice::Choice;
use crate::admission::Urgency;
use crate::health::ClusterNumber;

/// Attempts that are told apart; later ones are counted only.
const KEPT: usize = 8;

/// The targets a request has tried, by slot and cluster; valid across routes.
#[derive(Clone, Debug, Default)]
pub struct Attempted {
    slots: [u64; KEPT],
    clusters: [Option<ClusterNumber>; KEPT],
    len: usize,
    urgency: Urgency,
}

impl Attempted {
    /// Nothing tried yet, by a request of the usual urgency.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Nothing tried yet, by a request as urgent as that.
    pub(crate) fn none_by(urgency: Urgency) -> Self {
        Self { urgency, ..Self::default() }
    }

    pub(super) const fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// Adds a failed attempt.
    pub fn note(&mut self, choice: &Choice<'_>) {
        if let (Some(slot), Some(cluster)) = (self.slots.get_mut(self.len), self.clusters.get_mut(self.len)) {
            *slot = choice.slot.id();
            *cluster = Some(choice.slot.cluster());
        }
        self.len += 1;
    }

    /// How many attempts were made.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True before the first.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn contains(&self, slot: u64) -> bool {
        self.slots[..self.len.min(KEPT)].contains(&slot)
    }

    /// How many attempts were made in that cluster.
    pub(super) fn within(&self, cluster: ClusterNumber) -> usize {
        self.clusters.iter().filter(|c| **c == Some(cluster)).count()
    }

    /// Where the last one was made.
    pub(super) fn last(&self) -> Option<ClusterNumber> {
        *self.clusters.get(self.len.min(KEPT).checked_sub(1)?)?
    }
}
