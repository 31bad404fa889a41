//! `strait demo`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::demo::fleet::Fleet;
use crate::demo::judge::judge;
use crate::demo::layout::{NAMESPACE, SERVICE, SITES};
use crate::demo::phase::Report;
use crate::demo::script::Script;
use crate::demo::traffic::{self, Log};
use crate::demo::{screen, traffic::RATE};
use crate::limits;
use crate::shutdown::Shutdown;
use crate::telemetry;

/// How to play.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Play a script without a terminal and print its figures as one JSON object
    #[arg(long, value_enum)]
    pub script: Option<ScriptName>,
}

/// The scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScriptName {
    /// Scale to zero, crash, a refusing gateway, a black hole, and back each time
    Failover,
}

/// Starts the fleet, plays, and takes everything down, whatever happens in between.
///
/// # Errors
/// When the fleet cannot start.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    limits::raise_open_files();
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(shutdown.clone().listen());
    let metrics = telemetry::metrics()?;
    let folder = tempfile::Builder::new().prefix("strait-demo-").tempdir()?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(telemetry::upkeep(metrics.clone(), stop.clone()));
    let Some(started) = shutdown.drain.run_until_cancelled(Fleet::start(folder.path(), &metrics)).await else {
        return Ok(ExitCode::FAILURE);
    };
    let mut fleet = started?;
    let log = Log::default();
    traffic::start(&format!("http://{}", SITES[0].listener()), &log, &tasks, &stop)?;
    let played = shutdown.drain.run_until_cancelled(play(args, &mut fleet, &log)).await;
    stop.cancel();
    fleet.end().await;
    tasks.close();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(3), tasks.wait()).await;
    signals.abort();
    played.unwrap_or(Ok(ExitCode::from(130)))
}

async fn play(args: DemoArgs, fleet: &mut Fleet, log: &Log) -> anyhow::Result<ExitCode> {
    match args.script {
        Some(ScriptName::Failover) => failover(fleet, log).await,
        None => screen::run(fleet, log).await.map(|()| ExitCode::SUCCESS),
    }
}

async fn failover(fleet: &mut Fleet, log: &Log) -> anyhow::Result<ExitCode> {
    eprintln!(
        "{} clusters, 2 clients × {RATE} GET/s at {}/{}; one line a phase, the figures as JSON at the end",
        SITES.len(),
        NAMESPACE,
        SERVICE
    );
    let mut tell = |report: &Report| eprintln!("{}", line(report));
    let evidence = Script::new(fleet, log, &mut tell).play().await?;
    let verdict = judge(&evidence);
    for reason in verdict.reasons() {
        eprintln!("{reason}");
    }
    let phases: Vec<&Report> = evidence.iter().map(|e| &e.report).collect();
    print(&serde_json::json!({ "phases": phases }).to_string());
    Ok(ExitCode::from(verdict.exit_status()))
}

fn line(report: &Report) -> String {
    let f = &report.all;
    let served: Vec<String> = f.served.iter().map(|(c, n)| format!("{c} {n}")).collect();
    let first = f.first_target_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    format!(
        "{:<16} {:>6} requests {:>4} failed  first {first:>9}  settled {:>8} ms  p50 {:>6} ms  p99 {:>6} ms  {}",
        report.name,
        f.requests,
        f.failed,
        f.settled_ms,
        f.p50_ms.unwrap_or_default(),
        f.p99_ms.unwrap_or_default(),
        served.join(", ")
    )
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    println!("{text}");
}
