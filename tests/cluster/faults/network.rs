//! Regions that cannot be reached.

use anyhow::Result;

use super::pods::home_again;
use super::{Expected, Served, observe, seconds};
use crate::wait::pause;
use crate::world::{FAR, HOME, NEAR, World};

/// us-east becomes a black hole while it carries everything: us-west has no model server. Only eu-west can answer.
pub fn region_cut(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[FAR]), tally: Served::Finally(&[FAR]) };
    let watch = seconds(world, 20, 60);
    observe(world, "region-cut", expected, watch, |world| world.rig.rig(&["wan", NEAR, "--cut"]).map(drop))
}

/// As before it was one: answers come from it again, for us-west has none.
pub fn heal_near(world: &mut World) -> Result<()> {
    world.rig.rig(&["wan", NEAR, "--heal"])?;
    home_again(world, &[NEAR, FAR], seconds(world, 60, 60))?;
    pause(seconds(world, 20, 20));
    Ok(())
}

/// As before it came back.
pub fn cut_near(world: &mut World) -> Result<()> {
    world.rig.rig(&["wan", NEAR, "--cut"])?;
    home_again(world, &[FAR], seconds(world, 60, 60))
}

/// us-east is back and serves again, for it is nearer.
pub fn region_healed(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Sometime(&[NEAR]), tally: Served::Sometime(&[NEAR]) };
    let watch = seconds(world, 30, 60);
    observe(world, "region-healed", expected, watch, |world| world.rig.rig(&["wan", NEAR, "--heal"]).map(drop))
}

/// Every link loses packets and trembles, while other regions serve.
pub fn lossy(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[NEAR, FAR]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 30, 60);
    let set = |world: &World, loss: &str, jitter: &str| -> Result<()> {
        for cluster in [HOME, NEAR] {
            world.rig.rig(&["wan", cluster, "--loss", loss, "--jitter", jitter])?;
        }
        Ok(())
    };
    let result = observe(world, "lossy-links", expected, watch, |world| set(world, "1", "10"));
    set(world, "0", "0")?;
    result
}

/// The region that nobody uses goes; nobody may notice.
pub fn far_region_cut(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Finally(&[NEAR]), tally: Served::Finally(&[NEAR]) };
    let watch = seconds(world, 20, 60);
    observe(world, "far-region-cut", expected, watch, |world| world.rig.rig(&["wan", FAR, "--cut"]).map(drop))
}

/// And comes back.
pub fn far_region_healed(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Anywhere, tally: Served::Anywhere };
    let watch = seconds(world, 20, 30);
    observe(world, "far-region-healed", expected, watch, |world| world.rig.rig(&["wan", FAR, "--heal"]).map(drop))
}

/// The clients' own cluster is alone. What it has itself goes on; what it does not have cannot, which is told and not judged.
pub fn cut_off(world: &mut World) -> Result<()> {
    let expected = Expected { model: Served::Always(&[HOME]), tally: Served::Anywhere };
    let watch = seconds(world, 20, 40);
    let result = observe(world, "cut-off", expected, watch, |world| world.rig.rig(&["wan", HOME, "--cut"]).map(drop));
    world.rig.rig(&["wan", HOME, "--heal"])?;
    for client in &world.clients {
        client.wait_answered(seconds(world, 60, 60))?;
    }
    result
}
