//! A place that hangs costs a request one wait of a hedge, not a timeout.

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::{Got, get, once, post};
use crate::pair::{Pair, load, pods_of};
use crate::silent::Silent;
use crate::site::{Site, cluster, until};

/// Asks so often that it is known how long answers from that cluster take.
async fn learn(site: &Site, of: &str) {
    let of = cluster(of);
    for _ in 0..30 {
        assert_eq!(once(site.door(), get("/")).await.unwrap().status, 200);
    }
    until("it is known how long answers take", || {
        let view = site.proxy().view();
        view.services.iter().flat_map(|s| &s.clusters).any(|c| c.cluster == of && c.usual_ms.is_some())
    })
    .await;
}

async fn many(door: SocketAddr, count: usize) -> Vec<Got> {
    let asked: Vec<_> = (0..count).map(|_| tokio::spawn(once(door, get("/")))).collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap().unwrap());
    }
    answers
}

#[tokio::test]
async fn a_pod_that_hangs_costs_a_hedge_and_is_left() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(3);
    site.import("");
    let mut pods = pods_of(&site, 3).await;
    site.start().await;
    learn(&site, "us-west").await;
    drop(pods.pop());
    let silent = Silent::start(site.pod(2)).await;
    for _ in 0..60 {
        let got = once(site.door(), get("/")).await.unwrap();
        assert_eq!(got.status, 200);
    }
    until("the hung pod was tried", || silent.count() > 0).await;
    until("the hung pod is ejected", || {
        let view = site.proxy().view();
        let endpoint = view.services[0].clusters[0].endpoints.iter().find(|e| e.address == site.pod(2).to_string());
        endpoint.is_some_and(|e| e.failures > 0 && e.successes > 0)
    })
    .await;
    let met = silent.count();
    assert!(met < 30, "left after a few requests, not met by a third of all: {met}");
    site.stop().await;
}

#[tokio::test]
async fn a_black_holed_gateway_costs_a_hedge_before_its_link_is_found_dead() {
    // The link's own liveness is out of the way.
    let patient = |config: &mut strait_proxy::ProxyConfig| config.timeouts.link_ping = Duration::from_secs(60);
    let mut pair = Pair::with(2, Some(Duration::from_millis(5)), patient).await;
    let (west, mut third) = (&pair.west, Site::new("eu-west"));
    pair.west_pods.clear();
    learn(west, "us-east").await;
    third.export();
    third.slice(2);
    third.announce(third.gateway());
    third.meet(west);
    third.start().await;
    let third_pods = pods_of(&third, 2).await;
    west.meet(&third);
    west.linked(&third).await;
    assert_eq!(load(west, Duration::from_millis(300)).await.1, Vec::<String>::new());
    pair.relay.as_ref().unwrap().black_hole(true);
    let answers = many(west.door(), 30).await;
    assert!(answers.iter().all(|got| got.status == 200 && got.served_by() == "eu-west"), "{answers:?}");
    drop(third_pods);
    west.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn what_may_not_be_repeated_is_asked_once() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(2);
    site.import("");
    let mut pods = pods_of(&site, 2).await;
    site.start().await;
    learn(&site, "us-west").await;
    drop(pods.pop());
    let silent = Silent::start(site.pod(1)).await;
    let before = pods[0].count();
    let asked: Vec<_> = (0..16).map(|_| tokio::spawn(once(site.door(), post("/slow?1", "x")))).collect();
    let (mut answered, mut lost) = (0, 0);
    for answer in asked {
        match answer.await.unwrap() {
            Ok(got) if got.status == 200 => answered += 1,
            _ => lost += 1,
        }
    }
    assert_eq!(pods[0].count() - before, answered, "each POST was sent to one pod only");
    assert_eq!(silent.count(), lost);
    assert!(lost > 0, "some met the pod that hangs");
    site.stop().await;
}

#[tokio::test]
async fn a_service_that_thinks_is_asked_once() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(2);
    site.import("");
    let pods = pods_of(&site, 2).await;
    site.start().await;
    let asked: Vec<_> = (0..8).map(|_| tokio::spawn(once(site.door(), get("/slow?1200")))).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(pods[0].count() + pods[1].count(), 8, "nothing is known of it yet, and it is not hurried");
    site.stop().await;
}
