//! What a pod reports of its own load: the `endpoint-load-metrics` field of an answer (Open Request Cost Aggregation).
//!
//! Read in its text form, `TEXT cpu_utilization=0.3,rps_fractional=120`, and its JSON form, `JSON {"cpu_utilization":0.3}`;
//! the binary form is not. From it follows a weight (gRPC A58): queries a second divided by utilization, where each
//! failed query counts as if it had used the whole pod.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderName;
use serde::Deserialize;

/// The field.
pub(crate) const ENDPOINT_LOAD_METRICS: HeaderName = HeaderName::from_static("endpoint-load-metrics");
/// A58's `error_utilization_penalty`.
const ERROR_PENALTY: f64 = 1.0;
/// A58's `weight_expiration_period`, in milliseconds.
const EXPIRES_MS: u64 = 180_000;
/// A58's `blackout_period`, in milliseconds: the first reports of a pod are not believed.
const BLACKOUT_MS: u64 = 10_000;
/// Longer than this is no report.
const MOST_BYTES: usize = 4_096;

/// One report, as far as weights need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    #[serde(alias = "rpsFractional")]
    rps_fractional: f64,
    eps: f64,
    #[serde(alias = "cpuUtilization")]
    cpu_utilization: f64,
    #[serde(alias = "applicationUtilization")]
    application_utilization: f64,
}

impl Report {
    /// Reads the field's value; `None` when it is in no form that is known. Names that weights do not need are skipped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (form, rest) = text.trim().split_once(' ').filter(|_| text.len() <= MOST_BYTES)?;
        match form {
            "TEXT" => Self::of_text(rest),
            "JSON" => serde_json::from_str(rest).ok(),
            _ => None,
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let mut report = Self::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=')?;
            let value: f64 = value.trim().parse().ok()?;
            match name.trim() {
                "rps_fractional" => report.rps_fractional = value,
                "eps" => report.eps = value,
                "cpu_utilization" => report.cpu_utilization = value,
                "application_utilization" => report.application_utilization = value,
                _ => {}
            }
        }
        Some(report)
    }

    /// `qps / (utilization + eps / qps · penalty)`, with the application's own utilization where it tells one; `None`
    /// when that is no positive number.
    #[expect(clippy::cast_possible_truncation, reason = "a weight")]
    pub(crate) fn weight(self) -> Option<f32> {
        let own = self.application_utilization;
        let utilization = if own > 0.0 { own } else { self.cpu_utilization };
        let errors = if self.rps_fractional > 0.0 { self.eps.max(0.0) / self.rps_fractional } else { 0.0 };
        let weight = (self.rps_fractional / errors.mul_add(ERROR_PENALTY, utilization)) as f32;
        (self.rps_fractional > 0.0 && utilization > 0.0 && weight.is_normal() && weight > 0.0).then_some(weight)
    }
}

/// A pod's newest weight: `f32` bits, and when it came in units of 1,024 ms; and when its reports began.
#[derive(Debug, Default)]
pub(super) struct Reported {
    weight: AtomicU64,
    since_ms: AtomicU64,
}

impl Reported {
    /// Takes a report's weight.
    pub(super) fn note(&self, weight: f32, now_ms: u64) {
        if self.age(now_ms).is_none_or(|age| age >= EXPIRES_MS) {
            self.since_ms.store(now_ms.max(1), Ordering::Relaxed);
        }
        self.weight.store(u64::from(weight.to_bits()) << 32 | (now_ms >> 10) & 0xffff_ffff, Ordering::Relaxed);
    }

    fn age(&self, now_ms: u64) -> Option<u64> {
        let word = self.weight.load(Ordering::Relaxed);
        (word != 0).then(|| now_ms.saturating_sub((word & 0xffff_ffff) << 10))
    }

    /// The weight, while it is believed.
    #[allow(clippy::cast_possible_truncation, reason = "half of a word")]
    pub(super) fn read(&self, now_ms: u64) -> Option<f32> {
        let age = self.age(now_ms)?;
        let since = self.since_ms.load(Ordering::Relaxed);
        let believed = age < EXPIRES_MS && now_ms.saturating_sub(since) >= BLACKOUT_MS;
        believed.then(|| f32::from_bits((self.weight.load(Ordering::Relaxed) >> 32) as u32))
    }
}

/// How much more or less than the average such a pod gets, 0.1 to 10, from the weights of all; 1 for one that reports
/// nothing, and for all when fewer than two report.
pub(crate) fn relative(own: Option<f32>, sum: f32, count: u16) -> f32 {
    match own {
        Some(own) if count >= 2 && sum > 0.0 => (own * f32::from(count) / sum).clamp(0.1, 10.0),
        _ => 1.0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reports_become_weights() {
        for (text, expected) in [
            ("TEXT rps_fractional=100,cpu_utilization=0.5", Some(200.0)),
            (
                "TEXT rps_fractional=100, cpu_utilization=0.9, application_utilization=0.5, mem_utilization=0.1",
                Some(200.0),
            ),
            ("TEXT rps_fractional=100,eps=50,cpu_utilization=0.5,named_metrics.queue=7", Some(100.0)),
            (r#"JSON {"rps_fractional": 100, "cpu_utilization": 0.5, "named_metrics": {"queue": 7}}"#, Some(200.0)),
            (r#"JSON {"rpsFractional": 100, "applicationUtilization": 0.25, "cpuUtilization": 0.9}"#, Some(400.0)),
            ("TEXT cpu_utilization=0.5", None),
            ("TEXT rps_fractional=100", None),
            ("TEXT rps_fractional=NaN,cpu_utilization=0.5", None),
            ("TEXT rps_fractional=-1,cpu_utilization=0.5", None),
            ("TEXT rps_fractional", None),
            ("JSON {", None),
            ("BIN CAE=", None),
            ("cpu_utilization=0.5", None),
            ("", None),
        ] {
            assert_eq!(Report::parse(text).and_then(Report::weight), expected, "{text}");
        }
    }

    #[test]
    fn the_first_seconds_and_what_is_old_do_not_count() {
        let reported = Reported::default();
        assert_eq!(reported.read(1_000_000), None);
        reported.note(5.0, 1_000_000);
        assert_eq!(reported.read(1_009_000), None, "blackout");
        reported.note(7.0, 1_010_000);
        assert_eq!(reported.read(1_010_000), Some(7.0));
        assert_eq!(reported.read(1_180_000), Some(7.0));
        assert_eq!(reported.read(1_195_000), None, "expired");
        reported.note(9.0, 1_200_000);
        assert_eq!(reported.read(1_201_000), None, "and the blackout begins anew");
    }

    proptest::proptest! {
        #[test]
        fn nothing_a_pod_says_is_worse_than_a_tenth_or_better_than_tenfold(
            text in ".{0,60}", weights in proptest::collection::vec(1e-6..1e12_f32, 2..9),
        ) {
            let weight = Report::parse(&text).and_then(Report::weight);
            proptest::prop_assert!(weight.is_none_or(|w| w.is_finite() && w > 0.0));
            let (sum, count) = (weights.iter().sum(), u16::try_from(weights.len()).unwrap());
            for own in &weights {
                proptest::prop_assert!((0.1..=10.0).contains(&relative(Some(*own), sum, count)));
            }
        }
    }
}
