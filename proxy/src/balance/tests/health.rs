//! What may be used when, end to end.

use futures_util::FutureExt as _;

use super::world::{Behaviour, EAST, EU, Pod, WEST, World};
use crate::balance::{Attempted, EndpointState, pick, pick_local_only};
use crate::health::{Outcome, Usable};
use crate::route::Class;

#[test]
fn the_last_usable_place_is_never_ejected() {
    let mut world = World::new(2, 0, 0);
    for behaviour in [Behaviour::Errors, Behaviour::Refuses, Behaviour::BlackHole] {
        world.pods_behave(behaviour);
        world.run(5_000, 100);
        let (route, now) = (world.route(), world.now());
        let choice = pick(&route, &mut world.rng, now, &Attempted::none());
        assert!(choice.is_some(), "{behaviour:?}: something is always tried");
        world.pods_behave(Behaviour::Answers);
        let healed = world.run(2_000, 100);
        assert!(healed.failed <= 5, "{behaviour:?}: {} failed after it healed", healed.failed);
    }
}

#[test]
fn with_all_suspect_the_load_moves_between_them() {
    let mut world = World::new(4, 0, 0);
    world.pods_behave(Behaviour::Refuses);
    world.run(2_000, 100);
    let counts: Vec<u64> = world.route().clusters[0].targets.candidates.iter().map(|c| c.slot.counts().1).collect();
    assert!(counts.iter().all(|n| *n > 20), "{counts:?}");
}

#[test]
fn leaving_endpoints_only_after_a_fresh_success_and_when_nobody_else_can() {
    let mut world = World::new(2, 2, 0);
    world.run(1_000, 100);
    world.slice(WEST, &[Pod::Leaving, Pod::Leaving]);
    world.publish();
    assert_eq!(world.run(500, 100).of(WEST), 0, "another cluster can");
    let mut alone = World::new(2, 0, 0);
    alone.run(1_000, 100);
    alone.slice(WEST, &[Pod::Leaving, Pod::Leaving]);
    alone.publish();
    let (route, now) = (alone.route(), alone.now());
    let choice = pick(&route, &mut alone.rng, now, &Attempted::none()).unwrap();
    assert_eq!(route.clusters[0].class, Class::Leaving);
    assert!(choice.slot.fresh_success(2_000, now));
    assert_eq!(alone.run(1_000, 100).failed, 0);
    alone.behave("10.1.0.1:8080", Behaviour::Refuses);
    assert!(alone.run(1_000, 100).of(WEST) >= 99, "the one that refuses is left");
}

#[test]
fn pods_that_become_ready_again_start_without_their_past() {
    let mut world = World::new(2, 2, 2);
    world.run(500, 100);
    world.behave("10.1.0.1:8080", Behaviour::Refuses);
    world.run(500, 100);
    let slot = world.route().clusters[0].targets.candidates[0].slot.clone();
    assert_eq!(slot.usable(world.now()), Usable::No);
    world.slice(WEST, &[Pod::NotReady, Pod::Ready]);
    world.publish();
    world.behave("10.1.0.1:8080", Behaviour::Answers);
    world.slice(WEST, &[Pod::Ready, Pod::Ready]);
    world.publish();
    assert_eq!(slot.usable(world.now()), Usable::Yes);
    assert!(slot.part(world.now()) < 0.2, "but at a tenth of its weight");
    world.run(11_000, 100);
    assert!(slot.part(world.now()) > 0.99);
}

#[test]
fn what_thinks_for_longer_than_a_probation_is_waited_for_comes_back() {
    let world = World::new(3, 0, 0);
    let (slots, mut now) = (world.slots(WEST), world.now());
    for slot in &slots {
        (0..5).for_each(|_| slot.record(Outcome::ServerError, now));
    }
    // Each probation is answered five seconds after it began; others begin meanwhile.
    let (mut begun, targets) = (Vec::new(), world.route().clusters[0].targets.clone());
    for _ in 0..200 {
        now += 100;
        if let Some(due) = targets.refresh(now, false).due {
            let slot = targets.candidates[due as usize].slot.clone();
            assert!(slot.claim_probation(now));
            begun.push((now, slot));
        }
        begun.iter().filter(|(at, _)| at + 5_000 == now).for_each(|(_, slot)| {
            slot.record(Outcome::Success { latency: std::time::Duration::from_secs(5) }, now);
        });
    }
    assert!(slots.iter().all(|slot| slot.usable(now) == Usable::Yes), "all of them: they take turns");
}

