//! A cluster's capacity against a decaying high-water mark.
//!
//! Lost pods leave their slice, so healthy ÷ listed stays at 100 % while a cluster dies. What counts is what it could
//! do lately: `K = max(expected now, healthy now, K_before · exp(−Δt / 300 s))`, and `ρ = H ÷ K`.

/// The high-water mark of one cluster's capacity for one service, in endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct HighWater {
    mark: f64,
    at_ms: u64,
}

impl HighWater {
    /// Takes the present into account and returns the mark.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    pub(super) fn step(&mut self, now_ms: u64, present: f64, decay_ms: f64) -> f64 {
        let gone = now_ms.saturating_sub(self.at_ms) as f64;
        self.mark = present.max(self.mark * (-gone / decay_ms).exp());
        self.at_ms = now_ms;
        self.mark
    }

    /// True when nothing worth remembering is left.
    pub(super) fn forgotten(&self) -> bool {
        self.mark < 0.01
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_at_once_and_falls_by_an_e_fold_in_its_time() {
        let mut mark = HighWater::default();
        assert!((mark.step(0, 10.0, 300_000.0) - 10.0).abs() < 1e-9);
        assert!((mark.step(300_000, 3.0, 300_000.0) - 3.678_8).abs() < 1e-3);
        assert!((mark.step(600_000, 3.0, 300_000.0) - 3.0).abs() < 1e-9);
        assert!((mark.step(600_100, 20.0, 300_000.0) - 20.0).abs() < 1e-9);
    }
}
