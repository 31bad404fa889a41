//! The proxies that are compared, each with the configuration it runs with: one worker, keep-alive on both sides, no access
//! log, what health checking and metrics it has by default. How each one is told is below.

mod envoy;
mod floor;
mod haproxy;
mod hyper;
mod nginx;
mod pingora;
mod strait;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::client::{Client, Pace};
use crate::load::{Load, Protocol};
use crate::process::{Process, free};
use crate::{Run, certificates, family};

/// How long a proxy may take until it carries a first request.
const START: Duration = Duration::from_secs(30);

/// A running proxy, or the two of it that make two hops.
pub struct Peer {
    /// Its row.
    pub name: &'static str,
    /// What it says it is, and what is special about this row.
    pub version: String,
    /// Where clients find it.
    pub at: SocketAddr,
    /// What it was told, without keys and certificates.
    pub configurations: Vec<String>,
    processes: Vec<Process>,
}

impl Peer {
    /// CPU time that all of its processes have used.
    pub fn used(&self) -> Duration {
        self.processes.iter().map(|p| family::used(p.id())).sum()
    }

    /// Memory that all of its processes have of their own, in bytes.
    pub fn memory(&self) -> u64 {
        self.processes.iter().map(|p| family::memory(p.id())).sum()
    }

    /// The ids of the processes that were started for it.
    pub fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }
}

/// What one is started for.
struct Order<'a> {
    run: &'a Run,
    protocol: Protocol,
    /// A folder of its own.
    folder: PathBuf,
    /// Where certificates for two hops are.
    certificates: &'a Path,
    /// Where clients will look for it.
    at: SocketAddr,
    /// Where the first of two hops finds the second.
    between: SocketAddr,
    /// Where the pods are.
    pod: SocketAddr,
}

/// How one is started.
struct Recipe {
    program: OsString,
    arguments: Vec<String>,
    /// Accepts connections there once it runs.
    at: SocketAddr,
    /// What it is told, for the report.
    configuration: String,
}

/// What is started for one row, the one that clients talk to last.
struct Meal {
    version: String,
    recipes: Vec<Recipe>,
}

/// A peer that could not be started, and why.
pub type Missing = (&'static str, String);

type Cook = fn(&Order<'_>) -> Result<Meal>;

const ALL: [(&str, Cook); 7] = [
    ("floor", floor::cook),
    ("hyper", hyper::cook),
    ("nginx", nginx::cook),
    ("haproxy", haproxy::cook),
    ("envoy", envoy::cook),
    ("pingora", pingora::cook),
    ("strait", strait::cook),
];

/// Starts all that are wanted and installed, on CPU 0. Of the others it returns the name and why they are missing.
pub fn start(run: &Run, protocol: Protocol, folder: &Path, pod: SocketAddr) -> Result<(Vec<Peer>, Vec<Missing>)> {
    let wanted = |name: &str| name == "floor" || run.only.is_empty() || run.only.iter().any(|p| p == name);
    let certificates = folder.join("certificates");
    certificates::write(&certificates)?;
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for (name, cook) in ALL.into_iter().filter(|(name, _)| wanted(name)) {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let (at, between) = (free()?, free()?);
        let order = Order { run, protocol, folder, certificates: &certificates, at, between, pod };
        match cook(&order).and_then(|meal| serve(name, &order, meal)) {
            Ok(peer) => peers.push(peer),
            Err(error) if name == "floor" => return Err(error),
            Err(error) => {
                eprintln!("MISSING: {name}, {}: {error:#}", protocol.title());
                missing.push((name, format!("{error:#}")));
            }
        }
    }
    Ok((peers, missing))
}

fn serve(name: &'static str, order: &Order<'_>, meal: Meal) -> Result<Peer> {
    let mut peer =
        Peer { name, version: meal.version, at: order.at, configurations: Vec::new(), processes: Vec::new() };
    for recipe in meal.recipes {
        let log = order.folder.join(format!("{}.log", peer.processes.len()));
        peer.processes.push(Process::start(0, &recipe.program, &recipe.arguments, recipe.at, &log)?);
        peer.configurations.push(recipe.configuration);
    }
    let load = Load { speech: order.protocol.speech(), body: 128, connections: 1, streams: 1 };
    let end = Instant::now() + START;
    while let Err(error) = Client::open(peer.at, load).and_then(|mut c| c.run(Pace::Closed, Duration::from_millis(50)))
    {
        if Instant::now() > end {
            return Err(error);
        }
    }
    Ok(peer)
}

/// The first line a program prints of its version.
fn said(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let out = Command::new(program).args(arguments).output().with_context(|| format!("no {}", program.display()))?;
    let text = [out.stdout, out.stderr].concat();
    Ok(String::from_utf8_lossy(&text).lines().find(|l| !l.trim().is_empty()).unwrap_or_default().trim().to_owned())
}

/// The version of a crate, as a lock file has it.
fn locked<'a>(lock: &'a str, name: &str) -> &'a str {
    let after = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).map_or("?", |(_, rest)| rest);
    after.split('"').next().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_files_tell_versions() {
        for (lock, name, begins) in [(hyper::LOCK, "hyper", "1."), (pingora::LOCK, "pingora-proxy", "0.")] {
            assert!(locked(lock, name).starts_with(begins), "{name} {}", locked(lock, name));
        }
    }
}
