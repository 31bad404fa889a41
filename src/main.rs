//! `strait`: one binary, one subcommand a job.

use std::process::ExitCode;

use clap::Parser;
use strait::args::Arguments;
use strait::{command, telemetry};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::logging(&arguments.logging, arguments.command.log_level());
    match command::run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, leaving out those that the text before them tells already.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        before if before.contains(&cause) => text,
        before => format!("{before}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let gone = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let quoting = strait::file_source::FileError::Unreadable { path: "a.yaml".into(), source: gone() };
        assert_eq!(told(&quoting.into()), "source file a.yaml: no such file");
        let plain = Err::<(), _>(gone()).context("reading b").unwrap_err();
        assert_eq!(told(&plain), "reading b: no such file");
    }
}
