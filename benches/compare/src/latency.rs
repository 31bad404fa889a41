//! Latency: an open loop through each peer, and how it differs from the floor's in the same round.
//!
//! Not from the same without a proxy: client and pod share a CPU, and without a proxy between them on the other one each waits for
//! the other's turn, so that every proxy would seem to take latency away.

use std::time::Duration;

use anyhow::Result;

use crate::Run;
use crate::client::{Client, Outcome, Pace};
use crate::load::Load;
use crate::peers::Peer;
use crate::report::median;
use crate::rounds;

/// Latency at one rate.
#[derive(Debug)]
pub struct Table {
    /// In percent of what the slowest peer could do.
    pub share: u32,
    /// Requests per second.
    pub rate: f64,
    /// What was seen through each peer.
    pub rows: Vec<Row>,
}

/// What was seen through one peer.
#[derive(Debug, Default)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Of all requests.
    pub through: Quantiles,
    /// The same minus the floor's.
    pub added: Quantiles,
    /// Why it has no figures, or no more of them.
    pub trouble: Option<String>,
}

/// In microseconds, one entry for each round.
#[derive(Debug, Default)]
pub struct Quantiles {
    /// Half is faster.
    pub p50: Vec<f64>,
    /// One in a hundred is slower.
    pub p99: Vec<f64>,
}

/// Measures at every rate that was asked for, if that load is one whose latency was asked for.
pub fn measure(run: &Run, peers: &[Peer], load: Load, rows: &[rounds::Row]) -> Result<Vec<Table>> {
    let wanted = run.latency_bodies.contains(&load.body) && run.latency_connections.contains(&load.connections);
    let slowest = rows.iter().filter(|r| r.trouble.is_none()).map(|r| median(&r.rates)).fold(f64::INFINITY, f64::min);
    if !wanted || !slowest.is_finite() {
        return Ok(Vec::new());
    }
    let shares = run.shares.iter().filter(|s| **s > 0);
    shares.map(|&share| table(run, peers, load, share, slowest * f64::from(share) / 100.0)).collect()
}

fn table(run: &Run, peers: &[Peer], load: Load, share: u32, rate: f64) -> Result<Table> {
    eprintln!("  latency at {rate:.0} requests a second");
    let row = |p: &Peer| Row { name: p.name, ..Row::default() };
    let mut rows: Vec<Row> = peers.iter().map(row).collect();
    for _ in 0..run.rounds {
        let mut floor = None;
        for (row, peer) in rows.iter_mut().zip(peers) {
            if row.trouble.is_some() {
                continue;
            }
            match ask(run, peer.at, load, rate) {
                Ok(through) => {
                    row.through.add(&through, None);
                    if peer.name == "floor" {
                        floor = Some(through);
                    } else if let Some(floor) = &floor {
                        row.added.add(&through, Some(floor));
                    }
                }
                Err(error) => row.trouble = Some(format!("{error:#}")),
            }
        }
    }
    Ok(Table { share, rate, rows })
}

fn ask(run: &Run, at: std::net::SocketAddr, load: Load, rate: f64) -> Result<Outcome> {
    let mut client = Client::open(at, load)?;
    client.run(Pace::Open(rate), Duration::from_secs_f64(run.latency_seconds / 5.0))?;
    client.run(Pace::Open(rate), Duration::from_secs_f64(run.latency_seconds))
}

impl Quantiles {
    fn add(&mut self, outcome: &Outcome, minus: Option<&Outcome>) {
        let one = |q| outcome.micros(q) - minus.map_or(0.0, |m| m.micros(q));
        self.p50.push(one(0.5));
        self.p99.push(one(0.99));
    }
}
