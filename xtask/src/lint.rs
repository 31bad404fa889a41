//! What a reviewer should not have to look for.

use std::process::Command;

use anyhow::{Result, bail};

use crate::arrows;
use crate::run::{self, cargo, check, headline, succeeds};

type Check = fn() -> Result<()>;

/// Runs every check, also after one has failed, and says at the end which did.
pub(crate) fn all() -> Result<()> {
    let checks: [(&str, Check); 5] = [
        ("format", format),
        ("clippy", clippy),
        ("dependencies", dependencies),
        ("documentation", documentation),
        ("arrows", arrows::check),
    ];
    let mut failed = Vec::new();
    for (name, run) in checks {
        headline(name);
        if let Err(e) = run() {
            println!("{e:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    println!("\nlint: clean");
    Ok(())
}

/// Programs that are workspaces of their own, so that their dependencies are nobody else's.
const APART: [&str; 2] = ["tests/rig/wan/Cargo.toml", "benches/compare/Cargo.toml"];

fn format() -> Result<()> {
    check(cargo().args(["fmt", "--all", "--check"]))?;
    APART.iter().try_for_each(|manifest| check(cargo().args(["fmt", "--check", "--manifest-path", manifest])))
}

fn clippy() -> Result<()> {
    check(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    APART.iter().try_for_each(|manifest| {
        let command = ["clippy", "--quiet", "--all-targets", "--manifest-path", manifest, "--", "--deny", "warnings"];
        check(cargo().args(command))
    })
}

/// `deny.toml`. The database of advisories lives on another host than the registry: where it cannot be fetched, that part is
/// left out and said.
fn dependencies() -> Result<()> {
    let Some(deny) = deny() else {
        let how = "cargo-deny is not installed: cargo install cargo-deny --locked";
        if run::in_ci() {
            bail!("{how}");
        }
        println!("SKIP: dependency rules were not checked: {how}");
        return Ok(());
    };
    check(deny().args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    if !succeeds(Command::new("timeout").arg("60").arg(deny().get_program()).args(["fetch", "db"])) {
        println!("SKIP: advisories were not checked: their database could not be fetched");
        return Ok(());
    }
    check(deny().args(["check", "--hide-inclusion-graph", "advisories"]))
}

/// cargo-deny from the PATH or from our cache.
fn deny() -> Option<impl Fn() -> Command> {
    let cached = run::cache().join("cargo/bin/cargo-deny");
    let program = ["cargo-deny".into(), cached].into_iter().find(|p| succeeds(Command::new(p).arg("--version")))?;
    Some(move || Command::new(&program))
}

fn documentation() -> Result<()> {
    check(cargo().args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "--deny warnings"))
}
