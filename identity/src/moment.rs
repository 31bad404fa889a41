//! Conversions between the clocks of std, rustls and X.509, and the one way a time is printed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use time::OffsetDateTime;

/// `2026-11-23T15:21:00Z`; a time no calendar holds is printed as seconds since 1970.
pub(crate) fn utc(at: SystemTime) -> String {
    let seconds = seconds(at);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(t) => format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        ),
        Err(_) => format!("{seconds} s since 1970"),
    }
}

/// Whole seconds since 1970, rounded towards 1970; saturates.
pub(crate) fn seconds(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// The time that many seconds after (or before) 1970; what the platform's clock cannot hold becomes 1970.
pub(crate) fn from_seconds(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let at = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    at.unwrap_or(UNIX_EPOCH)
}

/// rustls' time as std's.
pub(crate) fn from_unix(at: UnixTime) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(at.as_secs())).unwrap_or(UNIX_EPOCH)
}

/// Std's time as rustls'; times before 1970 become 1970, which no certificate in use reaches back to.
pub(crate) fn to_unix(at: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_utc() {
        assert_eq!(utc(UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert_eq!(utc(from_seconds(1_795_447_260)), "2026-11-23T15:21:00Z");
        assert_eq!(utc(from_seconds(-1)), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn absurd_times_do_not_panic() {
        for s in [i64::MIN, i64::MIN + 1, i64::MAX] {
            let at = from_seconds(s);
            let _ = (utc(at), seconds(at), to_unix(at));
        }
    }
}
