//! gRPC: HTTP/2 from end to end, trailers included, at home and across clusters.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use strait_proxy::EndpointState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::client;
use crate::pair::Pair;
use crate::plain::{LIMIT, alone, listen};
use crate::pod::Pod;
use crate::site::{Site, until};

/// Body, trailers and head of one call.
async fn call(to: SocketAddr) -> (String, Option<HeaderMap>, http::response::Parts) {
    call_for("/grpc", to).await
}

async fn call_for(path: &str, to: SocketAddr) -> (String, Option<HeaderMap>, http::response::Parts) {
    let mut sender = client::http2(to).await;
    let request = Request::post(format!("http://model.ml{path}"))
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

/// Calls that are all under way at once, until the proxy holds none of them.
async fn rush(site: &Site, calls: usize) {
    let mut clients = Vec::new();
    while clients.len() * 100 < calls {
        clients.push(client::http2(site.door()).await);
    }
    let call = |at: usize| {
        let mut sender = clients[at % clients.len()].clone();
        async move {
            let request = Request::post("http://m/slow?3000").header("content-type", "application/grpc");
            let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.into_body().collect().await.unwrap();
        }
    };
    futures_util::future::join_all((0..calls).map(call)).await;
    // A client has its answer a moment before the stream's seat is free.
    until("nothing is under way", || site.proxy().view().services[0].clusters[0].in_flight == 0).await;
}

#[tokio::test]
async fn many_calls_share_few_connections() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let pod = Pod::start_h2c(site.pod(0), "pod-0").await;
    site.start_with(|config| config.workers = std::num::NonZeroUsize::new(1)).await;
    let connections = || pod.connections.load(std::sync::atomic::Ordering::SeqCst);
    rush(&site, 60).await;
    assert_eq!(connections(), 1, "those who come while it is dialled wait for it");
    // The pod allows 200 at once, as it has said since.
    rush(&site, 150).await;
    assert_eq!(connections(), 1);
    rush(&site, 190).await;
    assert_eq!(connections(), 2, "before the last place is taken");
    rush(&site, 100).await;
    assert_eq!(connections(), 2);
    site.stop().await;
}

#[tokio::test]
async fn a_connection_to_a_pod_is_replaced_when_it_is_old_and_ends_what_it_carries() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let pod = Pod::start_h2c(site.pod(0), "pod-0").await;
    site.start_with(|config| {
        config.workers = std::num::NonZeroUsize::new(1);
        config.timeouts.link_age = Duration::from_millis(500);
    })
    .await;
    let connections = || pod.connections.load(std::sync::atomic::Ordering::SeqCst);
    let mut sender = client::http2(site.door()).await;
    let slow = Request::post("http://m/slow?4000").header("content-type", "application/grpc");
    let slow = tokio::spawn(sender.send_request(slow.body(Full::<Bytes>::default()).unwrap()));
    until("it is under way", || connections() == 1).await;
    let began = tokio::time::Instant::now();
    while connections() == 1 {
        assert_eq!(&*call(site.door()).await.0, "question pod-0");
        assert!(began.elapsed() < LIMIT, "the first is used for ever");
    }
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "pod-0");
    site.stop().await;
}

#[tokio::test]
async fn clients_that_read_nothing_hold_up_nobody() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    let _pod = Pod::start_h2c(site.pod(0), "pod-0").await;
    site.start_with(|config| config.workers = std::num::NonZeroUsize::new(1)).await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        let tcp = TcpStream::connect(site.door()).await.unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, conn) = builder.initial_stream_window_size(1_000).handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(conn);
        let request = Request::post("http://m/bytes?3000000").header("content-type", "application/grpc");
        let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        unread.push((answer, sender));
    }
    for _ in 0..20 {
        let (body, ..) = tokio::time::timeout(LIMIT, call(site.door())).await.expect("it has a window of its own");
        assert_eq!(body, "question pod-0");
    }
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

type Said = Result<Frame<Bytes>, Infallible>;

/// A pod with one server-streaming call, which says what the test sends.
async fn streaming(at: SocketAddr) -> mpsc::Sender<Said> {
    let (say, said) = mpsc::channel::<Said>(1);
    let said = Arc::new(Mutex::new(Some(said)));
    let listener = listen(at).await;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let said = said.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let said = said.lock().unwrap().take().expect("one call");
                let body = Box::pin(unfold(said, |mut said| async move { Some((said.recv().await?, said)) }));
                let response = Response::builder().header("content-type", "application/grpc");
                let response = response.body(StreamBody::new(body)).unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            let conn = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(conn.serve_connection(TokioIo::new(tcp), service));
        }
    });
    say
}

