//! Which names exist, which records they hold, and how the others are denied.

use hickory_proto::op::{MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, RecordType};
use strait_dns::{Transport, Zone, ZoneConfig};

use crate::world::{answer, ask, query, services, snapshot, texts, zone};

const MODEL: &str = "model-server.ml-production.svc.clusterset.local.";

#[test]
fn records_of_every_kind() {
    let cases: &[(&str, RecordType, &[&str])] = &[
        (MODEL, RecordType::A, &["model-server.ml-production.svc.clusterset.local. 30 IN A 10.96.0.10"]),
        (MODEL, RecordType::AAAA, &["model-server.ml-production.svc.clusterset.local. 30 IN AAAA fd00::10"]),
        (
            MODEL,
            RecordType::SRV,
            &[
                "model-server.ml-production.svc.clusterset.local. 30 IN SRV 0 100 80 model-server.ml-production.svc.clusterset.local.",
                "model-server.ml-production.svc.clusterset.local. 30 IN SRV 0 100 9000 model-server.ml-production.svc.clusterset.local.",
            ],
        ),
        (
            "_grpc._tcp.model-server.ml-production.svc.clusterset.local.",
            RecordType::SRV,
            &[
                "_grpc._tcp.model-server.ml-production.svc.clusterset.local. 30 IN SRV 0 100 9000 model-server.ml-production.svc.clusterset.local.",
            ],
        ),
        (
            "_udp._udp.hello.default.svc.clusterset.local.",
            RecordType::SRV,
            &["_udp._udp.hello.default.svc.clusterset.local. 30 IN SRV 0 100 42 hello.default.svc.clusterset.local."],
        ),
        // TCP 42 and UDP 42 are the same record at the bare name: the conformance suite counts one.
        (
            "hello.default.svc.clusterset.local.",
            RecordType::SRV,
            &["hello.default.svc.clusterset.local. 30 IN SRV 0 100 42 hello.default.svc.clusterset.local."],
        ),
        (
            "gone.default.svc.clusterset.local.",
            RecordType::A,
            &["gone.default.svc.clusterset.local. 30 IN A 10.96.0.15"],
        ),
        ("dns-version.clusterset.local.", RecordType::TXT, &["dns-version.clusterset.local. 30 IN TXT 1.0.0"]),
        ("clusterset.local.", RecordType::NS, &["clusterset.local. 30 IN NS ns.dns.clusterset.local."]),
        (
            "clusterset.local.",
            RecordType::SOA,
            &["clusterset.local. 30 IN SOA ns.dns.clusterset.local. hostmaster.clusterset.local. 1 7200 1800 86400 5"],
        ),
    ];
    for (name, record_type, expected) in cases {
        let message = answer(name, *record_type);
        assert_eq!(message.metadata.response_code, ResponseCode::NoError, "{name} {record_type}");
        assert_eq!(texts(&message.answers), *expected, "{name} {record_type}");
        assert!(message.authorities.is_empty(), "{name} {record_type}");
    }
}

