//! Clients that end their own direction and still read, and those that are gone.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::plain::{LIMIT, alone, fill, head, rest, swallow};
use crate::site::Site;

const CONTINUE: &str = "http/1.1 100 continue\r\n\r\n";

/// A client that has sent this and ended its direction, and the pod with what it got.
async fn asked(site: &Site, pod: &TcpListener, request: &[u8], body: usize) -> (TcpStream, TcpStream) {
    asked_over(TcpStream::connect(site.door()).await.unwrap(), pod, request, body).await
}

async fn asked_over(mut client: TcpStream, pod: &TcpListener, request: &[u8], body: usize) -> (TcpStream, TcpStream) {
    client.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    let mut server = taken(pod).await;
    let mut got = vec![0; body];
    tokio::time::timeout(LIMIT, server.read_exact(&mut got)).await.expect("the body comes").unwrap();
    (client, server)
}

/// The pod's end of the next connection that carries a request, whose head was read.
async fn taken(pod: &TcpListener) -> TcpStream {
    loop {
        let (mut server, _) = tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is connected").unwrap();
        // A check of the pod says nothing.
        if server.peek(&mut [0]).await.unwrap() > 0 {
            head(&mut server).await;
            return server;
        }
    }
}

/// Everything up to the end, without informational answers.
async fn answer(client: &mut TcpStream) -> String {
    String::from_utf8(rest(client).await.unwrap()).unwrap().to_ascii_lowercase().replace(CONTINUE, "")
}

#[tokio::test]
async fn who_still_reads_gets_the_answer() {
    let (site, pod) = alone("http").await;
    let get: &[u8] = b"GET / HTTP/1.1\r\nhost: m\r\n\r\n";
    let post: &[u8] = b"POST / HTTP/1.1\r\nhost: m\r\ncontent-length: 5\r\n\r\nhello";
    let chunked: &[u8] = b"POST / HTTP/1.1\r\nhost: m\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (request, body) in [(get, 0), (post, 5), (chunked, 15)] {
        let (mut client, mut server) = asked(&site, &pod, request, body).await;
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone").await.unwrap();
        let told = answer(&mut client).await;
        assert!(told.starts_with("http/1.") && told.contains(" 200 ok\r\n") && told.ends_with("done"), "{told}");
    }
    site.stop().await;
}

#[tokio::test]
async fn two_requests_at_once_and_then_the_end() {
    let (site, pod) = alone("http").await;
    let request: &[u8] = b"GET / HTTP/1.1\r\nhost: m\r\n\r\n";
    let (mut client, mut server) = asked(&site, &pod, &[request, request].concat(), 0).await;
    server.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\none").await.unwrap();
    let mut server = taken(&pod).await;
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo").await.unwrap();
    let told = answer(&mut client).await;
    assert!(told.contains("\r\n\r\none") && told.ends_with("\r\n\r\ntwo"), "{told}");
    site.stop().await;
}

#[tokio::test]
async fn a_late_answer_and_a_slow_one_come_whole() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = asked(&site, &pod, b"GET / HTTP/1.1\r\nhost: m\r\n\r\n", 0).await;
    assert_eq!(head(&mut client).await, CONTINUE, "it is asked whether it still reads");
    assert_eq!(head(&mut client).await, CONTINUE, "and again after five seconds");
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 200 "));
    for part in [b"on", b"ea", b"nd", b"on"] {
        server.write_all(part).await.unwrap();
        let mut got = [0; 2];
        tokio::time::timeout(LIMIT, client.read_exact(&mut got)).await.expect("it goes on").unwrap();
        assert_eq!(&got, part);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(rest(&mut client).await.unwrap(), b"", "the connection ends with the answer");
    site.stop().await;
}

#[tokio::test]
async fn a_reader_that_pauses_gets_all_of_it() {
    const LARGE: usize = 32 << 20;
    const STEP: usize = 1 << 20;
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = asked(&site, &pod, b"GET / HTTP/1.1\r\nhost: m\r\n\r\n", 0).await;
    server.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n").as_bytes()).await.unwrap();
    while !head(&mut client).await.contains(" 200 ok") {}
    let mut given = fill(&mut server, LARGE).await;
    assert!(given < LARGE, "it does not fit between them");
    // Longer than an answer may be silent.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut left = LARGE;
    while given < LARGE {
        swallow(&mut client, STEP).await;
        left -= STEP;
        given += fill(&mut server, LARGE - given).await;
    }
    // The pod has said all of it, and the client is still to take the last of it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rest(&mut client).await.unwrap().len(), left);
    site.stop().await;
}

/// Of answers of many sizes some end while their last part is neither with the client nor with the kernel.
#[tokio::test]
async fn the_last_of_an_answer_waits_for_a_slow_reader() {
    const STEP: usize = 64 * 1024;
    let (site, pod) = alone("http").await;
    for steps in 1..=256 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let client = socket.connect(site.door()).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: m\r\n\r\n";
        let (mut client, mut server) = asked_over(client, &pod, request, 0).await;
        let size = steps * STEP;
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n");
        server.write_all(head.as_bytes()).await.unwrap();
        if fill(&mut server, size).await < size {
            assert!(steps > 1, "nothing fits between them");
            break;
        }
        // Time to give up in, which it must not.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let told = answer(&mut client).await;
        let (_, body) = told.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), size);
    }
    site.stop().await;
}

/// Until the pod's connection is closed by the proxy.
async fn let_go(mut server: TcpStream) {
    let end = tokio::time::timeout(LIMIT, server.read_u8()).await.expect("the pod is let go");
    assert!(end.is_err(), "{end:?}");
}

#[tokio::test]
async fn a_pod_does_not_work_on_for_who_is_gone() {
    let (site, pod) = alone("http").await;
    for request in [&b"GET / HTTP/1.1\r\nhost: m\r\n\r\n"[..], b"GET / HTTP/1.0\r\nhost: m\r\n\r\n"] {
        let (client, server) = asked(&site, &pod, request, 0).await;
        drop(client);
        let_go(server).await;
    }
    // Who waits a while and leaves then is found too, and who leaves in the midst of a quiet answer.
    let (mut client, server) = asked(&site, &pod, b"GET / HTTP/1.1\r\nhost: m\r\n\r\n", 0).await;
    assert_eq!(head(&mut client).await, CONTINUE);
    drop(client);
    let_go(server).await;
    let (mut client, mut server) = asked(&site, &pod, b"GET / HTTP/1.1\r\nhost: m\r\n\r\n", 0).await;
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
    while !head(&mut client).await.contains(" 200 ok") {}
    drop(client);
    let_go(server).await;
    site.stop().await;
}

#[tokio::test]
async fn half_an_upload_is_not_waited_for() {
    let (site, pod) = alone("http").await;
    let half = b"POST / HTTP/1.1\r\nhost: m\r\ncontent-length: 10\r\n\r\nhello";
    let (_client, server) = asked(&site, &pod, half, 5).await;
    let_go(server).await;
    site.stop().await;
}
