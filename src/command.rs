//! The subcommands, one file each.

use std::process::ExitCode;

use crate::args::Command;

pub mod agent;
pub mod controller;
pub mod coredns;
pub mod crds;
pub mod demo;
pub mod join;
pub mod leave;
pub mod status;

/// Runs one subcommand to its end. The control runtime is made here: watches, sync, DNS and admin run on it, while
/// the proxy's workers have runtimes of their own.
///
/// # Errors
/// What the subcommand says.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(async {
        match command {
            Command::Agent(args) => agent::run(*args).await,
            Command::Demo(args) => return demo::run(args).await,
            Command::Controller(args) => controller::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Join(args) => join::run(args).await,
            Command::Leave(args) => leave::run(args).await,
            Command::Coredns(args) => coredns::run(args).await,
            Command::Crds(args) => crds::run(args).await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}
