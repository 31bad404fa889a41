//! The order of measurements: every peer in turn, then all again.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Process, free};
use crate::{Run, cpu, peers, wrk};

/// One load, and what every peer made of it.
#[derive(Debug)]
pub struct Table {
    /// Connections of the client.
    pub connections: u32,
    /// Bytes of a body.
    pub body: usize,
    /// In the order of measurement; the floor first.
    pub rows: Vec<Row>,
}

/// One peer, one entry for each round.
#[derive(Debug, Default)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What it says it is.
    pub version: String,
    /// CPU time of a request, in microseconds.
    pub micros: Vec<f64>,
    /// Requests per second.
    pub rates: Vec<f64>,
    /// CPU time relative to the floor's of the same round.
    pub ratios: Vec<f64>,
}

/// Measures everything that was asked for.
pub fn measure(run: &Run) -> Result<Vec<Table>> {
    let folder = tempfile::Builder::new().prefix("strait-compare-").tempdir()?;
    let at = free()?;
    let own = std::env::current_exe()?;
    let _responder = Process::start(1, own.as_os_str(), &["responder".into(), at.to_string()], at)?;
    let peers = peers::start(run, folder.path(), at)?;
    let mut tables = Vec::new();
    for &body in &run.bodies {
        for &connections in &run.connections {
            eprintln!("{body} bytes, {connections} connections: {} rounds of {} s", run.rounds, run.seconds);
            tables.push(table(run, &peers, body, connections)?);
        }
    }
    Ok(tables)
}

fn table(run: &Run, peers: &[peers::Peer], body: usize, connections: u32) -> Result<Table> {
    let new = |p: &peers::Peer| Row { name: p.name, version: p.version.clone(), ..Row::default() };
    let mut rows: Vec<Row> = peers.iter().map(new).collect();
    for round in 0..=run.rounds {
        let mut floor = None;
        for (row, peer) in rows.iter_mut().zip(peers) {
            // The first round warms pools and caches and is shorter.
            let seconds = if round == 0 { 1 } else { run.seconds };
            let before = cpu::used(peer.id());
            let answers = wrk::ask(peer.at, body, connections, seconds).with_context(|| peer.name)?;
            let micros = spent(before, cpu::used(peer.id())) / answers.good as f64;
            if round > 0 {
                row.micros.push(micros);
                row.rates.push(answers.per_second);
                row.ratios.push(micros / *floor.get_or_insert(micros));
            }
        }
    }
    Ok(Table { connections, body, rows })
}

fn spent(before: Duration, after: Duration) -> f64 {
    after.saturating_sub(before).as_secs_f64() * 1e6
}
