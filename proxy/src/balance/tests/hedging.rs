//! Where a second attempt goes beside a silent one.

use super::world::{Behaviour, EAST, EU, WEST, World};
use crate::balance::{Attempted, Choice, pick, pick_beside, pick_local_only};
use crate::health::Outcome;

/// The clusters that attempts beside a first one go to, one after another, and whether any target was taken twice.
fn follow(world: &mut World, local_only: bool, first: fn(&Choice<'_>) -> bool) -> Vec<String> {
    let (route, now) = (world.route(), world.now());
    let mut tried = Attempted::none();
    let start = (0..1_000)
        .find_map(|_| {
            let none = Attempted::none();
            let choice = if local_only {
                pick_local_only(&route, &mut world.rng, now, &none)
            } else {
                pick(&route, &mut world.rng, now, &none)
            };
            choice.filter(first)
        })
        .unwrap();
    tried.note(&start);
    let mut slots = vec![start.slot.id()];
    let mut clusters = vec![start.cluster.to_string()];
    while let Some(next) = pick_beside(&route, &mut world.rng, now, &tried, &start, local_only) {
        assert!(!slots.contains(&next.slot.id()), "{:?} twice", next.target);
        slots.push(next.slot.id());
        clusters.push(next.cluster.to_string());
        tried.note(&next);
        assert!(slots.len() < 20);
    }
    clusters
}

#[test]
fn beside_a_pod_another_pod_then_another_cluster_then_the_rest() {
    let mut world = World::new(3, 2, 0);
    assert_eq!(follow(&mut world, false, |c| c.local), [WEST, WEST, EAST, EAST, WEST]);
    let mut alone = World::new(1, 2, 2);
    let clusters = follow(&mut alone, false, |c| c.local);
    assert_eq!((&*clusters[0], clusters.len()), (WEST, 5));
    assert!(clusters[1..].iter().all(|c| c != WEST));
}

#[test]
fn beside_a_gateway_another_cluster_then_another_of_its_gateways() {
    let mut world = World::new(0, 2, 2);
    let clusters = follow(&mut world, false, |c| c.cluster.as_str() == EAST);
    assert_eq!(clusters, [EAST, EU, EU, EAST]);
    let mut only = World::new(0, 2, 0);
    assert_eq!(follow(&mut only, false, |_| true), [EAST, EAST]);
}

#[test]
fn what_came_through_the_gateway_stays() {
    let mut world = World::new(2, 2, 2);
    assert_eq!(follow(&mut world, true, |_| true), [WEST, WEST]);
}

#[test]
fn nothing_suspect_is_hedged_to_and_nothing_at_all_in_a_panic() {
    let mut world = World::new(2, 0, 0);
    let now = world.now();
    world.slots(WEST)[1].record(Outcome::Refused, now);
    assert_eq!(follow(&mut world, false, |c| !c.probation), [WEST]);
    let mut panicked = World::new(4, 0, 0);
    panicked.behave("10.1.0.1:8080", Behaviour::Refuses);
    panicked.behave("10.1.0.2:8080", Behaviour::Refuses);
    panicked.behave("10.1.0.3:8080", Behaviour::Refuses);
    panicked.run(500, 100);
    assert!(panicked.route().in_panic());
    assert_eq!(follow(&mut panicked, false, |c| !c.probation), [WEST]);
}
