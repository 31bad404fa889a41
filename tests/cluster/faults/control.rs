//! API servers that are away, and come back.

use std::time::Duration;

use anyhow::Result;

use super::{Expected, Served, observe, seconds};
use crate::setup::{model_pods, wait_scaled};
use crate::world::{FAR, HOME, NEAR, World};
use crate::{kill, wait};

/// Stops a cluster's API server, waits, starts it and waits until it answers.
fn outage(world: &World, cluster: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    world.rig.rig(&["stop", cluster, "kube-apiserver"])?;
    let result = meanwhile();
    wait::pause(seconds(world, 20, 60));
    world.rig.rig(&["start", cluster, "kube-apiserver"])?;
    wait::until("the API server answers", Duration::from_secs(60), || {
        world.rig.kubectl(cluster, &["get", "--raw", "/readyz"]).map(Some)
    })?;
    result
}

/// At home, and a minute is watched after its return: leases and watches come back late and all at once.
pub fn api_server_down(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 60, 60);
    observe(world, "api-server-down", expected, watch, |world| outage(world, HOME, || Ok(())))
}

/// In the region that serves.
pub fn remote_api_server_down(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 60, 60);
    observe(world, "remote-api-server-down", expected, watch, |world| outage(world, NEAR, || Ok(())))
}

/// Pods die while nothing can say so: only the requests themselves tell.
pub fn api_server_down_and_pods_killed(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Sometime(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 60, 60);
    let uids = model_pods(world, HOME)?;
    observe(world, "api-server-down-and-pods-killed", expected, watch, |world| {
        outage(world, HOME, || {
            wait::pause(Duration::from_secs(3));
            kill::all(&kill::of_pods(HOME, &uids))
        })
    })?;
    wait_scaled(world, HOME)
}
