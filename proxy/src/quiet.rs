//! Log lines that strangers can cause, kept few.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Allows one line in a period.
#[derive(Debug)]
pub(crate) struct Quiet {
    period: Duration,
    last: Cell<Option<Instant>>,
}

impl Quiet {
    /// One line in `period`.
    pub(crate) const fn new(period: Duration) -> Self {
        Self { period, last: Cell::new(None) }
    }

    /// Whether the line may be written now.
    pub(crate) fn allow(&self, now: Instant) -> bool {
        let allowed = self.last.get().is_none_or(|last| now.saturating_duration_since(last) >= self.period);
        if allowed {
            self.last.set(Some(now));
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_period() {
        let quiet = Quiet::new(Duration::from_secs(10));
        let start = Instant::now();
        let allowed = (0..30).filter(|s| quiet.allow(start + Duration::from_secs(*s))).count();
        assert_eq!(allowed, 3);
    }
}
