//! Frames in masses, on every listener that speaks HTTP/2: the connection ends, little reaches a pod, and others are
//! served meanwhile and after.

use std::time::Duration;

use strait_identity::{Alpn, Identity};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{get, once};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, frame, next, preface, say,
};
use crate::pod::Pod;
use crate::site::{Site, until};

/// The frames of one round; rounds number from 0 and have stream ids of their own.
type Round = fn(u32) -> Vec<u8>;

/// Rounds that are tried before the flood counts as borne.
const MOST: u32 = 400_000;
/// Rounds written at once.
const TOGETHER: u32 = 500;

const FLOODS: [(&str, Round); 9] = [
    ("streams reset at once", |n| [request(stream(n), "GET", END_STREAM), reset(stream(n))].concat()),
    ("streams that have to be reset", |n| {
        let nothing = frame(WINDOW_UPDATE, 0, stream(n), &[0; 4]);
        [request(stream(n), "GET", END_STREAM), nothing].concat()
    }),
    ("streams that overflow their window", |n| {
        let too_much = frame(WINDOW_UPDATE, 0, stream(n), &0x7fff_ffff_u32.to_be_bytes());
        [request(stream(n), "POST", 0), too_much].concat()
    }),
    ("pings", |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())),
    ("settings", |_| frame(SETTINGS, 0, 0, &[])),
    ("priorities", |n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 7])),
    ("empty data", |n| if n == 0 { request(1, "POST", 0) } else { frame(DATA, 0, 1, &[]) }),
    ("small windows", |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
    ("a head without an end", |n| {
        let piece = block(&[(b"x-more", &[b'x'; 1_000])]);
        if n == 0 { frame(HEADERS, 0, 1, &piece) } else { frame(CONTINUATION, 0, 1, &piece) }
    }),
];

fn stream(round: u32) -> u32 {
    2 * round + 1
}

/// A request that a pod would take an hour for; on the gateway it would be let in.
fn request(stream: u32, method: &str, end: u8) -> Vec<u8> {
    let fields: [(&[u8], &[u8]); 7] = [
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"model.ml"),
        (b":path", b"/slow?3600000"),
        (b"x-strait-service", b"ml/model"),
        (b"x-strait-port", b"80"),
        (b"x-strait-hop", b"1"),
    ];
    frame(HEADERS, END_HEADERS | end, stream, &block(&fields))
}

fn reset(stream: u32) -> Vec<u8> {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    frame(RST_STREAM, 0, stream, &CANCEL)
}

/// Floods until the connection ends. Returns the rounds it took and the code of GOAWAY, if one came.
async fn flood(io: impl AsyncRead + AsyncWrite + Send + 'static, round: Round) -> (u32, Option<u32>) {
    let (mut from, mut to) = tokio::io::split(io);
    let reading = tokio::spawn(async move {
        let mut code = None;
        while let Some(frame) = next(&mut from).await {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    });
    say(&mut to, &preface()).await.unwrap();
    let mut rounds = 0;
    while rounds < MOST && !reading.is_finished() {
        let bytes: Vec<u8> = (rounds..rounds + TOGETHER).flat_map(round).collect();
        if say(&mut to, &bytes).await.is_err() {
            break;
        }
        rounds += TOGETHER;
    }
    let code = tokio::time::timeout(Duration::from_secs(20), reading).await;
    (rounds, code.expect("the connection ends").unwrap())
}

async fn site() -> (Site, Site, Pod) {
    let (mut west, east) = (Site::new("us-west"), Site::new("us-east"));
    west.export();
    west.slice(1);
    west.import("http");
    west.meet(&east);
    let pod = Pod::start(west.pod(0), "pod-0").await;
    // One worker: what is served meanwhile is served by the one that is flooded.
    west.start_with(|config| config.workers = std::num::NonZeroUsize::new(1)).await;
    east.meet(&west);
    until("the gateway is open", || std::net::TcpStream::connect(west.gateway()).is_ok()).await;
    (west, east, pod)
}

#[tokio::test]
async fn floods_on_the_outbound_listener_end_their_connection_only() {
    let (west, _, pod) = site().await;
    for (what, round) in FLOODS {
        let before = pod.count();
        let victim = tokio::spawn(flood(TcpStream::connect(west.door()).await.unwrap(), round));
        assert_eq!(once(west.door(), get("/")).await.unwrap().status, 200, "meanwhile: {what}");
        check(what, victim.await.unwrap(), pod.count() - before);
        assert_eq!(once(west.door(), get("/")).await.unwrap().status, 200, "afterwards: {what}");
    }
    west.stop().await;
}

#[tokio::test]
async fn floods_on_the_gateway_end_their_connection_only() {
    let (west, east, pod) = site().await;
    let config = east.identity.client_config(&west.id, &[Alpn::Http2]).unwrap();
    for (what, round) in FLOODS {
        let before = pod.count();
        let tcp = TcpStream::connect(west.gateway()).await.unwrap();
        let tls = TlsConnector::from(config.clone()).connect(Identity::server_name(&west.id), tcp).await.unwrap();
        check(what, flood(tls, round).await, pod.count() - before);
        assert_eq!(once(west.door(), get("/")).await.unwrap().status, 200, "afterwards: {what}");
    }
    west.stop().await;
}

/// The end came early, by ENHANCE_YOUR_CALM or without a word, and the pod has seen little.
fn check(what: &str, (rounds, code): (u32, Option<u32>), reached: u32) {
    println!("{what}: ended within {rounds} rounds, GOAWAY {code:?}, {reached} requests at the pod");
    assert!(rounds < MOST, "{what}: borne for {rounds} rounds");
    assert!(reached < 2_000, "{what}: {reached} requests reached the pod");
}
