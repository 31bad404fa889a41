//! hyper alone: this program itself.

use anyhow::{Result, bail};

use super::{Meal, Order, Recipe};
use crate::load::Protocol;

pub fn cook(order: &Order<'_>) -> Result<Meal> {
    let sides = match order.protocol {
        Protocol::H1 => "h1",
        Protocol::H2c => "h2-to-h1",
        Protocol::Grpc => "h2",
        Protocol::Mtls => bail!("it has one hop and no TLS"),
    };
    let program = std::env::current_exe()?;
    let arguments = vec!["hyper".into(), order.at.to_string(), order.pod.to_string(), sides.into()];
    let configuration = arguments.join(" ");
    let recipe = Recipe { program: program.into(), arguments, at: order.at, configuration };
    Ok(Meal { version: format!("hyper {}, a bare relay", locked()), recipes: vec![recipe] })
}

/// The version of the crate, as the lock file has it.
fn locked() -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let after = lock.split_once("name = \"hyper\"\nversion = \"").map_or("?", |(_, rest)| rest);
    after.split('"').next().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_lock_file_tells_the_version() {
        assert!(super::locked().starts_with("1."), "{}", super::locked());
    }
}
