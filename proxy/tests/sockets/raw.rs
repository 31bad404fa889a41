//! Raw TCP: at home, and across clusters over a link.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::pair::Pair;
use crate::plain::{LIMIT, alone, both, fill, leaves_after_its_end, listen, passes, reset, rest, swallow};
use crate::site::until;

/// Two clusters, of which the other one alone has a pod.
async fn far() -> (Pair, TcpListener) {
    far_with(None, |_| ()).await
}

async fn far_with(relayed: Option<Duration>, edit: impl FnOnce(&mut strait_proxy::ProxyConfig)) -> (Pair, TcpListener) {
    let mut pair = Pair::speaking("tcp", 1, relayed, edit).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let pod = listen(pair.east.pod(0)).await;
    (pair, pod)
}

/// Both directions, and each may end while the other goes on.
async fn both_ways(door: std::net::SocketAddr, pod: &TcpListener) {
    let (mut client, mut server) = both(door, pod).await;
    for round in 0..50_u8 {
        passes(&mut client, &mut server, &vec![round; 1 + 400 * usize::from(round)]).await;
        passes(&mut server, &mut client, &vec![round; 20_000]).await;
    }
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut server).await.unwrap(), b"");
    passes(&mut server, &mut client, b"said after the client had ended").await;
    server.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"");

    let (mut client, mut server) = both(door, pod).await;
    passes(&mut server, &mut client, b"the server speaks first").await;
    server.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    passes(&mut client, &mut server, b"said after the server had ended").await;
    drop(client);
    assert_eq!(rest(&mut server).await.unwrap(), b"");
}

/// A connection that breaks is not told as one that ended.
async fn resets(door: std::net::SocketAddr, pod: &TcpListener) {
    let (mut client, mut server) = both(door, pod).await;
    passes(&mut client, &mut server, b"half").await;
    reset(client);
    rest(&mut server).await.expect_err("the pod learns that the client broke off");

    let (mut client, mut server) = both(door, pod).await;
    passes(&mut server, &mut client, b"half").await;
    reset(server);
    rest(&mut client).await.expect_err("the client learns that the pod broke off");
}

/// Nor is one that breaks after one of its directions has ended waited for.
async fn leaves(door: std::net::SocketAddr, pod: &TcpListener) {
    leaves_after_its_end(both(door, pod).await).await;
    // The same of a pod, whose client says nothing.
    let (client, server) = both(door, pod).await;
    leaves_after_its_end((server, client)).await;
}

#[tokio::test]
async fn at_home() {
    let (site, pod) = alone("tcp").await;
    both_ways(site.door(), &pod).await;
    resets(site.door(), &pod).await;
    leaves(site.door(), &pod).await;
    site.stop().await;
}

#[tokio::test]
async fn across_clusters() {
    let (pair, pod) = far().await;
    both_ways(pair.west.door(), &pod).await;
    resets(pair.west.door(), &pod).await;
    leaves(pair.west.door(), &pod).await;
    pair.stop().await;
}

#[tokio::test]
async fn what_cannot_be_connected_is_tried_elsewhere() {
    let (pair, pod) = far().await;
    for _ in 0..10 {
        let (mut client, mut server) = both(pair.west.door(), &pod).await;
        passes(&mut client, &mut server, b"served").await;
    }
    // With nobody anywhere the connection is held for a moment, in which a pod may come.
    drop(pod);
    let waiting = tokio::spawn(TcpStream::connect(pair.west.door()));
    let mut client = waiting.await.unwrap().unwrap();
    client.write_all(b"waited").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let pod = listen(pair.west.pod(0)).await;
    // The daemon looks by itself whether somebody is there again, with a connection that says nothing.
    let waited = async {
        loop {
            let (mut server, _) = pod.accept().await.unwrap();
            let mut got = [0; 6];
            if server.read_exact(&mut got).await.is_ok() {
                return (server, got);
            }
        }
    };
    let (server, got) = tokio::time::timeout(LIMIT, waited).await.expect("it was waited for");
    assert_eq!(&got, b"waited");
    drop((server, pod));
    let mut client = TcpStream::connect(pair.west.door()).await.unwrap();
    rest(&mut client).await.expect_err("nobody: reset, not ended well");
    pair.stop().await;
}

