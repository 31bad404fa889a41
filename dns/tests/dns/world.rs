//! A small catalog, and questions to it.

use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use strait_catalog::{Catalog, ClusterId, Import, ImportPort, Protocol, ServiceKey, Snapshot};
use strait_dns::{Reply, Transport, Zone, ZoneConfig, respond};

pub(crate) fn port(name: &str, protocol: Protocol, port: u16) -> ImportPort {
    ImportPort { name: name.into(), protocol, port, app_protocol: String::new(), listener: None }
}

pub(crate) fn import(ips: &[&str], ports: Vec<ImportPort>) -> Import {
    Import { ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(), ports, ..Import::default() }
}

/// The services that most tests ask for.
pub(crate) fn services() -> Vec<(ServiceKey, Import)> {
    use Protocol::{Tcp, Udp};
    let wide = (0..60).map(|n| port(&format!("p{n}"), Tcp, 2000 + n)).collect();
    let services = [
        (
            "ml-production/model-server",
            import(&["10.96.0.10", "fd00::10"], vec![port("http", Tcp, 80), port("grpc", Tcp, 9000)]),
        ),
        ("default/hello", import(&["10.96.0.11"], vec![port("tcp", Tcp, 42), port("udp", Udp, 42)])),
        ("default/unnamed", import(&["10.96.0.12"], vec![port("", Tcp, 80)])),
        ("default/six", import(&["fd00::13"], vec![port("http", Tcp, 80)])),
        ("default/pending", import(&[], vec![port("http", Tcp, 80)])),
        ("default/wide", import(&["10.96.0.14"], wide)),
        ("default/gone", Import { lingering: true, ..import(&["10.96.0.15"], vec![port("http", Tcp, 80)]) }),
        ("db/postgres", Import { headless: true, ..import(&[], vec![port("sql", Tcp, 5432)]) }),
    ];
    services.into_iter().map(|(key, import)| (ServiceKey::parse(key).unwrap(), import)).collect()
}

pub(crate) fn snapshot(services: Vec<(ServiceKey, Import)>, synced: bool) -> Arc<Snapshot> {
    let mut catalog = Catalog::new(ClusterId::parse("us-west").unwrap());
    catalog.set_imports(services);
    if synced {
        catalog.mark_synced();
    }
    catalog.publish().unwrap()
}

pub(crate) fn zone() -> Zone {
    Zone::new(ZoneConfig::default()).unwrap()
}

pub(crate) fn query(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message
}

pub(crate) fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.edns = Some(edns);
    message
}

/// Asks a snapshot and decodes what comes back.
pub(crate) fn ask(
    message: &[u8],
    transport: Transport,
    snapshot: &Snapshot,
    zone: &Zone,
) -> Option<(Message, Vec<u8>)> {
    let mut out = Vec::new();
    match respond(message, transport, snapshot, zone, &mut out) {
        Reply::Silent => None,
        Reply::Ready { .. } => Some((Message::from_vec(&out).unwrap(), out)),
    }
}

/// Asks the usual catalog over UDP.
pub(crate) fn answer(name: &str, record_type: RecordType) -> Message {
    let message = query(name, record_type).to_vec().unwrap();
    ask(&message, Transport::Udp, &snapshot(services(), true), &zone()).unwrap().0
}

/// Records as text, sorted.
pub(crate) fn texts<'r>(records: impl IntoIterator<Item = &'r hickory_proto::rr::Record>) -> Vec<String> {
    let mut texts: Vec<String> = records.into_iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}
