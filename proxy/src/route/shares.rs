//! The published shares of a route's clusters, rewritten in place by the balancer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Most clusters of one route; more are left out with a warning.
pub const MAX_CLUSTERS: usize = 16;

/// Cumulative thresholds over `u32` and the order in which clusters stand in for each other.
///
/// A reader may meet a half rewritten set: it then picks by a mixture of two valid ones, and a cluster that cannot serve
/// is still passed over by the pick itself.
#[derive(Debug)]
pub struct ShareCells {
    thresholds: [AtomicU32; MAX_CLUSTERS],
    /// Sixteen positions of four bits, the first choice lowest.
    order: AtomicU64,
    len: usize,
}

impl ShareCells {
    pub(super) fn new(len: usize) -> Self {
        let order = (0..MAX_CLUSTERS as u64).fold(0, |all, at| all | at << (4 * at));
        Self { thresholds: Default::default(), order: AtomicU64::new(order), len: len.min(MAX_CLUSTERS) }
    }

    /// The cluster a uniform `random` falls to; `None` when no share was published (or once in 2^32).
    pub(crate) fn draw(&self, random: u32) -> Option<usize> {
        self.thresholds[..self.len].iter().position(|t| random < t.load(Ordering::Relaxed))
    }

    /// The clusters in the order in which they stand in.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (order, len) = (self.order.load(Ordering::Relaxed), self.len);
        (0..len).map(move |at| (order >> (4 * at) & 15) as usize).filter(move |at| *at < len)
    }

    /// The share of each cluster, 0–1.
    #[must_use]
    pub fn read(&self) -> Vec<f64> {
        let mut before = 0;
        let part = |t: &AtomicU32| {
            let now = t.load(Ordering::Relaxed);
            let part = f64::from(now.saturating_sub(before)) / f64::from(u32::MAX);
            before = now;
            part
        };
        self.thresholds[..self.len].iter().map(part).collect()
    }

    /// Publishes shares (they sum to 1) and the order.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to u32")]
    pub(crate) fn publish(&self, shares: &[f64], order: &[u8]) {
        let mut sum = 0.0;
        let last = shares.iter().rposition(|s| *s > 0.0);
        for (at, (cell, share)) in self.thresholds[..self.len].iter().zip(shares).enumerate() {
            sum += share.max(0.0);
            // Rounding must not leave a gap behind the last cluster that has a share.
            let end = last.is_some_and(|last| at >= last);
            let threshold =
                if end { u32::MAX } else { (sum * f64::from(u32::MAX)).clamp(0.0, f64::from(u32::MAX)) as u32 };
            cell.store(threshold, Ordering::Relaxed);
        }
        let packed =
            order.iter().take(MAX_CLUSTERS).enumerate().fold(0, |all, (i, at)| all | u64::from(at & 15) << (4 * i));
        self.order.store(packed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_thresholds() {
        let cells = ShareCells::new(4);
        assert_eq!(cells.draw(0), None, "nothing published");
        cells.publish(&[0.0, 0.5, 0.0, 0.5], &[3, 1, 0, 2]);
        for (random, cluster) in [(0, 1), (u32::MAX / 2 - 1, 1), (u32::MAX / 2 + 1, 3), (u32::MAX - 1, 3)] {
            assert_eq!(cells.draw(random), Some(cluster), "{random}");
        }
        assert_eq!(cells.order().collect::<Vec<_>>(), [3, 1, 0, 2]);
        assert_eq!(cells.read().iter().map(|s| (s * 100.0).round()).collect::<Vec<_>>(), [0.0, 50.0, 0.0, 50.0]);
    }
}
