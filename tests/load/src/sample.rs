//! What is known about one request, and the line it becomes.

use std::fmt;
use std::str::FromStr;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The expected answer.
    Ok,
    /// The connection was refused.
    Refused,
    /// The connection was reset, before or during the answer.
    Reset,
    /// The connection was closed in an orderly way before the answer was complete.
    Closed,
    /// The kernel knows no way there.
    Unreachable,
    /// No connection within the limit.
    ConnectTimeout,
    /// A connection, but no complete answer within the limit.
    AnswerTimeout,
    /// An answer whose status is not 2xx.
    Status,
    /// A 2xx answer with another body than expected.
    Body,
    /// The name was not resolved, or not within the limit.
    Dns,
    /// The client itself could not begin in time, or stalled meanwhile; says nothing about the target.
    Late,
    /// Anything else, such as an answer that is not HTTP.
    Other,
}

impl Kind {
    const ALL: [(Self, &'static str); 12] = [
        (Self::Ok, "ok"),
        (Self::Refused, "refused"),
        (Self::Reset, "reset"),
        (Self::Closed, "closed"),
        (Self::Unreachable, "unreachable"),
        (Self::ConnectTimeout, "connect-timeout"),
        (Self::AnswerTimeout, "answer-timeout"),
        (Self::Status, "status"),
        (Self::Body, "body"),
        (Self::Dns, "dns"),
        (Self::Late, "late"),
        (Self::Other, "other"),
    ];

    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(k, _)| *k == self).map_or("other", |(_, word)| word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was due, in microseconds since the epoch.
    pub start_us: u64,
    /// From when it was due to its end, in microseconds.
    pub latency_us: u64,
    /// How it ended.
    pub kind: Kind,
    /// HTTP status, 0 when there was none.
    pub status: u16,
    /// The value of `x-strait-served-by`; of `x-strait-error` on the proxy's own errors; or the body's first word where bodies
    /// tell; `-` when unknown.
    pub served_by: String,
    /// Whether it went over a connection that had carried a request before.
    pub kept: bool,
    /// Index of the target on the command line.
    pub target: usize,
}

impl Sample {
    /// Microseconds since the epoch at which it ended.
    #[must_use]
    pub fn end_us(&self) -> u64 {
        self.start_us + self.latency_us
    }

    /// Whether it got what it came for.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.kind == Kind::Ok
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start_us, latency_us, kind, status, served_by, kept, target } = self;
        let kept = if *kept { "kept" } else { "new" };
        write!(f, "{start_us}\t{latency_us}\t{kind}\t{status}\t{served_by}\t{kept}\t{target}")
    }
}

/// A line that is not a sample; the last line of a file that is being written may be one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a sample: {0:?}")]
pub struct SampleError(String);

impl FromStr for Sample {
    type Err = SampleError;

    fn from_str(line: &str) -> Result<Self, SampleError> {
        parse(line).ok_or_else(|| SampleError(line.chars().take(120).collect()))
    }
}

fn parse(line: &str) -> Option<Sample> {
    let mut words = line.split('\t');
    let sample = Sample {
        start_us: words.next()?.parse().ok()?,
        latency_us: words.next()?.parse().ok()?,
        kind: words.next().and_then(|w| Kind::ALL.iter().find(|(_, word)| *word == w)).map(|(k, _)| *k)?,
        status: words.next()?.parse().ok()?,
        served_by: words.next()?.to_owned(),
        kept: match words.next()? {
            "kept" => true,
            "new" => false,
            _ => return None,
        },
        target: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(sample)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_the_sample_says() {
        for (kind, word) in Kind::ALL {
            let sample = Sample {
                start_us: 1_763_900_000_000_001,
                latency_us: 1234,
                kind,
                status: 200,
                served_by: "us-west".to_owned(),
                kept: true,
                target: 1,
            };
            assert!(sample.to_string().contains(word));
            assert_eq!(sample.to_string().parse::<Sample>().unwrap(), sample);
        }
    }

    #[test]
    fn half_a_line_is_no_sample() {
        assert!("1763900000000001\t12\tok\t200\tus-w".parse::<Sample>().is_err());
        assert!("".parse::<Sample>().is_err());
        assert!("1\t2\tfine\t200\t-\tnew\t0".parse::<Sample>().is_err());
    }
}
