//! `strait`: one binary, one subcommand a job.

use std::process::ExitCode;

use clap::Parser;
use strait::args::Arguments;
use strait::{command, telemetry};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::logging(&arguments.logging, arguments.command.log_level());
    match command::run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
