//! What a pod says before its answer, early hints (103) and `100 Continue`: it reaches the client before the answer is there.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::plain::{LIMIT, accepted, alone, asked, head};
use crate::pod::stand;
use crate::site::Site;
use crate::streams::Both;

const HINTS: &[u8] =
    b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: x-own\r\nx-own: 1\r\n\
    x-strait-served-by: a liar\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";

#[tokio::test]
async fn they_arrive_before_the_answer() {
    let (site, pod) = alone("http").await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    let mut kept = Vec::new();
    for round in 0..3 {
        client.write_all(b"GET / HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
        let (server, _) = asked(&pod, &mut kept).await;
        for _ in 0..2 {
            server.write_all(HINTS).await.unwrap();
            let told = head(&mut client).await;
            assert_eq!(told, "http/1.1 103 early hints\r\nlink: </style.css>; rel=preload\r\n\r\n", "{round}");
        }
        server.write_all(&[HINTS, ANSWER].concat()).await.unwrap();
        let mut told = head(&mut client).await;
        if told.starts_with("http/1.1 103 ") {
            told = head(&mut client).await;
        }
        assert!(told.starts_with("http/1.1 200 ") && told.contains("x-strait-served-by: us-west"), "{told}");
        let mut body = [0; 4];
        client.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"done");
    }
    site.stop().await;
}

#[tokio::test]
async fn who_knows_no_hints_gets_none() {
    let (site, pod) = alone("http").await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(b"GET / HTTP/1.0\r\nhost: m\r\n\r\n").await.unwrap();
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    server.write_all(HINTS).await.unwrap();
    server.write_all(ANSWER).await.unwrap();
    let told = head(&mut client).await;
    assert!(told.contains(" 200 ok\r\n"), "{told}");
    site.stop().await;
}

/// A client of HTTP/2 on h2 itself: hyper's tells nothing of what comes before an answer.
async fn http2(door: SocketAddr) -> SendRequest<Bytes> {
    let tcp = TcpStream::connect(door).await.unwrap();
    let (client, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// The next word before the answer; `None` when that has come.
async fn word(answer: &mut ResponseFuture) -> Option<Response<()>> {
    let word = std::future::poll_fn(|cx| answer.poll_informational(cx));
    tokio::time::timeout(LIMIT, word).await.expect("a word").transpose().unwrap()
}

#[tokio::test]
async fn they_cross_clusters_and_reach_clients_of_either_version() {
    let both = Both::new().await;
    for (door, pod) in both.doors() {
        let mut kept = Vec::new();
        let mut client = TcpStream::connect(door).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
        let (server, _) = asked(pod, &mut kept).await;
        server.write_all(HINTS).await.unwrap();
        assert_eq!(head(&mut client).await, "http/1.1 103 early hints\r\nlink: </style.css>; rel=preload\r\n\r\n");
        server.write_all(ANSWER).await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 200 "));

        let mut client = http2(door).await;
        let (mut answer, _) = client.send_request(Request::get("http://m/").body(()).unwrap(), true).unwrap();
        let (server, _) = asked(pod, &mut kept).await;
        for _ in 0..2 {
            server.write_all(HINTS).await.unwrap();
            let hints = word(&mut answer).await.expect("hints");
            assert_eq!((hints.status(), hints.headers().len()), (StatusCode::EARLY_HINTS, 1));
            assert_eq!(hints.headers()["link"], "</style.css>; rel=preload");
        }
        server.write_all(ANSWER).await.unwrap();
        assert!(word(&mut answer).await.is_none());
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    both.stop().await;
}

#[tokio::test]
async fn a_client_of_http2_is_told_to_go_on_when_the_pod_says_so() {
    let both = Both::new().await;
    for (door, pod) in both.doors() {
        let mut client = http2(door).await;
        let mut ask = |content: &str| {
            let request = Request::put("http://m/").header("expect", "100-continue").header("content-length", content);
            client.send_request(request.body(()).unwrap(), false).unwrap()
        };
        let (mut answer, mut body) = ask("5");
        let mut server = accepted(pod).await;
        assert!(head(&mut server).await.contains("expect: 100-continue\r\n"));
        server.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        assert_eq!(word(&mut answer).await.expect("a word").status(), StatusCode::CONTINUE);
        body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        let mut got = [0; 5];
        tokio::time::timeout(LIMIT, server.read_exact(&mut got)).await.expect("the body").unwrap();
        assert_eq!(&got, b"hello");
        server.write_all(ANSWER).await.unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);

        let (mut answer, _body) = ask("6");
        let mut kept = vec![server];
        let (server, _) = asked(pod, &mut kept).await;
        server.write_all(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert!(word(&mut answer).await.is_none(), "nobody wants the body");
        assert_eq!(answer.await.unwrap().status(), 417);
    }
    both.stop().await;
}

#[tokio::test]
async fn a_pod_that_speaks_http2_has_hints_too() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("kubernetes.io/h2c");
    let pod = stand(site.pod(0)).await;
    site.start().await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
    let mut server = h2::server::handshake(accepted(&pod).await).await.unwrap();
    let (_, mut answer) = server.accept().await.expect("a request").unwrap();
    let serve = tokio::spawn(async move { while server.accept().await.is_some() {} });
    let hints = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
    answer.send_informational(hints).unwrap();
    assert_eq!(head(&mut client).await, "http/1.1 103 early hints\r\nlink: </a>\r\n\r\n");
    answer.send_response(Response::new(()), true).unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 200 "));
    serve.abort();
    site.stop().await;
}
