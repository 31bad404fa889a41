//! Leaving HTTP on one stream of HTTP/2 (RFC 8441): to pods the upgrade of HTTP/1.1.

use std::net::Shutdown;

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::pair::Pair;
use crate::plain::{LIMIT, head, listen};

type Http2 = SendRequest<Empty<bytes::Bytes>>;

/// A connection that knows the proxy's settings, as it has had an answer.
async fn open(pair: &Pair) -> Http2 {
    open_with_plug(pair).await.0
}

/// The same, and its socket, to end it with.
async fn open_with_plug(pair: &Pair) -> (Http2, std::net::TcpStream) {
    let tcp = std::net::TcpStream::connect(pair.west.door()).unwrap();
    tcp.set_nonblocking(true).unwrap();
    let plug = tcp.try_clone().unwrap();
    let io = TokioIo::new(TcpStream::from_std(tcp).unwrap());
    let (mut sender, conn) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(conn);
    assert_eq!(get(&mut sender).await.status(), 200);
    (sender, plug)
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

/// A client with a tunnel to the one pod, a bare socket, and both ends of it.
async fn joined(pair: &Pair, pod: &TcpListener, client: &mut Http2) -> (TokioIo<Upgraded>, TcpStream) {
    let serve = async {
        let (mut server, _) = tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is asked").unwrap();
        head(&mut server).await;
        let granted = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: shout\r\n\r\n";
        server.write_all(granted).await.unwrap();
        server
    };
    let (granted, server) = tokio::join!(ask(client, "/", "shout"), serve);
    assert_eq!(granted.status(), 200);
    assert!(pair.west.proxy().view().phase == "running");
    (TokioIo::new(hyper::upgrade::on(granted).await.unwrap()), server)
}

async fn passes(from: &mut (impl AsyncWriteExt + Unpin), to: &mut (impl AsyncReadExt + Unpin), what: &[u8]) {
    from.write_all(what).await.unwrap();
    let mut got = vec![0; what.len()];
    tokio::time::timeout(LIMIT, to.read_exact(&mut got)).await.expect("it arrives").unwrap();
    assert_eq!(got, what);
}

/// One pod in another cluster, so that everything takes part.
async fn bare() -> (Pair, (Http2, std::net::TcpStream), TcpListener) {
    bare_at(false).await
}

async fn bare_at(home: bool) -> (Pair, (Http2, std::net::TcpStream), TcpListener) {
    let mut pair = Pair::speaking("http", 1, None, |_| ()).await;
    let client = open_with_plug(&pair).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let pod = listen(if home { pair.west.pod(0) } else { pair.east.pod(0) }).await;
    (pair, client, pod)
}

#[tokio::test]
async fn a_drain_ends_no_tunnel_and_a_stop_ends_it_at_both_ends() {
    let (pair, (mut client, _plug), pod) = bare().await;
    let (mut near, mut far) = joined(&pair, &pod, &mut client).await;
    pair.west.proxy().drain();
    for word in [&b"still"[..], b"there"] {
        passes(&mut near, &mut far, word).await;
        passes(&mut far, &mut near, word).await;
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    }
    pair.stop().await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(LIMIT, near.read_to_end(&mut rest)).await.expect("the client's end");
    let _ = tokio::time::timeout(LIMIT, far.read_to_end(&mut rest)).await.expect("the pod's end");
    assert!(rest.is_empty());
}

#[tokio::test]
async fn who_is_gone_after_its_end_lets_the_other_go() {
    for at_home in [true, false] {
        let (pair, (mut client, _plug), pod) = bare_at(at_home).await;
        let (mut near, mut far) = joined(&pair, &pod, &mut client).await;
        passes(&mut near, &mut far, b"half").await;
        near.shutdown().await.unwrap();
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
        passes(&mut far, &mut near, b"heard").await;
        drop(near);
        let broken = far.ready(tokio::io::Interest::ERROR);
        tokio::time::timeout(LIMIT, broken).await.expect("the pod learns that the client gave it up").unwrap();
        pair.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_gives_up_its_stream_or_connection_lets_the_pod_go() {
    let (pair, (mut client, plug), pod) = bare().await;
    let (mut near, mut far) = joined(&pair, &pod, &mut client).await;
    let (near_too, mut far_too) = joined(&pair, &pod, &mut client).await;
    drop(near_too);
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(LIMIT, far_too.read_to_end(&mut rest)).await.expect("the pod is let go");
    passes(&mut near, &mut far, b"the other stream goes on").await;
    plug.shutdown(Shutdown::Both).unwrap();
    let _ = tokio::time::timeout(LIMIT, far.read_to_end(&mut rest)).await.expect("that pod too");
    assert!(rest.is_empty());
    pair.stop().await;
}
