//! What a client's bytes may and may not do, seen from both ends of the proxy.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pod::Pod;
use crate::site::Site;

async fn one_pod() -> (Site, Pod) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    (site, pod)
}

async fn say(site: &Site, bytes: &[u8]) -> String {
    let mut raw = TcpStream::connect(site.door()).await.unwrap();
    raw.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = raw.read_to_end(&mut answer);
    let _ = tokio::time::timeout(std::time::Duration::from_millis(1_500), read).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn refused_before_any_pod() {
    let (site, pod) = one_pod().await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: m\r\n\r\n", "x".repeat(20_000));
    let cases: [(&str, u16); 14] = [
        ("CONNECT m:80 HTTP/1.1\r\nhost: m:80\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: u@m\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: m\r\nconnection: authorization\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: m\r\nconnection: x-forwarded-for\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: m\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", 400),
        ("POST / HTTP/1.1\r\nhost: m\r\ntransfer-encoding: chunked, gzip\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nhost: m\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: m\r\n folded: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: m\r\nbad name: x\r\n\r\n", 400),
        ("\x16\x03\x01 not http at all\r\n\r\n", 400),
        (&long, 414),
    ];
    for (request, status) in cases {
        let answer = say(&site, request.as_bytes()).await;
        let shown = &request[..request.len().min(60)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer}");
    }
    assert_eq!(pod.count(), 0);
    site.stop().await;
}

#[tokio::test]
async fn what_the_pod_and_the_client_see() {
    let (site, _pod) = one_pod().await;
    let request = "GET /head?x=1 HTTP/1.1\r\nhost: model.ml\r\nconnection: close, x-drop\r\nx-drop: 1\r\nx-keep: 2\r\n\
        te: trailers\r\nx-strait-hop: 7\r\nx-forwarded-for: 9.9.9.9\r\n\r\n";
    let answer = say(&site, request.as_bytes()).await.to_ascii_lowercase();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    for seen in [
        "get /head?x=1\n",
        "host: model.ml\n",
        "x-keep: 2\n",
        "te: trailers\n",
        "via: 1.1 us-west.strait\n",
        "x-forwarded-for: 9.9.9.9\n",
        "x-forwarded-for: 127.0.0.1\n",
        "forwarded: for=127.0.0.1;by=us-west.strait\n",
    ] {
        assert!(body.contains(seen), "{seen:?} is missing in {body}");
    }
    for hidden in ["x-drop", "x-strait"] {
        assert!(!body.contains(hidden), "{hidden} in {body}");
    }
    assert!(head.contains("x-strait-served-by: us-west"), "{head}");
    assert!(!head.contains("liar") && !head.contains("x-private"), "{head}");
    site.stop().await;
}

#[tokio::test]
async fn one_request_is_never_read_as_two() {
    let (site, pod) = one_pod().await;
    // Length and chunks disagree: whatever is answered, the pod must not see the inner request.
    let smuggled = "POST / HTTP/1.1\r\nhost: m\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
        0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: m\r\n\r\n";
    let answer = say(&site, smuggled.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{answer}");
    assert!(pod.count() <= 1);
    site.stop().await;
}

#[tokio::test]
async fn pod_errors_pass_and_are_not_repeated() {
    let (site, pod) = one_pod().await;
    for status in [404, 500, 501, 503] {
        let before = pod.count();
        let answer =
            say(&site, format!("GET /status/{status} HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n").as_bytes())
                .await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(pod.count(), before + 1, "{status}");
    }
    site.stop().await;
}
