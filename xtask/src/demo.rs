//! The demo's failover script, as a test: every fault shows, and nothing is lost that must not be.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster;
use crate::run::{self, headline};

/// Of the script, in order.
const PHASES: [&str; 7] = ["steady", "scale-to-zero", "restore", "crash", "refused-gateway", "black-hole", "heal"];

/// Plays it with the release build, as a reader of the README does. How soon a phase settles is told and not judged:
/// this machine may have other things to do.
pub(crate) fn script() -> Result<()> {
    cluster::build()?;
    headline("the demo's failover script");
    let mut command = Command::new(run::target().join("release/strait"));
    let out = command.args(["demo", "--script", "failover"]).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let last = text.lines().last().with_context(|| format!("strait demo ended with {} and no report", out.status))?;
    let report: Value = serde_json::from_str(last).context("the demo's last line is not its report")?;
    let phases = report["phases"].as_array().context("the report has no phases")?;
    let names: Vec<&str> = phases.iter().filter_map(|p| p["name"].as_str()).collect();
    ensure!(names == PHASES, "the phases were {names:?}");
    for phase in phases {
        judge(phase)?;
    }
    ensure!(out.status.success(), "strait demo ended with {}", out.status);
    Ok(())
}

/// What a reader of the report counts on; how much may be lost is in the exit status.
fn judge(phase: &Value) -> Result<()> {
    let name = &phase["name"];
    for field in ["requests", "failed", "settled_ms", "p50_ms", "p99_ms"] {
        ensure!(phase[field].is_number(), "{name} has no {field}");
    }
    for client in ["new", "keepalive"] {
        let asked = phase["clients"][client]["requests"].as_u64();
        ensure!(asked.is_some_and(|n| n > 100), "client {client} asked {asked:?} times in {name}");
    }
    Ok(())
}