#[test]
fn pods_of_a_port_that_goes_are_where_they_were_if_another_port_leads_to_them() {
    let mut world = World::new(3, 3, 0);
    world.ports(WEST, &[80, 81]);
    world.publish();
    world.run(1_000, 100);
    world.ports(WEST, &[80]);
    world.publish();
    let now = world.now();
    assert!(world.slots(WEST).iter().all(|slot| slot.part(now) > 0.99));
    assert_eq!(world.run(1_000, 100).of(EAST), 0);
}

#[test]
fn a_brown_out_lowers_a_pods_part_before_it_is_ejected() {
    let world = World::new(2, 0, 0);
    let route = world.route();
    let slot = &route.clusters[0].targets.candidates[0].slot;
    let now = world.now();
    for i in 0..40 {
        let latency = std::time::Duration::from_millis(1);
        slot.record(if i % 4 == 0 { Outcome::ServerError } else { Outcome::Success { latency } }, now);
    }
    assert_eq!(slot.usable(now), Usable::Yes);
    assert!((slot.health(now) - 0.25 / 0.45).abs() < 0.01, "{}", slot.health(now));
    for _ in 0..25 {
        slot.record(Outcome::Overloaded { retry_after: std::time::Duration::ZERO }, now);
    }
    assert_eq!(slot.usable(now), Usable::Yes, "asking for less is no failure");
    assert!(slot.cost(now) >= 1_000.0, "but it looks slow");
}

#[test]
fn abandoned_requests_count_against_the_path() {
    let world = World::new(2, 0, 0);
    let route = world.route();
    let slot = &route.clusters[0].targets.candidates[0].slot;
    for _ in 0..5 {
        slot.record(Outcome::Abandoned, world.now());
    }
    assert_eq!(slot.usable(world.now()), Usable::No);
}

#[test]
fn only_one_request_probes_and_a_connection_is_enough_after_a_refusal() {
    let world = World::new(1, 1, 1);
    let route = world.route();
    let slot = &route.clusters[0].targets.candidates[0].slot;
    let now = world.now();
    slot.record(Outcome::Refused, now);
    assert!(!slot.claim_probation(now + 400), "the back-off holds");
    let due = now + 1_500;
    assert_eq!(slot.usable(due), Usable::Probation);
    assert!(slot.claim_probation(due));
    assert!(!slot.claim_probation(due), "one only");
    slot.connected(due + 1);
    assert_eq!(slot.usable(due + 1), Usable::Yes, "before the model has thought to its end");
}

#[test]
fn a_gateway_serves_local_endpoints_only_and_says_when_it_has_none() {
    let mut world = World::new(2, 2, 2);
    let (route, now) = (world.route(), world.now());
    let choice = pick_local_only(&route, &mut world.rng, now, &Attempted::none()).unwrap();
    assert!(choice.local);
    let guard = choice.begin();
    assert_eq!((route.inbound.in_flight(), route.in_flight()), (1, 0), "not our own clients' request");
    assert_eq!(route.load_report().to_string(), "ready=2,capacity=2.00,inflight=1");
    drop(guard);
    assert_eq!(route.inbound.in_flight(), 0);
    for pods in [&[][..], &[Pod::NotReady][..]] {
        world.slice(WEST, pods);
        world.publish();
        let (route, now) = (world.route(), world.now());
        assert!(pick_local_only(&route, &mut world.rng, now, &Attempted::none()).is_none(), "{pods:?}");
    }
}

