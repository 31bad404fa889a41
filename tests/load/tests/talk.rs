//! Server and conversations with each other, and with servers that do it wrong.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use strait_load::server::serve;
use strait_load::talk::{Talk, talk};
use strait_load::target::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

fn target(address: SocketAddr) -> Target {
    format!("http://{address}").parse().unwrap()
}

async fn server() -> (Target, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, "us-east".to_owned(), stop.clone()));
    (target(address), stop)
}

/// Answers every connection with the same bytes.
async fn liar(answer: Vec<u8>) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    target(address)
}

#[tokio::test]
async fn every_conversation_is_had_in_every_version() {
    let (target, stop) = server().await;
    let talks = [
        Talk::Get,
        Talk::Events { count: 5, every: Duration::from_millis(20) },
        Talk::Upload { bytes: 3_000_001 },
        Talk::Download { bytes: 3_000_001 },
        Talk::Download { bytes: 0 },
    ];
    for what in talks {
        for http2 in [false, true] {
            let said = talk(&target, what, http2).await.unwrap_or_else(|e| panic!("{what:?}, h2 {http2}: {e:#}"));
            let version = if http2 { "HTTP/2.0" } else { "HTTP/1.1" };
            assert!(what != Talk::Get || said.contains(&format!("us-east {version}")), "{said}");
        }
    }
    talk(&target, Talk::Grpc { count: 50 }, true).await.unwrap();
    talk(&target, Talk::WebSocket { count: 50 }, false).await.unwrap();
    stop.cancel();
}

#[tokio::test]
async fn a_body_with_a_wrong_byte_is_refused_by_its_place() {
    let mut body = strait_load::pattern::chunk(0, 1000).to_vec();
    body[700] ^= 1;
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    let target = liar([head.as_bytes(), &body].concat()).await;
    let said = talk(&target, Talk::Download { bytes: 1000 }, false).await.unwrap_err();
    assert!(format!("{said:#}").contains("byte 700 is wrong"), "{said:#}");
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_no_body() {
    let target = liar(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let said = talk(&target, Talk::Download { bytes: 1000 }, false).await.unwrap_err();
    assert!(format!("{said:#}").contains("0 of 1000 bytes"), "{said:#}");
}

#[tokio::test]
async fn events_that_were_held_back_are_noticed() {
    let text: String = (0..10).map(|i| format!("id: {i}\ndata: event {i}\n\n")).collect();
    let target = liar(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into_bytes()).await;
    let every = Duration::from_millis(500);
    let said = talk(&target, Talk::Events { count: 10, every }, false).await.unwrap_err();
    assert!(format!("{said:#}").contains("came within"), "{said:#}");
}

#[tokio::test]
async fn an_error_of_the_proxy_is_told() {
    let head = "HTTP/1.1 501 Not Implemented\r\nx-strait-error: no-upgrade\r\ncontent-length: 0\r\n\r\n";
    let target = liar(head.as_bytes().to_vec()).await;
    let said = talk(&target, Talk::WebSocket { count: 1 }, false).await.unwrap_err();
    assert!(format!("{said:#}").contains("no-upgrade"), "{said:#}");
}
