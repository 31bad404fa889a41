//! What a stretch of samples says.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::sample::{Kind, Sample};

/// A half-open stretch of time in microseconds since the epoch; a sample belongs to where it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first microsecond inside.
    pub from_us: u64,
    /// The first one after.
    pub to_us: u64,
}

impl Window {
    /// All of time.
    pub const ALL: Self = Self { from_us: 0, to_us: u64::MAX };
}

/// Counts and times of some samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests that were due.
    pub requests: usize,
    /// How many of them did not get what they came for, by how.
    pub failures: BTreeMap<Kind, usize>,
    /// HTTP statuses of the failures that had one, with who or what sent them.
    pub statuses: BTreeMap<String, usize>,
    /// Who answered the good ones.
    pub served_by: BTreeMap<String, usize>,
    /// Latencies of the good ones, sorted, in microseconds.
    latencies_us: Vec<u64>,
    /// When the last failed request ended, in microseconds since the epoch.
    pub last_failure_us: Option<u64>,
}

/// Reads the samples of a stretch from a file. Lines that are not samples are counted, not guessed at; one can be the half
/// of a line that is being written.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path, window: Window) -> std::io::Result<(Vec<Sample>, usize)> {
    let mut samples = Vec::new();
    let mut unread = 0;
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        match String::from_utf8_lossy(&line?).parse::<Sample>() {
            Ok(sample) if (window.from_us..window.to_us).contains(&sample.start_us) => samples.push(sample),
            Ok(_) => {}
            Err(_) => unread += 1,
        }
    }
    Ok((samples, unread))
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Self {
        let mut s = Self { requests: samples.len(), ..Self::default() };
        for sample in samples {
            if sample.is_ok() {
                *s.served_by.entry(sample.served_by.clone()).or_default() += 1;
                s.latencies_us.push(sample.latency_us);
                continue;
            }
            *s.failures.entry(sample.kind).or_default() += 1;
            if sample.status != 0 {
                *s.statuses.entry(format!("{} {}", sample.status, sample.served_by)).or_default() += 1;
            }
            s.last_failure_us = s.last_failure_us.max(Some(sample.end_us()));
        }
        s.latencies_us.sort_unstable();
        s
    }

    /// Failed requests of every kind.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    /// Those that say something about the target.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.failed() - self.failures.get(&Kind::Late).copied().unwrap_or(0)
    }

    /// A quantile of the good requests' latency in microseconds, `q` in 0..=1; `None` without any.
    #[must_use]
    pub fn latency_us(&self, q: f64) -> Option<u64> {
        let last = self.latencies_us.len().checked_sub(1)?;
        // An index below a length that fits in memory.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (last as f64 * q.clamp(0.0, 1.0)).round() as usize;
        self.latencies_us.get(at).copied()
    }
}

/// When the first good answer after a moment came that fits, in microseconds since the epoch.
pub fn first_answer(samples: &[Sample], after_us: u64, fits: impl Fn(&Sample) -> bool) -> Option<u64> {
    let good = samples.iter().filter(|s| s.is_ok() && s.start_us >= after_us && fits(s));
    good.map(Sample::end_us).min()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {} failed", self.requests, self.failed())?;
        for (kind, n) in &self.failures {
            write!(f, ", {kind} {n}")?;
        }
        for (status, n) in &self.statuses {
            write!(f, ", {status}: {n}")?;
        }
        for (who, n) in &self.served_by {
            write!(f, "; {who} {n}")?;
        }
        for (name, q) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            if let Some(us) = self.latency_us(q) {
                write!(f, "; {name} {}.{:03} ms", us / 1000, us % 1000)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample(start_us: u64, latency_us: u64, kind: Kind, served_by: &str) -> Sample {
        let status = if kind == Kind::Status { 503 } else { 200 };
        Sample { start_us, latency_us, kind, status, served_by: served_by.to_owned(), kept: false, target: 0 }
    }

    #[test]
    fn failures_are_counted_by_kind_and_end_with_the_last() {
        let samples = [
            sample(0, 10, Kind::Ok, "a"),
            sample(10, 2000, Kind::AnswerTimeout, "-"),
            sample(20, 5, Kind::Status, "-"),
            sample(30, 30, Kind::Ok, "b"),
        ];
        let s = Summary::of(&samples);
        assert_eq!((s.requests, s.failed()), (4, 2));
        assert_eq!(s.last_failure_us, Some(2010));
        assert_eq!(s.statuses["503 -"], 1);
        assert_eq!((s.served_by["a"], s.served_by["b"]), (1, 1));
        assert_eq!((s.latency_us(0.0), s.latency_us(1.0)), (Some(10), Some(30)));
    }

    #[test]
    fn nothing_has_no_latency() {
        let s = Summary::of(&[]);
        assert_eq!((s.requests, s.failed(), s.latency_us(0.5)), (0, 0, None));
    }

    #[test]
    fn the_first_answer_is_the_one_that_ended_first() {
        let samples = [sample(5, 100, Kind::Ok, "b"), sample(6, 10, Kind::Ok, "b"), sample(7, 1, Kind::Refused, "b")];
        assert_eq!(first_answer(&samples, 5, |s| s.served_by == "b"), Some(16));
        assert_eq!(first_answer(&samples, 7, |s| s.served_by == "b"), None);
    }

    #[test]
    fn only_samples_due_inside_belong_to_a_window() {
        let path = std::env::temp_dir().join(format!("strait-load-window-{}", std::process::id()));
        let lines: String = (0..10).map(|i| format!("{}\n", sample(i, 50, Kind::Ok, "a"))).collect();
        std::fs::write(&path, lines + "11\t5").unwrap();
        let (samples, unread) = read(&path, Window { from_us: 2, to_us: 4 }).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((samples.len(), samples[0].start_us, unread), (2, 2, 1));
    }
}
