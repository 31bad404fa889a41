//! Agents that are upgraded and agents that die.

use std::time::Duration;

use anyhow::Result;

use super::{Expected, Served, observe, seconds};
use crate::clients::NODE;
use crate::kill;
use crate::world::{FAR, HOME, NEAR, World};

const READY: Duration = Duration::from_secs(240);

fn restart(world: &World, cluster: &str) -> Result<()> {
    world.rig.kubectl(cluster, &["-n", "strait-system", "rollout", "restart", "daemonset/strait-agent"])?;
    world.rig.wait_ready(cluster, "strait-system", "daemonset/strait-agent", READY)
}

/// An upgrade of the agents at home, one node after the other, costs nothing.
pub fn restarted(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 30);
    observe(world, "agents-restarted", expected, watch, |world| restart(world, HOME))
}

/// Nor does one of the gateway through which the service that is only elsewhere is served.
pub fn gateway_restarted(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 30);
    observe(world, "gateway-restarted", expected, watch, |world| restart(world, NEAR))
}

/// Nor does one in the region that serves.
pub fn remote_restarted(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 30);
    observe(world, "remote-agents-restarted", expected, watch, |world| restart(world, NEAR))
}

/// The agent on the clients' node dies without a word; it is there again soon, and then nothing is lost any more.
pub fn killed(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[HOME]), tally: Served::Finally(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 30);
    observe(world, "agent-killed", expected, watch, |_| kill::all(&kill::of_strait(NODE, "agent")))?;
    world.rig.wait_ready(HOME, "strait-system", "daemonset/strait-agent", READY)
}

/// The only agent of the region that serves dies: the other region takes over.
pub fn remote_killed(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Sometime(&[FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 30);
    observe(world, "remote-agent-killed", expected, watch, |_| kill::all(&kill::of_strait(NEAR, "agent")))?;
    world.rig.wait_ready(NEAR, "strait-system", "daemonset/strait-agent", READY)
}
