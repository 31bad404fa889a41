//! What is known of the way to another cluster.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Round-trip time to a cluster's gateways, from measurements of the links.
#[derive(Debug, Default)]
pub struct Link {
    /// EWMA in milliseconds as `f32` bits; 0 means unknown.
    rtt: AtomicU32,
}

impl Link {
    /// Adds a measurement: the first is taken as it is, later ones move the estimate by an eighth (RFC 6298).
    pub fn note_rtt(&self, sample: Duration) {
        let sample = sample.as_secs_f32() * 1_000.0;
        let old = f32::from_bits(self.rtt.load(Ordering::Relaxed));
        let next = if old > 0.0 { (sample - old).mul_add(0.125, old) } else { sample.max(0.001) };
        self.rtt.store(next.to_bits(), Ordering::Relaxed);
    }

    /// The estimate; `None` before the first measurement.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        let ms = f32::from_bits(self.rtt.load(Ordering::Relaxed));
        (ms > 0.0).then(|| Duration::from_secs_f32(ms / 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_counts_and_the_rest_move_it() {
        let link = Link::default();
        assert_eq!(link.rtt(), None);
        link.note_rtt(Duration::from_millis(80));
        link.note_rtt(Duration::from_millis(160));
        let ms = link.rtt().map(|d| d.as_millis());
        assert!(ms.is_some_and(|ms| (88..=91).contains(&ms)), "{ms:?}");
    }
}
