//! Leaving HTTP on one stream of HTTP/2 (RFC 8441): to pods the upgrade of HTTP/1.1.

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pair::Pair;
use crate::plain::{LIMIT, head, listen};

type Http2 = SendRequest<Empty<bytes::Bytes>>;

/// A connection that knows the proxy's settings, as it has had an answer.
async fn open(pair: &Pair) -> Http2 {
    let tcp = TcpStream::connect(pair.west.door()).await.unwrap();
    let (mut sender, conn) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(conn);
    assert_eq!(get(&mut sender).await.status(), 200);
    sender
}

async fn get(sender: &mut Http2) -> Response<Incoming> {
    sender.send_request(Request::get("http://m/").body(Empty::new()).unwrap()).await.unwrap()
}

async fn ask(sender: &mut Http2, path: &str, protocol: &'static str) -> Response<Incoming> {
    ask_as(sender, path, protocol, "text/plain").await
}

async fn ask_as(sender: &mut Http2, path: &str, protocol: &'static str, content: &'static str) -> Response<Incoming> {
    let mut request = Request::new(Empty::new());
    request.headers_mut().insert("content-type", http::HeaderValue::from_static(content));
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("http://m{path}").parse().unwrap();
    request.extensions_mut().insert(Protocol::from_static(protocol));
    sender.send_request(request).await.unwrap()
}

async fn shouts(granted: Response<Incoming>) {
    let mut stream = TokioIo::new(hyper::upgrade::on(granted).await.unwrap());
    for word in [b"hello", b"again"] {
        stream.write_all(word).await.unwrap();
        let mut heard = [0; 5];
        tokio::time::timeout(LIMIT, stream.read_exact(&mut heard)).await.expect("it is shouted").unwrap();
        assert_eq!(heard, word.to_ascii_uppercase()[..]);
    }
}

#[tokio::test]
async fn a_stream_leaves_http_at_home_and_across_clusters() {
    let mut pair = Pair::new(1, None).await;
    let mut client = open(&pair).await;
    let mut away = false;
    for cluster in ["us-west", "us-east"] {
        if std::mem::replace(&mut away, true) {
            pair.west_pods.clear();
        }
        let granted = ask(&mut client, "/shout", "shout").await;
        assert_eq!(
            (granted.status().as_u16(), granted.headers()["x-strait-served-by"].as_bytes()),
            (200, cluster.as_bytes())
        );
        assert!(!granted.headers().contains_key("upgrade") && !granted.headers().contains_key("connection"));
        shouts(granted).await;
        // Other streams of the connection go on.
        assert_eq!(get(&mut client).await.status(), 200, "{cluster}");
    }
    pair.stop().await;
}

#[tokio::test]
async fn who_does_not_know_the_wish_grants_nothing() {
    let pair = Pair::new(1, None).await;
    let mut client = open(&pair).await;
    let answer = ask(&mut client, "/", "shout").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["x-strait-error"].as_bytes()), (502, &b"not-upgraded"[..]));
    // An error of gRPC is a 200.
    let answer = ask_as(&mut client, "/", "shout", "application/grpc").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["x-strait-error"].as_bytes()), (502, &b"not-upgraded"[..]));
    let smuggled = ask(&mut client, "/shout", "h2c").await;
    assert_eq!(smuggled.status(), 405, "the unfiltered way to pods that HTTP/1.1 has not either");
    let refusal = ask(&mut client, "/status/403", "shout").await;
    assert_eq!(refusal.status(), 403);
    assert_eq!(refusal.into_body().collect().await.unwrap().to_bytes(), "us-west-0");
    pair.stop().await;
}

#[tokio::test]
async fn a_websocket_has_the_key_that_its_pod_asks_for() {
    let mut pair = Pair::speaking("http", 1, None, |_| ()).await;
    let mut client = open(&pair).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let pod = listen(pair.west.pod(0)).await;
    let serve = async {
        let (mut server, _) = tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is asked").unwrap();
        let seen = head(&mut server).await;
        for field in
            ["get /chat http/1.1\r\n", "connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-key: "]
        {
            assert!(seen.contains(field), "{field:?} is missing in {seen}");
        }
        let granted = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-accept: whatever\r\nsec-websocket-protocol: chat\r\n\r\nfirst";
        server.write_all(granted).await.unwrap();
        server
    };
    let (granted, server) = tokio::join!(ask(&mut client, "/chat", "websocket"), serve);
    assert_eq!(
        (granted.status().as_u16(), granted.headers()["sec-websocket-protocol"].as_bytes()),
        (200, &b"chat"[..])
    );
    assert!(!granted.headers().contains_key("sec-websocket-accept"));
    let mut stream = TokioIo::new(hyper::upgrade::on(granted).await.unwrap());
    let mut first = [0; 5];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut first)).await.expect("what came with the 101").unwrap();
    assert_eq!(&first, b"first");
    drop(server);
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("it ends with the pod's side");
    assert!(rest.is_empty());
    pair.stop().await;
}
