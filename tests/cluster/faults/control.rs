//! API servers that are away, and come back.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::{Expected, Served, observe, seconds};
use crate::setup::{endpoints, model_pods, wait_scaled};
use crate::world::{FAR, HOME, NAMESPACE, NEAR, SERVICE, World};
use crate::{kill, wait};

/// Stops a cluster's API server, waits, starts it and waits until it answers.
fn outage(world: &World, cluster: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    world.rig.rig(&["stop", cluster, "kube-apiserver"])?;
    let result = meanwhile();
    // Beyond 50 s without leases, of which it hears up to a minute late after a long outage, Kubernetes takes the nodes
    // themselves for dead for a while: in the full run.
    wait::pause(seconds(world, 10, 60));
    world.rig.rig(&["start", cluster, "kube-apiserver"])?;
    wait::until("the API server answers", Duration::from_secs(60), || {
        world.rig.kubectl(cluster, &["get", "--raw", "/readyz"]).map(Some)
    })?;
    result
}

/// After a long outage the node controller declares nodes not ready that are, more than a minute after the return, and
/// with them their pods and CoreDNS: names then fail for seconds, whatever is behind them. The next fault must not be
/// blamed for that.
fn settled(world: &World, cluster: &str) -> Result<()> {
    let calm = Duration::from_secs(if world.full { 45 } else { 1 });
    let slices = |namespace, service: &str| {
        let label = format!("kubernetes.io/service-name={service}");
        world.rig.get(cluster, &["-n", namespace, "endpointslices", "-l", &label])
    };
    let ready = |slices: &Value| {
        let mut endpoints = endpoints(slices).peekable();
        endpoints.peek().is_some() && endpoints.all(|e| e.pointer("/conditions/ready") == Some(&Value::Bool(true)))
    };
    let mut since = Instant::now();
    wait::until(&format!("{cluster}: every pod ready for {calm:?}"), Duration::from_secs(300), || {
        if !(ready(&slices("kube-system", "kube-dns")?) && ready(&slices(NAMESPACE, SERVICE)?)) {
            since = Instant::now();
        }
        Ok((since.elapsed() >= calm).then_some(()))
    })
}

/// At home, and a minute is watched after its return: leases and watches come back late and all at once.
pub fn api_server_down(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 60, 60);
    let shown = observe(world, "api-server-down", expected, watch, |world| outage(world, HOME, || Ok(())));
    let calm = settled(world, HOME);
    shown.and(calm)
}

/// In the region that serves.
pub fn remote_api_server_down(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 60, 60);
    let shown = observe(world, "remote-api-server-down", expected, watch, |world| outage(world, NEAR, || Ok(())));
    let calm = settled(world, NEAR);
    shown.and(calm)
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
