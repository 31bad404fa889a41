//! Control tasks over real loopback sockets and real mTLS.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::BytesMut;
use strait_catalog::{
    ExportRecord, Input, Key, Kind, Record, ServiceKey, ServicePort, ServiceRecord, SliceRecord, Value, Version,
    ZoneCounts,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::frame::{Body, Frame, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Push, WireRecord};

mod fleet;

use fleet::{Daemon, Ground, eventually};

const KINDS: [Kind; 3] = [Kind::SERVICE, Kind::EXPORT, Kind::SLICE];

fn service() -> ServiceKey {
    ServiceKey::parse("ml-production/model-server").unwrap()
}

/// The three records of one exported service.
fn records(daemon: &Daemon, revision: u64, ready: u32) -> Vec<Record> {
    let cluster = &daemon.cluster;
    let at = Version::new(0, revision);
    let port = ServicePort { port: 80, ..ServicePort::default() };
    let zone = ZoneCounts { zone: "a".into(), ready, serving: ready, terminating: 0, total: ready };
    vec![
        Record::live(
            Key::of_service(cluster, Kind::SERVICE, &service()),
            at,
            Value::Service(ServiceRecord { ports: vec![port], ..ServiceRecord::default() }),
        ),
        Record::live(Key::of_service(cluster, Kind::EXPORT, &service()), at, Value::Export(ExportRecord::default())),
        Record::live(
            Key::of_slice(cluster, &service(), "uid-1"),
            at,
            Value::Slice(SliceRecord { zones: vec![zone], ..SliceRecord::default() }),
        ),
    ]
}

/// A first full list of every kind.
async fn lists(daemon: &Daemon, revision: u64, ready: u32) {
    let all = records(daemon, revision, ready);
    for kind in KINDS {
        let records = all.iter().filter(|r| r.key().kind == kind).cloned().collect();
        daemon.tell(Input::Relist { kind, revision, records }).await;
    }
}

fn seen(at: &Daemon, of: &Daemon) -> Option<u32> {
    let snapshot = at.published.load();
    let view = snapshot.service(&service())?;
    view.backends.get(&of.cluster).filter(|b| b.exported()).map(|b| b.ready)
}

#[tokio::test]
async fn two_clusters_converge_and_follow_changes() {
    let ground = Ground::new(&["us-west", "us-east"]);
    let west = ground.daemon("us-west", "agent-1", KINDS.into()).await;
    let east = ground.daemon("us-east", "agent-1", KINDS.into()).await;
    Ground::join(&[&west, &east]).await;
    lists(&west, 10, 3).await;
    lists(&east, 700, 5).await;
    eventually("both see both", || seen(&west, &east) == Some(5) && seen(&east, &west) == Some(3)).await;
    east.tell(Input::Records(records(&east, 701, 0))).await;
    eventually("the change arrives", || seen(&west, &east) == Some(0)).await;
    eventually("status says so", || {
        let status = west.handle.status();
        let row = &status.peers[0];
        status.synced && row.connected && row.equal == Some(true) && row.lag_revisions == 0 && row.age_ms.is_some()
    })
    .await;
    let gone = Record::tombstone(Key::of_service(&east.cluster, Kind::EXPORT, &service()), Version::new(0, 702));
    east.tell(Input::Records(vec![gone])).await;
    eventually("the unexport arrives", || seen(&west, &east).is_none()).await;
    west.stop().await;
    eventually("the other side notices", || !east.handle.status().peers[0].connected).await;
    east.stop().await;
}

#[tokio::test]
async fn every_daemon_and_the_controller_hear_of_other_clusters() {
    let ground = Ground::new(&["us-west", "us-east"]);
    let mut west = Vec::new();
    for name in ["agent-1", "agent-2", "agent-3"] {
        west.push(ground.daemon("us-west", name, KINDS.into()).await);
    }
    let controller = ground.leaf("us-west", "controller").await;
    let east = ground.daemon("us-east", "agent-1", KINDS.into()).await;
    let members: Vec<_> = west.iter().map(Daemon::member).collect();
    west.iter().chain([&controller]).for_each(|d| d.members.send_replace(members.clone()).clear());
    let all: Vec<&Daemon> = west.iter().chain([&controller, &east]).collect();
    Ground::join(&all).await;
    for daemon in &west {
        lists(daemon, 10, 3).await;
    }
    lists(&east, 700, 5).await;
    eventually("all hear of east", || west.iter().chain([&controller]).all(|d| seen(d, &east) == Some(5))).await;
    eventually("east and the controller hear of west", || {
        [&east, &controller].iter().all(|d| seen(d, &west[0]) == Some(3))
    })
    .await;
    // One daemon's watch hangs: its siblings' records reach it all the same.
    for daemon in &west[1..] {
        daemon.tell(Input::Records(records(daemon, 11, 2))).await;
    }
    eventually("the lagging one catches up", || seen(&west[0], &west[0]) == Some(2)).await;
    eventually("and so does everyone else", || seen(&east, &west[0]) == Some(2)).await;
    assert!(controller.handle.status().leaf && controller.handle.status().siblings.connected);
    for daemon in west.into_iter().chain([controller, east]) {
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_stranger_with_the_right_name_is_refused_and_the_rest_goes_on() {
    let ground = Ground::new(&["us-west", "us-east"]);
    let west = ground.daemon("us-west", "agent-1", KINDS.into()).await;
    let east = ground.daemon("us-east", "agent-1", KINDS.into()).await;
    // Another CA that signs a certificate for us-east.
    let forger = Ground::new(&["us-west", "us-east"]).daemon("us-east", "forger", KINDS.into()).await;
    Ground::join(&[&west, &east]).await;
    forger.tell(Input::Peers(vec![west.as_peer()])).await;
    lists(&west, 10, 3).await;
    lists(&east, 20, 4).await;
    lists(&forger, 99, 9).await;
    eventually("the forger is told off", || {
        forger.handle.status().peers.first().is_some_and(|p| p.last_error.is_some())
    })
    .await;
    eventually("the honest ones converge", || seen(&west, &east) == Some(4) && seen(&east, &west) == Some(3)).await;
    assert!(!forger.handle.status().peers[0].connected);
    for daemon in [west, east, forger] {
        daemon.stop().await;
    }
}

#[tokio::test]
async fn dead_and_silent_gateways_do_not_hide_a_live_one() {
    let ground = Ground::new(&["us-west", "us-east"]);
    let west = ground.daemon("us-west", "agent-1", KINDS.into()).await;
    let east = ground.daemon("us-east", "agent-1", KINDS.into()).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (silent_at, closed_at) = (silent.local_addr().unwrap(), closed.local_addr().unwrap());
    drop(closed);
    let mut peer = east.as_peer();
    peer.gateways.splice(0..0, [silent_at.to_string(), closed_at.to_string(), "no-such-host.invalid:1".to_owned()]);
    // East knows west without an address, so the session can only be west's.
    let mut back = west.as_peer();
    back.gateways.clear();
    east.tell(Input::Peers(vec![back])).await;
    west.tell(Input::Peers(vec![peer])).await;
    lists(&west, 10, 3).await;
    lists(&east, 20, 4).await;
    eventually("west reaches east", || seen(&west, &east) == Some(4) && seen(&east, &west) == Some(3)).await;
    let status = east.handle.status();
    assert!(status.peers[0].last_error.as_ref().is_none_or(|e| e.contains("no gateway address")), "{status:?}");
    west.stop().await;
    east.stop().await;
    drop(silent);
}

#[tokio::test]
async fn a_path_that_swallows_everything_is_noticed_within_seconds() {
    let ground = Ground::new(&["us-west", "us-east"]);
    let west = ground.daemon("us-west", "agent-1", KINDS.into()).await;
    let east = ground.daemon("us-east", "agent-1", KINDS.into()).await;
    let hole = fleet::Hole::before(&east).await;
    let mut peer = east.as_peer();
    peer.gateways = vec![hole.address.to_string()];
    let mut back = west.as_peer();
    back.gateways.clear();
    east.tell(Input::Peers(vec![back])).await;
    west.tell(Input::Peers(vec![peer])).await;
    lists(&west, 10, 3).await;
    lists(&east, 20, 4).await;
    eventually("connected", || seen(&west, &east) == Some(4) && seen(&east, &west) == Some(3)).await;
    let began = std::time::Instant::now();
    hole.swallow(true);
    eventually("both sides give up", || [&west, &east].iter().all(|d| !d.handle.status().peers[0].connected)).await;
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}: a short hiccup is no reason", began.elapsed());
    assert!(west.handle.status().peers[0].last_error.is_some());
    assert_eq!(seen(&west, &east), Some(4), "what was known stays in use");
    hole.swallow(false);
    east.tell(Input::Records(records(&east, 21, 6))).await;
    eventually("and finds back", || seen(&west, &east) == Some(6)).await;
    west.stop().await;
    east.stop().await;
    hole.close().await;
}

fn hello(cluster: &str) -> Frame {
    let hello = Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        features: 0,
        cluster: cluster.into(),
        daemon: "raw".into(),
        leaf: false,
    };
    Body::Hello(hello).into()
}

#[tokio::test]
async fn garbage_and_liars_lose_their_session_only() {
    let ground = Ground::new(&["us-west", "us-east"]);
    let west = ground.daemon("us-west", "agent-1", KINDS.into()).await;
    let east = ground.daemon("us-east", "agent-1", KINDS.into()).await;
    Ground::join(&[&west, &east]).await;
    lists(&west, 10, 3).await;
    lists(&east, 20, 4).await;
    eventually("converged", || seen(&west, &east) == Some(4)).await;

    let lie = [hello("us-west").to_wire(), hello("us-east").to_wire()];
    let nonsense = bytes::Bytes::from_static(b"\x00\x00\x00\x02\xff\xff and more");
    for bytes in [nonsense, lie[0].clone(), [&lie[1][..], &lie[1][..]].concat().into()] {
        let mut raw = ground.dial("us-east", &west).await;
        raw.write_all(&bytes).await.unwrap();
        // What comes back may be a hello and a bye; in the end the session is closed.
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), raw.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "closed");
    }
    east.tell(Input::Records(records(&east, 21, 6))).await;
    eventually("the rest goes on", || seen(&west, &east) == Some(6)).await;
    assert!(west.handle.status().peers[0].connected);
    west.stop().await;
    east.stop().await;
}

