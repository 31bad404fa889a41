//! What a panic does to picks, and how it ends.

use strait_catalog::PolicyRecord;

use super::world::{Behaviour, Pod, WEST, World};
use crate::health::{Outcome, Slot};

/// Makes a pod answer badly until it is ejected.
fn ejected_softly(slot: &Slot, now: u64) {
    for _ in 0..5 {
        slot.record(Outcome::ServerError, now);
    }
}

/// The own cluster with ten pods, nine of which are ejected for bad answers.
fn one_of_ten() -> World {
    let mut world = World::new(10, 0, 0);
    for slot in &world.slots(WEST)[1..] {
        ejected_softly(slot, world.now());
    }
    world.balancer.step(true);
    assert!(world.route().in_panic());
    world
}

#[test]
fn the_one_healthy_pod_of_ten_does_not_get_everything() {
    let mut world = one_of_ten();
    let counts = world.picks(WEST, 3_000);
    assert!(counts[0] < 1_200, "at most twice its part of each of two draws: {counts:?}");
    assert!(counts[1..].iter().all(|n| *n > 120), "and the others take theirs: {counts:?}");
    world.balancer.step(true);
    assert!(world.route().in_panic(), "what a panic uses is no capacity");
    let route = world.route();
    assert!((route.clusters[0].place.capacity().0 - 1.0).abs() < 1e-6);
    assert_eq!(route.load_report().to_string(), "ready=10,capacity=1.00,inflight=0", "and no other cluster is told so");
}

#[test]
fn who_refuses_or_is_not_ready_stays_out_of_a_panic() {
    let mut world = World::new(10, 0, 0);
    let mut pods = [Pod::Ready; 10];
    pods[2] = Pod::NotReady;
    world.slice(WEST, &pods);
    world.publish();
    let (slots, now) = (world.slots(WEST), world.now());
    slots[1].record(Outcome::Refused, now);
    slots[2].record(Outcome::Success { latency: std::time::Duration::from_millis(1) }, now);
    slots[3..].iter().for_each(|slot| ejected_softly(slot, now));
    world.balancer.step(true);
    assert!(world.route().in_panic());
    let counts = world.picks(WEST, 2_000);
    assert_eq!(counts[1..3], [0, 0], "{counts:?}");
    assert!(counts[3..].iter().all(|n| *n > 50), "{counts:?}");
}

#[test]
fn a_panic_lasts_while_answers_are_bad_and_ends_once_when_they_are_good() {
    let mut world = one_of_ten();
    for at in 2..=10 {
        world.behave(&format!("10.1.0.{at}:8080"), Behaviour::Errors);
    }
    for _ in 0..100 {
        world.run(100, 100);
        assert!(world.route().in_panic(), "no bad answer ends it");
    }
    world.pods_behave(Behaviour::Answers);
    let (mut panics, mut turns) = (true, 0);
    for _ in 0..200 {
        world.run(100, 100);
        turns += usize::from(world.route().in_panic() != panics);
        panics = world.route().in_panic();
    }
    assert!(!panics && turns == 1, "{turns} turns");
    let route = world.route();
    assert!(route.clusters[0].targets.candidates.iter().all(|c| c.effective() > 0.99), "all alike again");
}

#[test]
fn weights_follow_within_the_tick_in_which_a_panic_begins_and_ends() {
    let mut world = one_of_ten();
    let weights = |world: &World| {
        let route = world.route();
        route.clusters[0].targets.candidates.iter().map(|c| (c.effective() * 100.0).round()).collect::<Vec<_>>()
    };
    assert_eq!(weights(&world)[..2], [100.0, 50.0]);
    world.policy(PolicyRecord { panic_percent: Some(0), ..PolicyRecord::default() });
    assert!(!world.route().in_panic());
    assert_eq!(weights(&world)[..2], [100.0, 0.0]);
}
