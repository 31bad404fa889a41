//! Failover and return, end to end.

use super::world::{Behaviour, EAST, EU, Pod, WEST, World};
use crate::health::Usable;

#[test]
fn everything_is_local_while_local_is_well() {
    let mut world = World::new(4, 4, 4);
    let tally = world.run(5_000, 200);
    assert_eq!((tally.of(WEST), tally.failed), (1_000, 0));
}

#[test]
fn a_crash_of_all_pods_costs_no_request_and_the_return_is_ramped() {
    let mut world = World::new(20, 4, 4);
    world.run(2_000, 200);
    world.pods_behave(Behaviour::Refuses);
    // The slice says nothing for two seconds.
    let tally = world.run(2_000, 200);
    assert_eq!(tally.failed, 0);
    assert!(tally.most_attempts <= 3, "{}", tally.most_attempts);
    assert_eq!(tally.of(WEST), 0);
    assert!(tally.of(EAST) > tally.of(EU), "the nearer one more");
    assert!(world.share(WEST) < 1e-6);
    world.slice(WEST, &[]);
    world.publish();
    assert_eq!(world.run(20_000, 200).failed, 0);

    world.pods_behave(Behaviour::Answers);
    world.slice(WEST, &[Pod::Ready]);
    world.publish();
    let one = world.run(10_000, 200);
    assert!(one.first.get(WEST).is_some_and(|ms| *ms <= 2_000), "{:?}", one.first);
    assert!(one.share(WEST) < 0.08, "one pod of twenty takes its part: {}", one.share(WEST));
    world.slice(WEST, &[Pod::Ready; 20]);
    world.publish();
    let ramp = world.run(10_000, 200);
    assert!((0.1..0.45).contains(&ramp.share(WEST)), "{}", ramp.share(WEST));
    world.run(30_000, 200);
    let after = world.run(5_000, 200);
    assert_eq!((after.of(WEST), after.failed), (1_000, 0));
}

#[test]
fn part_of_the_local_pods_spills_part_of_the_requests() {
    let mut world = World::new(10, 10, 10);
    world.run(2_000, 200);
    world.slice(WEST, &[Pod::Ready; 4]);
    world.publish();
    let tally = world.run(5_000, 400);
    assert_eq!(tally.failed, 0);
    assert!((0.50..0.62).contains(&tally.share(WEST)), "1.4 · 4 ÷ 10: {}", tally.share(WEST));
}

#[test]
fn a_crashed_node_is_left_after_one_timeout_a_pod() {
    let mut world = World::new(4, 4, 4);
    world.run(2_000, 200);
    world.behave("10.1.0.1:8080", Behaviour::BlackHole);
    let tally = world.run(10_000, 200);
    assert_eq!(tally.failed, 0);
    assert_eq!(tally.of(WEST), 2_000, "three of four are enough");
    let probes = world.route().clusters[0].place.failed();
    assert!((2..=12).contains(&probes), "one at once, then one a back-off: {probes}");
}

#[test]
fn scale_to_zero_and_back() {
    let mut world = World::new(3, 3, 3);
    world.run(1_000, 100);
    world.slice(WEST, &[]);
    world.publish();
    assert!(world.share(WEST) < 1e-6, "within the step");
    let away = world.run(5_000, 100);
    assert_eq!((away.of(WEST), away.failed), (0, 0));
    for cluster in [EAST, EU] {
        world.slice(cluster, &[]);
    }
    world.publish();
    assert_eq!(world.run(100, 100).failed, 10, "nothing anywhere");
    world.slice(WEST, &[Pod::Ready; 3]);
    world.publish();
    let back = world.run(1_000, 100);
    assert_eq!((back.of(WEST), back.failed), (100, 0), "nobody else can: no ramp");
    world.slice(EAST, &[Pod::Ready; 3]);
    world.publish();
    assert_eq!(world.run(1_000, 100).of(WEST), 100, "and it is not taken away again");
}

#[test]
fn a_black_holed_cluster_gets_nothing_while_another_can_and_is_found_again() {
    let mut world = World::new(0, 4, 4);
    world.run(2_000, 200);
    world.cluster_behaves(EAST, Behaviour::BlackHole);
    let tally = world.run(5_000, 200);
    assert_eq!(tally.failed, 0);
    assert_eq!(tally.of(EAST), 0);
    assert!(world.share(EAST) < 1e-6, "{}", world.share(EAST));
    world.run(60_000, 200);
    world.cluster_behaves(EAST, Behaviour::Answers);
    let healed = world.run(10_000, 200);
    assert!(healed.first.get(EAST).is_some_and(|ms| *ms <= 3_000), "{:?}", healed.first);
}

#[test]
fn a_suspect_cluster_is_not_probed_with_requests_that_do_not_need_it() {
    let mut world = World::new(0, 4, 4);
    world.cluster_behaves(EAST, Behaviour::BlackHole);
    world.run(2_000, 200);
    world.slice(WEST, &[Pod::Ready; 4]);
    world.publish();
    // Local capacity was never there: the first is taken at once.
    world.run(1_000, 200);
    let failed =
        |world: &World| world.route().clusters.iter().find(|c| c.id.as_str() == EAST).map(|c| c.place.failed());
    let before = failed(&world);
    assert_eq!(world.run(20_000, 200).of(WEST), 4_000);
    assert_eq!(failed(&world), before);
    let gateways = world.slots(EAST);
    assert!(gateways.iter().all(|slot| slot.usable(world.now()) == Usable::Probation), "left to the link that dials");
    gateways[0].connected(world.now());
    assert_eq!(gateways[0].usable(world.now()), Usable::Yes);
}

