//! Successes and failures of the last ten seconds, in ten one-second cells that any thread may add to.

use std::sync::atomic::{AtomicU64, Ordering};

const CELLS: usize = 10;

/// Counts over the last ten seconds. Each cell packs its second (32 bits), successes and failures (16 bits each).
#[derive(Debug, Default)]
pub struct Window([AtomicU64; CELLS]);

impl Window {
    /// Counts one attempt. Lossy when two threads meet on a cell more than twice in a row, and saturating at 65,535 a second.
    pub fn add(&self, success: bool, now_ms: u64) {
        self.change(now_ms, |good, bad| if success { (good + 1, bad) } else { (good, bad + 1) });
    }

    /// What was counted as a success at `then_ms` was none.
    pub fn take_back(&self, then_ms: u64, now_ms: u64) {
        if (now_ms / 1_000).saturating_sub(then_ms / 1_000) < CELLS as u64 {
            self.change(then_ms, |good, bad| (good.saturating_sub(1), bad));
        }
        self.add(false, now_ms);
    }

    fn change(&self, now_ms: u64, counts: impl Fn(u64, u64) -> (u64, u64)) {
        let second = now_ms / 1_000;
        let cell = &self.0[usize::try_from(second).unwrap_or_default() % CELLS];
        for _ in 0..3 {
            let word = cell.load(Ordering::Relaxed);
            let (good, bad) = if word >> 32 == second { (word >> 16 & 0xffff, word & 0xffff) } else { (0, 0) };
            let (good, bad) = counts(good, bad);
            let next = second << 32 | good.min(0xffff) << 16 | bad.min(0xffff);
            if cell.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Successes and failures of the last ten seconds.
    #[must_use]
    pub fn read(&self, now_ms: u64) -> (u32, u32) {
        let second = now_ms / 1_000;
        let (mut good, mut bad) = (0, 0);
        for cell in &self.0 {
            let word = cell.load(Ordering::Relaxed);
            let at = word >> 32;
            if word != 0 && at <= second && second - at < CELLS as u64 {
                good += u32::try_from(word >> 16 & 0xffff).unwrap_or_default();
                bad += u32::try_from(word & 0xffff).unwrap_or_default();
            }
        }
        (good, bad)
    }

    /// The success ratio of the last ten seconds; `None` below 20 samples.
    #[must_use]
    pub fn ratio(&self, now_ms: u64) -> Option<f64> {
        let (good, bad) = self.read(now_ms);
        (good + bad >= 20).then(|| f64::from(good) / f64::from(good + bad))
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for cell in &self.0 {
            cell.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_and_no_more() {
        let w = Window::default();
        assert_eq!(w.ratio(0), None);
        for i in 0..30 {
            w.add(i % 3 != 0, 500);
        }
        assert_eq!(w.read(9_999), (20, 10));
        assert_eq!(w.read(10_000), (0, 0), "the first second has left");
        w.add(true, 10_100);
        assert_eq!(w.read(10_200), (1, 0), "its cell was reused");
        assert_eq!(w.ratio(10_200), None);
        w.take_back(10_300, 12_000);
        assert_eq!(w.read(12_000), (0, 1));
        w.add(true, 12_000);
        w.take_back(1_000, 12_100);
        assert_eq!(w.read(12_200), (1, 2), "its own success has left the window");
    }
}
