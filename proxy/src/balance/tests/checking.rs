//! Pods that are checked instead of tried by requests.

use std::time::Duration;

use strait_catalog::{Import, ImportPort, Protocol};
use tokio::sync::mpsc;

use super::world::{Behaviour, WEST, World, service};
use crate::balance::{Check, Checking};
use crate::health::{Reason, Usable};

/// A world whose balancer has pods checked, and what it asked for.
fn checked(pods: usize, room: usize) -> (World, mpsc::Receiver<Check>) {
    let (ask, asked) = mpsc::channel(room);
    let mut world = World::new(pods, 0, 0);
    world.balancer = world.balancer.checking(Checking::new(ask, Duration::from_secs(5)));
    (world, asked)
}

fn drain(asked: &mut mpsc::Receiver<Check>) -> Vec<(u64, Reason)> {
    std::iter::from_fn(|| asked.try_recv().ok()).map(|check| (check.slot.id(), check.reason)).collect()
}

#[test]
fn a_pod_that_could_not_be_reached_is_checked_and_no_request_tries_it() {
    let (mut world, mut asked) = checked(3, 64);
    world.run(1_000, 100);
    world.behave("10.1.0.1:8080", Behaviour::Refuses);
    world.run(500, 100);
    let slot = world.slots(WEST)[0].clone();
    let failures = slot.counts().1;
    assert_eq!((failures, drain(&mut asked)), (1, vec![]));
    world.run(3_000, 100);
    let wanted = drain(&mut asked);
    assert!(!wanted.is_empty() && wanted.iter().all(|w| *w == (slot.id(), Reason::Probation)), "{wanted:?}");
    assert!(wanted.len() < 7, "not at every tick: {}", wanted.len());
    assert_eq!(slot.counts().1, failures, "no request tried it");
    // The check connects.
    let now = world.now();
    assert!(slot.claim_probation(now));
    slot.connected(now);
    assert_eq!(slot.usable(now), Usable::Yes);
}

#[test]
fn without_room_for_a_check_and_for_bad_answers_a_request_finds_out() {
    let (mut world, _full) = checked(3, 1);
    world.behave("10.1.0.1:8080", Behaviour::Refuses);
    world.behave("10.1.0.2:8080", Behaviour::Refuses);
    world.run(10_000, 100);
    let tried: u64 = world.slots(WEST)[..2].iter().map(|slot| slot.counts().1).sum();
    assert!(tried > 3, "{tried}");

    let (mut world, mut asked) = checked(3, 64);
    world.behave("10.1.0.1:8080", Behaviour::Errors);
    world.run(1_000, 100);
    let slot = world.slots(WEST)[0].clone();
    let failures = slot.counts().1;
    world.run(5_000, 100);
    assert!(slot.counts().1 > failures, "only an answer can tell");
    assert_eq!(drain(&mut asked), []);
}

#[test]
fn idle_pods_are_checked_while_their_service_is_asked() {
    let (mut world, mut asked) = checked(2, 64);
    world.run(7_000, 0);
    assert_eq!(drain(&mut asked), [], "nobody asks the service");
    world.run(1_000, 100);
    world.run(4_000, 0);
    drain(&mut asked);
    world.run(14_000, 0);
    let wanted = drain(&mut asked);
    assert!(wanted.iter().all(|(_, reason)| *reason == Reason::Idle));
    assert!((4..=8).contains(&wanted.len()), "two pods every five seconds or so: {wanted:?}");
    world.run(60_000, 0);
    drain(&mut asked);
    world.run(20_000, 0);
    assert_eq!(drain(&mut asked), [], "nobody asks any more");
}

#[test]
fn databases_are_not_sent_empty_connections() {
    let (mut world, mut asked) = checked(2, 64);
    let port = ImportPort {
        name: String::new(),
        protocol: Protocol::Tcp,
        port: 80,
        app_protocol: "postgresql".into(),
        listener: None,
    };
    world.catalog.set_import(service(), Some(Import { ports: vec![port], ..Import::default() }));
    world.publish();
    world.run(1_000, 100);
    world.run(10_000, 0);
    assert_eq!(drain(&mut asked), []);
}
