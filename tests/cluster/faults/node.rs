//! A node whose power fails; the last fault, for it does not come back.

use anyhow::Result;

use super::exports::clients_anew;
use super::{Expected, Served, observe, seconds};
use crate::world::{FAR, HOME, NEAR, World};

const NODE: &str = "us-west-2";

/// Half of the model servers at home and one agent fall silent. Nothing says so for twenty seconds but the requests.
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
