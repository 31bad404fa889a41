//! The order of measurements: every peer in turn, then all again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::{Client, Pace};
use crate::load::{Load, Protocol};
use crate::peers::{self, Peer};
use crate::process::{Process, free};
use crate::{Run, family, idle, latency, machine, profile};

/// Above this share of CPU 1 the client and the pod are the limit, and a rate says nothing about the proxy.
const FULL: f64 = 0.9;

/// Everything that a run found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What each peer is, once for each that differs: name, version.
    pub versions: Vec<(&'static str, String)>,
    /// What each peer was told, by protocol.
    pub configurations: Vec<(Protocol, &'static str, String)>,
    /// What could not be started.
    pub missing: Vec<(Protocol, peers::Missing)>,
    /// In the order of measurement.
    pub tables: Vec<Table>,
    /// Memory of idle connections.
    pub idle: Vec<idle::Table>,
}

/// One load, and what every peer made of it.
#[derive(Debug)]
pub struct Table {
    /// What is spoken.
    pub protocol: Protocol,
    /// The load.
    pub load: Load,
    /// In the order of measurement; the floor first.
    pub rows: Vec<Row>,
    /// Latency at some rates.
    pub latency: Vec<latency::Table>,
}

/// One peer, one entry for each round.
#[derive(Debug, Default)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// CPU time of a request, in microseconds.
    pub micros: Vec<f64>,
    /// Requests per second.
    pub rates: Vec<f64>,
    /// CPU time relative to the floor's of the same round.
    pub ratios: Vec<f64>,
    /// The client and the pod were the limit in a round.
    pub full: bool,
    /// More connections were made to the pod than keep-alive needs: so many, for so many requests.
    pub reconnects: Option<(u64, u64)>,
    /// Why it has no figures, or no more of them.
    pub trouble: Option<String>,
}

/// Where the pods are, and the process they are in.
pub struct Pods {
    /// Their address.
    pub at: SocketAddr,
    process: Process,
}

/// Measures everything that was asked for.
pub fn measure(run: &Run) -> Result<Findings> {
    machine::settle(1)?;
    let folder = tempfile::Builder::new().prefix("strait-compare-").tempdir()?;
    let at = free()?;
    let own = std::env::current_exe()?;
    let log = folder.path().join("responder.log");
    let process = Process::start(1, own.as_os_str(), &["responder".into(), at.to_string()], at, &log)?;
    let pods = Pods { at, process };
    let mut findings = Findings::default();
    for &protocol in &run.protocols {
        let (peers, missing) = peers::start(run, protocol, &folder.path().join(format!("{protocol:?}")), at)?;
        findings.note(protocol, &peers);
        findings.missing.extend(missing.into_iter().map(|m| (protocol, m)));
        let first = findings.tables.len();
        for load in loads(run, protocol) {
            eprintln!("{}, {} bytes, {} connections", protocol.title(), load.body, load.connections);
            findings.tables.push(table(run, &pods, &peers, protocol, load)?);
        }
        if run.idle > 0 && matches!(protocol, Protocol::H1 | Protocol::H2c) {
            eprintln!("{}, {} idle connections", protocol.title(), run.idle);
            findings.idle.push(idle::measure(run.idle, protocol, &peers)?);
        }
        if let Some(folder) = &run.profile {
            profile::losing(folder, run.profiles, &peers, &findings.tables[first..])?;
        }
    }
    Ok(findings)
}

impl Findings {
    fn note(&mut self, protocol: Protocol, peers: &[Peer]) {
        for peer in peers {
            let version = (peer.name, peer.version.clone());
            if !self.versions.contains(&version) {
                self.versions.push(version);
            }
            self.configurations.push((protocol, peer.name, peer.configurations.join("\n")));
        }
    }
}

