//! How long to wait before a gateway is dialled again.

use std::time::Duration;

/// The shortest wait.
pub(super) const FLOOR: Duration = Duration::from_millis(100);
/// The longest.
const CEILING: Duration = Duration::from_secs(1);

/// The wait after `failures` dials in a row failed, with `random` in 0..1: between 100 ms and twice as long for each
/// further failure, at most 1 s. A gateway that comes back is found within a second and a handshake, and many daemons
/// that lost the same one do not return in step.
pub(crate) fn wait(failures: u32, random: f64) -> Duration {
    let ceiling = FLOOR.saturating_mul(1u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).min(CEILING);
    FLOOR + ceiling.saturating_sub(FLOOR).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_second_and_never_below_a_tenth() {
        assert_eq!(wait(1, 0.0), FLOOR);
        assert_eq!(wait(1, 1.0), Duration::from_millis(200));
        assert_eq!(wait(3, 1.0), Duration::from_millis(800));
        assert_eq!(wait(40, 1.0), CEILING);
        assert_eq!(wait(u32::MAX, 0.0), FLOOR);
    }
}
