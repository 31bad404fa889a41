//! Kept connections that their pod ends under a request: what is sent again, and what is not.

use std::time::Duration;

use strait_catalog::PolicyRecord;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Got, Kept, get, post};
use crate::gateway::{GOOD, ask_for, gateway};
use crate::plain::{LIMIT, alone_with, head, listen};
use crate::pod::Pod;
use crate::site::{Site, until};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn under(policy: PolicyRecord) -> (Site, TcpListener) {
    alone_with("http", |site| site.policy(policy)).await
}

/// The pod's end of the next connection with a request on it.
async fn asked(pod: &TcpListener) -> TcpStream {
    let (mut server, _) = tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is asked").unwrap();
    head(&mut server).await;
    server
}

/// Whether nobody has connected meanwhile.
async fn left_alone(pod: &TcpListener) -> bool {
    tokio::time::timeout(Duration::from_millis(50), pod.accept()).await.is_err()
}

/// A client's second request, under which the pod ends the connection that the first had left.
async fn second_of(site: &Site, pod: &TcpListener, again: impl AsyncFnOnce()) -> Got {
    let mut client = Kept::open(site.door()).await.unwrap();
    let serve = async {
        let mut server = asked(pod).await;
        server.write_all(ANSWER).await.unwrap();
        head(&mut server).await;
        drop(server);
        again().await;
    };
    let ask = async {
        assert_eq!(client.send(get("/first")).await.unwrap().body, "ok");
        client.send(get("/second")).await.unwrap()
    };
    tokio::join!(ask, serve).0
}

#[tokio::test]
async fn one_that_ends_under_a_request_is_replaced() {
    let (site, pod) = under(PolicyRecord::default()).await;
    let got = second_of(&site, &pod, async || asked(&pod).await.write_all(ANSWER).await.unwrap()).await;
    assert_eq!((got.status.as_u16(), &*got.body), (200, "ok"));
    site.stop().await;
}

/// Pods close idle connections when they like, and what meets one cannot be told from what was done.
#[tokio::test]
async fn what_cannot_be_repeated_goes_over_a_connection_that_was_used_just_now() {
    let (site, pod) = under(PolicyRecord::default()).await;
    let mut client = Kept::open(site.door()).await.unwrap();
    let serve = async {
        let mut first = asked(&pod).await;
        first.write_all(ANSWER).await.unwrap();
        asked(&pod).await.write_all(ANSWER).await.unwrap();
        drop(first);
    };
    let ask = async {
        for pause in [0, 1_500] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            assert_eq!(client.send(post("/", "once")).await.unwrap().status, 200);
        }
    };
    tokio::join!(ask, serve);
    site.stop().await;
}

#[tokio::test]
async fn what_is_not_to_be_repeated_is_not() {
    let once = PolicyRecord { attempts: Some(1), ..PolicyRecord::default() };
    let never = PolicyRecord { budget_percent: Some(0), ..PolicyRecord::default() };
    for policy in [once, never] {
        let (site, pod) = under(policy).await;
        let got = second_of(&site, &pod, async || ()).await;
        assert_eq!((got.status.as_u16(), got.headers["x-strait-error"].as_bytes()), (502, &b"broken"[..]));
        assert!(left_alone(&pod).await);
        site.stop().await;
    }
}

#[tokio::test]
async fn what_is_not_to_be_repeated_is_not_over_http2_either() {
    for policy in [
        PolicyRecord { attempts: Some(1), ..PolicyRecord::default() },
        PolicyRecord { budget_percent: Some(0), ..PolicyRecord::default() },
    ] {
        let mut site = Site::new("us-west");
        site.export();
        site.slice(2);
        site.import("kubernetes.io/h2c");
        site.policy(policy);
        let mut pods = [Pod::start_h2c(site.pod(0), "0").await, Pod::start_h2c(site.pod(1), "1").await].map(Some);
        site.start().await;
        let kill = async {
            let asked = |pod: &Option<Pod>| pod.as_ref().is_some_and(|pod| pod.count() > 0);
            until("a pod is asked", || pods.iter().any(asked)).await;
            let at = pods.iter().position(asked).unwrap();
            pods[at].take();
            pods.into_iter().flatten().next().unwrap()
        };
        let mut client = Kept::open(site.door()).await.unwrap();
        let (got, other) = tokio::join!(client.send(get("/slow?60000")), kill);
        assert_eq!((got.unwrap().status.as_u16(), other.count()), (502, 0));
        site.stop().await;
    }
}

#[tokio::test]
async fn a_gateway_shows_one_pod_what_was_or_may_not_be_repeated() {
    let (west, east, pod) = gateway().await;
    drop(pod);
    let pod = listen(west.pod(0)).await;
    let upgrade = Some(("x-strait-upgrade", "websocket"));
    for (repeated, upgrade, seen) in [
        (None, None, 2),
        (Some("0"), None, 1),
        (Some("1"), None, 1),
        (None, upgrade, 2),
        (Some("0"), upgrade, 1),
        (Some("1"), upgrade, 1),
    ] {
        let repeated = repeated.map(|value| ("x-strait-repeated", value));
        let fields: Vec<_> = GOOD.into_iter().chain(repeated).chain(upgrade).collect();
        let serve = async {
            for _ in 0..seen {
                drop(asked(&pod).await);
            }
        };
        let (got, ()) = tokio::join!(ask_for("/", &west, &east.identity, &fields), serve);
        let got = got.unwrap();
        assert_eq!((got.status.as_u16(), got.headers["x-strait-reached"].as_bytes()), (502, &b"1"[..]), "{fields:?}");
        assert!(left_alone(&pod).await, "{fields:?}");
    }
    west.stop().await;
}
