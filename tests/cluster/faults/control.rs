//! API servers that are away, and come back.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::{Expected, Served, observe, seconds};
use crate::setup::{items, model_pods, wait_scaled};
use crate::world::{FAR, HOME, NEAR, World};
use crate::{kill, wait};

/// Stops a cluster's API server, waits, starts it and waits until it answers.
fn outage(world: &World, cluster: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    world.rig.rig(&["stop", cluster, "kube-apiserver"])?;
    let result = meanwhile();
    // Beyond 50 s Kubernetes takes the nodes themselves for dead for a while.
    wait::pause(seconds(world, 20, 60));
    world.rig.rig(&["start", cluster, "kube-apiserver"])?;
    wait::until("the API server answers", Duration::from_secs(60), || {
        world.rig.kubectl(cluster, &["get", "--raw", "/readyz"]).map(Some)
    })?;
    result
}

/// After a long outage the node controller, whose view of leases comes back as late as half a minute, declares nodes not
/// ready that are, more than a minute after the return, and with them CoreDNS: names then fail for seconds, whatever is
/// behind them. The next fault must not be blamed for that.
fn settled(world: &World, cluster: &str) -> Result<()> {
    if !world.full {
        return Ok(());
    }
    let (mut since, calm) = (Instant::now(), Duration::from_secs(45));
    wait::until(&format!("{cluster}: DNS ready for {calm:?}"), Duration::from_secs(300), || {
        let slices = ["-n", "kube-system", "endpointslices", "-l", "kubernetes.io/service-name=kube-dns"];
        let slices = world.rig.get(cluster, &slices)?;
        let mut endpoints = items(&slices).flat_map(|s| s["endpoints"].as_array().into_iter().flatten());
        if !endpoints.any(|e| e.pointer("/conditions/ready") == Some(&Value::Bool(true))) {
            since = Instant::now();
        }
        Ok((since.elapsed() >= calm).then_some(()))
    })
}

/// At home, and a minute is watched after its return: leases and watches come back late and all at once.
pub fn api_server_down(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 60, 60);
    observe(world, "api-server-down", expected, watch, |world| outage(world, HOME, || Ok(())))?;
    settled(world, HOME)
}

/// In the region that serves.
pub fn remote_api_server_down(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 60, 60);
    observe(world, "remote-api-server-down", expected, watch, |world| outage(world, NEAR, || Ok(())))?;
    settled(world, NEAR)
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
    wait_scaled(world, HOME)?;
    settled(world, HOME)
}
