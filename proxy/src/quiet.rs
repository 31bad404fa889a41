//! Log lines that strangers can cause, kept few.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Allows one line of each cause in a period.
#[derive(Debug)]
pub(crate) struct Quiet {
    period: Duration,
    last: RefCell<BTreeMap<&'static str, Instant>>,
}

impl Quiet {
    /// One line of each cause in `period`.
    pub(crate) const fn new(period: Duration) -> Self {
        Self { period, last: RefCell::new(BTreeMap::new()) }
    }

    /// Whether the line may be written now. Causes are few: constants of the code.
    pub(crate) fn allow(&self, cause: &'static str, now: Instant) -> bool {
        let mut last = self.last.borrow_mut();
        let allowed = last.get(cause).is_none_or(|last| now.saturating_duration_since(*last) >= self.period);
        if allowed {
            last.insert(cause, now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_period_and_cause() {
        let quiet = Quiet::new(Duration::from_secs(10));
        let start = Instant::now();
        let allowed = (0..30).filter(|s| quiet.allow("garbage", start + Duration::from_secs(*s))).count();
        assert_eq!(allowed, 3);
        assert!(quiet.allow("identity", start + Duration::from_secs(29)), "one cause does not hide another");
    }
}
