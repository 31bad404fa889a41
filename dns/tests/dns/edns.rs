//! EDNS (RFC 6891) and what clients put into the additional section.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::EdnsOption;
use strait_dns::{MAX_UDP_PAYLOAD, Transport};

use crate::world::{ask, query, services, snapshot, with_edns, zone};

const HELLO: &str = "hello.default.svc.clusterset.local.";

fn ask_hello(message: &[u8]) -> (Message, Vec<u8>) {
    ask(message, Transport::Udp, &snapshot(services(), true), &zone()).unwrap()
}

fn hello() -> Vec<u8> {
    query(HELLO, RecordType::A).to_vec().unwrap()
}

/// Adds raw records to a query and counts them.
fn with_additional(mut message: Vec<u8>, records: &[&[u8]]) -> Vec<u8> {
    message[11] += u8::try_from(records.len()).unwrap();
    message.extend(records.concat());
    message
}

const OPT: &[u8] = &[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn without_edns_there_is_none_in_the_answer() {
    assert!(ask_hello(&hello()).0.edns.is_none());
}

#[test]
fn the_answer_tells_our_payload_and_copies_only_the_dnssec_bit() {
    for dnssec_ok in [false, true] {
        let mut message = with_edns(query(HELLO, RecordType::A), 4096);
        let edns = message.edns.as_mut().unwrap();
        edns.set_dnssec_ok(dnssec_ok).flags_mut().z = 0x1234;
        edns.options_mut().insert(EdnsOption::Unknown(65_001, vec![1, 2, 3]));
        edns.options_mut().insert(EdnsOption::Unknown(10, vec![7; 8]));
        let (answer, _) = ask_hello(&message.to_vec().unwrap());
        let edns = answer.edns.unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert_eq!((edns.max_payload(), edns.version(), edns.flags().z), (MAX_UDP_PAYLOAD, 0, 0));
        assert_eq!(edns.flags().dnssec_ok, dnssec_ok);
        assert!(edns.options().as_ref().is_empty(), "options are never echoed");
        assert_eq!(answer.answers.len(), 1);
    }
}

#[test]
fn a_later_version_is_refused_with_ours() {
    let mut message = with_edns(query("example.com.", RecordType::A), 1232);
    message.edns.as_mut().unwrap().set_version(1);
    let (answer, bytes) = ask_hello(&message.to_vec().unwrap());
    let edns = answer.edns.unwrap();
    assert_eq!((edns.rcode_high(), edns.version(), bytes[3] & 0xf), (1, 0, 0), "BADVERS is 16");
    assert_eq!((answer.queries.len(), answer.answers.len()), (1, 0));
}

#[test]
fn malformed_additional_sections_are_format_errors() {
    let cases: &[(&str, Vec<u8>)] = &[
        ("two OPT records", with_additional(hello(), &[OPT, OPT])),
        ("three records", with_additional(hello(), &[OPT, OPT, OPT])),
        ("OPT below a name", with_additional(hello(), &[&[1, b'a', 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]])),
        ("OPT below a pointer", with_additional(hello(), &[&[0xc0, 12, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]])),
        ("cut", with_additional(hello(), &[&OPT[..10]])),
        ("announced and absent", with_additional(hello(), &[&[]])),
        ("data shorter than announced", with_additional(hello(), &[&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 4, 0, 10]])),
        ("option beyond the record", with_additional(hello(), &[&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 4, 0, 10, 0, 1]])),
        ("half an option", with_additional(hello(), &[&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 10]])),
        ("octets left over", [hello(), vec![0]].concat()),
    ];
    for (what, message) in cases {
        let (answer, bytes) = ask_hello(message);
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr, "{what}");
        assert_eq!(bytes.len(), 12, "{what}: a header alone");
    }
}

#[test]
fn a_record_beside_opt_does_not_matter_but_a_signature_does() {
    let other = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1];
    let (answer, _) = ask_hello(&with_additional(hello(), &[&other, OPT]));
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.edns.is_some());
    let tsig = [3, b'k', b'e', b'y', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0];
    let (answer, _) = ask_hello(&with_additional(hello(), &[&tsig]));
    assert_eq!(answer.metadata.response_code, ResponseCode::NotAuth);
}