async fn each_message_in_turn(door: SocketAddr, say: mpsc::Sender<Said>) {
    let mut sender = client::http2(door).await;
    let request = Request::post("http://model.ml/Model/Stream")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"prompt")))
        .unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    for token in 0..50_u8 {
        let message = Bytes::from(vec![token; 1 + usize::from(token) * 100]);
        say.send(Ok(Frame::data(message.clone()))).await.unwrap();
        let mut got = Vec::new();
        while got.len() < message.len() {
            let frame = tokio::time::timeout(LIMIT, response.frame()).await.expect("it comes by itself");
            got.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(got, message);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "5".parse().unwrap());
    trailers.insert("grpc-message", "no more of it".parse().unwrap());
    say.send(Ok(Frame::trailers(trailers.clone()))).await.unwrap();
    drop(say);
    let rest = response.body_mut().collect().await.unwrap();
    assert_eq!(rest.trailers().unwrap(), &trailers);
}

#[tokio::test]
async fn each_message_arrives_before_the_next_is_sent() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("grpc");
    site.start().await;
    let say = streaming(site.pod(0)).await;
    each_message_in_turn(site.door(), say).await;
    site.stop().await;

    let mut pair = Pair::speaking("grpc", 1, None, |_| ()).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let say = streaming(pair.east.pod(0)).await;
    each_message_in_turn(pair.west.door(), say).await;
    pair.stop().await;
}

#[tokio::test]
async fn an_error_of_the_proxies_is_a_grpc_status() {
    let mut pair = Pair::speaking("grpc", 1, None, |_| ()).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let (body, trailers, head) = call(pair.west.door()).await;
    assert_eq!((head.status.as_u16(), &*body, trailers), (200, "", None), "trailers only");
    assert_eq!(head.headers["grpc-status"], "14", "{head:?}");
    assert_eq!(head.headers["content-type"], "application/grpc");
    pair.stop().await;
}

#[tokio::test]
async fn trailers_tell_health() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("grpc");
    let _pod = Pod::start_h2c(site.pod(0), "pod-0").await;
    site.start().await;
    let counts = || {
        let view = site.proxy().view();
        let endpoint = &view.services[0].clusters[0].endpoints[0];
        (endpoint.successes, endpoint.failures)
    };
    let mut expected = (0, 0);
    for (path, good, bad) in [
        ("/grpc/0", 1, 0),
        ("/grpc/14", 0, 1),
        ("/grpc/5", 1, 0),
        ("/grpc/8", 0, 0),
        ("/grpc/13", 0, 1),
        ("/grpc/none", 0, 1),
        ("/grpc/0", 1, 0),
    ] {
        let (body, ..) = call_for(path, site.door()).await;
        assert_eq!(body, "part", "{path}");
        expected = (expected.0 + good, expected.1 + bad);
        until(path, || counts() == expected).await;
    }
    site.stop().await;
}

#[tokio::test]
async fn calls_that_fail_by_their_trailers_eject_a_pod() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("grpc");
    let _pod = Pod::start_h2c(site.pod(0), "pod-0").await;
    site.start().await;
    for _ in 0..5 {
        call_for("/grpc/14", site.door()).await;
    }
    until("it is ejected", || {
        let view = site.proxy().view();
        view.services[0].clusters[0].endpoints[0].state != EndpointState::Ready
    })
    .await;
    site.stop().await;
}

/// gRPC's servers close connections that are pinged more often than every five minutes (gRFC A8).
#[tokio::test]
async fn a_pod_that_thinks_is_not_pinged() {
    let (site, pod) = alone("grpc").await;
    let asked = tokio::spawn(call(site.door()));
    let (mut server, _) = tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is asked").unwrap();
    server.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut said = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(4), server.read_to_end(&mut said)).await;
    let mut rest = said.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("HTTP/2");
    let mut kinds = Vec::new();
    while let [a, b, c, kind, ..] = *rest {
        kinds.push(kind);
        rest = rest.get(9 + usize::from(a) * 65_536 + usize::from(b) * 256 + usize::from(c)..).unwrap_or_default();
    }
    assert!(kinds.contains(&1) && !kinds.contains(&6), "HEADERS and no PING among {kinds:?}");
    asked.abort();
    site.stop().await;
}
