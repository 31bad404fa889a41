//! What a worker's connections read into and write from while one of them is looked at: nobody keeps it over a wait, so
//! that a connection that waits has no buffers of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

/// Bytes of a client's head; a longer one is read by hyper.
pub(super) const HEAD: usize = 8 * 1024;
/// Bytes of an answer that are read at once.
const INPUT: usize = 64 * 1024;

/// One worker's.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(super) input: Box<[u8]>,
    pub(super) output: Vec<u8>,
    pub(super) date: Date,
}

impl Scratch {
    /// What is read into.
    pub(crate) fn input(&mut self) -> &mut [u8] {
        &mut self.input
    }

    /// The time as `Date` has it.
    pub(crate) fn date(&mut self, now: SystemTime) -> HeaderValue {
        self.date.at(now).clone()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self { input: vec![0; INPUT].into(), output: Vec::with_capacity(HEAD), date: Date::default() }
    }
}

/// The time as `Date` has it (RFC 9110 §5.6.7), written once a second.
#[derive(Debug, Default)]
pub(super) struct Date {
    written: Option<(Duration, HeaderValue)>,
}

impl Date {
    /// Of that moment.
    pub(super) fn at(&mut self, now: SystemTime) -> &HeaderValue {
        let second = Duration::from_secs(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let written = self.written.take().filter(|(of, _)| *of == second);
        &self.written.insert(written.unwrap_or_else(|| (second, write(second)))).1
    }
}

fn write(second: Duration) -> HeaderValue {
    let date = httpdate::HttpDate::from(UNIX_EPOCH + second).to_string();
    HeaderValue::try_from(date).expect("letters, digits and spaces")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_of_its_second() {
        let mut date = Date::default();
        let at = |seconds: f64| UNIX_EPOCH + Duration::from_secs_f64(seconds);
        assert_eq!(date.at(at(784_111_777.2)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(at(784_111_777.9)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(at(784_111_778.0)), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
