//! hyper alone: this program itself.

use anyhow::{Result, bail};

use super::{Meal, Order, Recipe, locked};
use crate::load::Protocol;

/// What it was built from.
pub const LOCK: &str = include_str!("../../Cargo.lock");

pub fn cook(order: &Order<'_>) -> Result<Meal> {
    let sides = match order.protocol {
        Protocol::H1 | Protocol::Post => "h1",
        Protocol::H2c => "h2-to-h1",
        Protocol::Grpc => "h2",
        Protocol::Mtls => bail!("it has one hop and no TLS"),
    };
    let program = std::env::current_exe()?;
    let arguments = vec!["hyper".into(), order.at.to_string(), order.pod.to_string(), sides.into()];
    let configuration = arguments.join(" ");
    let recipe = Recipe { program: program.into(), arguments, at: order.at, configuration };
    Ok(Meal { version: format!("hyper {}, a bare relay", locked(LOCK, "hyper")), recipes: vec![recipe] })
}
