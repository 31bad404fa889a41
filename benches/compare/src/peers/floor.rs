//! The floor: this program itself.

use anyhow::Result;

use super::{Meal, Order, Recipe};
use crate::load::Protocol;

pub fn cook(order: &Order<'_>) -> Result<Meal> {
    let program = std::env::current_exe()?;
    let one = |arguments: Vec<String>, at| {
        let configuration = arguments.join(" ");
        Recipe { program: program.clone().into(), arguments, at, configuration }
    };
    let (at, between, pod) = (order.at.to_string(), order.between.to_string(), order.pod.to_string());
    if order.protocol != Protocol::Mtls {
        let version = match order.protocol {
            Protocol::H2c => "raw epoll relay (HTTP/2 to the pod: it translates nothing)",
            _ => "raw epoll relay",
        };
        let recipes = vec![one(vec!["floor".into(), at, pod], order.at)];
        return Ok(Meal { version: version.into(), recipes });
    }
    let folder = order.certificates.display().to_string();
    let tls = |end: &str, at, to| vec!["tls-floor".into(), end.into(), at, to, folder.clone()];
    let far = one(tls("far", between.clone(), pod), order.between);
    let near = one(tls("near", at, between), order.at);
    let version = "two raw epoll relays, rustls between them, one TLS connection for each of the client's".into();
    Ok(Meal { version, recipes: vec![far, near] })
}
