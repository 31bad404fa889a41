//! Flame graphs of Strait under the loads where another proxy does better: where its CPU time goes.
//!
//! `perf record -e cpu-clock` samples the running processes while the client drives them; `perf script` and the inferno
//! crate make folded stacks and a picture of them.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::Folder;
use inferno::flamegraph::{self, Options};

use crate::client::{Client, Pace};
use crate::peers::Peer;
use crate::report::{self, median};
use crate::rounds::Table;

/// Samples a second; odd, so that it beats with no timer.
const FREQUENCY: &str = "499";
/// How long samples are taken.
const LENGTH: Duration = Duration::from_secs(3);
/// Frames narrower than this share of the picture, in percent, are left out, so that a picture stays small.
const NARROWEST: f64 = 0.1;

/// Profiles Strait under the loads where it loses, the worst first.
pub fn losing(folder: &Path, most: usize, peers: &[Peer], tables: &[Table]) -> Result<()> {
    let Some(strait) = peers.iter().find(|p| p.name == "strait") else { return Ok(()) };
    let mut losing: Vec<(f64, &Table)> = tables.iter().filter_map(|t| Some((behind(t)?, t))).collect();
    losing.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (times, table) in losing.into_iter().take(most) {
        eprintln!("profile of strait: {}, {times:.2} times the best", report::heading(table));
        let name = format!("{:?}-{}-bytes-{}-connections", table.protocol, table.load.body, table.load.connections);
        one(folder, &name.to_lowercase(), strait, table).with_context(|| format!("profile {name}"))?;
    }
    Ok(())
}

/// How many times the best proxy's CPU time Strait takes, when that is more than once.
fn behind(table: &Table) -> Option<f64> {
    let rows = table.rows.iter().filter(|r| r.name != "floor" && !r.micros.is_empty());
    let (strait, others): (Vec<_>, Vec<_>) = rows.partition(|r| r.name == "strait");
    let best = others.iter().map(|r| median(&r.micros)).fold(f64::INFINITY, f64::min);
    strait.first().map(|r| median(&r.micros) / best).filter(|times| *times > 1.0)
}

fn one(folder: &Path, name: &str, strait: &Peer, table: &Table) -> Result<()> {
    fs::create_dir_all(folder)?;
    let scratch = tempfile::tempdir()?;
    let recorded = scratch.path().join("perf.data");
    record(&recorded, strait, table)?;
    let folded = folder.join(format!("{name}.folded"));
    fold(&recorded, &folded, scratch.path())?;
    draw(&folded, &folder.join(format!("{name}.svg")), &format!("Strait: {}", report::heading(table)))
}

fn record(into: &PathBuf, strait: &Peer, table: &Table) -> Result<()> {
    let ids: Vec<String> = strait.ids().iter().map(u32::to_string).collect();
    let mut perf = Command::new("perf");
    perf.args(["record", "-e", "cpu-clock", "-F", FREQUENCY, "--call-graph", "dwarf,32768", "-p", &ids.join(",")]);
    let mut perf = perf.arg("-o").arg(into).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("perf")?;
    let driven = Client::open(strait.at, table.load).and_then(|mut c| c.run(Pace::Closed, LENGTH));
    // It writes what it has when it is interrupted.
    Command::new("kill").args(["-INT", &perf.id().to_string()]).status()?;
    perf.wait()?;
    driven.map(drop)
}

fn fold(recorded: &Path, folded: &Path, scratch: &Path) -> Result<()> {
    let text = scratch.join("script");
    let mut script = Command::new("perf");
    script.args(["script", "--no-inline", "-i"]).arg(recorded).stdout(File::create(&text)?).stderr(Stdio::null());
    if !script.status()?.success() {
        bail!("perf script failed");
    }
    Folder::default().collapse(BufReader::new(File::open(&text)?), File::create(folded)?)?;
    Ok(())
}

fn draw(folded: &Path, picture: &Path, title: &str) -> Result<()> {
    let mut options = Options::default();
    options.title = title.to_owned();
    options.min_width = NARROWEST;
    options.deterministic = true;
    let text = fs::read_to_string(folded)?;
    flamegraph::from_lines(&mut options, text.lines(), File::create(picture)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Load, Protocol, Speech};
    use crate::rounds::Row;

    fn table(rows: &[(&'static str, f64)]) -> Table {
        let row = |(name, micros): &(&'static str, f64)| Row { name, micros: vec![*micros], ..Row::default() };
        let load = Load { speech: Speech::H1, body: 128, connections: 1, streams: 1 };
        Table { protocol: Protocol::H1, load, rows: rows.iter().map(row).collect(), latency: Vec::new() }
    }

    #[test]
    fn losing_is_against_the_best_proxy_and_never_against_the_floor() {
        assert_eq!(behind(&table(&[("floor", 1.0), ("nginx", 4.0), ("envoy", 9.0), ("strait", 6.0)])), Some(1.5));
        assert_eq!(behind(&table(&[("floor", 1.0), ("nginx", 4.0), ("strait", 3.0)])), None);
        assert_eq!(behind(&table(&[("floor", 1.0), ("nginx", 4.0)])), None);
        assert_eq!(behind(&table(&[("floor", 1.0), ("strait", 4.0)])), None);
    }
}
