//! Draws by weight in constant time (Walker's alias method, built by Vose), rewritable in place.

use std::sync::atomic::{AtomicU64, Ordering};

/// For each position the chance to stay (`u32`, upper half) and the position to go to else (lower half).
///
/// A reader may meet a half rewritten table: every entry is valid by itself, so it draws by a mixture.
#[derive(Debug)]
pub struct AliasTable(Box<[AtomicU64]>);

const fn pack(stay: u32, alias: u32) -> u64 {
    (stay as u64) << 32 | alias as u64
}

impl AliasTable {
    /// Equal chances.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "positions below 2^32")]
    pub fn uniform(len: usize) -> Self {
        Self((0..len).map(|at| AtomicU64::new(pack(u32::MAX, at as u32))).collect())
    }

    /// Rewrites the table for new weights, one a position, finite and not negative. When all are 0 chances are equal.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions below 2^32; chance clamped")]
    #[expect(clippy::cast_precision_loss, reason = "number of targets")]
    pub fn write(&self, weights: &[f32]) {
        let total: f64 = weights.iter().map(|w| f64::from(w.max(0.0))).sum();
        let scale = self.0.len() as f64 / total;
        if !scale.is_finite() {
            return self.0.iter().enumerate().for_each(|(at, e)| e.store(pack(u32::MAX, at as u32), Ordering::Relaxed));
        }
        let mut left: Vec<f64> = weights.iter().map(|w| f64::from(w.max(0.0)) * scale).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..left.len()).partition(|at| left[*at] < 1.0);
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            let stay = (left[poor] * f64::from(u32::MAX)).clamp(0.0, f64::from(u32::MAX)) as u32;
            self.0[poor].store(pack(stay, rich as u32), Ordering::Relaxed);
            left[rich] -= 1.0 - left[poor];
            if left[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        // Rounding leaves some at 1: they stay. One of no weight cannot be among them unless it is all rounding; then
        // it is sent to the heaviest.
        let heaviest = (0..weights.len()).max_by(|a, b| weights[*a].total_cmp(&weights[*b])).unwrap_or(0);
        for at in small.into_iter().chain(large) {
            let entry = if weights[at] > 0.0 { pack(u32::MAX, at as u32) } else { pack(0, heaviest as u32) };
            self.0[at].store(entry, Ordering::Relaxed);
        }
    }

    /// The position that 64 uniform bits fall to; `None` for an empty table.
    #[expect(clippy::cast_possible_truncation, reason = "halves of a word")]
    pub(crate) fn draw(&self, random: u64) -> Option<usize> {
        let at = (((random >> 32) * self.0.len() as u64) >> 32) as usize;
        let entry = self.0.get(at)?.load(Ordering::Relaxed);
        Some(if (random as u32) < (entry >> 32) as u32 { at } else { entry as u32 as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    fn frequencies(table: &AliasTable, len: usize, draws: usize) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut counts = vec![0_usize; len];
        for _ in 0..draws {
            if let Some(at) = table.draw(rng.u64(..)) {
                counts[at] += 1;
            }
        }
        counts.iter().map(|c| *c as f64 / draws as f64).collect()
    }

    #[test]
    fn an_empty_table_draws_nothing_and_zero_weights_are_equal() {
        assert_eq!(AliasTable::uniform(0).draw(5), None);
        AliasTable::uniform(0).write(&[]);
        let table = AliasTable::uniform(4);
        table.write(&[0.0; 4]);
        for f in frequencies(&table, 4, 40_000) {
            assert!((f - 0.25).abs() < 0.01, "{f}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn frequencies_are_within_one_percent_of_weights(weights in proptest::collection::vec(0.0_f32..4.0, 1..12)) {
            let mut weights = weights;
            weights[0] = weights[0].max(0.5);
            if weights.len() > 2 {
                weights[2] = 0.0;
            }
            let table = AliasTable::uniform(weights.len());
            table.write(&weights);
            let total: f32 = weights.iter().sum();
            for (at, f) in frequencies(&table, weights.len(), 100_000).into_iter().enumerate() {
                proptest::prop_assert!((f - f64::from(weights[at] / total)).abs() < 0.01, "{at}: {f} of {weights:?}");
                proptest::prop_assert!(weights[at] > 0.0 || f == 0.0, "{at} has no weight: {f}");
            }
        }
    }
}
