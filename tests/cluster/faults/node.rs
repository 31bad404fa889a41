//! Nodes that Kubernetes takes for dead, rightly or not.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::exports::clients_anew;
use super::{Expected, Served, observe, seconds};
use crate::setup::endpoints;
use crate::wait;
use crate::world::{FAR, HOME, NAMESPACE, NEAR, SERVICE, World};

const NODE: &str = "us-west-2";

/// A node whose kubelet falls silent while its pods answer as before: Kubernetes marks the node and then all its pods not
/// ready, for as long as it hears nothing. A late API server does the same to whole clusters.
pub fn kubelet_silent(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 40, 60);
    // What an earlier fault left behind is not what this one does.
    wait_marked(world, false)?;
    observe(world, "kubelet-silent", expected, watch, |world| {
        world.rig.rig(&["stop", NODE, "kubelet"])?;
        let marked = wait_marked(world, true);
        wait::pause(seconds(world, 10, 60));
        world.rig.rig(&["start", NODE, "kubelet"])?;
        marked
    })
}

/// Waits until some pod on the node is marked not ready, or none is.
fn wait_marked(world: &World, wanted: bool) -> Result<()> {
    let what = format!("{} on {NODE} marked not ready", if wanted { "pods" } else { "no pods" });
    wait::until(&what, Duration::from_secs(180), || {
        let slices = ["-n", NAMESPACE, "endpointslices", "-l", &format!("kubernetes.io/service-name={SERVICE}")];
        let slices = world.rig.get(HOME, &slices)?;
        let marked = |e: &Value| e["nodeName"] == NODE && e["conditions"]["ready"] == false;
        Ok((endpoints(&slices).any(marked) == wanted).then_some(()))
    })
}

/// The power of a node fails; the last fault, for it does not come back. Half of the model servers at home and one agent
/// fall silent. Nothing says so for most of a minute but the requests.
pub fn crash(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[HOME, NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 40, 90);
    // Connections that were opened while the own node's agent was away lead to this node's agent, and die with it.
    clients_anew(world)?;
    let result = observe(world, "node-crash", expected, watch, |world| world.rig.rig(&["crash", NODE]).map(drop));
    // What an operator does about a node that will not return; its pods are then forgotten.
    world.rig.kubectl(HOME, &["delete", "node", NODE, "--wait=false"])?;
    result
}
