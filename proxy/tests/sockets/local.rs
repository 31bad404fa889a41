//! Requests within one cluster.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{self, Kept, get, once, post, read};
use crate::pod::Pod;
use crate::site::{Site, until};

async fn one_pod() -> (Site, Pod) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    (site, pod)
}

#[tokio::test]
async fn kept_and_new_connections() {
    let (site, pod) = one_pod().await;
    let mut kept = Kept::open(site.door()).await.unwrap();
    for _ in 0..50 {
        let got = kept.send(get("/")).await.unwrap();
        assert_eq!((got.status.as_u16(), &*got.body, got.served_by()), (200, "pod-0", "us-west"));
    }
    for _ in 0..50 {
        assert_eq!(once(site.door(), get("/")).await.unwrap().body, "pod-0");
    }
    let connections = pod.connections.load(std::sync::atomic::Ordering::SeqCst);
    assert!(connections <= 4, "connections to the pod are kept: {connections} for 100 requests");
    site.stop().await;
}

#[tokio::test]
async fn connections_are_spread_over_workers() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start_with(|config| config.workers = std::num::NonZeroUsize::new(3)).await;
    let mut kept = Vec::new();
    for _ in 0..24 {
        let mut one = Kept::open(site.door()).await.unwrap();
        assert_eq!(one.send(get("/")).await.unwrap().body, "pod-0");
        kept.push(one);
    }
    let open = site.proxy().view().connections;
    assert_eq!(open.iter().sum::<u32>(), 24, "{open:?}");
    assert!(open.iter().all(|n| (6..=10).contains(n)), "eight each, give or take two: {open:?}");
    drop(kept);
    until("all have left", || site.proxy().view().connections.iter().all(|n| *n == 0)).await;
    site.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_parked_and_serves_on() {
    let (site, _pod) = one_pod().await;
    let mut kept = Kept::open(site.door()).await.unwrap();
    for _ in 0..2 {
        let got = kept.send(get("/")).await.unwrap();
        assert_eq!((got.status.as_u16(), &*got.body), (200, "pod-0"));
        until("the connection is parked", || site.proxy().view().parked == 1).await;
    }
    drop(kept);
    until("a parked connection ends with its client", || site.proxy().view().parked == 0).await;
    site.stop().await;
}

#[tokio::test]
async fn a_parked_connection_does_not_hold_up_the_end() {
    let (site, _pod) = one_pod().await;
    let mut kept = Kept::open(site.door()).await.unwrap();
    kept.send(get("/")).await.unwrap();
    until("the connection is parked", || site.proxy().view().parked == 1).await;
    tokio::time::timeout(Duration::from_secs(20), site.stop()).await.expect("parked connections are closed at once");
}

#[tokio::test]
async fn http2_by_prior_knowledge() {
    let (site, _pod) = one_pod().await;
    let mut sender = client::http2(site.door()).await;
    for _ in 0..20 {
        let request = Request::get("http://model.ml/").body(http_body_util::Empty::<Bytes>::new()).unwrap();
        let got = read(sender.send_request(request).await.unwrap()).await.unwrap();
        assert_eq!((got.status.as_u16(), &*got.body), (200, "pod-0"));
    }
    site.stop().await;
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let (site, _pod) = one_pod().await;
    let tcp = TcpStream::connect(site.door()).await.unwrap();
    let (mut sender, conn) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(conn);
    let (feed, body) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
    let body = Box::pin(unfold(body, |mut body| async move { Some((body.recv().await?, body)) }));
    let request = Request::post("/echo").header("host", "m").body(StreamBody::new(body)).unwrap();
    let response = tokio::spawn(sender.send_request(request));
    feed.send(Ok(Frame::data(Bytes::from_static(b"first")))).await.unwrap();
    let mut response = response.await.unwrap().unwrap();
    let frame = response.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "first", "it came back before the rest was sent");
    for round in 0..100 {
        let chunk = Bytes::from(vec![round; 64 * 1024]);
        feed.send(Ok(Frame::data(chunk.clone()))).await.unwrap();
        let mut got = Vec::new();
        while got.len() < chunk.len() {
            got.extend_from_slice(&response.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(got, chunk);
    }
    drop(feed);
    assert!(response.frame().await.is_none());
    site.stop().await;
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer() {
    let (site, _pod) = one_pod().await;
    let mut raw = TcpStream::connect(site.door()).await.unwrap();
    raw.write_all(b"POST /echo HTTP/1.1\r\nhost: m\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let mut sent = 0_usize;
    while tokio::time::timeout(Duration::from_millis(500), raw.write_all(&chunk)).await.is_ok() {
        sent += chunk.len();
        assert!(sent < 64 << 20, "64 MiB were taken from a client that reads nothing");
    }
    site.stop().await;
}

#[tokio::test]
async fn upgrades_reach_pods_of_the_own_cluster() {
    let (site, _pod) = one_pod().await;
    let mut raw = TcpStream::connect(site.door()).await.unwrap();
    // The first word comes with the head: it must wait for the 101.
    raw.write_all(b"GET /shout HTTP/1.1\r\nhost: m\r\nconnection: Upgrade\r\nupgrade: shout\r\n\r\nhello")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(raw.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("upgrade: shout"), "{head}");
    let mut word = [0; 5];
    raw.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"HELLO");
    raw.write_all(b"again").await.unwrap();
    raw.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"AGAIN");
    site.stop().await;
}

#[tokio::test]
async fn a_refused_endpoint_loses_nothing() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(2);
    site.import("");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    for n in 0..200 {
        let request = if n % 2 == 0 { get("/") } else { post("/", "data") };
        let got = once(site.door(), request).await.unwrap();
        assert_eq!((got.status.as_u16(), &*got.body), (200, "pod-0"), "{n}");
    }
    site.stop().await;
}

