//! What this process needs of the machine, and what the machine says of itself.

use std::fs;
use std::num::NonZeroU64;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};

/// Lets this process and those it starts open as many files as they may.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With less the run says itself what it could not open.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Keeps this thread on one CPU, and lets it wake when it asked to, not up to 50 µs later.
pub fn settle(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("CPU {cpu} (two CPUs are needed)"))?;
    Ok(set_current_timer_slack(NonZeroU64::new(1))?)
}

/// The CPUs and the kernel.
pub fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m.to_owned()));
    let count = cpuinfo.lines().filter(|l| l.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{count} CPUs, {}, Linux {}", model.unwrap_or_default(), kernel.trim())
}
