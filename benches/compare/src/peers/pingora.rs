//! Pingora: the program of `benches/compare/pingora`.

use std::fs;

use anyhow::{Context, Result, bail};

use super::{Meal, Order, Recipe, locked};
use crate::load::Protocol;

/// What it was built from.
pub const LOCK: &str = include_str!("../../pingora/Cargo.lock");

pub fn cook(order: &Order<'_>) -> Result<Meal> {
    let version = match order.protocol {
        Protocol::H1 | Protocol::Post | Protocol::H2c => "h1",
        Protocol::Grpc => "h2",
        Protocol::Mtls => bail!("it is built without TLS, since its crates bring other providers"),
    };
    let program = fs::canonicalize(&order.run.pingora).with_context(|| {
        let path = order.run.pingora.display();
        format!(
            "{path} (cargo build --release --manifest-path benches/compare/pingora/Cargo.toml; --pingora names another)"
        )
    })?;
    let arguments = vec![order.at.to_string(), order.pod.to_string(), version.to_owned()];
    let configuration = format!("{} (one thread, pool of 4096)", arguments.join(" "));
    let recipe = Recipe { program: program.into(), arguments, at: order.at, configuration };
    Ok(Meal { version: format!("pingora {}", locked(LOCK, "pingora-proxy")), recipes: vec![recipe] })
}
