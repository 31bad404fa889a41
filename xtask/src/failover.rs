//! The failover measurement: what it needs, and the rig as it was found.

use std::process::Command;

use anyhow::Result;

use crate::cluster::{self, Up};
use crate::run::{self, check, headline, rig, succeeds};

/// One node a cluster: the measurement is about clusters, and a second node is a second share of two CPUs.
const NODES: [&str; 2] = ["--nodes", "1,1,1"];

/// Builds, brings the rig up where it is down, loads the images and runs `tests/failover`.
pub(crate) fn measure(arguments: &[String]) -> Result<()> {
    let asks = |flags: &[&str]| arguments.iter().any(|a| flags.contains(&a.split('=').next().unwrap_or(a)));
    let mut command = Command::new("tests/failover/failover");
    command.arg("run").args(arguments);
    if asks(&["--help", "-h"]) {
        return run::finish(&mut command);
    }
    if !asks(&["--out"]) {
        command.arg("--out").arg(run::target().join("failover"));
    }
    if !cluster::prepared()? {
        return Ok(());
    }
    cluster::build()?;
    let found_up = succeeds(rig().arg("status"));
    headline(if found_up { "the rig that is up" } else { "three clusters" });
    let up = if found_up { None } else { Some(Up::start(asks(&["--keep"]), &NODES)?) };
    cluster::load_images()?;
    headline("failover");
    let result = check(&mut command);
    drop(up);
    result
}

/// The unit tests of how the measurement is judged; they are Python, as it is.
pub(crate) fn judgements() -> Result<()> {
    if !succeeds(Command::new("python3").arg("--version")) {
        println!("SKIP: the failover measurement's own tests did not run: there is no python3");
        return Ok(());
    }
    check(Command::new("python3").args(["-B", "-m", "unittest", "discover", "tests/failover"]))
}
