//! Ceilings and clocks: slow bodies, slow readers, too many connections, too many requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use strait_proxy::ProxyConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::client::{self, get, once};
use crate::pod::Pod;
use crate::site::{Site, until};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A service with one pod behind a proxy of one worker, so that its ceilings are the proxy's.
async fn site(edit: impl FnOnce(&mut ProxyConfig)) -> (Site, Pod) {
    site_before(Pod::start, edit).await
}

async fn site_before(
    pod: impl AsyncFnOnce(SocketAddr, &str) -> Pod,
    edit: impl FnOnce(&mut ProxyConfig),
) -> (Site, Pod) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = pod(site.pod(0), "pod-0").await;
    site.start_with(|config| {
        config.workers = NonZeroUsize::new(1);
        edit(config);
    })
    .await;
    (site, pod)
}

/// Reads until `end` has come, or the end of the connection. True when it came.
async fn hears(tcp: &mut TcpStream, end: &str) -> bool {
    let (mut heard, mut part) = (Vec::<u8>::new(), [0; 4096]);
    while !heard.windows(end.len()).any(|w| w == end.as_bytes()) {
        match tokio::time::timeout(LIMIT, tcp.read(&mut part)).await.expect("an answer or an end") {
            Ok(count @ 1..) => heard.extend(&part[..count]),
            _ => return false,
        }
    }
    true
}

/// An upload whose answer has begun, and which then stops.
async fn stalled(site: &Site, content: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(site.door()).await.unwrap();
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: m\r\ncontent-type: {content}\r\ntransfer-encoding: chunked\r\n\r\n");
    tcp.write_all(format!("{head}5\r\nhello\r\n").as_bytes()).await.unwrap();
    assert!(hears(&mut tcp, "hello").await);
    tcp
}

/// A call whose pod says what it is told.
struct Call {
    feed: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    answer: Incoming,
}

