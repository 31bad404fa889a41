//! Requests that move to another cluster: the acceptance bar is that no GET is lost.

use std::net::SocketAddr;
use std::time::Duration;

use strait_proxy::ProxyConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::{get, once, post};
use crate::pair::{Pair, load, pods_of};
use crate::plain::{accepted, head, listen, rest};
use crate::pod::Pod;
use crate::site::{Site, until};

#[tokio::test]
async fn served_at_home_while_home_is_well() {
    let pair = Pair::new(3, None).await;
    let (answers, failures) = load(&pair.west, Duration::from_millis(500)).await;
    assert_eq!(failures, Vec::<String>::new());
    assert!(answers.iter().all(|got| got.served_by() == "us-west"));
    pair.stop().await;
}

#[tokio::test]
async fn all_local_pods_killed_under_load() {
    let mut pair = Pair::new(5, None).await;
    let pods = std::mem::take(&mut pair.west_pods);
    let kill = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(pods);
    };
    let ((answers, failures), ()) = tokio::join!(load(&pair.west, Duration::from_secs(2)), kill);
    assert_eq!(failures, Vec::<String>::new());
    assert!(answers.iter().any(|got| got.served_by() == "us-west"));
    assert_eq!(once(pair.west.door(), get("/")).await.unwrap().served_by(), "us-east");
    pair.stop().await;
}

#[tokio::test]
async fn all_local_pods_scaled_away_under_load_and_back() {
    let mut pair = Pair::new(5, None).await;
    let pods = std::mem::take(&mut pair.west_pods);
    let scale = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // As measured: sockets close up to a second before the slice says so.
        drop(pods);
        tokio::time::sleep(Duration::from_millis(500)).await;
        pair.west.slice(0);
        pair.west.publish();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let pods = pods_of(&pair.west, 5).await;
        pair.west.slice(5);
        pair.west.publish();
        pods
    };
    let ((answers, failures), pods) = tokio::join!(load(&pair.west, Duration::from_secs(3)), scale);
    assert_eq!(failures, Vec::<String>::new());
    assert!(answers.iter().any(|got| got.served_by() == "us-east"));
    drop(pods);
    pair.stop().await;
}

#[tokio::test]
async fn posts_move_when_nothing_was_sent() {
    let mut pair = Pair::new(3, None).await;
    pair.west_pods.clear();
    for n in 0..20 {
        let got = once(pair.west.door(), post("/echo", &format!("number {n}"))).await.unwrap();
        assert_eq!((got.status.as_u16(), got.body,), (200, format!("number {n}")));
    }
    pair.stop().await;
}

#[tokio::test]
async fn the_serving_gateway_goes_away_under_load() {
    let mut pair = Pair::new(3, None).await;
    let (west, mut third) = (&pair.west, Site::new("eu-west"));
    third.export();
    third.slice(3);
    third.announce(third.gateway());
    third.meet(west);
    third.start().await;
    let third_pods = pods_of(&third, 3).await;
    west.meet(&third);
    west.linked(&third).await;
    pair.west_pods.clear();
    assert_eq!(load(west, Duration::from_millis(500)).await.1, Vec::<String>::new());
    let gone = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // At once: listeners and connections are closed.
        pair.east.proxy().stop(Duration::ZERO).await;
    };
    let ((answers, failures), ()) = tokio::join!(load(west, Duration::from_secs(2)), gone);
    assert_eq!(failures, Vec::<String>::new());
    assert!(answers.iter().any(|got| got.served_by() == "eu-west"));
    drop(third_pods);
    west.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn the_serving_gateway_is_rolled_under_load() {
    let mut pair = Pair::new(3, None).await;
    let (west, mut third) = (&pair.west, Site::new("eu-west"));
    third.export();
    third.slice(3);
    third.announce(third.gateway());
    third.meet(west);
    third.start().await;
    let third_pods = pods_of(&third, 3).await;
    west.meet(&third);
    west.linked(&third).await;
    pair.west_pods.clear();
    assert_eq!(load(west, Duration::from_millis(500)).await.1, Vec::<String>::new());
    let rolled = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        pair.east.proxy().drain();
        tokio::time::sleep(Duration::from_millis(700)).await;
        pair.east.stop().await;
    };
    let ((_, failures), ()) = tokio::join!(load(west, Duration::from_secs(2)), rolled);
    assert_eq!(failures, Vec::<String>::new());
    drop(third_pods);
    west.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn a_gateway_address_that_is_dead_is_passed_over() {
    let mut pair = Pair::new(3, None).await;
    pair.east.announce_node("node-2", pair.east.relay());
    pair.west.hear(&pair.east);
    pair.west_pods.clear();
    let (answers, failures) = load(&pair.west, Duration::from_secs(1)).await;
    assert_eq!(failures, Vec::<String>::new());
    assert!(answers.iter().all(|got| got.served_by() == "us-east"));
    pair.stop().await;
}

