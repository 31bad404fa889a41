//! How much of this machine's time others took: on a virtual one the host may give its cores to somebody else.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

/// The part of all time beyond which a fault under load cannot be judged: with a twentieth gone, several dozens of processes on
/// two cores stand still for seconds at a time.
const TOO_MUCH: f64 = 0.05;

/// What the kernel has counted so far, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    pub fn now() -> Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        Self::parse(&text).context("no line of all CPUs in /proc/stat")
    }

    /// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`, as proc(5) has it; guests are among the users.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|l| l.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).map(|w| w.parse().ok()).collect::<Option<_>>()?;
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// The part of the time since then that was stolen, 0–1.
    #[allow(clippy::cast_precision_loss)]
    pub fn stolen_since(self, then: Self) -> f64 {
        self.stolen.saturating_sub(then.stolen) as f64 / self.all.saturating_sub(then.all).max(1) as f64
    }
}

/// Why what was seen since then cannot be judged, if it cannot.
pub fn too_much_since(then: Ticks) -> Result<Option<String>> {
    let part = Ticks::now()?.stolen_since(then);
    Ok((part > TOO_MUCH).then(|| format!("{:.0} % of this machine's time went to others", part * 100.0)))
}

/// Waits until others leave this machine alone, at most for two minutes.
pub fn wait_for_calm() {
    let calm = wait::until("others leave this machine alone", Duration::from_secs(120), || {
        let then = Ticks::now()?;
        wait::pause(Duration::from_secs(5));
        Ok(too_much_since(then)?.is_none().then_some(()))
    });
    if let Err(e) = calm {
        println!("  {e:#}; on with it all the same");
    }
}
