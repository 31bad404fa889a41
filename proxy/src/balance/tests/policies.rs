//! A service's policy, from its record to where requests go.

use strait_catalog::{Mode, PolicyCluster, PolicyRecord};

use super::world::*;

fn of(mode: Mode, clusters: &[&str]) -> PolicyRecord {
    let cluster = |name: &&str| PolicyCluster { cluster: (*name).to_owned(), weight: None };
    PolicyRecord { mode: mode.into(), clusters: clusters.iter().map(cluster).collect(), ..PolicyRecord::default() }
}

#[test]
fn a_mode_is_followed_at_once_and_left_at_once() {
    let mut world = World::new(4, 4, 4);
    assert!(world.run(2_000, 200).share(WEST) > 0.999);
    world.policy(of(Mode::Ordered, &[EU, EAST]));
    assert!(world.run(2_000, 200).share(EU) > 0.999);
    assert_eq!(world.route().policy.status().mode, "Ordered");
    world.policy(of(Mode::Spread, &[]));
    let tally = world.run(10_000, 200);
    for cluster in [WEST, EAST, EU] {
        assert!((tally.share(cluster) - 1.0 / 3.0).abs() < 0.05, "{tally:?}");
    }
    world.policy(of(Mode::Nearest, &[]));
    assert!(world.run(2_000, 200).share(WEST) > 0.999);
    world.no_policy();
    assert!(world.run(2_000, 200).share(WEST) > 0.999);
    assert_eq!(world.route().policy.status(), crate::PolicyStatus { mode: "LocalFirst", name: None, clusters: vec![] });
}

#[test]
fn in_every_mode_a_lost_cluster_costs_no_request_and_returns_along_the_ramp() {
    for (policy, lost) in [
        (of(Mode::Ordered, &[EAST, EU, WEST]), EAST),
        (of(Mode::Ordered, &[WEST, EU]), WEST),
        (of(Mode::Nearest, &[]), WEST),
        (of(Mode::Spread, &[]), WEST),
        (of(Mode::Spread, &[]), EAST),
        (of(Mode::Spread, &[WEST, EAST]), EAST),
    ] {
        let mut world = World::new(4, 4, 4);
        world.policy(policy.clone());
        let before = world.run(5_000, 200).share(lost);
        world.slice(lost, &[]);
        world.publish();
        assert!(world.share(lost) == 0.0, "{policy:?} without {lost}: out at once");
        let tally = world.run(5_000, 200);
        assert_eq!((tally.failed, tally.of(lost)), (0, 0), "{policy:?} without {lost}");
        world.slice(lost, &[Pod::Ready; 4]);
        world.publish();
        assert!(world.share(lost) < 0.1, "{policy:?}: {lost} is back with {}", world.share(lost));
        assert_eq!(world.run(60_000, 100).failed, 0);
        let after = world.run(5_000, 200).share(lost);
        assert!((after - before).abs() < 0.06, "{policy:?}: {lost} had {before}, has {after}");
    }
}

#[test]
fn another_edit_of_the_policy_does_not_forget_what_failed() {
    let mut world = World::new(4, 4, 4);
    world.policy(of(Mode::Ordered, &[WEST, EAST]));
    world.run(1_000, 100);
    world.slice(WEST, &[]);
    world.publish();
    world.run(1_000, 100);
    world.slice(WEST, &[Pod::Ready; 4]);
    world.policy(PolicyRecord { attempts: Some(2), ..of(Mode::Ordered, &[WEST, EAST]) });
    assert!(world.share(WEST) < 0.1, "it is on its way back all the same");
}

#[test]
fn how_pods_are_judged_can_be_set_and_unset() {
    let mut world = World::new(4, 4, 4);
    let strict = PolicyRecord { consecutive_errors: Some(2), min_success_percent: Some(0), ..PolicyRecord::default() };
    world.policy(strict);
    assert!(world.slots(WEST).iter().all(|s| s.policy().run == 2 && s.policy().min_percent == 0));
    world.behave("10.1.0.1:8080", Behaviour::Errors);
    while world.slots(WEST)[0].counts().1 < 2 {
        world.run(10, 100);
    }
    assert_eq!(world.slots(WEST)[0].breaker().state, crate::health::State::Open);
    world.no_policy();
    assert!(world.slots(WEST).iter().all(|s| s.policy() == crate::health::Policy::POD));
    assert!(world.slots(EAST).iter().all(|s| s.policy() == crate::health::Policy::GATEWAY), "gateways serve everyone");
}

#[test]
fn a_local_first_policy_changes_the_numbers_alone() {
    let mut world = World::new(10, 4, 4);
    world.policy(PolicyRecord { overprovision_percent: Some(100), ..PolicyRecord::default() });
    world.run(1_000, 100);
    world.slice(WEST, &[Pod::Ready; 8]);
    world.publish();
    assert!((world.share(WEST) - 0.8).abs() < 0.01, "at 100 % the first loss spills: {}", world.share(WEST));
}