#[test]
fn negative_answers_tell_absent_names_from_absent_records() {
    use RecordType as T;
    let cases = [
        // The name exists, the record does not.
        ("clusterset.local.", T::A, ResponseCode::NoError),
        ("svc.clusterset.local.", T::A, ResponseCode::NoError),
        ("ml-production.svc.clusterset.local.", T::A, ResponseCode::NoError),
        ("_tcp.hello.default.svc.clusterset.local.", T::SRV, ResponseCode::NoError),
        ("_tcp._tcp.hello.default.svc.clusterset.local.", T::A, ResponseCode::NoError),
        ("hello.default.svc.clusterset.local.", T::AAAA, ResponseCode::NoError),
        ("six.default.svc.clusterset.local.", T::A, ResponseCode::NoError),
        ("hello.default.svc.clusterset.local.", T::MX, ResponseCode::NoError),
        ("hello.default.svc.clusterset.local.", T::HTTPS, ResponseCode::NoError),
        ("hello.default.svc.clusterset.local.", T::CNAME, ResponseCode::NoError),
        ("pending.default.svc.clusterset.local.", T::A, ResponseCode::NoError),
        ("pending.default.svc.clusterset.local.", T::SRV, ResponseCode::NoError),
        ("dns-version.clusterset.local.", T::A, ResponseCode::NoError),
        ("dns.clusterset.local.", T::A, ResponseCode::NoError),
        ("ns.dns.clusterset.local.", T::A, ResponseCode::NoError),
        // Headless: not denied, pods may stand there.
        ("postgres.db.svc.clusterset.local.", T::A, ResponseCode::NoError),
        ("postgres.db.svc.clusterset.local.", T::SRV, ResponseCode::NoError),
        ("eu-west.postgres.db.svc.clusterset.local.", T::A, ResponseCode::NoError),
        ("pg-0.eu-west.postgres.db.svc.clusterset.local.", T::A, ResponseCode::NoError),
        // The name does not exist.
        ("nothing.clusterset.local.", T::A, ResponseCode::NXDomain),
        ("nowhere.svc.clusterset.local.", T::A, ResponseCode::NXDomain),
        ("nothing.default.svc.clusterset.local.", T::A, ResponseCode::NXDomain),
        ("hello.ml-production.svc.clusterset.local.", T::A, ResponseCode::NXDomain),
        ("eu-west.hello.default.svc.clusterset.local.", T::A, ResponseCode::NXDomain),
        ("us-west.hello.default.svc.clusterset.local.", T::AAAA, ResponseCode::NXDomain),
        ("pod.eu-west.hello.default.svc.clusterset.local.", T::A, ResponseCode::NXDomain),
        ("_sctp.hello.default.svc.clusterset.local.", T::SRV, ResponseCode::NXDomain),
        ("_tcp._udp.hello.default.svc.clusterset.local.", T::SRV, ResponseCode::NXDomain),
        ("tcp._tcp.hello.default.svc.clusterset.local.", T::SRV, ResponseCode::NXDomain),
        ("_tcp.unnamed.default.svc.clusterset.local.", T::SRV, ResponseCode::NXDomain),
        ("_._tcp.unnamed.default.svc.clusterset.local.", T::SRV, ResponseCode::NXDomain),
        ("a._tcp._tcp.hello.default.svc.clusterset.local.", T::SRV, ResponseCode::NXDomain),
        ("a.b.c.postgres.db.svc.clusterset.local.", T::A, ResponseCode::NXDomain),
        ("x.dns-version.clusterset.local.", T::TXT, ResponseCode::NXDomain),
        ("hello.default.clusterset.local.", T::A, ResponseCode::NXDomain),
    ];
    for (name, record_type, rcode) in cases {
        let message = answer(name, record_type);
        assert_eq!(message.metadata.response_code, rcode, "{name} {record_type}");
        assert!(message.answers.is_empty() && message.additionals.is_empty(), "{name} {record_type}");
        let soa =
            "clusterset.local. 5 IN SOA ns.dns.clusterset.local. hostmaster.clusterset.local. 1 7200 1800 86400 5";
        assert_eq!(texts(&message.authorities), [soa], "{name} {record_type}");
        assert!(message.metadata.authoritative, "{name} {record_type}");
    }
}

#[test]
fn srv_brings_the_addresses_of_its_target() {
    let glue = [
        "model-server.ml-production.svc.clusterset.local. 30 IN A 10.96.0.10",
        "model-server.ml-production.svc.clusterset.local. 30 IN AAAA fd00::10",
    ];
    for name in [MODEL, "_http._tcp.model-server.ml-production.svc.clusterset.local."] {
        assert_eq!(texts(&answer(name, RecordType::SRV).additionals), glue, "{name}");
    }
    assert!(answer(MODEL, RecordType::A).additionals.is_empty());
}

#[test]
fn the_name_server_has_the_addresses_it_is_given() {
    let addresses = vec!["10.96.0.53".parse().unwrap()];
    let zone = Zone::new(ZoneConfig { name_server: addresses, ..ZoneConfig::default() }).unwrap();
    let snapshot = snapshot(services(), true);
    let ask = |name, record_type| {
        ask(&query(name, record_type).to_vec().unwrap(), Transport::Udp, &snapshot, &zone).unwrap().0
    };
    let expected = ["ns.dns.clusterset.local. 30 IN A 10.96.0.53"];
    assert_eq!(texts(&ask("ns.dns.clusterset.local.", RecordType::A).answers), expected);
    assert_eq!(texts(&ask("clusterset.local.", RecordType::NS).additionals), expected);
}

#[test]
fn flags_say_authoritative_without_recursion_and_copy_what_must_be_copied() {
    for desired in [false, true] {
        let mut message = query(MODEL, RecordType::A);
        message.metadata.recursion_desired = desired;
        message.metadata.authentic_data = true;
        let bytes = message.to_vec().unwrap();
        let metadata = ask(&bytes, Transport::Udp, &snapshot(services(), true), &zone()).unwrap().0.metadata;
        assert_eq!(metadata.id, 0x1234);
        assert_eq!(metadata.message_type, MessageType::Response);
        assert_eq!(metadata.recursion_desired, desired);
        assert!(metadata.authoritative && !metadata.recursion_available && !metadata.authentic_data);
        assert!(!metadata.truncation);
    }
}

#[test]
fn capitals_come_back_as_they_were_sent() {
    let asked = "MoDeL-SeRvEr.mL-pRoDuCtIoN.SvC.cLuStErSeT.lOcAl.";
    let message = answer(asked, RecordType::A);
    assert_eq!(message.queries[0].name().to_ascii(), asked);
    assert_eq!(message.answers[0].name.to_ascii(), asked);
    assert_eq!(message.answers[0].data, RData::A("10.96.0.10".parse().unwrap()));
    let negative = answer("NoThInG.ClusterSet.LOCAL.", RecordType::A);
    assert_eq!(negative.authorities[0].name.to_ascii(), "ClusterSet.LOCAL.");
    let srv = answer("_HTTP._Tcp.Model-Server.ML-production.svc.clusterset.local.", RecordType::SRV);
    assert_eq!(srv.answers.len(), 1);
}

