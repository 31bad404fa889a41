//! What the catalog changes while clients are connected.

use std::time::Duration;

use crate::client::{Kept, get, once};
use crate::pod::Pod;
use crate::site::Site;

#[tokio::test]
async fn connections_to_a_service_that_is_no_longer_exported_are_answered_and_end() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    let mut kept = Kept::open(site.door()).await.unwrap();
    let got = kept.send(get("/")).await.unwrap();
    assert!(!got.headers.contains_key("connection"), "{got:?}");
    site.linger();
    site.publish();
    let mut last = None;
    for _ in 0..200 {
        let got = kept.send(get("/")).await.unwrap();
        assert_eq!((got.status.as_u16(), &*got.body), (200, "pod-0"));
        if got.headers.contains_key("connection") {
            last = Some(got);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(last.unwrap().headers["connection"], "close");
    assert_eq!(once(site.door(), get("/")).await.unwrap().status, 200, "the name may still be in a cache");
    site.stop().await;
}

#[tokio::test]
async fn a_daemon_that_has_just_started_waits_for_news() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(0);
    site.import("");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    let door = site.door();
    let request = tokio::spawn(async move { once(door, get("/")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!request.is_finished(), "it is held");
    site.slice(1);
    site.publish();
    let got = request.await.unwrap().unwrap();
    assert_eq!((got.status.as_u16(), &*got.body), (200, "pod-0"));
    site.stop().await;
}
