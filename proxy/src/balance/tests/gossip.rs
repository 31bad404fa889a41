//! What others tell of a cluster against what was seen of it and what its gateway said.

use proptest::prelude::*;

use super::world::{EAST, Pod, World};
use crate::health::{Outcome, Usable};
use crate::route::{ClusterRoute, LoadReport};

/// One thing that happens to what is known of us-east.
#[derive(Clone, Debug)]
enum Step {
    /// Told of the node of one of its two gateways.
    Node(usize, bool),
    /// Told of its pods: so many ready ones, so many others.
    Pods(usize, usize),
    /// Seen of a gateway: it is dead, it answered, it could be dialled.
    Seen(usize, u8),
    /// A gateway said how many pods are ready, and which part of them is healthy.
    Said(u32, f32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2_usize, any::<bool>()).prop_map(|(at, ready)| Step::Node(at, ready)),
        (0..12_usize, 0..4_usize).prop_map(|(ready, others)| Step::Pods(ready, others)),
        (0..2_usize, 0..3_u8).prop_map(|(at, what)| Step::Seen(at, what)),
        (0..12_u32, 0.0..=1.0_f32).prop_map(|(ready, part)| Step::Said(ready, part)),
    ]
}

fn with_east<T>(world: &World, ask: impl FnOnce(&ClusterRoute) -> T) -> T {
    let route = world.route();
    ask(route.clusters.iter().find(|c| c.id.as_str() == EAST).unwrap())
}

/// Endpoints there that are thought to be healthy, whatever the way to them is worth.
fn healthy(world: &World) -> f32 {
    let now = world.now();
    #[expect(clippy::cast_precision_loss, reason = "endpoints")]
    with_east(world, |east| east.ready as f32 * east.place.healthy_part(east.ready, now))
}

fn say(world: &mut World, ready: u32, capacity: f32) {
    let now = world.now();
    with_east(world, |east| east.place.note_report(LoadReport { ready, capacity, in_flight: 0 }, now));
    world.balancer.step(true);
}

fn tell(world: &mut World, ready: usize, others: usize) {
    let pods: Vec<Pod> = [vec![Pod::Ready; ready], vec![Pod::NotReady; others]].concat();
    world.slice(EAST, &pods);
    world.publish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is told, in whatever order with what is seen and said: nothing that was ejected is used for it, no
    /// gateway's weight is above the health that was seen, and no more endpoints are thought to be healthy than were when
    /// its gateway last spoke of them.
    #[test]
    fn what_is_told_of_a_cluster_never_raises_its_weight(steps in prop::collection::vec(any_step(), 1..24)) {
        let mut world = World::new(0, 2, 2);
        let mut said = None;
        for step in steps {
            world.run(50, 0);
            let now = world.now();
            let known = |world: &World| {
                world.slots(EAST).iter().map(|s| (s.id(), s.usable(now), s.health(now))).collect::<Vec<_>>()
            };
            let before = known(&world);
            match step {
                Step::Seen(at, what) => {
                    let latency = std::time::Duration::from_millis(1);
                    match what {
                        0 => world.slots(EAST)[at].record(Outcome::LinkDead, now),
                        1 => world.slots(EAST)[at].record(Outcome::Success { latency }, now),
                        _ => world.slots(EAST)[at].connected(now),
                    }
                    continue;
                }
                #[expect(clippy::cast_precision_loss, reason = "endpoints")]
                Step::Said(ready, part) => {
                    say(&mut world, ready, ready as f32 * part);
                    // Of no endpoints it says nothing, and of those that are not known of yet no number.
                    if ready > 0 {
                        said = with_east(&world, |east| east.ready > 0).then(|| healthy(&world));
                    }
                    continue;
                }
                Step::Node(at, ready) => {
                    world.told_of_gateway(EAST, at, ready);
                    world.publish();
                }
                Step::Pods(ready, others) => tell(&mut world, ready, others),
            }
            prop_assert_eq!(&known(&world), &before, "what was seen stands");
            with_east(&world, |east| {
                for candidate in &east.targets.candidates {
                    prop_assert!(f64::from(candidate.effective()) <= candidate.slot.health(now) + 1e-6);
                }
                Ok(())
            })?;
            if before.iter().all(|(_, usable, _)| *usable != Usable::Yes) {
                prop_assert!(world.share(EAST) < 1e-6, "nothing goes where nothing was seen to answer");
            }
            let capacity = with_east(&world, |east| east.place.capacity().0);
            for measured in [healthy(&world), capacity] {
                prop_assert!(said.is_none_or(|said| measured <= said + 1e-3), "{measured} of {said:?} that were said");
            }
        }
    }
}

#[test]
fn a_cluster_whose_pods_crash_over_and_over_does_not_get_its_weight_back_with_each_slice() {
    let mut world = World::new(0, 10, 10);
    say(&mut world, 10, 1.0);
    let weak = world.share(EAST);
    assert!((healthy(&world) - 1.0).abs() < 1e-3 && weak < 0.4, "{weak}");
    for ready in [1, 10, 0, 10, 5, 10, 20] {
        tell(&mut world, ready, 10 - ready.min(10));
        assert!(healthy(&world) <= 1.0 + 1e-3, "{ready}: {}", healthy(&world));
        assert!(world.share(EAST) <= weak + 1e-3, "{ready}: {}", world.share(EAST));
    }
    say(&mut world, 0, 0.0);
    tell(&mut world, 10, 0);
    assert!(healthy(&world) <= 1.0 + 1e-3, "no endpoints are no healthy ones");
    say(&mut world, 10, 9.0);
    assert!((healthy(&world) - 9.0).abs() < 1e-3, "its gateway's next word counts at once");
}

#[test]
fn a_cluster_that_came_back_is_not_kept_low() {
    let mut world = World::new(0, 10, 10);
    say(&mut world, 10, 1.0);
    tell(&mut world, 0, 10);
    tell(&mut world, 10, 0);
    world.run(5_000, 0);
    assert!((healthy(&world) - 1.0).abs() < 0.1, "{}", healthy(&world));
    world.run(5_000, 0);
    assert!((healthy(&world) - 6.0).abs() < 0.1, "forgiven little by little: {}", healthy(&world));
    world.run(5_000, 0);
    assert!((healthy(&world) - 10.0).abs() < 1e-3, "and wholly, if no answer has told before");
    tell(&mut world, 20, 0);
    assert!((healthy(&world) - 20.0).abs() < 1e-3, "what was said long ago limits no growth");
}
