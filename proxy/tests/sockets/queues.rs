//! Pods whose queue of connections to be accepted is full: the kernel drops what comes beyond it, as it would if the machine
//! were gone.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use strait_proxy::{EndpointState, ProxyConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::client::{get, once};
use crate::plain::{LIMIT, accepted, head};
use crate::site::{Site, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: model.ml\r\n\r\n";
/// It takes no connection that plain requests have left.
const LONG_WAY: &[u8] =
    b"POST / HTTP/1.1\r\nHost: model.ml\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Connections that the pod's kernel makes before it accepts any.
const QUEUE: usize = 2;

/// A pod with a short queue, and a client's connection that it has answered once, with its own end.
async fn pod(edit: impl FnOnce(&mut ProxyConfig)) -> (Site, TcpListener, TcpStream, TcpStream) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(site.pod(0)).unwrap();
    // The kernel's queue is longer than it is told by one.
    let pod = socket.listen(u32::try_from(QUEUE).unwrap() - 1).unwrap();
    site.start_with(|config| {
        config.workers = std::num::NonZeroUsize::new(1);
        edit(config);
    })
    .await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(GET).await.unwrap();
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    server.write_all(OK).await.unwrap();
    head(&mut client).await;
    (site, pod, client, server)
}

/// Answers one request.
async fn answer(server: &mut TcpStream) {
    head(server).await;
    server.write_all(OK).await.unwrap();
}

#[tokio::test]
async fn who_is_not_let_in_takes_a_connection_that_comes_back() {
    const CLIENTS: usize = 12;
    let (site, pod, _client, mut server) = pod(|config| config.timeouts.connect_pod = LIMIT).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let door = site.door();
        clients.spawn(async move { once(door, get("/")).await.unwrap().status.as_u16() });
    }
    // One by the connection that was kept, and all whom the queue has no room for.
    for _ in QUEUE..CLIENTS {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer(&mut server).await;
    }
    for _ in 0..QUEUE {
        answer(&mut accepted(&pod).await).await;
    }
    let answers = clients.join_all().await;
    assert_eq!(answers, [200; CLIENTS]);
    site.stop().await;
}

#[tokio::test]
async fn a_pod_that_answers_others_is_not_taken_for_one_that_is_gone() {
    let (site, pod, mut client, mut server) = pod(|config| config.timeouts.connect_pod = Duration::from_secs(2)).await;
    let mut queue = Vec::new();
    for _ in 0..QUEUE {
        queue.push(TcpStream::connect(site.pod(0)).await.unwrap());
    }
    let mut waits = TcpStream::connect(site.door()).await.unwrap();
    waits.write_all(LONG_WAY).await.unwrap();
    let state = || site.proxy().view().services[0].clusters[0].endpoints[0].state;
    // Longer than a connection attempt may take, and less than its request is held.
    let until_then = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until_then {
        client.write_all(GET).await.unwrap();
        answer(&mut server).await;
        head(&mut client).await;
        assert_eq!(state(), EndpointState::Ready);
    }
    assert!(waits.peek(&mut [0]).now_or_never().is_none(), "nobody can answer yet");
    let serve = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut server, _)) = pod.accept().await {
            open.push(tokio::spawn(async move {
                head(&mut server).await;
                server.write_all(OK).await.unwrap();
                server
            }));
        }
    });
    assert!(head(&mut waits).await.starts_with("http/1.1 200 "));
    serve.abort();
    site.stop().await;
}

#[tokio::test]
async fn a_pod_that_answers_nobody_is_left() {
    let (site, _pod, _client, _server) = pod(|_| ()).await;
    let mut queue = Vec::new();
    for _ in 0..QUEUE {
        queue.push(TcpStream::connect(site.pod(0)).await.unwrap());
    }
    // What was heard of it just before is no proof.
    let mut waits = TcpStream::connect(site.door()).await.unwrap();
    waits.write_all(LONG_WAY).await.unwrap();
    until("it is left", || site.proxy().view().services[0].clusters[0].endpoints[0].state != EndpointState::Ready)
        .await;
    site.stop().await;
}
