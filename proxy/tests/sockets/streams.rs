//! Answers that come in pieces, bodies that are large, and words before the answer; through one hop and through two.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use strait_proxy::ProxyConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client;
use crate::pair::Pair;
use crate::plain::{LIMIT, fill, head, listen, swallow};
use crate::pod::Pod;
use crate::site::Site;

/// A door with a bare pod behind it in the same cluster, and one whose pod is in the other cluster.
pub struct Both {
    site: Site,
    near: TcpListener,
    pair: Pair,
    far: TcpListener,
}

impl Both {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(edit: impl Fn(&mut ProxyConfig)) -> Self {
        let mut site = Site::new("us-west");
        site.export();
        site.slice(1);
        site.import("http");
        let near = listen(site.pod(0)).await;
        site.start_with(&edit).await;
        let mut pair = Pair::speaking("http", 1, None, edit).await;
        pair.west_pods.clear();
        pair.east_pods.clear();
        let far = listen(pair.east.pod(0)).await;
        Self { site, near, pair, far }
    }

    pub fn doors(&self) -> [(SocketAddr, &TcpListener); 2] {
        [(self.site.door(), &self.near), (self.pair.west.door(), &self.far)]
    }

    pub async fn stop(&self) {
        self.site.stop().await;
        self.pair.stop().await;
    }
}

/// A client that has sent this, and the pod's connection, whose head was read.
pub async fn ask(door: SocketAddr, pod: &TcpListener, request: &str) -> (TcpStream, TcpStream, String) {
    let mut client = TcpStream::connect(door).await.unwrap();
    client.set_nodelay(true).unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut server, _) = tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is asked").unwrap();
    server.set_nodelay(true).unwrap();
    let seen = head(&mut server).await;
    (client, server, seen)
}

/// Reads until these bytes have come.
async fn until_seen(from: &mut TcpStream, what: &str) {
    let mut got = Vec::new();
    while !got.windows(what.len()).any(|w| w == what.as_bytes()) {
        got.push(tokio::time::timeout(LIMIT, from.read_u8()).await.expect("it comes by itself").unwrap());
    }
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_made() {
    let both = Both::new().await;
    for (door, pod) in both.doors() {
        let (mut client, mut server, _) = ask(door, pod, "GET /events HTTP/1.1\r\nhost: m\r\n\r\n").await;
        let began = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        server.write_all(began).await.unwrap();
        let told = head(&mut client).await;
        assert!(told.contains("content-type: text/event-stream\r\n"), "{told}");
        for token in 0..50 {
            let event = format!("data: token {token}\n\n");
            server.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
            until_seen(&mut client, &event).await;
        }
        server.write_all(b"0\r\n\r\n").await.unwrap();
        until_seen(&mut client, "0\r\n\r\n").await;
    }
    both.stop().await;
}

/// More than what is buffered between two ends; the kernel's socket buffers are the larger part of it.
const LARGE: usize = 64 << 20;

#[tokio::test]
async fn a_large_body_waits_for_a_pod_that_reads_slowly() {
    let both = Both::new().await;
    for (door, pod) in both.doors() {
        let request = format!("POST /upload HTTP/1.1\r\nhost: m\r\ncontent-length: {LARGE}\r\n\r\n");
        let (mut client, mut server, _) = ask(door, pod, &request).await;
        let taken = fill(&mut client, LARGE).await;
        assert!(taken < LARGE / 2, "{taken} bytes were taken for a pod that reads nothing");
        let (rest, ()) = tokio::join!(fill(&mut client, LARGE - taken), swallow(&mut server, LARGE));
        assert_eq!(taken + rest, LARGE);
        server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 204 "));
    }
    both.stop().await;
}

#[tokio::test]
async fn an_http2_upload_that_a_pod_does_not_read_holds_up_no_other() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    let mut sender = client::http2(site.door()).await;
    let post = |path: &str, bytes: usize| {
        Request::post(format!("http://m{path}")).body(Full::<Bytes>::from(vec![b'x'; bytes])).unwrap()
    };
    let unread = tokio::spawn(sender.send_request(post("/slow?60000", LARGE)));
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let echo = async { sender.send_request(post("/echo", 200_000)).await.unwrap().into_body().collect().await };
        let echoed = tokio::time::timeout(LIMIT, echo).await.expect("it has a window of its own").unwrap();
        assert_eq!(echoed.to_bytes().len(), 200_000);
    }
    assert!(!unread.is_finished());
    unread.abort();
    site.stop().await;
}

/// The time for an answer begins when the last of the request was sent.
#[tokio::test]
async fn an_upload_may_take_longer_than_an_answer() {
    const PIECES: usize = 12;
    let limit = Duration::from_secs(3);
    let both = Both::with(|config| config.timeouts.request = limit).await;
    for (door, pod) in both.doors() {
        let request = format!("POST /upload HTTP/1.1\r\nhost: m\r\ncontent-length: {}\r\n\r\n", PIECES * 5);
        let (mut client, mut server, _) = ask(door, pod, &request).await;
        let began = Instant::now();
        for _ in 0..PIECES {
            tokio::time::sleep(limit / 8).await;
            client.write_all(b"piece").await.unwrap();
        }
        swallow(&mut server, PIECES * 5).await;
        assert!(began.elapsed() > limit, "or nothing was tried");
        server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 204 "));
        drop(server);
        // And then it has its limit.
        let (mut client, _server, _) = ask(door, pod, &request).await;
        client.write_all(&b"piece".repeat(PIECES)).await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 504 "));
    }
    both.stop().await;
}