#[tokio::test]
async fn a_link_that_dies_ends_its_tunnels() {
    let grace = |config: &mut strait_proxy::ProxyConfig| config.timeouts.link_grace = Duration::from_millis(300);
    let (pair, pod) = far_with(Some(Duration::from_millis(5)), grace).await;
    let (mut client, mut server) = both(pair.west.door(), &pod).await;
    passes(&mut client, &mut server, b"before").await;
    pair.relay.as_ref().unwrap().black_hole(true);
    rest(&mut client).await.expect_err("the client is told");
    rest(&mut server).await.expect_err("the pod is told, by the gateway's own pings");
    pair.stop().await;
}

#[tokio::test]
async fn tunnels_are_limited_and_counted_out() {
    let narrow = |config: &mut strait_proxy::ProxyConfig| {
        config.workers = NonZeroUsize::new(1);
        config.limits.tunnels = 2;
    };
    let (pair, pod) = far_with(None, narrow).await;
    let door = pair.west.door();
    let (first, second) = (both(door, &pod).await, both(door, &pod).await);
    let mut third = TcpStream::connect(door).await.unwrap();
    rest(&mut third).await.expect_err("two are open");
    drop(first);
    // The end of one is the beginning of another, once both sides know of it.
    let mut fourth = None;
    for _ in 0..100 {
        let mut client = TcpStream::connect(door).await.unwrap();
        tokio::select! {
            accepted = pod.accept() => {
                fourth = Some((client, accepted.unwrap().0));
                break;
            }
            ended = rest(&mut client) => assert!(ended.is_err()),
        }
    }
    let (mut client, mut server) = fourth.expect("there is room again");
    passes(&mut client, &mut server, b"again").await;
    drop(second);
    pair.stop().await;
}

#[tokio::test]
async fn a_peer_that_is_removed_loses_its_tunnels() {
    let (pair, pod) = far().await;
    let (mut client, mut server) = both(pair.west.door(), &pod).await;
    passes(&mut client, &mut server, b"trusted").await;
    pair.east.identity.trust().replace_peers([]);
    rest(&mut client).await.expect_err("no more");
    rest(&mut server).await.expect_err("no more");
    pair.stop().await;
}

#[tokio::test]
async fn only_exported_ports_are_connected() {
    let (pair, pod) = far().await;
    let (mut client, mut server) = both(pair.west.door(), &pod).await;
    passes(&mut client, &mut server, b"exported").await;
    pair.east.unexport();
    pair.east.publish();
    let mut late = TcpStream::connect(pair.west.door()).await.unwrap();
    rest(&mut late).await.expect_err("no longer offered");
    passes(&mut client, &mut server, b"what is open stays").await;
    pair.stop().await;
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer() {
    const MOST: usize = 64 << 20;
    let (pair, pod) = far().await;
    for reading_pod in [true, false] {
        let (client, server) = both(pair.west.door(), &pod).await;
        let (mut from, mut to) = if reading_pod { (client, server) } else { (server, client) };
        let sent = fill(&mut from, MOST).await;
        assert!(sent < MOST / 2, "{sent} bytes were taken for a reader that reads nothing");
        // A tunnel that is stuck holds up no other one.
        let (mut other, mut its_pod) = both(pair.west.door(), &pod).await;
        passes(&mut other, &mut its_pod, b"passes").await;
        passes(&mut its_pod, &mut other, b"passes").await;
        swallow(&mut to, sent).await;
        passes(&mut from, &mut to, b"and goes on").await;
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_stop_ends_them_at_its_deadline() {
    let (pair, pod) = far().await;
    let (mut client, mut server) = both(pair.west.door(), &pod).await;
    passes(&mut client, &mut server, b"open").await;
    pair.west.proxy().drain();
    passes(&mut client, &mut server, b"a drain ends nothing").await;
    let stop = pair.west.stop();
    let talk = async {
        passes(&mut client, &mut server, b"nor does a stop before its deadline").await;
        rest(&mut client).await.expect_err("but then");
    };
    tokio::join!(stop, talk);
    until("the listener is closed", || std::net::TcpStream::connect(pair.west.door()).is_err()).await;
    pair.east.stop().await;
}
