//! Clusters that have as much under way as they can bear.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::world::{Behaviour, EAST, EU, WEST, World};
use crate::admission::Urgency;
use crate::balance::{Attempted, pick, pick_local_only};
use crate::health::{Outcome, Usable};
use crate::route::RelayedError;

#[test]
fn an_overloaded_cluster_is_passed_over_for_a_moment_and_is_not_ill() {
    let mut world = World::new(0, 4, 4);
    world.run(1_000, 200);
    world.cluster_behaves(EAST, Behaviour::Overloaded);
    let tally = world.run(5_000, 200);
    assert_eq!((tally.of(EAST), tally.of(EU), tally.failed), (0, 1_000, 0));
    assert!(world.slots(EAST).iter().all(|slot| slot.usable(world.now()) == Usable::Yes), "its links answer");
    assert!(world.share(EAST) > 0.3, "and it is not thought to be without capacity");
    world.cluster_behaves(EAST, Behaviour::Answers);
    assert!(world.run(1_000, 200).of(EAST) > 60, "used again at once");
}

#[test]
fn when_every_cluster_is_full_requests_are_shed_at_once() {
    let mut world = World::new(0, 4, 4);
    world.run(1_000, 200);
    assert!(!world.route().shed(Urgency::USUAL, world.now()));
    world.cluster_behaves(EAST, Behaviour::Overloaded);
    world.cluster_behaves(EU, Behaviour::Overloaded);
    let tally = world.run(150, 200);
    assert_eq!(tally.failed, 30);
    let (route, now) = (world.route(), world.now());
    assert!(route.shed(Urgency::USUAL, now), "both said so a moment ago");
    assert!(pick(&route, &mut world.rng, now, &Attempted::none()).is_none(), "nor is the least suspect asked");
    world.cluster_behaves(EU, Behaviour::Answers);
    world.run(300, 0);
    assert!(!world.route().shed(Urgency::USUAL, world.now()), "for a fifth of a second");
    assert_eq!(world.run(1_000, 200).failed, 0);
}

#[test]
fn a_panic_sheds_the_least_urgent_first() {
    let mut world = World::new(10, 0, 0);
    for slot in &world.slots(WEST)[1..] {
        slot.record(Outcome::Refused, world.now());
    }
    world.balancer.step(true);
    let (route, now) = (world.route(), world.now());
    assert!(route.in_panic());
    let mut held = Vec::new();
    // 1.2 · 10 · 64 = 768 for the usual; 65 ÷ 85 of it for the least, 100 ÷ 85 for the most urgent.
    for (in_flight, shed) in
        [(587, [false; 3]), (589, [true, false, false]), (769, [true, true, false]), (905, [true, true, true])]
    {
        while held.len() < in_flight {
            held.push(pick(&route, &mut world.rng, now, &Attempted::none()).unwrap().begin());
        }
        for (urgency, shed) in [Urgency::LEAST, Urgency::USUAL, Urgency::MOST].into_iter().zip(shed) {
            assert_eq!(route.shed(urgency, now), shed, "{urgency:?} with {in_flight} in flight");
            assert_eq!(
                route.shed_inbound(urgency),
                shed,
                "{urgency:?} from another cluster with {in_flight} in flight"
            );
        }
    }
}

#[test]
fn who_is_turned_away_elsewhere_tells_only_those_who_are_no_more_urgent() {
    let mut world = World::new(0, 4, 0);
    world.run(1_000, 100);
    let (route, now) = (world.route(), world.now());
    let all = [Urgency::MOST, Urgency::USUAL, Urgency::LEAST];
    let mut found = |now| {
        world.balancer.step(true);
        all.map(|urgency| pick(&route, &mut world.rng, now, &Attempted::none_by(urgency)).is_some())
    };
    assert_eq!(found(now), [true; 3]);
    for (turned_away, left) in
        [(Urgency::LEAST, [true, true, false]), (Urgency::USUAL, [true, false, false]), (Urgency::MOST, [false; 3])]
    {
        let choice = pick(&route, &mut fastrand::Rng::with_seed(1), now, &Attempted::none_by(turned_away)).unwrap();
        choice.begin().relayed(RelayedError::Overloaded, Duration::from_millis(70), now);
        assert_eq!(found(now), left, "{turned_away:?}");
        assert_eq!(all.map(|urgency| !route.shed(urgency, now)), left, "{turned_away:?}");
    }
    assert_eq!(found(now + 200), [true; 3], "for a fifth of a second");
}

#[test]
fn own_endpoints_that_clients_leave_take_no_more_than_they_can_work_off() {
    let mut world = World::new(4, 4, 0);
    world.run(3_000, 200);
    let (route, mut held) = (world.route(), Vec::new());
    // Sixty requests wait, three in four of their clients leave, the rest is answered after two seconds.
    for step in 0..40 {
        let now = world.now();
        for _ in 0..15 {
            if let Some(choice) = pick_local_only(&route, &mut world.rng, now, &Attempted::none()) {
                held.push(choice.begin());
            }
        }
        for (at, flight) in held.drain(..held.len().saturating_sub(60)).enumerate() {
            let outcome = if (at + step) % 4 == 0 {
                Outcome::Success { latency: Duration::from_secs(2) }
            } else {
                Outcome::Abandoned
            };
            flight.record(outcome, now);
        }
        world.run(100, 0);
    }
    assert!(route.shed_inbound(Urgency::USUAL), "60 in flight are more than one for each of 4 pods");
    drop(held.split_off(route.room.load(Ordering::Relaxed) as usize));
    assert!(route.shed_inbound(Urgency::LEAST) && route.shed_inbound(Urgency::USUAL), "as many as there may be");
    assert!(!route.shed_inbound(Urgency::MOST), "there is room for what is urgent");
    let now = world.now();
    while held.len() < Urgency::MOST.most(route.room.load(Ordering::Relaxed)) as usize {
        held.push(pick_local_only(&route, &mut world.rng, now, &Attempted::none()).unwrap().begin());
    }
    assert!(route.shed_inbound(Urgency::MOST), "to a point");
    assert!(!route.shed(Urgency::USUAL, world.now()), "another cluster has room");
    let tally = world.run(500, 200);
    assert_eq!((tally.of(EAST), tally.failed), (100, 0), "own clients go there");
    let slots = route.clusters[0].targets.candidates.iter().map(|c| c.slot.usable(world.now()));
    assert!(slots.into_iter().all(|usable| usable == Usable::Yes), "a pod that answers is not ejected for it");
}

#[test]
fn clients_that_leave_a_pod_that_says_nothing_eject_it() {
    let world = World::new(2, 0, 0);
    let slot = &world.slots("us-west")[0];
    slot.record(Outcome::Success { latency: Duration::from_millis(5) }, 10_000);
    for at in 0..20 {
        slot.record(Outcome::Abandoned, 10_100 + at);
    }
    assert_eq!(slot.usable(10_200), Usable::Yes, "it answered a moment ago");
    for at in 0..5 {
        slot.record(Outcome::Abandoned, 11_100 + at);
    }
    assert_eq!(slot.usable(11_200), Usable::No);
}
