//! gRPC: HTTP/2 from end to end, trailers included, at home and across clusters.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::pair::Pair;
use crate::pod::Pod;
use crate::site::Site;

/// Body, trailers and head of one call.
async fn call(to: SocketAddr) -> (String, Option<HeaderMap>, http::response::Parts) {
    let tcp = TcpStream::connect(to).await.unwrap();
    let (mut sender, conn) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(conn);
    let request = Request::post("http://model.ml/grpc")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"question ")))
        .unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (String::from_utf8(body.to_bytes().to_vec()).unwrap(), trailers, head)
}

#[tokio::test]
async fn at_home() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let pod = Pod::start_h2c(site.pod(0), "pod-0").await;
    site.start().await;
    for _ in 0..20 {
        let (body, trailers, head) = call(site.door()).await;
        assert_eq!((head.status.as_u16(), &*body), (200, "question pod-0"));
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    }
    let connections = pod.connections.load(std::sync::atomic::Ordering::SeqCst);
    assert!(connections <= 2, "one a worker, not {connections}");
    drop(pod);
    let (body, trailers, head) = call(site.door()).await;
    assert_eq!((head.status.as_u16(), &*body, trailers), (200, "", None), "an error without a body");
    assert_eq!(head.headers["grpc-status"], "14", "UNAVAILABLE: {head:?}");
    site.stop().await;
}

#[tokio::test]
async fn across_clusters() {
    let mut pair = Pair::new(1, None).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let _pod = Pod::start_h2c(pair.east.pod(0), "far").await;
    let (body, trailers, head) = call(pair.west.door()).await;
    assert_eq!((&*body, head.headers["x-strait-served-by"].as_bytes()), ("question far", &b"us-east"[..]));
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    pair.stop().await;
}
