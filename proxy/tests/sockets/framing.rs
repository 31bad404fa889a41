//! Where a body ends, in what a pod and a client get, whatever the other one said of it.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::http2;
use crate::plain::{LIMIT, alone, head, rest};
use crate::site::Site;
use crate::streams::{Both, ask};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn accept(pod: &TcpListener) -> TcpStream {
    tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is asked").unwrap().0
}

/// Sends these bytes, lets the pod answer with those, and returns what the pod and the client had.
async fn exchange(site: &Site, pod: &TcpListener, request: &str, answer: &[u8]) -> (String, String) {
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut server = accept(pod).await;
    let mut seen = head(&mut server).await;
    if seen.contains("transfer-encoding: chunked") {
        while !seen.ends_with("0\r\n\r\n") {
            seen.push(server.read_u8().await.unwrap().into());
        }
    }
    server.write_all(answer).await.unwrap();
    drop(server);
    let told = rest(&mut client).await.unwrap();
    (seen, String::from_utf8(told).unwrap().to_ascii_lowercase())
}

#[tokio::test]
async fn a_get_with_a_body_of_unknown_length_keeps_it() {
    let (site, pod) = alone("http").await;
    let request = "GET /_search HTTP/1.1\r\nhost: m\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\nquery\r\n0\r\n\r\n";
    let (seen, told) = exchange(&site, &pod, request, OK).await;
    assert!(seen.contains("\r\n5\r\nquery\r\n0\r\n"), "{seen}");
    assert!(told.starts_with("http/1.1 200 "), "{told}");
    site.stop().await;
}

#[tokio::test]
async fn chunks_go_before_a_length_and_a_length_is_said_once() {
    let (site, pod) = alone("http").await;
    let request = "GET / HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n";
    let both =
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n";
    let (_, told) = exchange(&site, &pod, request, both).await;
    assert!(told.contains("hello world") && !told.contains("content-length"), "{told}");
    for lengths in ["content-length: 2, 2", "content-length: 2\r\ncontent-length: 2"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\nok");
        let (_, told) = exchange(&site, &pod, request, answer.as_bytes()).await;
        assert_eq!(told.matches("content-length: 2\r\n").count(), 1, "{told}");
        assert!(told.ends_with("\r\n\r\nok"), "{told}");
    }
    site.stop().await;
}

/// What is in such a body would be taken for the content itself.
#[tokio::test]
async fn an_answer_in_another_coding_than_chunks_is_refused() {
    const BODY: &str = "2\r\nok\r\n0\r\n\r\n";
    let (site, pod) = alone("http").await;
    // By the fast path and by the long one.
    for plain in ["GET / HTTP/1.1\r\nhost: m\r\n", "OPTIONS / HTTP/1.1\r\nhost: m\r\n"] {
        for codings in ["gzip, chunked", "gzip\r\ntransfer-encoding: chunked", "gzip", "chunked, chunked"] {
            let mut client = TcpStream::connect(site.door()).await.unwrap();
            client.write_all(format!("{plain}\r\n").as_bytes()).await.unwrap();
            let mut server = accept(&pod).await;
            head(&mut server).await;
            let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {codings}\r\n\r\n{BODY}");
            server.write_all(answer.as_bytes()).await.unwrap();
            let told = head(&mut client).await;
            assert!(told.starts_with("http/1.1 502 ") && told.contains("x-strait-error: coding\r\n"), "{told}");
            assert!(rest(&mut server).await.is_ok(), "its connection is not used again");
        }
    }
    let request = "GET / HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n";
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n{BODY}");
    let (_, told) = exchange(&site, &pod, request, answer.as_bytes()).await;
    assert!(told.starts_with("http/1.1 200 "), "{told}");
    site.stop().await;
}

#[tokio::test]
async fn so_is_one_that_comes_from_another_cluster() {
    let both = Both::new().await;
    let (door, pod) = both.doors()[1];
    let (mut client, mut server, _) = ask(door, pod, "POST / HTTP/1.1\r\nhost: m\r\ncontent-length: 0\r\n\r\n").await;
    server.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n").await.unwrap();
    let told = head(&mut client).await;
    assert!(told.starts_with("http/1.1 502 ") && told.contains("x-strait-error: coding\r\n"), "{told}");
    both.stop().await;
}

#[tokio::test]
async fn old_clients_and_pods_know_where_a_body_ends() {
    let (site, pod) = alone("http").await;
    let request = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let (_, told) = exchange(&site, &pod, request, chunked).await;
    assert!(told.contains("connection: close\r\n") && !told.contains("keep-alive"), "{told}");
    assert!(told.ends_with("\r\n\r\nok"), "{told}");

    let mut client = TcpStream::connect(site.door()).await.unwrap();
    for _ in 0..2 {
        client.write_all(b"GET / HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
        // A connection of its own each time.
        let mut server = accept(&pod).await;
        head(&mut server).await;
        let answer = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok";
        server.write_all(answer).await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 200 "));
        assert_eq!(client.read_u16().await.unwrap().to_be_bytes(), *b"ok");
    }
    site.stop().await;
}

#[tokio::test]
async fn what_http2_says_by_ending_a_stream_is_said_in_words() {
    let (site, pod) = alone("http").await;
    let mut client = http2(site.door()).await;
    let post = client.send_request(Request::post("http://m/").body(Full::<Bytes>::default()).unwrap());
    let serve = async {
        let mut server = accept(&pod).await;
        let seen = head(&mut server).await;
        server.write_all(OK).await.unwrap();
        seen
    };
    let (answer, seen) = tokio::join!(post, serve);
    assert_eq!(answer.unwrap().status(), 200);
    assert!(seen.contains("content-length: 0\r\n"), "{seen}");

    drop(pod);
    let mut client = http2(site.door()).await;
    let asked = client.send_request(Request::head("http://m/").body(Full::<Bytes>::default()).unwrap());
    let (told, body) = asked.await.unwrap().into_parts();
    assert_eq!((told.status.as_u16(), told.headers.contains_key("content-length")), (503, true), "{told:?}");
    assert!(body.collect().await.unwrap().to_bytes().is_empty(), "an answer to HEAD has no body");
    site.stop().await;
}

/// Clients that write all of an upload before they read.
#[tokio::test]
async fn who_is_refused_in_the_middle_of_an_upload_can_end_it_and_hear_why() {
    const UPLOAD: usize = 8 << 20;
    let (site, pod) = alone("http").await;
    for _ in 0..10 {
        let mut client = TcpStream::connect(site.door()).await.unwrap();
        let begun = format!("POST /upload HTTP/1.1\r\nhost: m\r\ncontent-length: {UPLOAD}\r\n\r\n");
        client.write_all(begun.as_bytes()).await.unwrap();
        let refuse = async {
            let mut server = accept(&pod).await;
            head(&mut server).await;
            server
                .write_all(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 8\r\n\r\ntoolarge")
                .await
                .unwrap();
        };
        let upload = async {
            client.write_all(&vec![b'x'; UPLOAD]).await.expect("what was refused is taken all the same");
            rest(&mut client).await.unwrap()
        };
        let (told, ()) = tokio::join!(upload, refuse);
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with("HTTP/1.1 413 ") && told.ends_with("toolarge"), "{told}");
    }
    site.stop().await;
}
