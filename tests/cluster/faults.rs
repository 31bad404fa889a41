//! Faults under load. Each one acts, watches, and judges what the clients saw in that stretch of time.

pub mod agents;
pub mod control;
pub mod exports;
pub mod junk;
pub mod network;
pub mod node;
pub mod pods;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use strait_load::generator::now_us;
use strait_load::sample::Sample;
use strait_load::summary::{Summary, Window, first_answer};

use crate::bounds::{self, Bound};
use crate::clients::{Client, Starved, Stretch};
use crate::stolen::{Ticks, too_much_since};
use crate::table::Row;
use crate::wait::pause;
use crate::world::World;

/// How long the end of a window is, in which answers must come from where they then belong.
const SETTLED_US: u64 = 3_000_000;

/// Where a client's answers come from when the fault shows.
#[derive(Clone, Copy, Debug)]
pub enum Served {
    /// It does not matter.
    Anywhere,
    /// At least once from one of these.
    Sometime(&'static [&'static str]),
    /// In the last three seconds from these only.
    Finally(&'static [&'static str]),
    /// All the time from these only, but for one in a hundred: a request that two pods leave unanswered for a tenth of a second
    /// is hedged to another cluster, as it should be.
    Always(&'static [&'static str]),
}

/// What a fault is expected to show: for the clients of the model server, and for the one of the service elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub model: Served,
    pub tally: Served,
}

/// Acts, watches until `watch` has passed since the act was over, and judges.
///
/// # Errors
/// When more failed than the bound allows, or the fault did not show.
pub fn observe(
    world: &mut World,
    fault: &str,
    expected: Expected,
    watch: Duration,
    act: impl FnOnce(&World) -> Result<()>,
) -> Result<()> {
    let (begin, ticks) = ((now_us(), Instant::now()), Ticks::now()?);
    let acted = act(world);
    pause(watch);
    let stretch = Stretch::since(begin);
    let (mut wrong, mut starved) = (Vec::new(), Vec::new());
    for client in world.clients.clone() {
        let served = if client.is_model() { expected.model } else { expected.tally };
        match client.samples(stretch) {
            Ok(samples) => wrong.extend(judge(world, fault, &client, served, stretch.window, &samples)),
            Err(e) if e.is::<Starved>() => starved.push(format!("{e:#}")),
            Err(e) => wrong.push(format!("{e:#}")),
        }
    }
    acted?;
    if !wrong.is_empty() {
        starved.extend(too_much_since(ticks)?);
    }
    if !starved.is_empty() {
        // What else is wrong may come of it.
        bail!(Starved(starved.into_iter().chain(wrong).collect::<Vec<_>>().join("; ")));
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("; ")) }
}

/// Adds the client's row and says what is wrong with it.
fn judge(
    world: &mut World,
    fault: &str,
    client: &Client,
    served: Served,
    window: Window,
    samples: &[Sample],
) -> Vec<String> {
    let summary = Summary::of(samples);
    let bound = bounds::of(fault, client.name, world.full);
    let mut wrong = Vec::new();
    if let Bound::AtMost(most) = bound
        && summary.lost() > most
    {
        wrong.push(format!("client {}: {} failed where {most} may", client.name, summary.lost()));
    }
    wrong.extend(misplaced(served, window, samples).map(|m| format!("client {}: {m}", client.name)));
    let since = |us: u64| us.saturating_sub(window.from_us) / 1000;
    let right: &[&str] = match served {
        Served::Anywhere => &[],
        Served::Sometime(places) | Served::Finally(places) | Served::Always(places) => places,
    };
    let row = Row {
        fault: fault.to_owned(),
        client: client.name,
        first_ms: first_answer(samples, window.from_us, |s| right.contains(&s.served_by.as_str())).map(since),
        last_failure_ms: summary.last_failure_us.map(since),
        bound: match bound {
            Bound::AtMost(most) => Some(most),
            Bound::Told => None,
        },
        summary,
    };
    println!("  {fault}, {}: {}", client.name, row.summary);
    world.table.add(row);
    wrong
}

/// Says whether answers came from the wrong place.
fn misplaced(served: Served, window: Window, samples: &[Sample]) -> Option<String> {
    let good = || samples.iter().filter(|s| s.is_ok());
    let (places, from_us) = match served {
        Served::Anywhere => return None,
        Served::Sometime(places) => {
            let seen = good().any(|s| places.contains(&s.served_by.as_str()));
            return (!seen).then(|| format!("no answer came from {}: the fault did not show", places.join(" or ")));
        }
        Served::Finally(places) => (places, window.to_us.saturating_sub(SETTLED_US)),
        Served::Always(places) => (places, window.from_us),
    };
    let may = if matches!(served, Served::Always(_)) { samples.len() / 100 } else { 0 };
    let mut elsewhere: Vec<&str> = good()
        .filter(|s| s.start_us >= from_us)
        .map(|s| s.served_by.as_str())
        .filter(|p| !places.contains(p))
        .collect();
    let count = elsewhere.len();
    elsewhere.sort_unstable();
    elsewhere.dedup();
    (count > may)
        .then(|| format!("{count} answers came from {} instead of {}", elsewhere.join(", "), places.join(", ")))
}

/// A stretch of time: the shorter one, or the longer one of a full run.
pub fn seconds(world: &World, short: u64, full: u64) -> Duration {
    Duration::from_secs(if world.full { full } else { short })
}