#[tokio::test]
async fn a_large_answer_waits_for_a_client_that_reads_slowly() {
    let both = Both::new().await;
    for (door, pod) in both.doors() {
        let (mut client, mut server, _) = ask(door, pod, "GET /model HTTP/1.1\r\nhost: m\r\n\r\n").await;
        server.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n").as_bytes()).await.unwrap();
        let given = fill(&mut server, LARGE).await;
        assert!(given < LARGE / 2, "{given} bytes were taken for a client that reads nothing");
        head(&mut client).await;
        let (rest, ()) = tokio::join!(fill(&mut server, LARGE - given), swallow(&mut client, LARGE));
        assert_eq!(given + rest, LARGE);
    }
    both.stop().await;
}

#[tokio::test]
async fn a_pod_decides_whether_it_takes_the_body() {
    let both = Both::new().await;
    for (door, pod) in both.doors() {
        let request = "PUT /x HTTP/1.1\r\nhost: m\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
        let (mut client, mut server, seen) = ask(door, pod, request).await;
        assert!(seen.contains("expect: 100-continue\r\n"), "{seen}");
        server.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 100 "));
        client.write_all(b"hello").await.unwrap();
        let mut body = [0; 5];
        tokio::time::timeout(LIMIT, server.read_exact(&mut body)).await.expect("the body").unwrap();
        assert_eq!(&body, b"hello");
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 200 "));

        let (mut client, mut server, _) = ask(door, pod, request).await;
        server.write_all(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let told = head(&mut client).await;
        // What else came on this connection could be the body.
        assert!(told.starts_with("http/1.1 417 ") && told.contains("connection: close\r\n"), "{told}");
        let _ = client.write_all(b"hello").await;
        let unread = tokio::time::timeout(Duration::from_millis(300), server.read_u8()).await;
        assert!(!matches!(unread, Ok(Ok(_))), "the pod wanted no body: {unread:?}");
    }
    both.stop().await;
}

/// As servers do that refuse an upload: the kernel resets what comes after the answer, which is on its way still.
#[tokio::test]
async fn a_pod_that_answers_early_and_closes_is_heard() {
    let both = Both::new().await;
    for (door, pod) in both.doors() {
        for _ in 0..20 {
            let request = format!("POST /upload HTTP/1.1\r\nhost: m\r\ncontent-length: {LARGE}\r\n\r\n");
            let (mut client, mut server, _) = ask(door, pod, &request).await;
            let upload = async {
                let chunk = vec![b'x'; 64 * 1024];
                while client.write_all(&chunk).await.is_ok() {}
            };
            let refuse = async {
                server.read_u8().await.unwrap();
                server
                    .write_all(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 8\r\n\r\ntoolarge")
                    .await
                    .unwrap();
                drop(server);
            };
            tokio::select! {
                () = upload => {}
                () = async { refuse.await; tokio::time::sleep(Duration::from_millis(200)).await } => {}
            }
            let told = head(&mut client).await;
            assert!(told.starts_with("http/1.1 413 "), "{told}");
            until_seen(&mut client, "toolarge").await;
        }
    }
    both.stop().await;
}

#[tokio::test]
async fn words_before_the_answer_do_not_break_it() {
    let both = Both::new().await;
    for (door, pod) in both.doors() {
        let (mut client, mut server, _) = ask(door, pod, "GET / HTTP/1.1\r\nhost: m\r\n\r\n").await;
        server.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n").await.unwrap();
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        let mut told = head(&mut client).await;
        // They pass, unless the answer overtakes them.
        if told.starts_with("http/1.1 103 ") {
            told = head(&mut client).await;
        }
        assert!(told.starts_with("http/1.1 200 "), "{told}");
        until_seen(&mut client, "ok").await;
    }
    both.stop().await;
}

#[tokio::test]
async fn an_upload_whose_link_dies_does_not_look_whole() {
    let mut pair = Pair::speaking("http", 1, Some(Duration::from_millis(5)), |_| ()).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let pod = listen(pair.east.pod(0)).await;
    let request = "POST /upload HTTP/1.1\r\nhost: m\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let (_client, mut server, seen) = ask(pair.west.door(), &pod, request).await;
    assert!(seen.contains("transfer-encoding: chunked\r\n"), "{seen}");
    until_seen(&mut server, "5\r\nhello\r\n").await;
    pair.relay.as_ref().unwrap().black_hole(true);
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(LIMIT, server.read_to_end(&mut rest)).await.expect("the gateway notices by its pings");
    assert_eq!(rest, b"", "no last chunk: the pod must not take what came for all of it");
    pair.stop().await;
}
