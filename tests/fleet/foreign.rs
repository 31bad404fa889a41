//! A peer with a good certificate that says what this version does not understand.

use bytes::Bytes;
use strait_catalog::{
    ClusterId, ClusterRecord, ExportRecord, Key, Kind, Protocol, Record, ServiceKey, ServicePort, ServiceRecord,
    SlicePort, SliceRecord, Value, Version, ZoneCounts,
};

use crate::daemon::Daemon;
use crate::peer::Player;
use crate::pods::CLUSTER;
use crate::world::{PORT, SERVICE, World};
use crate::{wait, web};

/// The cluster that is played.
const PLAYED: &str = "ap-south";
/// A name that no version before the next will use.
const LATER: &str = "of a later version";
const LATER_BYTES: &[u8] = b"\xff\x00\x01 bytes that nobody here reads";

fn key(kind: Kind, name: &str) -> Key {
    Key { cluster: ClusterId::parse(PLAYED).unwrap(), kind, name: name.into() }
}

fn version() -> Version {
    Version::new(0, 7)
}

/// A service with so many ready pods, exported, as other clusters see it.
fn service(name: &ServiceKey, ready: u32) -> Vec<Record> {
    let port = ServicePort {
        name: "http".into(),
        protocol: Protocol::Tcp.into(),
        port: PORT.into(),
        app_protocol: String::new(),
    };
    let zone = ZoneCounts { ready, serving: ready, total: ready, ..ZoneCounts::default() };
    let slice = SliceRecord {
        zones: vec![zone],
        ports: vec![SlicePort { name: "http".into(), protocol: Protocol::Tcp.into(), port: PORT.into() }],
        ..SliceRecord::default()
    };
    let live = |kind, name: &str, value| Record::live(key(kind, name), version(), value);
    vec![
        live(
            Kind::SERVICE,
            &name.to_string(),
            Value::Service(ServiceRecord { ports: vec![port], ..ServiceRecord::default() }),
        ),
        live(Kind::EXPORT, &name.to_string(), Value::Export(ExportRecord::default())),
        live(Kind::SLICE, &format!("{name}/a"), Value::Slice(slice)),
    ]
}

fn received(kind: Kind, name: &str, bytes: &'static [u8]) -> Record {
    Record::received(key(kind, name), version(), Bytes::from_static(bytes)).0
}

/// A good service, one with a slice that does not decode beside one that does, and a record of an unknown kind.
fn records() -> Vec<Record> {
    let cluster =
        ClusterRecord { region: "ap-south".into(), protocol_min: 1, protocol_max: 1, ..ClusterRecord::default() };
    let mut all = vec![Record::live(key(Kind::CLUSTER, ""), version(), Value::Cluster(cluster))];
    all.extend(service(&ServiceKey::parse(SERVICE).unwrap(), 3));
    all.extend(service(&ServiceKey::parse("shop/cart").unwrap(), 4));
    all.push(received(Kind::SLICE, "shop/cart/b", b"\xff\xff\xff not protobuf"));
    all.push(received(Kind(77), LATER, LATER_BYTES));
    all
}

async fn row(daemon: &Daemon, cluster: &str) -> serde_json::Value {
    let sync = daemon.status().await.sync;
    sync["peers"].as_array().unwrap().iter().find(|p| p["cluster"] == cluster).unwrap().clone()
}

async fn good_neighbours(west: &Daemon, east: &Daemon) {
    west.sees("us-west", 2).await;
    west.sees("us-east", 2).await;
    east.sees("us-west", 2).await;
    let answer = web::get(west.site.listener(), "/").await.unwrap();
    assert_eq!((answer.status, answer.header(CLUSTER)), (200, "us-west"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_understood_is_kept_whole_and_harms_nothing() {
    let mut world = World::new(91, &["us-west", "us-east", PLAYED]);
    world.scale("us-west", 2).await;
    world.scale("us-east", 2).await;
    let (west, east) = (world.start("us-west"), world.start("us-east"));
    good_neighbours(&west, &east).await;

    // A sibling hears what the played peer says through the daemon between them.
    let sibling = Player::join(&world, "us-west", west.site).await;
    let peer = Player::join(&world, PLAYED, west.site).await;
    sibling.is_answered().await;
    peer.is_answered().await;
    peer.push(PLAYED, &records()).await;
    peer.claim(PLAYED, &records());

    let passed_on = sibling.is_told(PLAYED, LATER).await;
    assert_eq!((passed_on.kind, passed_on.revision, &passed_on.value[..]), (77, 7, LATER_BYTES), "kept byte for byte");
    let line = west.process.says_once(&["a kind that this version does not know"]).await;
    assert!(line.contains(PLAYED) && line.contains(LATER), "{line}");
    let passed_on = sibling.is_told(PLAYED, "shop/cart/b").await;
    assert_eq!(&passed_on.value[..], b"\xff\xff\xff not protobuf", "both ends hold equal sets");

    west.shows("what was understood", |s| {
        let ready = |service: &str| s.services.get(service)?.backends.get(PLAYED).map(|b| b.ready);
        (ready(SERVICE), ready("shop/cart")) == (Some(3), Some(4))
    })
    .await;
    let wanted = records().len();
    west.shows("equal sets and one record out of use", |s| {
        let peers = s.sync["peers"].as_array().unwrap();
        let row = peers.iter().find(|p| p["cluster"] == PLAYED).unwrap();
        row["records"] == wanted && row["quarantined"] == 1 && row["equal"] == true
    })
    .await;
    assert_eq!(west.metric("strait_sync_quarantined_records{cluster=\"ap-south\"}").await, Some(1.0));
    let line = west.process.says_once(&["cannot be read and is out of use"]).await;
    for named in ["WARN", PLAYED, "Slice", "shop/cart/b", "newer or a faulty version"] {
        assert!(line.contains(named), "{named}: {line}");
    }

    // Another cluster's records from this peer are not taken, whatever its certificate is good for.
    let stolen = Record::tombstone(
        Key { cluster: ClusterId::parse("us-east").unwrap(), ..key(Kind::EXPORT, SERVICE) },
        Version::new(0, 1_000_000),
    );
    peer.push("us-east", &[stolen]).await;
    let line = west.process.says_once(&["records were refused", PLAYED]).await;
    assert!(line.contains("not-owner"), "{line}");
    wait::holds("status counts it", async || row(&west, PLAYED).await["refused"] == 1).await;
    good_neighbours(&west, &east).await;

    // Bytes that are no frames end this session and no other.
    peer.send(Bytes::from_static(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    peer.is_closed().await;
    let line = west.process.says(&["no sync session", PLAYED, "is the other side a Strait daemon?"]).await;
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(row(&west, "us-east").await["connected"], true);
    assert_eq!(row(&west, PLAYED).await["quarantined"], 1, "what is known stays");
    good_neighbours(&west, &east).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_in_another_name_is_refused() {
    let world = World::new(92, &["us-west", "us-east", PLAYED]);
    let west = world.start("us-west");
    west.shows("that it is ready", |s| s.readiness == "ready").await;
    west.shows("an open gateway", |s| s.proxy["gateway_open"] == true).await;
    // The certificate is ap-south's, the hello says us-east.
    let peer = Player::join_as(&world, PLAYED, "us-east", west.site).await;
    peer.is_closed().await;
    west.process.says_once(&["WARN", "the certificate is of cluster ap-south", "us-east"]).await;
    for cluster in ["us-east", PLAYED] {
        assert_eq!(row(&west, cluster).await["connected"], false, "{cluster}");
    }
}
