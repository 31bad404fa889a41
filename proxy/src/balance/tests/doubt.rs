//! Pods that are said not to be ready, and may be so.

use super::world::{Behaviour, Pod, WEST, World};
use crate::route::{Candidate, Class};

#[test]
fn a_late_lease_does_not_empty_the_cluster() {
    let mut world = World::new(3, 3, 3);
    world.run(2_000, 200);
    world.slice(WEST, &[Pod::NotReady; 3]);
    world.publish();
    let tally = world.run(5_000, 200);
    assert_eq!((tally.of(WEST), tally.failed), (1_000, 0), "answers decide");
    // Until they do.
    world.pods_behave(Behaviour::Refuses);
    let tally = world.run(2_000, 200);
    assert_eq!((tally.of(WEST), tally.failed), (0, 0));
}

#[test]
fn a_node_whose_kubelet_is_silent_keeps_its_pods_that_answer() {
    use Pod::{NotReady, Ready};
    let mut world = World::new(3, 3, 3);
    // In use, and with its full weight.
    let used = |world: &World| {
        let whole = |c: &Candidate| c.class == Class::Ready && c.slot.health(world.now()) > 0.999;
        world.route().clusters[0].targets.candidates.iter().map(whole).collect::<Vec<_>>()
    };
    world.run(2_000, 200);
    world.node(1, false);
    world.publish();
    world.slice(WEST, &[Ready, NotReady, Ready]);
    world.publish();
    let tally = world.run(5_000, 200);
    assert_eq!((tally.of(WEST), tally.failed), (1_000, 0));
    assert_eq!(used(&world), [true; 3]);
    // The node is back before its pods are said to be: nothing changes, then or when they are.
    world.node(1, true);
    world.publish();
    assert_eq!(world.run(5_000, 200).of(WEST), 1_000);
    world.slice(WEST, &[Ready; 3]);
    world.publish();
    assert_eq!(used(&world), [true; 3], "no ramp for what never went away");
    // One that stays unready on a ready node is believed in the end, with no news from the API server.
    world.slice(WEST, &[Ready, NotReady, Ready]);
    world.publish();
    assert_eq!(used(&world), [true; 3]);
    world.run(121_000, 200);
    assert_eq!(used(&world), [true, false, true]);
    assert_eq!(world.run(1_000, 200).failed, 0);
}

#[test]
fn slices_may_come_long_before_or_after_their_node() {
    use Pod::{NotReady, Ready};
    let mut world = World::new(3, 3, 3);
    let nodes = |world: &mut World, ready| {
        world.node(1, ready);
        world.node(2, ready);
        world.publish();
    };
    world.run(2_000, 200);
    // The nodes were marked and are ready again before their pods are marked, and those are so for long.
    nodes(&mut world, false);
    world.run(17_000, 200);
    nodes(&mut world, true);
    world.run(33_000, 200);
    world.slice(WEST, &[Ready, NotReady, NotReady]);
    world.publish();
    assert_eq!(world.run(40_000, 200).of(WEST), 8_000);
    world.slice(WEST, &[Ready; 3]);
    world.publish();
    world.run(130_000, 200);
    // The watch of nodes is late.
    world.slice(WEST, &[Ready, NotReady, NotReady]);
    world.publish();
    world.run(8_000, 200);
    assert_eq!(world.route().clusters[0].ready, 1);
    nodes(&mut world, false);
    assert_eq!(world.route().clusters[0].ready, 3);
}

#[test]
fn what_an_outage_did_to_nodes_may_never_be_seen() {
    use Pod::{NotReady, Ready};
    let mut world = World::new(4, 3, 3);
    let ready = |world: &World| world.route().clusters[0].ready;
    world.heard();
    world.run(2_000, 200);
    // Not ready before the outage, for a reason of its own.
    world.slice(WEST, &[Ready, Ready, Ready, NotReady]);
    world.publish();
    world.heard();
    assert_eq!(world.run(25_000, 200).failed, 0);
    assert_eq!(ready(&world), 3);
    // What is heard again is that all nodes are ready, and what became of two pods while they were not.
    world.heard();
    world.slice(WEST, &[Ready, NotReady, NotReady, NotReady]);
    world.publish();
    assert_eq!(ready(&world), 3, "those that answered stay, the one that left before does not come back");
    let listening = |world: &mut World, ms: u64| {
        (0..ms / 1_000).for_each(|_| {
            world.heard();
            world.run(1_000, 200);
        });
        ready(world)
    };
    assert_eq!(listening(&mut world, 110_000), 3);
    assert_eq!(listening(&mut world, 15_000), 1, "believed in the end");
}

#[test]
fn a_node_that_is_dead_keeps_nothing() {
    let mut world = World::new(3, 3, 3);
    world.run(2_000, 200);
    world.behave("10.1.0.2:8080", Behaviour::BlackHole);
    let tally = world.run(40_000, 200);
    assert_eq!(tally.failed, 0);
    world.node(1, false);
    world.slice(WEST, &[Pod::Ready, Pod::NotReady, Pod::Ready]);
    world.publish();
    assert_eq!(world.route().clusters[0].ready, 2);
    // Nor does one whose pods nobody has asked for as long as Kubernetes waits.
    let mut idle = World::new(3, 3, 3);
    idle.run(2_000, 200);
    idle.run(31_000, 0);
    idle.node(1, false);
    idle.slice(WEST, &[Pod::Ready, Pod::NotReady, Pod::Ready]);
    idle.publish();
    assert_eq!(idle.route().clusters[0].ready, 2);
}

#[test]
fn one_bad_moment_ends_no_doubt_and_an_old_reason_is_none() {
    use Pod::{NotReady, Ready};
    let mut world = World::new(4, 3, 3);
    let ready = |world: &World| world.route().clusters[0].ready;
    world.run(2_000, 400);
    // The last pod is not ready for a reason of its own; the node follows much later.
    world.slice(WEST, &[Ready, Ready, Ready, NotReady]);
    world.publish();
    world.run(25_000, 400);
    world.node(1, false);
    world.node(3, false);
    world.slice(WEST, &[Ready, NotReady, Ready, NotReady]);
    world.publish();
    assert_eq!(ready(&world), 3);
    // Another pod of the service changes while the kept one has just failed, and again after a minute without requests.
    world.behave("10.1.0.2:8080", Behaviour::Errors);
    world.run(100, 400);
    world.behave("10.1.0.2:8080", Behaviour::Answers);
    world.slice(WEST, &[Ready, NotReady, Ready]);
    world.publish();
    assert_eq!(ready(&world), 3);
    world.run(60_000, 0);
    world.slice(WEST, &[Ready, NotReady, Ready, NotReady]);
    world.publish();
    assert_eq!(ready(&world), 3);
    assert_eq!(world.run(5_000, 400).failed, 0);
}

#[test]
fn readiness_counts_when_some_are_ready_or_were_never() {
    let mut world = World::new(3, 3, 3);
    world.run(1_000, 100);
    world.slice(WEST, &[Pod::Ready, Pod::NotReady, Pod::NotReady]);
    world.publish();
    let counts = |world: &World| {
        let route = world.route();
        route.clusters[0].targets.candidates.iter().map(|c| c.slot.counts().0).collect::<Vec<_>>()
    };
    let before = counts(&world);
    world.run(2_000, 100);
    assert_eq!(counts(&world)[1..], before[1..], "not ready, not used");
    let mut starting = World::new(0, 3, 3);
    starting.run(1_000, 100);
    starting.slice(WEST, &[Pod::NotReady; 3]);
    starting.publish();
    assert_eq!(starting.run(2_000, 100).of(WEST), 0, "they were never ready");
}
