//! The load report that gateways put on every answer.

use std::fmt;

/// What a cluster's gateway says of one service: header `x-strait-load: ready=3,capacity=2.50,inflight=7`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Ready endpoints.
    pub ready: u32,
    /// Healthy capacity, in endpoints: 0 to `ready`.
    pub capacity: f32,
    /// Requests in flight to its endpoints through that gateway.
    pub in_flight: u32,
}

impl LoadReport {
    /// Reads the header's value. Unknown names are skipped, so that newer gateways may say more; `None` when a known
    /// one is missing or not a sane number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut ready, mut capacity, mut in_flight) = (None, None, None);
        for part in text.split(',').take(16) {
            let (name, value) = part.trim().split_once('=')?;
            match name {
                "ready" => ready = Some(value.parse().ok()?),
                "capacity" => capacity = Some(value.parse().ok().filter(|c: &f32| c.is_finite() && *c >= 0.0)?),
                "inflight" => in_flight = Some(value.parse().ok()?),
                _ => {}
            }
        }
        Some(Self { ready: ready?, capacity: capacity?, in_flight: in_flight? })
    }

    /// The healthy part of the ready endpoints, 0–1; 1 when none is ready.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "endpoints")]
    pub fn healthy_part(&self) -> f32 {
        if self.ready == 0 { 1.0 } else { (self.capacity / self.ready as f32).clamp(0.0, 1.0) }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready={},capacity={:.2},inflight={}", self.ready, self.capacity, self.in_flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_round_trip_and_nonsense_is_none() {
        let report = LoadReport { ready: 3, capacity: 2.5, in_flight: 7 };
        assert_eq!(LoadReport::parse(&report.to_string()), Some(report));
        assert_eq!(LoadReport::parse("queue=9, ready=3,capacity=2.5,inflight=7"), Some(report), "more may be said");
        for bad in ["", "ready=3", "ready=-1,capacity=1,inflight=0", "ready=1,capacity=NaN,inflight=0", "x"] {
            assert_eq!(LoadReport::parse(bad), None, "{bad}");
        }
    }
}