#[test]
fn other_zones_classes_transfers_and_opcodes_are_turned_away() {
    let refused = |message: &hickory_proto::op::Message, rcode| {
        let bytes = message.to_vec().unwrap();
        let answer = ask(&bytes, Transport::Udp, &snapshot(services(), true), &zone()).unwrap().0;
        assert_eq!(answer.metadata.response_code, rcode, "{message}");
        assert!(!answer.metadata.authoritative, "{message}");
        assert!(answer.answers.is_empty() && answer.authorities.is_empty(), "{message}");
    };
    for name in ["example.com.", "local.", ".", "hello.default.svc.cluster.local.", "xclusterset.local."] {
        refused(&query(name, RecordType::A), ResponseCode::Refused);
    }
    for transfer in [RecordType::AXFR, RecordType::IXFR] {
        refused(&query("clusterset.local.", transfer), ResponseCode::Refused);
    }
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::NONE, DNSClass::ANY] {
        let mut message = query(MODEL, RecordType::A);
        message.queries[0].set_query_class(class);
        refused(&message, ResponseCode::Refused);
    }
    for opcode in [OpCode::Status, OpCode::Notify, OpCode::Update] {
        let mut message = query("clusterset.local.", RecordType::SOA);
        message.metadata.op_code = opcode;
        refused(&message, ResponseCode::NotImp);
    }
    for (number, rcode) in [(249, ResponseCode::NotImp), (250, ResponseCode::FormErr), (253, ResponseCode::NotImp)] {
        refused(&query(MODEL, RecordType::from(number)), rcode);
    }
}

#[test]
fn any_gives_one_set() {
    for (name, expected) in [
        (MODEL, RecordType::A),
        ("six.default.svc.clusterset.local.", RecordType::AAAA),
        ("_http._tcp.six.default.svc.clusterset.local.", RecordType::SRV),
        ("dns-version.clusterset.local.", RecordType::TXT),
        ("clusterset.local.", RecordType::SOA),
    ] {
        let message = answer(name, RecordType::ANY);
        assert_eq!(message.answers.len(), 1, "{name}");
        assert_eq!(message.answers[0].record_type(), expected, "{name}");
    }
    let empty = answer("svc.clusterset.local.", RecordType::ANY);
    assert_eq!((empty.metadata.response_code, empty.answers.len()), (ResponseCode::NoError, 0));
    assert_eq!(empty.authorities.len(), 1);
}

#[test]
fn until_the_catalog_is_complete_unknown_names_fail_and_known_ones_answer() {
    let snapshot = snapshot(services(), false);
    let rcode = |name, record_type| {
        let bytes = query(name, record_type).to_vec().unwrap();
        let message = ask(&bytes, Transport::Udp, &snapshot, &zone()).unwrap().0;
        (message.metadata.response_code, message.metadata.authoritative, message.authorities.len())
    };
    for unknown in [
        "nowhere.svc.clusterset.local.",
        "nothing.default.svc.clusterset.local.",
        "_x._tcp.hello.default.svc.clusterset.local.",
        "_x._tcp.nothing.default.svc.clusterset.local.",
    ] {
        assert_eq!(rcode(unknown, RecordType::A), (ResponseCode::ServFail, false, 0), "{unknown}");
    }
    assert_eq!(rcode(MODEL, RecordType::A), (ResponseCode::NoError, true, 0));
    assert_eq!(rcode(MODEL, RecordType::MX), (ResponseCode::NoError, true, 1));
    assert_eq!(rcode("dns-version.clusterset.local.", RecordType::TXT), (ResponseCode::NoError, true, 0));
    // No catalog could ever hold these, so clients need not ask again.
    assert_eq!(rcode("nothing.clusterset.local.", RecordType::A), (ResponseCode::NXDomain, true, 1));
    assert_eq!(rcode("example.com.", RecordType::A), (ResponseCode::Refused, false, 0));
}

#[test]
fn another_zone_and_other_times_to_live() {
    let config = ZoneConfig {
        origin: "Mesh.Example.ORG".into(),
        ttl: 7,
        negative_ttl: 3,
        schema_version: "1.1.0".into(),
        ..ZoneConfig::default()
    };
    let zone = Zone::new(config).unwrap();
    let snapshot = snapshot(services(), true);
    let ask = |name, record_type| {
        ask(&query(name, record_type).to_vec().unwrap(), Transport::Udp, &snapshot, &zone).unwrap().0
    };
    let found = ask("hello.default.svc.mesh.example.org.", RecordType::A);
    assert_eq!(texts(&found.answers), ["hello.default.svc.mesh.example.org. 7 IN A 10.96.0.11"]);
    let version = ask("dns-version.mesh.example.org.", RecordType::TXT);
    assert_eq!(texts(&version.answers), ["dns-version.mesh.example.org. 7 IN TXT 1.1.0"]);
    let denied = ask("x.mesh.example.org.", RecordType::A);
    assert_eq!(denied.authorities[0].ttl, 3);
    assert_eq!(ask(MODEL, RecordType::A).metadata.response_code, ResponseCode::Refused);
}
