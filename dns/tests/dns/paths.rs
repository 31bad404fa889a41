//! The UDP encoder and hickory's must say the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use hickory_server::Server;
use proptest::prelude::*;
use strait_catalog::{ClusterId, Published};
use strait_dns::{Handler, Reply, Transport, Zone, ZoneConfig, respond};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{query, services, snapshot, with_edns};

const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5353);

/// Asks both; decoded, they must be equal, with the names' case. Compression alone may differ: hickory does not point
/// into the question.
fn compare(message: &[u8], synced: bool) {
    let zone = Zone::new(ZoneConfig {
        name_server: vec!["10.96.0.53".parse().unwrap(), "fd00::53".parse().unwrap()],
        ..ZoneConfig::default()
    });
    let zone = Arc::new(zone.unwrap());
    let snapshot = snapshot(services(), synced);
    let published = Published::new(ClusterId::parse("us-west").unwrap());
    published.publish(snapshot.clone());
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    let fast_reply = respond(message, Transport::Tcp, &snapshot, &zone, &mut fast);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let slow_reply = runtime.block_on(Handler::new(published, zone).exchange(message, CLIENT, &mut slow));
    assert_eq!(fast_reply, slow_reply);
    if fast_reply == Reply::Silent {
        assert_eq!((fast.len(), slow.len()), (0, 0));
        return;
    }
    assert_eq!(fast[..12], slow[..12], "the headers");
    let (fast, slow) = (Message::from_vec(&fast).unwrap(), Message::from_vec(&slow).unwrap());
    assert_eq!(fast, slow);
    assert_eq!(format!("{fast:?}"), format!("{slow:?}"), "to the letter");
}

fn labels() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec![
        "_http",
        "_tcp",
        "_udp",
        "_p7",
        "tcp",
        "model-server",
        "Hello",
        "WIDE",
        "six",
        "pending",
        "postgres",
        "unnamed",
        "ml-production",
        "default",
        "db",
        "svc",
        "dns-version",
        "ns",
        "dns",
        "eu-west",
        "x",
    ]);
    prop::collection::vec(label, 0..6).prop_map(|labels| labels.join("."))
}

fn record_types() -> impl Strategy<Value = RecordType> {
    prop_oneof![
        8 => prop::sample::select(vec![
            RecordType::A, RecordType::AAAA, RecordType::SRV, RecordType::TXT, RecordType::SOA, RecordType::NS,
            RecordType::ANY, RecordType::MX,
        ]),
        1 => any::<u16>().prop_map(RecordType::from),
    ]
}

fn origins() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["clusterset.local.", "ClusterSet.LOCAL.", "svc.clusterset.local.", "example.com."])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn names_and_types(
        labels in labels(), origin in origins(), record_type in record_types(), flags in any::<u8>(), synced in any::<bool>(),
        edns in prop::option::of((any::<u16>(), 0u8..2, any::<bool>())),
    ) {
        let name = if labels.is_empty() { origin.to_owned() } else { format!("{labels}.{origin}") };
        let mut message = query(&name, record_type);
        message.metadata.recursion_desired = flags & 1 != 0;
        message.metadata.checking_disabled = flags & 2 != 0;
        message.metadata.authentic_data = flags & 4 != 0;
        if let Some((payload, version, dnssec_ok)) = edns {
            message = with_edns(message, payload);
            message.edns.as_mut().unwrap().set_version(version).set_dnssec_ok(dnssec_ok);
        }
        compare(&message.to_vec().unwrap(), synced);
    }

    #[test]
    fn damaged_messages(
        labels in labels(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let name = if labels.is_empty() { "svc.clusterset.local.".into() } else { format!("{labels}.svc.clusterset.local.") };
        let mut message = with_edns(query(&name, RecordType::SRV), 1232).to_vec().unwrap();
        for (at, value) in changes {
            let at = at.index(message.len());
            message[at] = value;
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()));
        }
        compare(&message, true);
    }
}

const NAMES: [&str; 8] = [
    "clusterset.local.",
    "dns-version.clusterset.local.",
    "ns.dns.clusterset.local.",
    "model-server.ml-production.svc.clusterset.local.",
    "_grpc._tcp.Model-Server.ml-production.svc.clusterset.local.",
    "wide.default.svc.clusterset.local.",
    "nothing.clusterset.local.",
    "example.com.",
];

#[test]
fn every_node_with_every_useful_type() {
    for name in NAMES {
        for number in [1, 2, 6, 16, 28, 33, 41, 250, 252, 255] {
            compare(&query(name, RecordType::from(number)).to_vec().unwrap(), true);
        }
    }
}

/// Proves that the comparison above had two sides, and that the handler serves whatever hickory listens on.
#[tokio::test]
async fn a_server_of_hickory_says_the_same() {
    let zone = Arc::new(Zone::new(ZoneConfig::default()).unwrap());
    let snapshot = snapshot(services(), true);
    let published = Published::new(ClusterId::parse("us-west").unwrap());
    published.publish(snapshot.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut server = Server::new(Handler::new(published, zone.clone()));
    server.register_listener(listener, Duration::from_secs(20), 32);
    for name in NAMES {
        for number in [1, 2, 6, 16, 28, 33, 250, 252, 255] {
            let message = query(name, RecordType::from(number)).to_vec().unwrap();
            let mut fast = Vec::new();
            respond(&message, Transport::Tcp, &snapshot, &zone, &mut fast);
            stream.write_u16(u16::try_from(message.len()).unwrap()).await.unwrap();
            stream.write_all(&message).await.unwrap();
            let mut slow = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut slow).await.unwrap();
            let (fast, slow) = (Message::from_vec(&fast).unwrap(), Message::from_vec(&slow).unwrap());
            assert_eq!(format!("{fast:?}"), format!("{slow:?}"), "{name} {number}");
        }
    }
    server.shutdown_gracefully().await.unwrap();
}
