//! Clients with bad habits, for a short while.

use std::process::Command;

use anyhow::Result;

use crate::run::{self, check, headline};

/// Long enough for each habit to meet each other several times.
const SECONDS: &str = "20";

/// Runs them against the release build, which is there.
pub(crate) fn short() -> Result<()> {
    headline("habits of clients");
    let strait = run::target().join("release/strait");
    check(Command::new("tests/habits/habits").arg("--strait").arg(strait).args(["--seconds", SECONDS]))
}