#[test]
fn one_bad_pod_behind_a_gateway_does_not_eject_the_cluster() {
    let mut world = World::new(0, 4, 0);
    world.run(1_000, 100);
    world.cluster_behaves(EAST, Behaviour::PodErrors);
    world.run(3_000, 100);
    assert!(world.slots(EAST).iter().all(|slot| slot.usable(world.now()) == Usable::Yes), "its links are alive");
    world.cluster_behaves(EAST, Behaviour::Answers);
    let tally = world.run(100, 100);
    assert_eq!((tally.of(EAST), tally.failed, tally.most_attempts), (10, 0, 1));
}

#[test]
fn no_endpoints_from_a_gateway_holds_for_a_second_whatever_is_told_meanwhile() {
    let mut world = World::new(0, 4, 4);
    world.run(1_000, 200);
    world.cluster_behaves(EAST, Behaviour::NoEndpoints);
    let tally = world.run(900, 200);
    assert_eq!(tally.failed, 0);
    let refused = world.route().clusters.iter().map(|c| c.place.failed()).sum::<u64>();
    assert!(refused <= 2, "asked {refused} times within a second");
    assert!(world.share(EAST) < 1e-6, "no share either");
    world.cluster_behaves(EAST, Behaviour::Answers);
    world.slice(EAST, &[Pod::Ready; 5]);
    world.publish();
    assert_eq!(world.run(50, 200).of(EAST), 0, "who tells it may not know");
    assert!(world.run(1_000, 200).of(EAST) > 0);
}

#[test]
fn when_all_is_down_the_first_to_heal_is_used_at_once() {
    let mut world = World::new(3, 3, 3);
    world.run(1_000, 100);
    world.pods_behave(Behaviour::Refuses);
    world.cluster_behaves(EAST, Behaviour::BlackHole);
    world.cluster_behaves(EU, Behaviour::BlackHole);
    assert_eq!(world.run(3_000, 100).failed, 300);
    world.cluster_behaves(EU, Behaviour::Answers);
    let healed = world.run(4_000, 100);
    assert!(healed.first.get(EU).is_some_and(|ms| *ms <= 3_000), "{:?}", healed.first);
    assert_eq!(world.run(1_000, 100).failed, 0);
}

#[test]
fn a_service_with_few_requests_returns_as_well() {
    let mut world = World::new(4, 4, 4);
    world.run(1_000, 5);
    for _ in 0..4 {
        // Many failovers: the share alone would take minutes to mean anything.
        world.slice(WEST, &[]);
        world.publish();
        world.run(6_000, 5);
        world.slice(WEST, &[Pod::Ready; 4]);
        world.publish();
        let tally = world.run(10_000, 5);
        assert!(tally.first.get(WEST).is_some_and(|ms| *ms <= 2_000), "{:?}", tally.first);
    }
}

#[test]
fn pods_that_are_still_to_come_count_as_capacity() {
    let mut world = World::new(0, 3, 3);
    world.slice(WEST, &[Pod::NotReady; 10]);
    world.publish();
    let mut pods = [Pod::NotReady; 10];
    pods[0] = Pod::Ready;
    world.slice(WEST, &pods);
    world.publish();
    let share = world.share(WEST);
    assert!((share - 0.14).abs() < 1e-3, "the first of ten does not get everything: {share}");
    let mut grown = World::new(2, 3, 3);
    let mut pods = [Pod::NotReady; 10];
    pods[..2].fill(Pod::Ready);
    grown.slice(WEST, &pods);
    grown.publish();
    assert!(grown.share(WEST) > 0.999, "but a scale-up takes nothing from those that serve");
}

#[test]
fn a_rolling_update_is_no_failover() {
    for replicas in [1, 2, 6] {
        let mut world = World::new(replicas, 4, 4);
        world.run(20_000, 100);
        let (mut pods, mut elsewhere) = (vec![Pod::Ready; replicas], 0);
        for old in 0..replicas {
            let steps: [fn(&mut Vec<Pod>, usize); 3] = [
                |pods, _| pods.push(Pod::NotReady),
                |pods, _| *pods.last_mut().unwrap() = Pod::Ready,
                |pods, old| {
                    pods[old] = Pod::Leaving;
                },
            ];
            for step in steps {
                step(&mut pods, old);
                world.slice(WEST, &pods);
                world.publish();
                let seen = world.run(2_000, 100);
                assert_eq!(seen.failed, 0);
                elsewhere += seen.of(EAST) + seen.of(EU);
            }
        }
        elsewhere += world.run(20_000, 100).of(EAST);
        assert_eq!(elsewhere, 0, "{replicas} replicas: new pods are capacity, and those that leave are not missed");
    }
}
