//! A caller's own limit: kept, told to pods and gateways, and answered in the caller's terms when it is over.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::client::{self, Got, PATIENCE, read};
use crate::gateway::{GOOD, ask_for, gateway};
use crate::pair::Pair;
use crate::pod::Pod;
use crate::site::Site;

/// A gRPC call with that `grpc-timeout`.
async fn call(to: SocketAddr, path: &str, limit: &str) -> Got {
    let mut sender = client::http2(to).await;
    let request = Request::post(format!("http://model.ml{path}"))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", limit)
        .body(Full::new(Bytes::new()))
        .unwrap();
    read(sender.send_request(request).await.unwrap()).await.unwrap()
}

/// The `grpc-timeout` that reached the pod.
fn told(got: &Got) -> &str {
    got.body.lines().find_map(|line| line.strip_prefix("grpc-timeout: ")).unwrap_or_default()
}

#[tokio::test]
async fn a_grpc_deadline_is_kept_and_told_at_home() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("grpc");
    let pod = Pod::start_h2c(site.pod(0), "pod-0").await;
    site.start().await;
    let got = call(site.door(), "/head", "10S").await;
    let left: u64 = told(&got).strip_suffix('u').unwrap().parse().unwrap();
    assert!(left < 10_000_000, "what is left, not what there was: {left}");
    assert_eq!(told(&call(site.door(), "/head", "soon").await), "soon", "not ours to judge");
    let before = pod.count();
    let began = tokio::time::Instant::now();
    let got = call(site.door(), "/slow?60000", "200m").await;
    assert_eq!((got.status.as_u16(), got.headers["grpc-status"].as_bytes()), (200, &b"4"[..]), "DEADLINE_EXCEEDED");
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(pod.count(), before + 1);
    let expired = call(site.door(), "/head", "0n").await;
    assert_eq!(expired.headers["grpc-status"], "4");
    assert_eq!(pod.count(), before + 1, "what is over is not begun");
    site.stop().await;
}

#[tokio::test]
async fn a_grpc_deadline_crosses_clusters() {
    let mut pair = Pair::new(1, None).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let _pod = Pod::start_h2c(pair.east.pod(0), "far").await;
    let got = call(pair.west.door(), "/head", "20S").await;
    assert_eq!(got.served_by(), "us-east");
    let left: u64 = told(&got).strip_suffix('u').unwrap().parse().unwrap();
    assert!(left < 20_000_000, "{left}");
    pair.stop().await;
}

#[tokio::test]
async fn a_gateway_does_not_work_for_a_caller_that_has_given_up() {
    let (west, east, pod) = gateway().await;
    let with = [GOOD[0], GOOD[1], GOOD[2], ("x-strait-deadline-ms", "200")];
    let asked = ask_for("/slow?60000", &west, &east.identity, &with);
    let got = tokio::time::timeout(PATIENCE, asked).await.expect("long before its own 30 s").unwrap();
    assert_eq!((got.status.as_u16(), got.headers["x-strait-error"].as_bytes()), (504, &b"timeout"[..]));
    assert_eq!(pod.count(), 1);
    west.stop().await;
}