#[tokio::test]
async fn no_endpoint_at_all_is_said_so() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(0);
    site.import("");
    site.start().await;
    let got = once(site.door(), get("/")).await.unwrap();
    let wait: u32 = got.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!((got.status.as_u16(), (1..=4).contains(&wait)), (503, true));
    assert_eq!(got.headers["x-strait-error"], "no-endpoints");
    assert!(got.body.starts_with("strait: no-endpoints: "), "{}", got.body);
    site.stop().await;
}

#[tokio::test]
async fn raw_ports_are_relayed() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("tcp");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    let mut raw = TcpStream::connect(site.door()).await.unwrap();
    raw.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("pod-0") && !answer.contains("strait"), "untouched: {answer}");
    site.stop().await;
}

#[tokio::test]
async fn an_import_that_is_deleted_by_hand_is_written_again_before_anyone_notices() {
    let (site, pod) = one_pod().await;
    site.drop_import();
    site.publish();
    let bound = || site.proxy().view().bound.wanted;
    until("the import is known to be gone", || bound() == 0).await;
    assert_eq!(once(site.door(), get("/")).await.unwrap().status, 200);
    site.import("");
    site.publish();
    until("it is back", || bound() == 1).await;
    assert_eq!(once(site.door(), get("/")).await.unwrap().status, 200);
    assert_eq!(pod.count(), 2);
    site.stop().await;
}

#[tokio::test]
async fn listeners_follow_the_snapshots() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start_with(|config| config.timeouts.unbind_grace = Duration::from_secs(2)).await;
    site.drop_import();
    site.publish();
    until("the listener is closed", || std::net::TcpStream::connect(site.door()).is_err()).await;
    site.import("");
    site.publish();
    until("the listener is back", || std::net::TcpStream::connect(site.door()).is_ok()).await;
    assert_eq!(once(site.door(), get("/")).await.unwrap().status, 200);
    site.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_a_state_and_is_tried_again() {
    let mut site = Site::new("us-west");
    let taken = std::net::TcpListener::bind(site.door()).unwrap();
    site.start().await;
    site.export();
    site.import("");
    site.publish();
    let mut bound = site.proxy().bound();
    let refused = bound.wait_for(|b| b.missing.iter().any(|(_, why)| why.contains("in use")));
    let state = tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap().unwrap().clone();
    assert!(!state.all, "{state:?}");
    drop(taken);
    tokio::time::timeout(Duration::from_secs(10), bound.wait_for(|b| b.all && b.wanted == 1)).await.unwrap().unwrap();
    site.stop().await;
}

