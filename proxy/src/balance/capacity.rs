//! A cluster's capacity against a decaying high-water mark.
//!
//! Lost pods leave their slice, so healthy ÷ listed stays at 100 % while a cluster dies. What counts is what it could
//! do lately: `K = max(what has stood for 30 s, K_before · exp(−Δt / 300 s))`, and `ρ = H ÷ K`. What stands for less is
//! no capacity that can be lost: a rolling update adds a pod before it takes one away, and may wait a
//! little between the two (`minReadySeconds`).

/// How long something must have stood to raise the mark, in milliseconds.
const STANDS_MS: u64 = 30_000;

/// The high-water mark of one cluster's capacity for one service, in endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct HighWater {
    mark: f64,
    at_ms: u64,
    /// What stands above the mark, and since when: the least of that time.
    above: Option<(f64, u64)>,
}

impl HighWater {
    /// Takes the present into account and returns the mark.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    pub(super) fn step(&mut self, now_ms: u64, present: f64, decay_ms: f64) -> f64 {
        let gone = now_ms.saturating_sub(self.at_ms) as f64;
        self.at_ms = now_ms;
        if self.forgotten() {
            (self.mark, self.above) = (present, None);
            return present;
        }
        let decayed = self.mark * (-gone / decay_ms).exp();
        // What was there all the time keeps the mark where it is.
        self.mark = decayed.max(present.min(self.mark));
        self.above = (present > self.mark).then(|| {
            let (least, since) = self.above.unwrap_or((present, now_ms));
            (least.min(present), since)
        });
        if let Some((least, since)) = self.above
            && now_ms.saturating_sub(since) >= STANDS_MS
        {
            (self.mark, self.above) = (least, None);
        }
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

    const DECAY_MS: f64 = 300_000.0;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3
    }

    #[test]
    fn it_falls_by_an_e_fold_in_its_time() {
        let mut mark = HighWater::default();
        assert!(near(mark.step(0, 10.0, DECAY_MS), 10.0));
        assert!(near(mark.step(300_000, 3.0, DECAY_MS), 3.678_8));
        assert!(near(mark.step(600_000, 3.0, DECAY_MS), 3.0));
    }

    #[test]
    fn it_rises_to_what_has_stood_and_not_to_what_a_rolling_update_adds() {
        let mut mark = HighWater::default();
        mark.step(0, 1.0, DECAY_MS);
        assert!(near(mark.step(1_000, 2.0, DECAY_MS), 1.0));
        assert!(near(mark.step(29_000, 2.0, DECAY_MS), 1.0));
        assert!(near(mark.step(29_100, 1.0, DECAY_MS), 1.0), "the old one has left");
        assert!(near(mark.step(60_000, 5.0, DECAY_MS), 1.0));
        assert!(near(mark.step(75_000, 3.0, DECAY_MS), 1.0));
        assert!(near(mark.step(90_000, 4.0, DECAY_MS), 3.0), "three have stood for half a minute");
        assert!(near(mark.step(91_000, 4.0, DECAY_MS), 3.0));
        assert!(near(mark.step(120_000, 4.0, DECAY_MS), 3.0));
        assert!(near(mark.step(121_000, 4.0, DECAY_MS), 4.0));
    }
}
