//! Until when a request is worth working for.
//!
//! Three limits meet: the configured time until an answer begins, a gRPC client's own `grpc-timeout`, and what another
//! cluster's proxy has left (`x-strait-deadline-ms`). What is left goes along with every attempt, so that neither a pod
//! nor a gateway works for a caller that has given up.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::hygiene;

/// gRPC over HTTP/2: how long the client waits for the whole call.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Digits that a `grpc-timeout` may have.
const DIGITS: usize = 8;
const MOST: u128 = 100_000_000 - 1;
/// The longest that a policy grants an answer to begin in; another cluster's proxy is not given more.
const LONGEST: Duration = Duration::from_secs(3_600);
/// No proxy has this much time left.
const ABSURD: Duration = Duration::from_secs(365 * 24 * 3_600);

/// A request's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    began: Instant,
    /// Until an answer must have begun.
    at: Instant,
    /// The end of the whole call, answer and all, as a gRPC client wants it.
    call: Option<Instant>,
}

impl Deadline {
    /// Of a request that came at `began`: within `limit`, and within the client's `grpc-timeout` if there is a well-formed
    /// one. One that is malformed is not ours to judge: it is passed on as it came.
    pub(crate) fn new(began: Instant, limit: Duration, headers: &HeaderMap, grpc: bool) -> Self {
        let call = if grpc { headers.get(GRPC_TIMEOUT).and_then(parse) } else { None };
        let at = began + call.map_or(limit, |call| call.min(limit));
        Self { began, at, call: call.map(|call| began + call) }
    }

    /// The same for a request of another cluster's proxy: what that has left counts in place of the own limit, if it says. It
    /// follows its own policy, which may grant more or less than this daemon is set to.
    pub(crate) fn carried(self, headers: &HeaderMap) -> Self {
        let left =
            headers.get(hygiene::DEADLINE).and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_millis);
        // An absurd number is as good as none.
        let left = left.filter(|left| *left < ABSURD).map(|left| self.began + left.min(LONGEST));
        Self { at: left.map_or(self.at, |at| self.within_call(at)), ..self }
    }

    /// The same, for a request whose body took until then to come.
    pub(crate) const fn complete_at(self, now: Instant) -> Self {
        Self { began: now, ..self }
    }

    /// That moment, or the end of the call if a client wants it sooner.
    pub(crate) fn within_call(&self, moment: Instant) -> Instant {
        self.call.map_or(moment, |call| call.min(moment))
    }

    /// When the request was ready to be sent.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// Until when an answer must have begun.
    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    /// Tells a pod or gateway that is asked now how long a gRPC client will wait; no clock is read for other requests.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(call) = self.call {
            headers.insert(GRPC_TIMEOUT, format(call.saturating_duration_since(Instant::now())));
        }
    }

    /// Tells a gateway that is asked now how long an answer is waited for.
    pub(crate) fn tell_gateway(&self, headers: &mut HeaderMap) {
        let left = self.at.saturating_duration_since(Instant::now()).as_millis();
        headers.insert(hygiene::DEADLINE, HeaderValue::from(u64::try_from(left).unwrap_or(u64::MAX)));
    }
}

/// Whether an attempt with that much time left can bring an answer over that distance.
pub(crate) fn worth_beginning(left: Duration, rtt: Duration) -> bool {
    left > rtt
}

/// `1*8DIGIT` and a unit (gRPC over HTTP/2, Timeout); `None` when malformed.
fn parse(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |all, digit| all * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3_600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// In the finest unit that eight digits hold, rounded down: the pod gives up no later than the client.
fn format(left: Duration) -> HeaderValue {
    let units =
        [('n', left.as_nanos()), ('u', left.as_micros()), ('m', left.as_millis()), ('S', left.as_secs().into())];
    let (unit, number) = units.into_iter().find(|(_, number)| *number <= MOST).unwrap_or(('S', MOST));
    HeaderValue::try_from(format!("{number}{unit}")).expect("digits and a letter")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).unwrap()
    }

    #[test]
    fn timeouts_are_read_in_all_units() {
        for (text, expected) in [
            ("2H", Some(Duration::from_secs(7_200))),
            ("3M", Some(Duration::from_secs(180))),
            ("10S", Some(Duration::from_secs(10))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("0S", Some(Duration::ZERO)),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("10", None),
            ("10s", None),
            ("-1S", None),
            ("1.5S", None),
            ("1 S", None),
        ] {
            assert_eq!(parse(&value(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_left_goes_along() {
        for (left, text) in [
            (Duration::from_nanos(5), "5n"),
            (Duration::from_millis(99), "99000000n"),
            (Duration::from_millis(250), "250000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(u64::MAX), "99999999S"),
            (Duration::ZERO, "0n"),
        ] {
            assert_eq!(format(left), text, "{left:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_of_all_limits_counts() {
        let (began, limit) = (Instant::now(), Duration::from_secs(30));
        let with = |name: HeaderName, text: &str| HeaderMap::from_iter([(name, value(text))]);
        let left = |deadline: Deadline| deadline.at() - began;
        for (what, headers, grpc, expected) in [
            ("nothing said", HeaderMap::new(), true, limit),
            ("a gRPC client's limit", with(GRPC_TIMEOUT, "2S"), true, Duration::from_secs(2)),
            ("a long one", with(GRPC_TIMEOUT, "1H"), true, limit),
            ("a malformed one", with(GRPC_TIMEOUT, "soon"), true, limit),
            ("not a gRPC request", with(GRPC_TIMEOUT, "2S"), false, limit),
            ("what the other proxy has left", with(hygiene::DEADLINE, "700"), false, Duration::from_millis(700)),
            ("more than there is here", with(hygiene::DEADLINE, "70000"), false, Duration::from_secs(70)),
            ("more than any policy grants", with(hygiene::DEADLINE, "7000000"), false, LONGEST),
            ("an absurd number", with(hygiene::DEADLINE, "18446744073709551615"), false, limit),
            ("no number", with(hygiene::DEADLINE, "x"), false, limit),
        ] {
            let deadline = Deadline::new(began, limit, &headers, grpc).carried(&headers);
            assert_eq!(left(deadline), expected, "{what}");
        }
        let mut told = with(GRPC_TIMEOUT, "1H");
        let deadline = Deadline::new(began, limit, &told, true);
        tokio::time::advance(Duration::from_secs(10)).await;
        deadline.tell(&mut told);
        assert_eq!(told[GRPC_TIMEOUT], "3590000m", "the whole call, not the wait for its answer");
        deadline.tell_gateway(&mut told);
        assert_eq!(told[hygiene::DEADLINE], "20000");
        let mut plain = HeaderMap::new();
        Deadline::new(began, limit, &plain, true).tell(&mut plain);
        assert!(plain.is_empty(), "no limit is invented");
    }

    #[test]
    fn an_attempt_that_cannot_return_in_time_is_not_begun() {
        let ms = Duration::from_millis;
        for (left, rtt, expected) in [(60, 65, false), (70, 65, true), (1, 0, true), (0, 0, false)] {
            assert_eq!(worth_beginning(ms(left), ms(rtt)), expected, "{left} {rtt}");
        }
    }

    proptest::proptest! {
        /// What is told is never more than what is left, and never less by more than a part in ten thousand and a nanosecond.
        #[test]
        fn telling_rounds_down_and_little(nanos in 0..10_u64.pow(17)) {
            let left = Duration::from_nanos(nanos);
            let read = parse(&format(left)).unwrap();
            proptest::prop_assert!(read <= left && left - read <= left / 10_000);
        }
    }
}