#[tokio::test]
async fn expect_continue_waits_for_the_pod() {
    let (site, _pod) = one_pod().await;
    let head = |path| format!("PUT {path} HTTP/1.1\r\nhost: m\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    let mut raw = TcpStream::connect(site.door()).await.unwrap();
    raw.write_all(head("/").as_bytes()).await.unwrap();
    let mut buffer = vec![0; 4096];
    let count = raw.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 100 "), "{:?}", String::from_utf8_lossy(&buffer[..count]));
    raw.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    while !rest.ends_with("pod-0") {
        let count = raw.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{rest}");
        rest.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }

    let mut raw = TcpStream::connect(site.door()).await.unwrap();
    raw.write_all(head("/refuse-body").as_bytes()).await.unwrap();
    let count = raw.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 417 "), "{:?}", String::from_utf8_lossy(&buffer[..count]));
    site.stop().await;
}

#[tokio::test]
async fn a_drain_loses_no_request() {
    let (site, _pod) = one_pod().await;
    let mut idle = Kept::open(site.door()).await.unwrap();
    idle.send(get("/")).await.unwrap();
    let mut busy = Kept::open(site.door()).await.unwrap();
    let slow = tokio::spawn(async move { busy.send(get("/slow?400")).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    site.proxy().drain();

    assert_eq!(slow.await.unwrap().unwrap().status, 200, "a request under way is answered");
    let got = once(site.door(), get("/")).await.expect("new connections are accepted");
    assert_eq!((got.status.as_u16(), got.headers["connection"].as_bytes()), (200, &b"close"[..]));
    let got = idle.send(get("/")).await.expect("an idle connection was kept");
    assert_eq!(got.headers["connection"], "close");

    let door = site.door();
    let late = tokio::spawn(async move { once(door, get("/slow?300")).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    site.stop().await;
    assert_eq!(late.await.unwrap().unwrap().status, 200, "what was under way at the stop is answered");
    assert!(TcpStream::connect(door).await.is_err(), "closed");
}

#[tokio::test]
async fn http2_clients_are_sent_away_in_a_drain() {
    let (site, _pod) = one_pod().await;
    let tcp = TcpStream::connect(site.door()).await.unwrap();
    let (mut sender, conn) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    let ended = tokio::spawn(conn);
    let request = |path: &str| {
        Request::get(format!("http://model.ml{path}")).body(http_body_util::Empty::<Bytes>::new()).unwrap()
    };
    let slow = sender.send_request(request("/slow?1200"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    site.proxy().drain();
    let got = read(slow.await.unwrap()).await.unwrap();
    assert_eq!(got.status, 200);
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("GOAWAY ends it").unwrap().unwrap();
    site.stop().await;
}

#[tokio::test]
async fn trickling_heads_are_cut_and_idle_connections_are_not() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start_with(|config| config.timeouts.head = Duration::from_secs(1)).await;
    let mut idle = Kept::open(site.door()).await.unwrap();
    idle.send(get("/")).await.unwrap();
    let mut kept_for_later = Kept::open(site.door()).await.unwrap();
    let mut slow = TcpStream::connect(site.door()).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let cut = tokio::time::timeout(Duration::from_secs(20), slow.read(&mut [0; 64])).await.unwrap();
    assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
    assert_eq!(idle.send(get("/")).await.unwrap().status, 200);
    assert_eq!(kept_for_later.send(get("/")).await.unwrap().status, 200);
    site.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_counts_against_the_path() {
    let (site, pod) = one_pod().await;
    let mut raw = TcpStream::connect(site.door()).await.unwrap();
    raw.write_all(b"GET /slow?5000 HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
    until("the pod has it", || pod.count() == 1).await;
    let failures = || site.proxy().view().services[0].clusters[0].endpoints[0].failures;
    // One who leaves at once has not waited for an answer; one who leaves later has.
    drop(raw);
    let mut raw = TcpStream::connect(site.door()).await.unwrap();
    raw.write_all(b"GET /slow?5000 HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
    until("the pod has that too", || pod.count() == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(failures(), 0);
    drop(raw);
    until("it is counted", || failures() == 1).await;
    site.stop().await;
}

#[tokio::test]
async fn no_answer_in_time_is_504() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let pod = Pod::start(site.pod(0), "pod-0").await;
    site.start_with(|config| config.timeouts.request = Duration::from_millis(300)).await;
    let got = once(site.door(), get("/slow?5000")).await.unwrap();
    assert_eq!((got.status.as_u16(), got.headers["x-strait-error"].as_bytes()), (504, &b"timeout"[..]));
    assert_eq!(pod.count(), 1);
    site.stop().await;
}
