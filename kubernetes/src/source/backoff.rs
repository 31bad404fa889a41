//! How long to wait before trying again. Pure: randomness is an argument.

use std::ops::Range;
use std::time::Duration;

/// The shortest pause.
const FLOOR_MS: u64 = 200;
/// The longest pause.
const CEILING_MS: u64 = 10_000;

/// The range out of which the pause before attempt `attempt` (0 is the first repetition) is drawn, in milliseconds:
/// full jitter between 0.2 s and a ceiling that doubles from 0.4 s to 10 s.
pub(super) fn pause_ms(attempt: u32) -> Range<u64> {
    let ceiling = FLOOR_MS.saturating_mul(2_u64.saturating_pow(attempt.saturating_add(1)));
    FLOOR_MS..ceiling.min(CEILING_MS) + 1
}

/// Draws a duration from a range of milliseconds.
pub(super) fn draw(random: &mut fastrand::Rng, range_ms: Range<u64>) -> Duration {
    Duration::from_millis(random.u64(range_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert_eq!(pause_ms(0), 200..401);
        assert_eq!(pause_ms(1), 200..801);
        assert_eq!(pause_ms(4), 200..6_401);
        for attempt in [5, 6, 31, 64, u32::MAX] {
            assert_eq!(pause_ms(attempt), 200..10_001, "attempt {attempt}");
        }
    }
}
