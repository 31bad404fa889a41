//! Bytes that mean nothing, on every port.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::exports::listeners;
use super::{Expected, Served, observe, seconds};
use crate::clients::{LOAD, NAMESPACE, NODE};
use crate::setup::{agent_pods, items};
use crate::world::{FAR, HOME, NEAR, World};

/// DNS, gateway, admin. The listeners of the model server come on top.
const PORTS: &str = "15053 15443 15020";

/// No agent restarts and no client notices.
pub fn garbage(world: &mut World) -> Result<()> {
    let address = agent_address(world)?;
    let before = agent_pods(world)?;
    let expected = Expected { model: Served::Finally(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 5, 20);
    let listeners: Vec<String> =
        listeners(world)?.as_object().into_iter().flat_map(|m| m.values()).map(Value::to_string).collect();
    ensure!(!listeners.is_empty(), "the model server has no listener to send garbage to");
    // Whoever listens hangs up: nc's own result says nothing.
    let script = format!(
        "for round in 1 2 3; do for p in {PORTS} {listeners}; do \
         head -c 100000 /dev/urandom | timeout 2 nc -w 1 {address} $p >/dev/null 2>&1; \
         printf 'GET / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 5\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n' | timeout 2 nc -w 1 {address} $p >/dev/null 2>&1; \
         done; done; true",
        listeners = listeners.join(" ")
    );
    observe(world, "garbage", expected, watch, |world| {
        world.rig.in_pod(&script)?;
        let said = world.rig.kubectl(
            HOME,
            &["-n", NAMESPACE, "exec", "load-new", "--", LOAD, "noise", "--to", &format!("{address}:15053")],
        )?;
        ensure!(said.contains("600 datagrams sent"), "the noise for DNS: {said}");
        Ok(())
    })?;
    let after = agent_pods(world)?;
    ensure!(before == after, "agents before {before:?}, after {after:?}");
    Ok(())
}

fn agent_address(world: &World) -> Result<String> {
    let pods =
        world.rig.get(HOME, &["-n", "strait-system", "pods", "--field-selector", &format!("spec.nodeName={NODE}")])?;
    let agent = items(&pods)
        .find(|p| p.pointer("/metadata/name").and_then(Value::as_str).is_some_and(|n| n.starts_with("strait-agent")));
    let address = agent.and_then(|p| p.pointer("/status/podIP")).and_then(Value::as_str);
    Ok(address.with_context(|| format!("no agent on {NODE}"))?.to_owned())
}