#[test]
fn retries_go_to_another_endpoint_then_to_another_cluster() {
    let mut world = World::new(3, 2, 2);
    let (route, now) = (world.route(), world.now());
    let mut tried = Attempted::none();
    let mut seen = Vec::new();
    for _ in 0..7 {
        let choice = pick(&route, &mut world.rng, now, &tried).unwrap();
        seen.push((choice.cluster.to_string(), choice.slot.id()));
        assert!(!choice.repeated);
        tried.note(&choice);
    }
    let clusters: Vec<&str> = seen.iter().map(|(cluster, _)| cluster.as_str()).collect();
    assert_eq!(clusters, [WEST, WEST, EAST, EAST, EU, EU, WEST]);
    let slots: std::collections::BTreeSet<u64> = seen.iter().map(|(_, slot)| *slot).collect();
    assert_eq!(slots.len(), 7, "never the same twice");
    assert!(pick(&route, &mut world.rng, now, &tried).unwrap().repeated, "all tried");
}

#[test]
fn a_panic_uses_what_answers_badly_but_not_what_refuses() {
    let mut world = World::new(4, 0, 0);
    let (slots, now) = (world.slots(WEST), world.now());
    slots[0].record(Outcome::Refused, now);
    for slot in &slots[1..] {
        for _ in 0..5 {
            slot.record(Outcome::ServerError, now);
        }
    }
    // One of them failed its probation as well: more suspect, and used all the same.
    assert!(slots[1].claim_probation(now + 1_500));
    slots[1].record(Outcome::ServerError, now + 1_500);
    assert_eq!(slots[1].breaker().trips, 2);
    world.balancer.step(true);
    assert!(world.route().in_panic());
    let status = world.route().status(now);
    assert!(status.clusters[0].endpoints.iter().all(|e| e.state == EndpointState::Ejected), "{status:?}");
    let counts = world.picks(WEST, 300);
    assert_eq!(counts[0], 0, "{counts:?}");
    assert!(counts[1..].iter().all(|n| *n > 50), "{counts:?}");
}

#[test]
fn the_least_suspect_is_the_one_with_the_least_against_it() {
    let mut world = World::new(3, 0, 0);
    let (slots, now) = (world.slots(WEST), world.now());
    for (slot, refusals) in slots.iter().zip([3, 1, 2]) {
        for _ in 0..refusals {
            slot.record(Outcome::Refused, now);
        }
    }
    assert_eq!(world.picks(WEST, 100), [0, 100, 0]);
}

#[test]
fn an_ejection_wakes_the_balancer_once() {
    let world = World::new(2, 0, 0);
    let woken = || world.registry.wake().notified().now_or_never().is_some();
    woken();
    let slot = &world.slots(WEST)[0];
    slot.record(Outcome::ServerError, world.now());
    assert!(!woken(), "one bad answer changes nothing");
    slot.record(Outcome::Refused, world.now());
    assert!(woken());
    slot.record(Outcome::Refused, world.now());
    assert!(!woken(), "it was ejected already");
}

#[test]
fn mostly_bad_answers_eject_without_a_run_of_them() {
    let world = World::new(2, 0, 0);
    let (slot, now) = (&world.slots(WEST)[0], world.now());
    let good = Outcome::Success { latency: std::time::Duration::from_millis(1) };
    for outcome in [good, Outcome::ServerError, Outcome::ServerError].into_iter().cycle().take(19) {
        slot.record(outcome, now);
        assert_eq!(slot.usable(now), Usable::Yes, "too few to tell");
    }
    slot.record(Outcome::ServerError, now);
    assert_eq!(slot.usable(now), Usable::No);
}

#[test]
fn a_pod_that_went_and_came_back_starts_anew() {
    let mut world = World::new(2, 2, 2);
    let slot = world.slots(WEST)[1].clone();
    slot.record(Outcome::Refused, world.now());
    world.slice(WEST, &[Pod::Ready]);
    world.publish();
    assert_eq!(slot.usable(world.now()), Usable::No);
    world.slice(WEST, &[Pod::Ready, Pod::Ready]);
    world.publish();
    assert_eq!(world.slots(WEST)[1].id(), slot.id(), "it is remembered");
    assert_eq!(slot.usable(world.now()), Usable::Yes, "and forgiven");
}