#[tokio::test]
async fn unknown_kinds_are_kept_and_unreadable_records_quarantined() {
    let ground = Ground::new(&["us-west", "us-east"]);
    let west = ground.daemon("us-west", "agent-1", KINDS.into()).await;
    lists(&west, 10, 3).await;
    // A cluster that consists of this test alone, with frames of types to come.
    west.tell(Input::Peers(vec![ground.peer("us-east", "127.0.0.1:1")])).await;
    eventually("us-east is a peer", || !west.handle.status().peers.is_empty()).await;
    let mut raw = ground.dial("us-east", &west).await;
    let record = |kind: Kind, name: &str, value: &[u8]| WireRecord {
        kind: kind.0,
        name: name.into(),
        epoch: 0,
        revision: 5,
        deleted: false,
        value: value.to_vec().into(),
    };
    let push = |cluster: &str, records| Frame::from(Body::Push(Push { cluster: cluster.into(), records }));
    let mut good = Vec::new();
    for r in records(&west, 5, 7) {
        good.push(record(r.key().kind, &r.key().name, r.wire()));
    }
    for frame in [
        hello("us-east"),
        push("us-east", vec![record(Kind(77), "later", b"\xff\xffopaque"), record(Kind::SERVICE, "a/b", b"\xff\xff")]),
        push("us-west", vec![record(Kind::SERVICE, "ml-production/model-server", b"")]),
        push("eu-west", vec![record(Kind::SERVICE, "a/b", b"")]),
        push("us-east", good),
    ] {
        raw.write_all(&frame.to_wire()).await.unwrap();
    }
    raw.write_all(&[0, 0, 0, 6, 0x9a, 0x06, 3, 1, 2, 3]).await.unwrap();
    let of = |d: &Daemon| {
        let snapshot = d.published.load();
        let view = snapshot.service(&service()).cloned();
        view.and_then(|v| v.backends.iter().find(|(c, _)| c.as_str() == "us-east").map(|(_, b)| b.ready))
    };
    eventually("good records beside the bad are used", || of(&west) == Some(7)).await;
    eventually("the bad are counted", || {
        let row = west.handle.status().peers[0].clone();
        row.quarantined == 1 && row.refused == 2 && row.records == 5
    })
    .await;
    assert_eq!(seen(&west, &west), Some(3), "own records are untouched");
    // It still talks to us: hello, heads and its own records arrive.
    let mut buffer = BytesMut::new();
    let kinds = tokio::time::timeout(Duration::from_secs(20), async {
        let mut kinds = BTreeSet::new();
        while !kinds.contains("push") {
            raw.read_buf(&mut buffer).await.unwrap();
            while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                kinds.insert(match frame.body {
                    Some(Body::Hello(_)) => "hello",
                    Some(Body::Heads(_)) => {
                        // Holding nothing, ask for everything.
                        let all = (0..=u8::MAX).collect::<Vec<_>>().into();
                        let keys = crate::frame::Keys { cluster: "us-west".into(), buckets: all, entries: Vec::new() };
                        raw.write_all(&Frame::from(Body::Keys(keys)).to_wire()).await.unwrap();
                        "heads"
                    }
                    Some(Body::Push(_)) => "push",
                    _ => "other",
                });
            }
        }
        kinds
    });
    assert!(kinds.await.unwrap().contains("heads"));
    west.stop().await;
}
