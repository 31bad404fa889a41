//! Early hints (103): a pod's words before its answer reach the client before the answer is there.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::plain::{accepted, alone, asked, head};

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
