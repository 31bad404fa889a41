//! Clients of HTTP/2 that ask for much at once, and give much of it up: they have done no wrong, and lose nothing of the rest.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client;
use crate::frames::{END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame, next, preface, say};
use crate::parting::{REFUSED_STREAM, connect, request, site};
use crate::pod::Pod;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// Streams that may be open at once.
const STREAMS: usize = 256;

/// How many streams are answered and how many refused, until so many are either.
async fn fates(tcp: &mut TcpStream, streams: usize) -> (usize, usize) {
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < streams {
        let frame = timeout(LIMIT, next(tcp)).await.unwrap().expect("the connection stands");
        match frame.kind {
            HEADERS => answered += 1,
            RST_STREAM if frame.code() == REFUSED_STREAM => refused += 1,
            RST_STREAM | GOAWAY => panic!("{:?} after {answered} and {refused}", (frame.kind, frame.code())),
            _ => {}
        }
    }
    (answered, refused)
}

fn all(count: u32, method: &str, path: &str, end: u8) -> Vec<u8> {
    (0..count).flat_map(|n| request(2 * n + 1, method, path, end)).collect()
}

#[tokio::test]
async fn who_opens_a_thousand_streams_before_it_is_told_how_many_loses_none_that_were_taken() {
    let (site, _pod) = site(|_| {}).await;
    let mut tcp = TcpStream::connect(site.door()).await.unwrap();
    say(&mut tcp, &[preface(), all(1_000, "GET", "/slow?500", END_STREAM)].concat()).await.unwrap();
    let (answered, refused) = fates(&mut tcp, 1_000).await;
    assert!(answered >= STREAMS, "{answered} answered, {refused} refused");
    say(&mut tcp, &request(2_001, "GET", "/", END_STREAM)).await.unwrap();
    assert_eq!(fates(&mut tcp, 1).await, (1, 0), "and goes on");
    site.stop().await;
}

#[tokio::test]
async fn who_gives_up_most_of_what_it_asks_for_gets_the_rest() {
    let (site, _pod) = site(|_| {}).await;
    let mut tcp = connect(&site).await;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let given_up: Vec<u8> = (1..200).flat_map(|n| frame(RST_STREAM, 0, 2 * n + 1, &CANCEL)).collect();
    say(&mut tcp, &[all(200, "GET", "/slow?500", END_STREAM), given_up].concat()).await.unwrap();
    assert_eq!(fates(&mut tcp, 1).await, (1, 0));
    site.stop().await;
}

async fn with_fields(site: &crate::site::Site, count: usize) -> StatusCode {
    let mut client = client::http2::<Full<Bytes>>(site.door()).await;
    let fields = (0..count)
        .fold(Request::get("http://m/"), |request, n| request.header(format!("f{n}"), "").header("cookie", "a=b"));
    timeout(LIMIT, client.send_request(fields.body(Full::default()).unwrap())).await.unwrap().unwrap().status()
}

#[tokio::test]
async fn a_head_of_very_many_fields_is_too_large_though_it_is_short() {
    let (site, pod): (_, Pod) = site(|_| {}).await;
    assert_eq!(with_fields(&site, 80).await, 200, "a hundred is what pods take");
    let before = pod.count();
    assert_eq!(with_fields(&site, 400).await, 431);
    assert_eq!(pod.count(), before);
    site.stop().await;
}
