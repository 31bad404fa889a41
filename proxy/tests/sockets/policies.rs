//! A service's own limits, over sockets.

use std::time::{Duration, Instant};

use strait_catalog::{Mode, PolicyCluster, PolicyRecord};

use crate::client::{get, once};
use crate::pod::Pod;
use crate::site::{Site, until};

/// A cluster with one pod, and the policy in use.
async fn under(policy: PolicyRecord) -> (Site, Pod) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    site.policy(policy);
    let pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    (site, pod)
}

#[tokio::test]
async fn a_request_has_the_time_that_its_policy_gives_it() {
    let (site, _pod) = under(PolicyRecord { request_ms: Some(300), ..PolicyRecord::default() }).await;
    let began = Instant::now();
    let got = once(site.door(), get("/slow?20000")).await.unwrap();
    assert_eq!(got.status.as_u16(), 504);
    assert!(began.elapsed() < Duration::from_secs(15), "not the daemon's own 30 s");
    site.stop().await;
}

#[tokio::test]
async fn a_request_is_sent_as_often_as_its_policy_allows_and_edits_count_at_once() {
    let limited = |attempts| PolicyRecord {
        attempt_ms: Some(150),
        request_ms: Some(20_000),
        attempts: Some(attempts),
        consecutive_errors: Some(15),
        min_success_percent: Some(0),
        ..PolicyRecord::default()
    };
    let (site, pod) = under(limited(1)).await;
    let got = once(site.door(), get("/slow?10000")).await.unwrap();
    assert_eq!((got.status.as_u16(), pod.count()), (504, 1));
    site.policy(limited(2));
    site.publish();
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let before = pod.count();
        assert_eq!(once(site.door(), get("/slow?10000")).await.unwrap().status.as_u16(), 504);
        if pod.count() - before == 2 {
            break;
        }
        assert!(Instant::now() < limit, "the edit is not followed");
    }
    site.stop().await;
}

#[tokio::test]
async fn an_ordered_policy_sends_to_another_cluster_first() {
    let (mut west, mut east) = (Site::new("us-west"), Site::new("us-east"));
    for site in [&west, &east] {
        site.export();
        site.slice(1);
        site.announce(site.gateway());
    }
    west.import("");
    let east_first = PolicyCluster { cluster: "us-east".into(), weight: None };
    west.policy(PolicyRecord { mode: Mode::Ordered.into(), clusters: vec![east_first], ..PolicyRecord::default() });
    let _here = Pod::start(west.pod(0), "west-0").await;
    let there = Pod::start(east.pod(0), "east-0").await;
    west.meet(&east);
    east.meet(&west);
    // On a slow machine the link comes up after the first share was taken, and the rest of it along the ramp.
    west.start_with(|config| config.timeouts.failback_ramp = Duration::from_millis(200)).await;
    east.start().await;
    west.linked(&east).await;
    let share = |at: usize| west.proxy().view().services[0].clusters[at].share;
    until("the first of the list has all", || share(1) > 0.99).await;
    assert_eq!(once(west.door(), get("/")).await.unwrap().body, "east-0", "although the own pod is ready");
    let told = west.proxy().view().services[0].policy.clone();
    assert_eq!((told.mode, told.name.as_deref(), told.clusters.len()), ("Ordered", Some("p"), 1));
    drop(there);
    east.slice(0);
    west.hear(&east);
    until("the own cluster stands in", || west.proxy().view().services[0].clusters[0].share > 0.99).await;
    assert_eq!(once(west.door(), get("/")).await.unwrap().body, "west-0");
    west.stop().await;
    east.stop().await;
}
