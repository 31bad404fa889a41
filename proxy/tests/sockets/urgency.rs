//! How urgent a request is counts in the cluster that it goes to as well.

use std::num::NonZeroUsize;

use http::Request;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{get, once};
use crate::pod::Pod;
use crate::site::{Site, until};

/// A cluster of clients, and another one with a pod and room for twenty requests.
async fn clients_and_pod() -> (Site, Site, Pod) {
    let (mut west, mut east) = (Site::new("us-west"), Site::new("us-east"));
    east.export();
    east.slice(1);
    east.announce(east.gateway());
    west.announce(west.gateway());
    west.import("");
    east.meet(&west);
    // Ceilings are a worker's.
    east.start_with(|config| (config.workers, config.limits.requests) = (NonZeroUsize::new(1), 20)).await;
    west.meet(&east);
    west.start().await;
    west.linked(&east).await;
    let pod = Pod::start(east.pod(0), "us-east-0").await;
    (west, east, pod)
}

fn urgent(path: &str, priority: &str) -> Request<Full<bytes::Bytes>> {
    let mut request = get(path);
    request.headers_mut().insert("priority", priority.parse().unwrap());
    request
}

/// A request that stays under way until it is dropped.
async fn begin_slow(site: &Site) -> TcpStream {
    let mut tcp = TcpStream::connect(site.door()).await.unwrap();
    tcp.write_all(b"GET /slow?3600000 HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
    tcp
}

#[tokio::test]
async fn another_cluster_turns_the_least_urgent_away_first_and_that_keeps_nobody_else_from_it() {
    let (west, east, pod) = clients_and_pod().await;
    let got = once(west.door(), urgent("/head", "u=0")).await.unwrap();
    assert!(got.body.contains("priority: u=0\n"), "it is passed on: {}", got.body);
    let mut slow = Vec::new();
    for _ in 0..13 {
        slow.push(begin_slow(&west).await);
    }
    until("the slow ones are under way", || pod.count() == 14).await;
    for round in 0..3 {
        let shed = once(west.door(), urgent("/", "u=7")).await.unwrap();
        assert_eq!((shed.status.as_u16(), shed.headers["x-strait-error"].as_bytes()), (503, &b"overloaded"[..]));
        for priority in ["u=3", "u=0"] {
            assert_eq!(once(west.door(), urgent("/", priority)).await.unwrap().status, 200, "{priority} in {round}");
        }
    }
    drop(slow);
    west.stop().await;
    east.stop().await;
}