/// A pair of which only us-west is left, without pods, and a cluster that takes few streams on each connection.
async fn behind_few_streams(streams: u32) -> (Pair, Site) {
    let mut pair = Pair::with(1, None, |config| config.workers = std::num::NonZeroUsize::new(1)).await;
    pair.west_pods.clear();
    let mut narrow = Site::new("eu-west");
    narrow.export();
    narrow.slice(1);
    narrow.announce(narrow.gateway());
    narrow.meet(&pair.west);
    narrow.start_with(|config| config.limits.streams = streams).await;
    pair.west.meet(&narrow);
    pair.west.linked(&narrow).await;
    pair.east.proxy().stop(Duration::ZERO).await;
    (pair, narrow)
}

/// A client that has sent a request.
async fn begin(door: SocketAddr, method: &str, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(door).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: model.ml\r\nContent-Length: 0\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

/// Those who have left are not sent all the same, one after the other on one connection, when there is a place for them.
#[tokio::test]
async fn who_leaves_while_waiting_for_a_stream_harms_nobody_on_it() {
    let (pair, narrow) = behind_few_streams(4).await;
    let pods = pods_of(&narrow, 1).await;
    let door = pair.west.door();
    // As many as eight connections carry, of each other length, so that some are under way when the first one ends.
    let mut clients = Vec::new();
    for n in 0..32 {
        clients.push(begin(door, "POST", &format!("/slow?{}", 4_000 + 25 * n)).await);
    }
    until("all streams are taken", || pods[0].count() == 32).await;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        waiting.push(begin(door, "GET", "/slow?0").await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(waiting);
    for client in &mut clients {
        assert!(head(client).await.starts_with("http/1.1 200 "));
    }
    assert_eq!(pods[0].count(), 32, "nobody else is asked for");
    pair.west.stop().await;
    narrow.stop().await;
}

/// Whoever had the last place on a connection, and though nobody asks for it afterwards.
#[tokio::test]
async fn who_leaves_lets_the_other_clusters_pod_go() {
    let (pair, narrow) = behind_few_streams(1).await;
    let pod = listen(narrow.pod(0)).await;
    let client = begin(pair.west.door(), "POST", "/").await;
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    drop(client);
    // Long before its time is over.
    let end = tokio::time::timeout(Duration::from_secs(10), rest(&mut server)).await.expect("the pod is let go");
    assert_eq!(end.unwrap_or_default(), b"");
    pair.west.stop().await;
    narrow.stop().await;
}

#[tokio::test]
async fn more_requests_than_streams() {
    let (pair, narrow) = behind_few_streams(4).await;
    let _pods = pods_of(&narrow, 1).await;
    let door = pair.west.door();
    let many: Vec<_> = (0..60).map(|_| tokio::spawn(once(door, get("/slow?200")))).collect();
    for answer in many {
        let got = answer.await.unwrap().unwrap();
        assert_eq!((got.status.as_u16(), got.served_by()), (200, "eu-west"));
    }
    pair.west.stop().await;
    narrow.stop().await;
}

#[tokio::test]
async fn the_serving_gateway_becomes_a_black_hole_under_load() {
    let mut pair = Pair::new(3, Some(Duration::from_millis(30))).await;
    let (west, mut third) = (&pair.west, Site::new("eu-west"));
    third.export();
    third.slice(3);
    third.announce(third.gateway());
    third.meet(west);
    third.start().await;
    let third_pods = pods_of(&third, 3).await;
    west.meet(&third);
    west.linked(&third).await;
    pair.west_pods.clear();
    assert_eq!(load(west, Duration::from_millis(500)).await.1, Vec::<String>::new());
    let relay = pair.relay.take().unwrap();
    let hole = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        relay.black_hole(true);
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        relay.black_hole(false);
    };
    let ((answers, failures), ()) = tokio::join!(load(west, Duration::from_secs(4)), hole);
    assert_eq!(failures, Vec::<String>::new());
    assert!(answers.iter().any(|got| got.served_by() == "eu-west"));
    drop(third_pods);
    pair.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_moves_off_a_dead_link_and_a_post_does_not() {
    let grace = |config: &mut ProxyConfig| config.timeouts.link_grace = Duration::from_millis(300);
    let mut pair = Pair::with(1, Some(Duration::from_millis(10)), grace).await;
    pair.west_pods.clear();
    let door = pair.west.door();
    assert_eq!(once(door, get("/")).await.unwrap().served_by(), "us-east");
    let read = tokio::spawn(async move { once(door, get("/slow?1500")).await });
    let write = tokio::spawn(async move { once(door, post("/slow?1500", "x")).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    pair.relay.as_ref().unwrap().black_hole(true);
    // The pod at home comes back while the link is being found dead.
    let pod = Pod::start(pair.west.pod(0), "home").await;
    let write = write.await.unwrap().unwrap();
    assert_eq!((write.status.as_u16(), write.headers["x-strait-error"].as_bytes()), (502, &b"link-dead"[..]));
    let read = read.await.unwrap();
    // A slow answer may exceed the client's patience; it must have been asked at home.
    assert!(read.is_err() || read.is_ok_and(|got| got.served_by() == "us-west"));
    assert_eq!(pod.count(), 1, "the GET moved, the POST did not");
    pair.stop().await;
}

#[tokio::test]
async fn a_link_that_only_stalled_keeps_its_posts() {
    let mut pair = Pair::new(1, Some(Duration::from_millis(10))).await;
    pair.west_pods.clear();
    let door = pair.west.door();
    assert_eq!(once(door, get("/")).await.unwrap().served_by(), "us-east");
    let write = tokio::spawn(async move { once(door, post("/slow?1000", "x")).await });
    until("the pod has it", || pair.east_pods[0].count() == 2).await;
    pair.relay.as_ref().unwrap().black_hole(true);
    // What is asked meanwhile is given up on the link before the gateway has read it, and asked again.
    let reads: Vec<_> = (0..100).map(|_| tokio::spawn(once(door, get("/")))).collect();
    tokio::time::sleep(Duration::from_millis(800)).await;
    pair.relay.as_ref().unwrap().black_hole(false);
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap().status, 200);
    }
    let write = write.await.unwrap().unwrap();
    assert_eq!((write.status.as_u16(), write.served_by()), (200, "us-east"));
    pair.stop().await;
}

#[tokio::test]
async fn a_moment_without_any_pod_is_waited_out() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(2);
    site.import("");
    site.start().await;
    let door = site.door();
    let waiting: Vec<_> =
        (0..20).map(|n| tokio::spawn(once(door, if n % 2 == 0 { get("/") } else { post("/", "x") }))).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pods = pods_of(&site, 2).await;
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
    drop(pods);
    let began = tokio::time::Instant::now();
    let got = once(door, get("/")).await.unwrap();
    assert_eq!((got.status.as_u16(), got.headers["x-strait-error"].as_bytes()), (503, &b"connect-failed"[..]));
    assert!(began.elapsed() > Duration::from_millis(900), "held for a second: {:?}", began.elapsed());
    site.stop().await;
}

#[tokio::test]
async fn a_post_is_not_sent_twice() {
    let mut pair = Pair::new(1, None).await;
    let home = pair.west_pods.pop().unwrap();
    let door = pair.west.door();
    let write = tokio::spawn(async move { once(door, post("/slow?1000", "x")).await });
    until("the pod has it", || home.count() == 1).await;
    drop(home);
    let got = write.await.unwrap().unwrap();
    assert_eq!((got.status.as_u16(), got.headers["x-strait-error"].as_bytes()), (502, &b"broken"[..]));
    assert_eq!(pair.east_pods[0].count(), 0);
    let read = once(door, get("/")).await.unwrap();
    assert_eq!((read.status.as_u16(), read.served_by()), (200, "us-east"));
    pair.stop().await;
}

#[tokio::test]
async fn home_again_after_the_pods_return() {
    let mut pair = Pair::new(2, None).await;
    pair.west_pods.clear();
    assert_eq!(once(pair.west.door(), get("/")).await.unwrap().served_by(), "us-east");
    pair.west_pods = pods_of(&pair.west, 2).await;
    let door = pair.west.door();
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let got = once(door, get("/")).await.unwrap();
        assert_eq!(got.status, 200);
        if got.served_by() == "us-west" {
            break;
        }
        assert!(tokio::time::Instant::now() < limit, "never came home");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pair.stop().await;
}