#[test]
fn of_those_that_are_leaving_only_the_ones_that_answered_just_now() {
    let mut world = World::new(3, 0, 0);
    let now = world.now();
    world.slots(WEST)[1].record(Outcome::Success { latency: std::time::Duration::from_millis(1) }, now);
    world.slice(WEST, &[Pod::Leaving; 3]);
    world.publish();
    assert_eq!(world.picks(WEST, 50), [0, 50, 0]);
}

#[test]
fn a_set_has_one_pod_on_probation_at_a_time() {
    let mut world = World::new(4, 0, 0);
    for slot in &world.slots(WEST)[..2] {
        slot.record(Outcome::ConnectTimeout, world.now());
    }
    world.run(1_600, 0);
    let (route, now) = (world.route(), world.now());
    let first = pick(&route, &mut world.rng, now, &Attempted::none()).unwrap();
    assert!(first.probation);
    world.balancer.step(true);
    assert!(!pick(&route, &mut world.rng, now, &Attempted::none()).unwrap().probation, "the first is not back");
    first.begin().record(Outcome::ConnectTimeout, now);
    world.balancer.step(true);
    assert!(pick(&route, &mut world.rng, now, &Attempted::none()).unwrap().probation, "now the second's turn");
}

#[test]
fn what_pods_report_shifts_requests_between_them_and_no_capacity() {
    let mut world = World::new(4, 2, 0);
    world.run(1_000, 100);
    let slots = world.slots(WEST);
    let report = |world: &World| {
        for (slot, weight) in slots.iter().zip([300.0, 100.0, 200.0]) {
            slot.note_reported(weight, world.now());
        }
    };
    report(&world);
    world.run(11_000, 100);
    report(&world);
    world.run(1_000, 100);
    let weights: Vec<f32> = world.route().clusters[0].targets.candidates.iter().map(|c| c.effective()).collect();
    for (weight, expected) in weights.iter().zip([1.5, 0.5, 1.0, 1.0]) {
        assert!((weight - expected).abs() < 0.02, "{weights:?}: the last reports nothing and gets the average");
    }
    assert!((world.route().clusters[0].place.capacity().0 - 4.0).abs() < 0.01);
    assert!(world.share(WEST) > 0.999);
    let picks = world.picks(WEST, 4_000);
    assert!(picks[0] > 2 * picks[1], "{picks:?}");
}

#[test]
fn a_call_is_judged_at_its_end_and_one_from_before_an_ejection_proves_nothing() {
    let world = World::new(1, 1, 1);
    let route = world.route();
    let slot = &route.clusters[0].targets.candidates[0].slot;
    let (now, latency) = (world.now(), std::time::Duration::from_millis(5));
    let call = || pick_local_only(&route, &mut fastrand::Rng::with_seed(1), now, &Attempted::none()).unwrap().begin();
    let (mut early, mut silent, mut late) = (call(), call(), call());
    for flight in [&mut early, &mut silent] {
        flight.begun(latency, now);
    }
    assert_eq!(slot.counts(), (0, 0), "a head is not the end");
    assert!(slot.latency(now) >= latency, "but it tells the latency");
    for _ in 0..5 {
        slot.record(Outcome::ServerError, now + 100);
    }
    early.settle(|latency| Outcome::Success { latency }, now + 60_000);
    assert_ne!(slot.usable(now + 60_000), Usable::Yes, "it began before the ejection");
    early.settle(|_| Outcome::Broken, now + 60_000);
    assert_eq!(slot.counts(), (1, 5), "told once");
    drop(silent);
    assert_eq!(slot.counts(), (1, 5), "cut short by its client: nothing");
    late.begun(latency, now + 60_100);
    late.settle(|latency| Outcome::Success { latency }, now + 60_200);
    assert_eq!(slot.usable(now + 60_200), Usable::Yes);
}