impl Call {
    async fn begin(site: &Site) -> Self {
        let (feed, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        let body = Box::pin(unfold(body, |mut body| async move { Some((body.recv().await?, body)) }));
        let request = Request::post("http://m/echo").header("content-type", "application/grpc");
        let mut sender = client::http2(site.door()).await;
        let answer = sender.send_request(request.body(StreamBody::new(body)).unwrap()).await.unwrap();
        Self { feed, answer: answer.into_body() }
    }

    /// False when the stream is over.
    async fn echoes(&mut self, word: &str) -> bool {
        if self.feed.send(Ok(Frame::data(Bytes::from(word.to_owned())))).await.is_err() {
            return false;
        }
        let frame = tokio::time::timeout(LIMIT, self.answer.frame()).await.expect("an echo or an end");
        frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok()).is_some_and(|data| data == word)
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let limit = Duration::from_millis(200);
    let edit = |config: &mut ProxyConfig| config.timeouts.body = limit;
    let ((site, _pod), (calls, _grpc_pod)) = (site(edit).await, site_before(Pod::start_h2c, edit).await);
    // There are no streams of gRPC over HTTP/1.1, whatever is said.
    for content in ["text/plain", "application/grpc"] {
        let mut tcp = stalled(&site, content).await;
        assert!(!hears(&mut tcp, "0\r\n\r\n").await, "it ends, and not as if it were whole");
    }
    // Those there are may be silent for as long as they like.
    let mut call = Call::begin(&calls).await;
    assert!(call.echoes("hello").await);
    tokio::time::sleep(limit * 4).await;
    assert!(call.echoes("again").await);
    for site in [site, calls] {
        site.stop().await;
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_given_up() {
    let edit = |config: &mut ProxyConfig| config.timeouts.upload = Duration::from_secs(1);
    let ((site, _pod), (calls, _grpc_pod)) = (site(edit).await, site_before(Pod::start_h2c, edit).await);
    let goes_on = async |content| {
        let mut tcp = stalled(&site, content).await;
        for piece in 0..25 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let word = format!("piece{piece}");
            let sent = tcp.write_all(format!("{:x}\r\n{word}\r\n", word.len()).as_bytes()).await;
            if sent.is_err() || !hears(&mut tcp, &word).await {
                return false;
            }
        }
        true
    };
    assert!(!goes_on("text/plain").await && !goes_on("application/grpc").await);
    let mut call = Call::begin(&calls).await;
    for piece in 0..25 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(call.echoes(&format!("piece{piece}")).await);
    }
    for site in [site, calls] {
        site.stop().await;
    }
}

#[tokio::test]
async fn a_connection_that_has_lasted_is_asked_to_end() {
    let (site, _pod) = site(|config| config.timeouts.client_age = Duration::from_millis(500)).await;
    let got = once(site.door(), get("/slow?1000")).await.unwrap();
    assert_eq!((got.status.as_u16(), got.headers["connection"].as_bytes()), (200, &b"close"[..]));
    let mut client: Http2 = client::http2(site.door()).await;
    let slow = Request::get("http://m/slow?3000").body(Full::default()).unwrap();
    assert_eq!(client.send_request(slow).await.unwrap().status(), 200, "what is under way is answered");
    until("the client was sent away", || client.is_closed()).await;
    site.stop().await;
}

#[tokio::test]
async fn of_many_idle_http2_connections_the_longest_idle_are_asked_to_end() {
    let (site, _pod) = site(|config| config.limits.idle_http2 = 2).await;
    let mut clients: Vec<Http2> = Vec::new();
    for _ in 0..4 {
        let mut client = client::http2(site.door()).await;
        let get = Request::get("http://m/").body(Full::default()).unwrap();
        assert_eq!(client.send_request(get).await.unwrap().status(), 200);
        clients.push(client);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let slow = Request::get("http://m/slow?15000").body(Full::default()).unwrap();
    let busy = clients[0].send_request(slow);
    let closed = |clients: &[Http2]| clients.iter().map(Http2::is_closed).collect::<Vec<_>>();
    let told = async { until("one was sent away", || clients[1].is_closed()).await };
    let (answer, ()) = tokio::join!(busy, told);
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(closed(&clients), [false, true, false, false], "those who stay were busy, or came last");
    site.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let (site, _pod) = site(|config| config.timeouts.unread = Duration::from_millis(500)).await;
    let in_flight = || site.proxy().view().services[0].clusters[0].in_flight;
    let mut lazy = TcpStream::connect(site.door()).await.unwrap();
    lazy.write_all(b"GET /bytes?100000000 HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
    until("the answer has begun", || in_flight() == 1).await;
    until("nothing is held for it", || in_flight() == 0).await;
    assert_eq!(once(site.door(), get("/")).await.unwrap().status, 200);
    drop(lazy);
    site.stop().await;
}

type Http2 = SendRequest<Full<Bytes>>;

#[tokio::test]
async fn an_http2_stream_without_any_window_is_reset_however_little_there_is_to_read() {
    let (site, pod) = site(|config| config.timeouts.unread = Duration::from_millis(500)).await;
    let mut pod = Some(pod);
    for status in [200, 503] {
        if status == 503 {
            pod.take();
        }
        let tcp = TcpStream::connect(site.door()).await.unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, conn) = builder.initial_stream_window_size(0).handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(conn);
        let request: Request<Full<Bytes>> = Request::get("http://m/").body(Full::default()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status);
        let error = tokio::time::timeout(LIMIT, answer.into_body().collect()).await.expect("an end").unwrap_err();
        assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    }
    site.stop().await;
}

/// More than a stream's window, of which nothing is read.
async fn unread(sender: &mut Http2, content: &str) -> Response<Incoming> {
    let request = Request::get("http://m/bytes?10000000").header("content-type", content);
    sender.send_request(request.body(Full::default()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn an_http2_stream_that_is_not_read_is_reset_alone() {
    let edit = |config: &mut ProxyConfig| config.timeouts.unread = Duration::from_millis(500);
    let (site, _pod) = site(edit).await;
    let (calls, _grpc_pod) = site_before(Pod::start_h2c, edit).await;
    let mut caller = client::http2(calls.door()).await;
    let call = unread(&mut caller, "application/grpc").await;
    let mut client = client::http2(site.door()).await;
    let answer = unread(&mut client, "text/plain").await;
    let in_flight = || site.proxy().view().services[0].clusters[0].in_flight;
    until("the answer has begun", || in_flight() == 1).await;
    until("nothing is held for it", || in_flight() == 0).await;
    let error = answer.into_body().collect().await.unwrap_err();
    assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    let beside = client.send_request(Request::get("http://m/").body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(beside.into_body().collect().await.unwrap().to_bytes(), "pod-0");
    // Who receives a stream of gRPC may take its time.
    assert_eq!(call.into_body().collect().await.unwrap().to_bytes().len(), 10_000_000);
    for site in [site, calls] {
        site.stop().await;
    }
}

/// True when the proxy answers on a connection of its own, which is kept.
async fn lets_in(site: &Site, kept: &mut Vec<TcpStream>) -> bool {
    let mut tcp = TcpStream::connect(site.door()).await.unwrap();
    // One that is turned away is closed, before or after this is written.
    let _ = tcp.write_all(b"GET / HTTP/1.1\r\nhost: m\r\n\r\n").await;
    let answered = hears(&mut tcp, "pod-0").await;
    if answered {
        kept.push(tcp);
    }
    answered
}

#[tokio::test]
async fn connections_are_capped_for_each_client_and_for_all() {
    type Edit = fn(&mut ProxyConfig);
    let edits: [Edit; 2] =
        [|config| config.limits.connections_per_client = 2, |config| config.limits.client_connections = 2];
    for edit in edits {
        let (site, _pod) = site(edit).await;
        let mut kept = Vec::new();
        assert!(lets_in(&site, &mut kept).await && lets_in(&site, &mut kept).await);
        assert!(!lets_in(&site, &mut kept).await, "a third is turned away");
        kept.pop();
        let begun = tokio::time::Instant::now();
        while !lets_in(&site, &mut kept).await {
            assert!(begun.elapsed() < LIMIT, "a place that is free again is given again");
        }
        site.stop().await;
    }
}

fn urgent(priority: &str, content: &str) -> Request<Full<Bytes>> {
    let mut request = get("/");
    request.headers_mut().insert("priority", priority.parse().unwrap());
    request.headers_mut().insert("content-type", content.parse().unwrap());
    request
}

#[tokio::test]
async fn near_the_ceiling_the_least_urgent_are_shed_first() {
    let (site, pod) = site(|config| config.limits.requests = 20).await;
    let door = site.door();
    // 65 % of 20 requests under way: there is room for the usual and the urgent, and none for the least urgent.
    let mut slow = Vec::new();
    for _ in 0..13 {
        slow.push(begin_slow(&site, 3).await);
    }
    until("the slow ones are under way", || pod.count() == 13).await;
    let shed = once(door, urgent("u=7", "text/plain")).await.unwrap();
    assert_eq!((shed.status.as_u16(), shed.headers["x-strait-error"].as_bytes()), (503, &b"overloaded"[..]));
    let wait: u32 = shed.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=4).contains(&wait), "{wait}");
    let shed = once(door, urgent("u=7", "application/grpc")).await.unwrap();
    assert_eq!((shed.status.as_u16(), shed.headers["grpc-status"].as_bytes()), (200, &b"14"[..]));
    let wait: u32 = shed.headers["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
    assert!((1_000..=4_000).contains(&wait), "{wait}");
    for priority in ["u=3", "u=0", "nonsense"] {
        assert_eq!(once(door, urgent(priority, "text/plain")).await.unwrap().status, 200, "{priority}");
    }
    assert_eq!(pod.count(), 16, "what was shed reached no pod");
    // To the ceiling itself: only the most urgent find room, and nobody beyond it.
    for _ in 13..19 {
        slow.push(begin_slow(&site, 0).await);
    }
    until("all are under way", || pod.count() == 22).await;
    assert_eq!(once(door, urgent("u=3", "text/plain")).await.unwrap().status, 503);
    assert_eq!(once(door, urgent("u=0", "text/plain")).await.unwrap().status, 200);
    slow.push(begin_slow(&site, 0).await);
    until("it is full", || pod.count() == 24).await;
    assert_eq!(once(door, urgent("u=0", "text/plain")).await.unwrap().status, 503);
    drop(slow);
    site.stop().await;
}

/// A request that stays under way until it is dropped.
async fn begin_slow(site: &Site, urgency: u8) -> TcpStream {
    let mut tcp = TcpStream::connect(site.door()).await.unwrap();
    let request = format!("GET /slow?3600000 HTTP/1.1\r\nhost: m\r\npriority: u={urgency}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp
}
