//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks again until there is an answer. Errors count as not yet; the last one is in the message when the limit is over.
///
/// # Errors
/// When there was no answer within the limit.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    let mut last = String::new();
    loop {
        match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(e) => last = format!("; last error: {e:#}"),
        }
        if Instant::now() >= end {
            bail!("{what}: not within {} s{last}", limit.as_secs());
        }
        pause(Duration::from_millis(400));
    }
}

/// Lets time pass, where the time itself is the point: a fault is being watched.
pub fn pause(time: Duration) {
    // Nothing here is asynchronous.
    #[allow(clippy::disallowed_methods)]
    std::thread::sleep(time);
}
