//! Pods that die, leave and come back.

use std::time::Duration;

use anyhow::Result;

use super::{Expected, Served, observe, seconds};
use crate::clients::Stretch;
use crate::setup::{model_pods, scale, wait_scaled};
use crate::world::{FAR, HOME, NAMESPACE, NEAR, SERVICE, World};
use crate::{kill, wait};

/// Nothing happens: everything is served at home, and the service elsewhere from where it is.
pub fn steady(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 10, 30);
    observe(world, "steady", expected, watch, |_| Ok(()))
}

/// Every model server at home dies in the same moment. The kubelet starts them again after some seconds, which the cluster's
/// own view of the service hardly notices.
pub fn killed(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Sometime(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 25);
    observe(world, "pods-killed", expected, watch, |world| kill::all(&kill::of_pods(HOME, &model_pods(world, HOME)?)))?;
    fresh(world, HOME)
}

/// The Deployment at home is scaled to nothing.
pub fn scale_to_zero(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 40);
    observe(world, "scale-to-zero", expected, watch, |world| scale(world, HOME, 0))
}

/// And back; the clients return home.
pub fn scale_back(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 5, 30);
    observe(world, "scale-back", expected, watch, back_home)
}

/// As before the Deployment at home was scaled to nothing.
pub fn back_home(world: &World) -> Result<()> {
    scale(world, HOME, world.replicas(HOME))?;
    wait_scaled(world, HOME)?;
    home_again(world, &[HOME], longest_ramp(world))
}

/// As before it came back.
pub fn nobody_home(world: &mut World) -> Result<()> {
    scale(world, HOME, 0)?;
    home_again(world, &[NEAR, FAR], longest_ramp(world))
}

/// The way back is a ramp of half a minute (5 s in a short run), doubled by every failover of the last ten minutes, up to
/// ten times as long; and some seconds for the first requests and the last.
fn longest_ramp(world: &World) -> Duration {
    seconds(world, 150, 330)
}

/// Waits until every answer of three seconds came from one of these.
pub fn home_again(world: &World, places: &[&str], limit: Duration) -> Result<()> {
    wait::until("every answer from home", limit, || {
        let stretch = Stretch::last(Duration::from_secs(3));
        for client in world.clients.iter().filter(|c| c.is_model()) {
            let samples = client.samples(stretch)?;
            if samples.is_empty() || samples.iter().any(|s| s.is_ok() && !places.contains(&s.served_by.as_str())) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
}

/// A new version of the model server is rolled out at home. Its old pods end at SIGTERM, at once and without a drain.
pub fn restarted(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 5, 30);
    observe(world, "model-servers-restarted", expected, watch, |world| {
        restart(world, HOME)?;
        home_again(world, &[HOME], longest_ramp(world))
    })
}

/// And in the region that serves.
pub fn remote_restarted(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 30);
    observe(world, "remote-model-servers-restarted", expected, watch, |world| restart(world, NEAR))
}

fn restart(world: &World, cluster: &str) -> Result<()> {
    world.rig.kubectl(cluster, &["-n", NAMESPACE, "rollout", "restart", &format!("deployment/{SERVICE}")])?;
    wait_scaled(world, cluster)
}

/// Nine of ten go; what is left takes its share and the rest goes elsewhere or not, but nothing is lost.
pub fn scale_to_a_tenth(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Anywhere, tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 30);
    observe(world, "scale-to-a-tenth", expected, watch, |world| scale(world, HOME, world.replicas(HOME).div_ceil(10)))?;
    scale(world, HOME, world.replicas(HOME))?;
    wait_scaled(world, HOME)?;
    home_again(world, &[HOME], longest_ramp(world))
}

/// The same death in us-east, while it serves the clients at home.
pub fn remote_killed(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Sometime(&[FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 25);
    observe(world, "remote-pods-killed", expected, watch, |world| {
        kill::all(&kill::of_pods(NEAR, &model_pods(world, NEAR)?))
    })
}

/// As before the pods at home were killed.
pub fn fresh_at_home(world: &mut World) -> Result<()> {
    fresh(world, HOME)?;
    home_again(world, &[HOME], longest_ramp(world))
}

/// New pods instead of killed ones: the kubelet waits longer before each restart of the same container.
fn fresh(world: &World, cluster: &str) -> Result<()> {
    scale(world, cluster, 0)?;
    wait::until("the killed pods gone", Duration::from_secs(60), || {
        Ok(model_pods(world, cluster)?.is_empty().then_some(()))
    })?;
    scale(world, cluster, world.replicas(cluster))?;
    wait_scaled(world, cluster)?;
    wait::pause(Duration::from_secs(15));
    Ok(())
}
