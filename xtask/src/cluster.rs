//! The cluster tests: what they need, their start and their end.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Result, bail};

use crate::TestArguments;
use crate::run::{self, cargo, check, headline, rig};

/// Tells the test binary `off` (say nothing), or `required` (without a rig it fails).
pub(crate) const SWITCH: &str = "STRAIT_CLUSTER_TEST";

/// Installs and builds what tests use from elsewhere, once, where this machine can: Debian packages, and Kubernetes' own
/// binaries. False, and a loud line, where it cannot; the cluster tests do not run then.
///
/// # Errors
/// Where it cannot and `CI` is set.
pub(crate) fn prepared() -> Result<bool> {
    if let Some(reason) = impossible() {
        println!("\nSKIP: cluster tests do not run: {reason}\n");
        if run::in_ci() {
            bail!("cluster tests are required where CI is set, and cannot run: {reason}");
        }
        return Ok(false);
    }
    headline("packages and Kubernetes' binaries");
    check(rig().arg("build"))?;
    Ok(true)
}

/// Brings up three clusters, runs `tests/cluster` against them and takes them down, whatever happens.
pub(crate) fn test(arguments: &TestArguments) -> Result<()> {
    build()?;
    headline("three clusters");
    check(rig().arg("down"))?;
    let up = Up::start(arguments.keep, &[])?;
    load_images()?;
    headline("cluster tests");
    let mut command = cargo();
    // As part of the workspace: alone it would be built again, with fewer features of its dependencies.
    command.args(["test", "--workspace", "--test", "cluster", "--"]).env(SWITCH, "required");
    if arguments.full {
        command.arg("--full");
    }
    let result = check(command.args(&arguments.filters));
    drop(up);
    result
}

/// Builds the release binary and the load generator and loads both into the rig that is up.
pub(crate) fn images() -> Result<()> {
    build()?;
    load_images()
}

/// The images of the cluster tests: their tag, and the package whose program of the same name is all that is in them.
const IMAGES: [(&str, &str); 2] = [("strait:dev", "strait"), ("strait-load:dev", "strait-load")];

/// Builds the programs of all images in one go: one by one, their dependencies would be built for each anew.
pub(crate) fn build() -> Result<()> {
    headline("release binaries");
    let mut command = cargo();
    command.args(["build", "--release"]);
    for (_, program) in IMAGES {
        // Each by name: one `--bin` leaves out the programs of every other package.
        command.args(["--package", program, "--bin", program]);
    }
    check(&mut command)
}

pub(crate) fn load_images() -> Result<()> {
    for (tag, program) in IMAGES {
        check(rig().args(["image", tag]).arg(stripped(program)?))?;
    }
    Ok(())
}

/// A copy without debug information: a sixth of the size, and every node loads it.
fn stripped(program: &str) -> Result<PathBuf> {
    let release = run::target().join("release");
    let slim = release.join("image");
    std::fs::create_dir_all(&slim)?;
    let copy = slim.join(program);
    check(Command::new("strip").arg("-o").arg(&copy).arg(release.join(program)))?;
    Ok(copy)
}

/// Why this machine cannot carry the rig, if it cannot.
fn impossible() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("the rig needs Linux".to_owned());
    }
    if run::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() != "0") {
        return Some("the rig needs root".to_owned());
    }
    if !run::succeeds(Command::new("unshare").args(["--net", "--mount", "true"])) {
        return Some("network and mount namespaces are not allowed here".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun".to_owned());
    }
    if !run::succeeds(Command::new("python3").arg("--version")) {
        return Some("the rig is a python3 program, and there is no python3".to_owned());
    }
    None
}

/// A rig that is up. It goes down with this value, and also when this process is killed: a guard in a process group of its own
/// waits for our end.
pub(crate) struct Up {
    guard: Option<Child>,
}

impl Up {
    /// `options` are those of `rig up`.
    pub(crate) fn start(keep: bool, options: &[&str]) -> Result<Self> {
        let own = std::process::id().to_string();
        let guard = if keep { None } else { Some(rig().args(["down", "--after", &own]).process_group(0).spawn()?) };
        let up = Self { guard };
        check(rig().arg("up").args(options))?;
        Ok(up)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let Some(guard) = &mut self.guard else { return };
        let _ = guard.kill();
        let _ = guard.wait();
        if let Err(e) = check(rig().arg("down")) {
            eprintln!("the rig did not go down: {e}");
        }
    }
}
