//! What is found out without a client's request.

use std::time::Duration;

use strait_proxy::{EndpointState, ProxyConfig};

use crate::client::{get, once};
use crate::pair::{Pair, pods_of};
use crate::pod::Pod;
use crate::site::{Site, cluster, until};

/// The state of one target of the service.
fn state(site: &Site, of: &str, address: &str) -> Option<EndpointState> {
    let view = site.proxy().view();
    let of = cluster(of);
    let targets = view.services[0].clusters.iter().find(|c| c.cluster == of)?;
    targets.endpoints.iter().find(|e| e.address == address).map(|e| e.state)
}

#[tokio::test]
async fn a_pod_that_is_back_is_found_without_a_request() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(2);
    site.import("");
    let mut pods = pods_of(&site, 2).await;
    site.start_with(|config| config.timeouts.check_idle = Some(Duration::from_secs(5))).await;
    let gone = site.pod(1).to_string();
    drop(pods.pop());
    while state(&site, "us-west", &gone) == Some(EndpointState::Ready) {
        assert_eq!(once(site.door(), get("/")).await.unwrap().status, 200);
    }
    let back = Pod::start(site.pod(1), "back").await;
    until("it is in use again", || state(&site, "us-west", &gone) == Some(EndpointState::Ready)).await;
    assert_eq!(back.count(), 0);
    site.stop().await;
}

#[tokio::test]
async fn a_pod_that_is_gone_is_found_without_a_request() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(2);
    site.import("");
    let mut pods = pods_of(&site, 2).await;
    let eager = |config: &mut ProxyConfig| config.timeouts.check_idle = Some(Duration::from_millis(200));
    site.start_with(eager).await;
    assert_eq!(once(site.door(), get("/")).await.unwrap().status, 200);
    let gone = site.pod(1).to_string();
    assert_eq!(state(&site, "us-west", &gone), Some(EndpointState::Ready));
    drop(pods.pop());
    until("it is left", || state(&site, "us-west", &gone).is_some_and(|s| s != EndpointState::Ready)).await;
    assert!(pods[0].count() <= 1);
    site.stop().await;
}

#[tokio::test]
async fn a_gateway_without_traffic_is_left_and_found_again() {
    let pair = Pair::new(1, Some(Duration::from_millis(10))).await;
    let gateway = pair.east.relay().to_string();
    let relay = pair.relay.as_ref().unwrap();
    assert_eq!(state(&pair.west, "us-east", &gateway), Some(EndpointState::Ready));
    relay.black_hole(true);
    until("it is left", || state(&pair.west, "us-east", &gateway) == Some(EndpointState::Ejected)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_ne!(state(&pair.west, "us-east", &gateway), Some(EndpointState::Ready), "still a black hole");
    relay.black_hole(false);
    let healed = tokio::time::Instant::now();
    until("it is in use again", || state(&pair.west, "us-east", &gateway) == Some(EndpointState::Ready)).await;
    println!("in use {:?} after the heal", healed.elapsed());
    assert_eq!(pair.east_pods[0].count(), 0, "no request was needed");
    pair.stop().await;
}

#[tokio::test]
async fn the_only_cluster_that_is_left_answers_soon_after_it_heals() {
    let mut pair = Pair::new(1, Some(Duration::from_millis(10))).await;
    pair.west_pods.clear();
    assert_eq!(once(pair.west.door(), get("/")).await.unwrap().served_by(), "us-east");
    let gateway = pair.east.relay().to_string();
    let relay = pair.relay.as_ref().unwrap();
    relay.black_hole(true);
    until("it is left", || state(&pair.west, "us-east", &gateway) == Some(EndpointState::Ejected)).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    relay.black_hole(false);
    let healed = tokio::time::Instant::now();
    loop {
        if once(pair.west.door(), get("/")).await.is_ok_and(|got| got.status == 200) {
            break;
        }
        assert!(healed.elapsed() < Duration::from_secs(20), "it never came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("answered {:?} after the heal", healed.elapsed());
    pair.stop().await;
}
