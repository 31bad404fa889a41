//! WebSocket and the like across clusters: joined when the pod there says so, and not before.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{get, once};
use crate::pair::Pair;
use crate::plain::{LIMIT, head, leaves_after_its_end, listen, passes, rest};

const ASK: &[u8] = b"GET /chat HTTP/1.1\r\nhost: m\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

/// Two clusters, of which the other one alone has a pod, a bare socket.
async fn far() -> (Pair, TcpListener) {
    let mut pair = Pair::speaking("http", 1, None, |_| ()).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let pod = listen(pair.east.pod(0)).await;
    (pair, pod)
}

/// The client has asked and the pod has been asked; the client's first word came with its head.
async fn asked(pair: &Pair, pod: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(pair.west.door()).await.unwrap();
    client.write_all(&[ASK, b"early"].concat()).await.unwrap();
    let (mut server, _) = tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is asked").unwrap();
    let seen = head(&mut server).await;
    for field in
        ["get /chat http/1.1\r\n", "connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-version: 13\r\n"]
    {
        assert!(seen.contains(field), "{field:?} is missing in {seen}");
    }
    assert!(!seen.contains("x-strait"), "{seen}");
    let early = tokio::time::timeout(Duration::from_millis(300), server.read_u8()).await;
    assert!(early.is_err(), "nothing reaches a pod that has not said 101: {early:?}");
    (client, server)
}

#[tokio::test]
async fn across_clusters() {
    let (pair, pod) = far().await;
    let (mut client, mut server) = asked(&pair, &pod).await;
    let granted = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst";
    server.write_all(granted).await.unwrap();
    let told = head(&mut client).await;
    for field in [
        "http/1.1 101 ",
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
        "x-strait-served-by: us-east\r\n",
    ] {
        assert!(told.contains(field), "{field:?} is missing in {told}");
    }
    assert!(!told.contains("content-length") && !told.contains("x-strait-upgrade"), "{told}");
    let mut word = [0; 5];
    client.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"first", "what came with the 101");
    server.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"early", "what was held until the 101");
    for _ in 0..20 {
        passes(&mut client, &mut server, &[b'c'; 5_000]).await;
        passes(&mut server, &mut client, &[b's'; 50_000]).await;
    }
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut server).await.unwrap(), b"");
    passes(&mut server, &mut client, b"goodbye").await;
    drop(server);
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    pair.stop().await;
}

#[tokio::test]
async fn who_is_gone_after_its_end_lets_the_other_go() {
    let (pair, pod) = far().await;
    for of_client in [true, false] {
        let (mut client, mut server) = asked(&pair, &pod).await;
        let granted = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        server.write_all(granted).await.unwrap();
        assert!(head(&mut client).await.starts_with("http/1.1 101 "));
        server.read_exact(&mut [0; 5]).await.unwrap();
        leaves_after_its_end(if of_client { (client, server) } else { (server, client) }).await;
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_refusal_passes_as_it_is() {
    let (pair, pod) = far().await;
    let (mut client, mut server) = asked(&pair, &pod).await;
    server.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nx-why: no\r\n\r\nno").await.unwrap();
    let told = head(&mut client).await;
    assert!(told.starts_with("http/1.1 403 ") && told.contains("x-why: no\r\n"), "{told}");
    assert!(told.contains("x-strait-served-by: us-east\r\n") && !told.contains("x-strait-error"), "{told}");
    let mut body = [0; 2];
    client.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"no");
    let more = tokio::time::timeout(Duration::from_millis(300), server.read_u8()).await;
    assert!(!matches!(more, Ok(Ok(_))), "what the client sent early was for another protocol: {more:?}");
    pair.stop().await;
}

#[tokio::test]
async fn the_choice_is_that_of_requests() {
    let mut pair = Pair::new(1, None).await;
    let ask = || {
        let mut request = get("/shout");
        request.headers_mut().insert("connection", "upgrade".parse().unwrap());
        request.headers_mut().insert("upgrade", "shout".parse().unwrap());
        request
    };
    let home = once(pair.west.door(), ask()).await.unwrap();
    assert_eq!((home.status.as_u16(), home.served_by()), (101, "us-west"));
    pair.west_pods.clear();
    let away = once(pair.west.door(), ask()).await.unwrap();
    assert_eq!((away.status.as_u16(), away.served_by()), (101, "us-east"));
    pair.east_pods.clear();
    let mut nowhere = TcpStream::connect(pair.west.door()).await.unwrap();
    nowhere.write_all(ASK).await.unwrap();
    let told = head(&mut nowhere).await;
    assert!(told.starts_with("http/1.1 503 ") && told.contains("x-strait-error: connect-failed\r\n"), "{told}");
    pair.stop().await;
}
