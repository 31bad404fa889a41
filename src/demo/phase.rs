//! The figures of one phase, from what the clients saw.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::traffic::{Client, Seen};

/// A phase as it was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its name.
    pub name: &'static str,
    /// Its requests are those due from here on, in microseconds since the epoch.
    pub from_us: u64,
    /// And before here.
    pub to_us: u64,
    /// When its fault happened.
    pub fault_us: u64,
    /// The clusters that should answer after the fault; empty where nothing should move.
    pub targets: Vec<&'static str>,
    /// What distance may add to a good answer of this phase, beyond the steady state.
    pub round_trip: Duration,
}

/// The figures of some requests of a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests that were due.
    pub requests: usize,
    /// Those without a right and complete answer in time.
    pub failed: usize,
    /// Right answers by the cluster whose pod gave them.
    pub served: BTreeMap<String, usize>,
    /// Failed requests by kind.
    pub errors: BTreeMap<String, usize>,
    /// From the fault to the first answer from where it should now come; none where nothing should move.
    pub first_target_ms: Option<f64>,
    /// From the fault to the end of the last failed or slow request; 0 when there was none.
    pub settled_ms: f64,
    /// Median latency of right answers, from when the request was due.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the same.
    pub p99_ms: Option<f64>,
}

/// A phase in the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// Both clients together.
    #[serde(flatten)]
    pub all: Figures,
    /// Each client alone.
    pub clients: BTreeMap<&'static str, Figures>,
}

/// What counts as slow: beyond twice the steady state's p99 plus the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    limit_us: u64,
}

impl Slow {
    /// From the steady state's 99th percentile in milliseconds.
    #[must_use]
    pub fn beyond(steady_p99_ms: f64, round_trip: Duration) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency below the patience")]
        let steady_us = (steady_p99_ms * 2_000.0) as u64;
        Self { limit_us: steady_us + micros(round_trip) }
    }
}

/// The report of a phase. `steady_p99_ms` is none for the steady phase itself, which is then its own measure.
#[must_use]
pub fn report(played: &Played, seen: &[Seen], steady_p99_ms: Option<f64>) -> Report {
    let mine: Vec<&Seen> =
        seen.iter().filter(|s| (played.from_us..played.to_us).contains(&s.sample.start_us)).collect();
    let steady = steady_p99_ms.or_else(|| quantile_ms(&latencies(&mine), 0.99)).unwrap_or(0.0);
    let slow = Slow::beyond(steady, played.round_trip);
    let clients = Client::ALL
        .into_iter()
        .map(|client| {
            let of: Vec<&Seen> = mine.iter().copied().filter(|s| s.client == client).collect();
            (client.name(), figures(played, &of, slow))
        })
        .collect();
    Report { name: played.name, all: figures(played, &mine, slow), clients }
}

fn figures(played: &Played, seen: &[&Seen], slow: Slow) -> Figures {
    let mut figures = Figures { requests: seen.len(), ..Figures::default() };
    let (mut first, mut last_bad) = (None::<u64>, None::<u64>);
    for sample in seen.iter().map(|s| &s.sample) {
        let after_fault = sample.end_us() >= played.fault_us;
        if sample.is_ok() {
            *figures.served.entry(sample.served_by.clone()).or_default() += 1;
            if sample.start_us >= played.fault_us && played.targets.contains(&sample.served_by.as_str()) {
                first = Some(first.map_or_else(|| sample.end_us(), |f| f.min(sample.end_us())));
            }
        } else {
            figures.failed += 1;
            *figures.errors.entry(sample.kind.to_string()).or_default() += 1;
        }
        if after_fault && (!sample.is_ok() || sample.latency_us > slow.limit_us) {
            last_bad = last_bad.max(Some(sample.end_us()));
        }
    }
    let since_fault = |at: u64| millis(at.saturating_sub(played.fault_us));
    figures.first_target_ms = first.map(since_fault);
    figures.settled_ms = last_bad.map_or(0.0, since_fault);
    let latencies = latencies(seen);
    figures.p50_ms = quantile_ms(&latencies, 0.5);
    figures.p99_ms = quantile_ms(&latencies, 0.99);
    figures
}

fn latencies(seen: &[&Seen]) -> Vec<u64> {
    let mut all: Vec<u64> = seen.iter().filter(|s| s.sample.is_ok()).map(|s| s.sample.latency_us).collect();
    all.sort_unstable();
    all
}

/// A quantile of sorted microseconds, in milliseconds.
#[must_use]
pub fn quantile_ms(sorted_us: &[u64], q: f64) -> Option<f64> {
    let last = sorted_us.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index below a length that fits in memory"
    )]
    let at = (last as f64 * q).round() as usize;
    sorted_us.get(at).map(|us| millis(*us))
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds as milliseconds with one decimal.
fn millis(us: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "durations of minutes at most")]
    let tenths = (us as f64 / 100.0).round();
    tenths / 10.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use strait_load::sample::{Kind, Sample};

    use super::*;

    fn seen(client: Client, start_ms: u64, latency_ms: u64, kind: Kind, by: &str) -> Seen {
        let sample = Sample {
            start_us: start_ms * 1000,
            latency_us: latency_ms * 1000,
            kind,
            status: 200,
            served_by: by.into(),
            kept: false,
            target: 0,
        };
        Seen { client, sample }
    }

    fn played() -> Played {
        Played {
            name: "crash",
            from_us: 0,
            to_us: 1_000_000,
            fault_us: 100_000,
            targets: vec!["b"],
            round_trip: Duration::from_millis(65),
        }
    }

    #[test]
    fn figures_count_from_the_fault() {
        let all = [
            seen(Client::New, 0, 1, Kind::Ok, "a"),
            seen(Client::New, 90, 5, Kind::Ok, "a"),
            seen(Client::New, 120, 100, Kind::Refused, "-"),
            seen(Client::KeepAlive, 150, 70, Kind::Ok, "b"),
            seen(Client::New, 160, 67, Kind::Ok, "b"),
            seen(Client::New, 200, 300, Kind::Ok, "b"),
            seen(Client::New, 2_000, 1, Kind::Refused, "-"),
        ];
        let report = report(&played(), &all, Some(5.0));
        assert_eq!((report.all.requests, report.all.failed), (6, 1));
        assert_eq!((report.all.served["a"], report.all.served["b"]), (2, 3));
        assert_eq!(report.all.errors["refused"], 1);
        assert_eq!(report.all.first_target_ms, Some(120.0));
        assert_eq!(report.all.settled_ms, 400.0, "300 ms is slow against 2 × 5 + 65");
        assert_eq!(report.clients["keepalive"].requests, 1);
        assert_eq!(report.clients["keepalive"].settled_ms, 0.0, "70 ms is not slow");
    }

    #[test]
    fn the_report_has_the_names_that_scripts_read() {
        let json = serde_json::to_value(report(&played(), &[], Some(1.0))).unwrap();
        for field in
            ["name", "requests", "failed", "served", "errors", "first_target_ms", "settled_ms", "p50_ms", "p99_ms"]
        {
            assert!(json.get(field).is_some(), "{field}");
        }
        assert!(json["clients"]["new"].get("requests").is_some());
        assert!(json["clients"]["keepalive"].get("p99_ms").is_some());
    }
}
