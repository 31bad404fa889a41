//! The project's own tasks. `cargo xtask help` lists them.
//!
//! It owns the order in which things are built, started, tested and taken down; what is tested lives in `tests/`. It needs
//! nothing but a Rust compiler to start, and installs or builds the rest when it is root.
//!
//! ```text
//!  xtask test ─▶ rig build ─▶ cargo test ─▶ strait demo ─▶ habits ─▶ rig up ─▶ tests/cluster ─▶ rig down, always
//!  xtask failover ─▶ rig build ─▶ rig up ─▶ tests/failover ─▶ rig down, unless it was up before
//!  xtask lint ─▶ fmt, clippy, deny, doc, arrows
//! ```

mod arrows;
mod cluster;
mod demo;
mod failover;
mod habits;
mod lint;
mod run;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Every test: first those that need no cluster, the demo's script and clients with bad habits, then those on
    /// three real clusters.
    Test(TestArguments),
    /// Formatting, clippy, dependency rules, documentation and the direction of dependencies.
    Lint,
    /// The rig of three clusters: build, up, down, image, kubectl, exec, wan, stop, start, crash, status.
    #[command(disable_help_flag = true)]
    Rig {
        /// What tests/rig/rig takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the release binary and load it into the running rig as strait:dev.
    Image,
    /// What failing over costs, Strait beside Envoy, on three real clusters: a table into a folder.
    #[command(disable_help_flag = true)]
    Failover {
        /// What `tests/failover/failover run` takes; --out target/failover unless given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(clap::Args)]
pub(crate) struct TestArguments {
    /// 20, 15 and 10 replicas and the whole matrix of faults instead of 6, 4, 3 and each fault once.
    #[arg(long)]
    full: bool,
    /// Leave out the tests that need no cluster, the demo's script and the habits.
    #[arg(long)]
    cluster_only: bool,
    /// Leave out the cluster tests.
    #[arg(long, conflicts_with = "cluster_only")]
    no_cluster: bool,
    /// Leave the rig as it is when the tests are over, to look at it; `cargo xtask rig down` ends it.
    #[arg(long)]
    keep: bool,
    /// Only the cluster tests whose name contains one of these (and what they need).
    filters: Vec<String>,
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    std::env::set_current_dir(run::root())?;
    match task {
        Task::Test(arguments) => {
            let clusters = !arguments.no_cluster && cluster::prepared()?;
            if !arguments.cluster_only {
                without_cluster()?;
                demo::script()?;
                habits::short()?;
            }
            if clusters { cluster::test(&arguments) } else { Ok(()) }
        }
        Task::Lint => lint::all(),
        Task::Rig { arguments } => run::finish(run::rig().args(arguments)),
        Task::Image => cluster::images(),
        Task::Failover { arguments } => failover::measure(&arguments),
    }
}

/// Unit, property, loopback and document tests of every crate.
fn without_cluster() -> Result<()> {
    run::headline("tests that need no cluster");
    // The cluster tests are a test target like any other; here they only say nothing.
    run::check(run::cargo().args(["test", "--workspace", "--no-fail-fast"]).env(cluster::SWITCH, "off"))?;
    run::check(run::cargo().args(["test", "--quiet", "--manifest-path", "tests/rig/wan/Cargo.toml"]))?;
    run::check(run::cargo().args(["test", "--quiet", "--manifest-path", "benches/compare/Cargo.toml"]))?;
    failover::judgements()
}
