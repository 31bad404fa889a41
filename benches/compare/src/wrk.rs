//! The client: wrk, closed loop. Its latencies hide stalls and are not used; its count of answers is.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What one measurement got.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// Good answers.
    pub good: u64,
    /// Per second.
    pub per_second: f64,
}

/// Asks for bodies of that size for some seconds.
///
/// # Errors
/// When wrk is missing, or an answer was bad.
pub fn ask(at: SocketAddr, body: usize, connections: u32, seconds: u32) -> Result<Answers> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "wrk", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    let out = command.arg(format!("http://{at}/{body}")).output().context("starting wrk (Debian package wrk)")?;
    let text = String::from_utf8_lossy(&out.stdout);
    if let Some(line) = text.lines().find(|l| l.contains("Non-2xx") || l.contains("Socket errors")) {
        bail!("{at}: {}", line.trim());
    }
    let good =
        text.lines().find(|l| l.contains(" requests in ")).and_then(|l| l.split_whitespace().next()?.parse().ok());
    let rate = text.lines().find_map(|l| l.strip_prefix("Requests/sec:")?.trim().parse().ok());
    match (good, rate) {
        (Some(good), Some(per_second)) if good > 0 => Ok(Answers { good, per_second }),
        _ => bail!("wrk said nothing of {at}: {}", String::from_utf8_lossy(&out.stderr).trim()),
    }
}
