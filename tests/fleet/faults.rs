//! Pods and daemons that go and come back, under load.

use strait_load::generator::now_us;

use crate::load::{Load, answers};
use crate::world::World;

const ALL: [&str; 3] = ["us-west", "us-east", "eu-west"];
/// Requests per second.
const RATE: u32 = 60;
/// Nobody waits half a minute here for each return.
const RETURN: &str = "--failback-ramp=3s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaled_to_zero_the_others_serve_and_back_again() {
    let mut world = World::new(83, &ALL);
    let daemons = world.start_all_with(&[RETURN]).await;
    let load = Load::start(world.site("us-west").listener(), RATE);
    load.served_by("us-west", 40).await;

    // The API server tells first; the pods end a moment later.
    world.announce("us-west", 0);
    daemons[1].sees("us-west", 0).await;
    daemons[0].sees("us-west", 0).await;
    world.kill_pods("us-west");
    let gone = now_us();
    load.served_by("us-east", 10).await;
    load.served_by("eu-west", 10).await;
    assert_eq!(answers(&load.since(gone)).get("us-west"), None);

    world.scale("us-west", 2).await;
    load.served_only_by("us-west", 100).await;
    load.end_without_failure().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_killed_at_once_cost_no_get() {
    let mut world = World::new(84, &ALL);
    let daemons = world.start_all_with(&[RETURN]).await;
    let load = Load::start(world.site("us-west").listener(), RATE);
    load.served_by("us-west", 40).await;

    world.kill_pods("us-west");
    load.served_by("us-east", 20).await;
    load.served_by("eu-west", 20).await;
    // The source still says that they are ready: traffic alone has found out.
    daemons[0].sees("us-west", 2).await;

    world.start_pods("us-west", 2).await;
    load.served_only_by("us-west", 100).await;
    let samples = load.end_without_failure().await;
    assert_eq!(answers(&samples).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_daemon_killed_is_left_and_used_again() {
    let mut world = World::new(85, &ALL);
    let mut daemons = world.start_all_with(&[RETURN]).await;
    world.scale("us-west", 0).await;
    daemons[0].sees("us-west", 0).await;
    let load = Load::start(world.site("us-west").listener(), RATE);
    load.served_by("us-east", 10).await;
    load.served_by("eu-west", 10).await;

    daemons[1].process.kill();
    load.served_only_by("eu-west", 60).await;
    daemons[0].process.says(&["WARN", "no sync session", "us-east", "did that daemon crash"]).await;

    daemons[1] = world.start_with("us-east", &[RETURN]);
    load.served_by("us-east", 20).await;
    daemons[0].sees("us-east", 2).await;
    load.end_without_failure().await;
}