/// The loads of a protocol.
fn loads(run: &Run, protocol: Protocol) -> Vec<Load> {
    let speech = protocol.speech();
    let streams = if speech.one_at_a_time() { 1 } else { run.streams };
    let middle = run.connections.iter().copied().min_by_key(|c| c.abs_diff(32));
    let mut loads = Vec::new();
    for (number, &body) in run.bodies.iter().enumerate() {
        for &connections in &run.connections {
            if !run.star || number == 0 || Some(connections) == middle {
                loads.push(Load { speech, body, connections, streams });
            }
        }
    }
    loads
}

fn table(run: &Run, pods: &Pods, peers: &[Peer], protocol: Protocol, load: Load) -> Result<Table> {
    let mut rows: Vec<Row> = peers.iter().map(|p| Row { name: p.name, ..Row::default() }).collect();
    for round in 0..=run.rounds {
        let mut floor = None;
        for (row, peer) in rows.iter_mut().zip(peers) {
            if row.trouble.is_some() {
                continue;
            }
            let length = Duration::from_secs_f64(if round == 0 { run.seconds / 2.0 } else { run.seconds });
            match sample(pods, peer, load, length) {
                // The first round warms pools and caches.
                Ok(_) if round == 0 => {}
                Ok(sample) => {
                    if peer.name == "floor" {
                        floor = Some(sample.micros);
                    }
                    row.add(&sample, floor, load);
                }
                Err(error) => row.trouble = Some(format!("{error:#}")),
            }
        }
    }
    let latency = latency::measure(run, peers, load, &rows)?;
    Ok(Table { protocol, load, rows, latency })
}

/// What one measurement found.
struct Sample {
    /// CPU time of a request, in microseconds.
    micros: f64,
    rate: f64,
    good: u64,
    /// Connections that the pod accepted meanwhile.
    accepts: u64,
    /// The share of CPU 1 that the client and the pod took.
    busy: f64,
}

fn sample(pods: &Pods, peer: &Peer, load: Load, length: Duration) -> Result<Sample> {
    let mut client = Client::open(peer.at, load)?;
    // Connections to the pod are made before anything counts.
    client.run(Pace::Closed, (length / 4).min(Duration::from_millis(200)))?;
    let accepted = pods.accepts()?;
    let (before, around) = (peer.used(), pods.used());
    let outcome = client.run(Pace::Closed, length)?;
    let (spent, busy) = (peer.used().saturating_sub(before), pods.used().saturating_sub(around));
    Ok(Sample {
        micros: spent.as_secs_f64() * 1e6 / outcome.good as f64,
        rate: outcome.per_second(),
        good: outcome.good,
        // One was made to ask.
        accepts: pods.accepts()?.saturating_sub(accepted + 1),
        busy: busy.as_secs_f64() / outcome.took.as_secs_f64(),
    })
}

impl Row {
    fn add(&mut self, sample: &Sample, floor: Option<f64>, load: Load) {
        self.micros.push(sample.micros);
        self.rates.push(sample.rate);
        self.ratios.extend(floor.map(|floor| sample.micros / floor));
        self.full |= sample.busy > FULL;
        // Health checks connect now and then, and a pool may grow to what is under way.
        let kept = 10 + load.at_once() as u64 + sample.good / 100;
        if sample.accepts > kept {
            self.reconnects = Some((sample.accepts, sample.good));
        }
    }
}

impl Pods {
    /// CPU time that they and this process have used.
    fn used(&self) -> Duration {
        family::used_alone(self.process.id()) + family::used_alone(std::process::id())
    }

    /// How many connections they have accepted.
    fn accepts(&self) -> Result<u64> {
        let mut stream = TcpStream::connect(self.at)?;
        stream.write_all(b"GET /accepts HTTP/1.1\r\nhost: pods\r\n\r\n")?;
        let (mut text, mut buffer) = (Vec::new(), [0; 512]);
        while !text.windows(4).any(|w| w == b"\r\n\r\n") || text.ends_with(b"\r\n\r\n") {
            let n = stream.read(&mut buffer)?;
            anyhow::ensure!(n > 0, "the pod said nothing");
            text.extend_from_slice(&buffer[..n]);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        text.rsplit("\r\n").next().and_then(|n| n.parse().ok()).context("the pod's count of connections")
    }
}
