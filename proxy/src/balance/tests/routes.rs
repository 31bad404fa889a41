//! Routes across snapshots.

use std::sync::Arc;
use std::time::Duration;

use strait_catalog::{Import, ImportPort, Protocol, ServiceKey};
use tokio_util::sync::CancellationToken;

use super::world::{EAST, EU, Pod, WEST, World, service};
use crate::balance::{Attempted, pick};
use crate::health::Outcome;
use crate::route::RouteKey;

#[test]
fn slots_and_counts_survive_snapshots() {
    let mut world = World::new(2, 2, 2);
    let (route, now) = (world.route(), world.now());
    let guard = pick(&route, &mut world.rng, now, &Attempted::none()).unwrap().begin();
    guard.record(Outcome::Success { latency: Duration::from_millis(7) }, now);
    world.slice(WEST, &[Pod::Ready; 5]);
    world.publish();
    let after = world.route();
    assert!(!Arc::ptr_eq(&route, &after));
    assert_eq!(after.clusters[0].targets.candidates.len(), 5);
    assert_eq!((after.in_flight(), after.clusters[0].place.served()), (1, 1));
    let busy = after.clusters[0].targets.candidates.iter().filter(|c| c.slot.in_flight() == 1).count();
    assert_eq!(busy, 1);
    drop(guard);
    assert_eq!(after.in_flight(), 0);
}

#[test]
fn only_what_changed_is_built_again() {
    let mut world = World::new(2, 2, 2);
    let other = ServiceKey::parse("ml-production/other").unwrap();
    let port = |port| ImportPort {
        name: String::new(),
        protocol: Protocol::Tcp,
        port,
        app_protocol: String::new(),
        listener: None,
    };
    world.catalog.set_import(other.clone(), Some(Import { ports: vec![port(443)], ..Import::default() }));
    world.publish();
    let key = RouteKey { service: other.clone(), port: 443 };
    let (route, untouched) = (world.route(), world.table.load().get(&key).unwrap().clone());
    assert!(untouched.clusters.is_empty());
    let now = world.now();
    assert!(pick(&untouched, &mut world.rng, now, &Attempted::none()).is_none(), "nobody serves it");
    world.slice(EAST, &[Pod::Ready; 3]);
    world.publish();
    assert!(Arc::ptr_eq(&untouched, world.table.load().get(&key).unwrap()));
    assert!(!Arc::ptr_eq(&route, &world.route()));
    let route = world.route();
    world.gateways(EU, 3);
    world.publish();
    assert!(!Arc::ptr_eq(&route, &world.route()), "gateways changed");
    assert!(Arc::ptr_eq(&untouched, world.table.load().get(&key).unwrap()));
    world.catalog.set_import(other, None);
    world.publish();
    assert!(world.table.load().get(&key).is_none());
    assert!(world.table.load().get(&RouteKey { service: service(), port: 81 }).is_none());
}

#[test]
fn the_chosen_gateways_are_the_targets() {
    let mut world = World::new(0, 2, 0);
    world.run(500, 100);
    world.gateways(EAST, 6);
    world.publish();
    assert_eq!(
        world.route().clusters.iter().find(|c| c.id.as_str() == EAST).unwrap().targets.candidates.len(),
        4,
        "as chosen"
    );
    assert_eq!(world.run(1_000, 100).of(EAST), 100);
}

#[test]
fn status_tells_what_stands() {
    let mut world = World::new(2, 1, 0);
    world.run(1_000, 100);
    let status = world.table.load().status(world.now());
    let [service] = status.as_slice() else { panic!("{status:?}") };
    assert_eq!(service.service.to_string(), "ml-production/model-server");
    let west = &service.clusters[0];
    assert!(west.local && west.share > 0.999 && west.ready == 2 && west.served == 100, "{west:?}");
    assert!(west.endpoints.iter().all(|e| e.successes > 20), "both are used");
    let east = service.clusters.iter().find(|c| c.cluster.as_str() == EAST).unwrap();
    assert_eq!(east.endpoints.len(), 2);
    assert!(east.rtt_ms.is_some_and(|ms| (ms - 65.0).abs() < 0.1));
}

#[test]
fn the_faster_of_two_pods_gets_more() {
    let mut world = World::new(2, 0, 0);
    let (route, now) = (world.route(), world.now());
    let pods = &route.clusters[0].targets.candidates;
    pods[0].slot.record(Outcome::Success { latency: Duration::from_millis(100) }, now);
    pods[1].slot.record(Outcome::Success { latency: Duration::from_millis(10) }, now);
    let mut counts = [0; 2];
    for _ in 0..1_000 {
        let choice = pick(&route, &mut world.rng, now, &Attempted::none()).unwrap();
        counts[usize::from(choice.slot.id() == pods[1].slot.id())] += 1;
    }
    // Two draws of two: the slower one only when both fall to it.
    assert!((200..300).contains(&counts[0]), "{counts:?}");
}

#[tokio::test]
async fn the_task_follows_snapshots_and_stops() {
    let World { mut catalog, published, balancer, table, .. } = World::new(2, 2, 2);
    let stop = CancellationToken::new();
    let task = tokio::spawn(balancer.run(stop.clone()));
    let other = ServiceKey::parse("ml-production/late").unwrap();
    let port = ImportPort {
        name: String::new(),
        protocol: Protocol::Tcp,
        port: 9,
        app_protocol: String::new(),
        listener: None,
    };
    catalog.set_import(other.clone(), Some(Import { ports: vec![port], ..Import::default() }));
    published.publish(catalog.publish().unwrap());
    let key = RouteKey { service: other, port: 9 };
    let seen = async {
        while table.load().get(&key).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), task).await.unwrap().unwrap();
}
