//! Any bytes at all: no panic, no answer to an answer, and what is answered can be read.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use proptest::prelude::*;
use strait_catalog::Snapshot;
use strait_dns::{MAX_UDP_PAYLOAD, Reply, Transport, respond};

use crate::world::{ask, query, services, snapshot, with_edns, zone};

fn valid() -> Vec<u8> {
    with_edns(query("_http._tcp.model-server.ml-production.svc.clusterset.local.", RecordType::SRV), 1232)
        .to_vec()
        .unwrap()
}

fn check(message: &[u8], snapshot: &Snapshot) {
    let mut out = Vec::new();
    let Reply::Ready { .. } = respond(message, Transport::Udp, snapshot, &zone(), &mut out) else {
        assert!(message.len() < 12 || message[2] & 0x80 != 0, "only these are dropped");
        return;
    };
    assert!(out.len() <= usize::from(MAX_UDP_PAYLOAD));
    assert_eq!(out[..2], message[..2], "the id");
    assert_eq!(out[2] & 0xf9, (message[2] & 0x79) | 0x80, "response, opcode and RD; AA and TC aside");
    assert_eq!(out[3] & 0xe0, 0, "neither RA, Z nor AD");
    Message::from_vec(&out).unwrap();
}

#[test]
fn short_messages_and_responses_are_dropped() {
    let snapshot = snapshot(services(), true);
    let valid = valid();
    for length in 0..12 {
        assert!(ask(&valid[..length], Transport::Udp, &snapshot, &zone()).is_none(), "{length}");
    }
    let mut response = valid;
    response[2] |= 0x80;
    assert!(ask(&response, Transport::Udp, &snapshot, &zone()).is_none());
}

#[test]
fn every_cut_and_every_pointer_is_a_format_error() {
    let snapshot = snapshot(services(), true);
    let valid = valid();
    let rcode = |bytes: &[u8]| ask(bytes, Transport::Udp, &snapshot, &zone()).unwrap().0.metadata.response_code;
    assert_eq!(rcode(&valid), ResponseCode::NoError);
    for length in 12..valid.len() {
        assert_eq!(rcode(&valid[..length]), ResponseCode::FormErr, "{length}");
    }
    for counts in [[0, 0], [0, 2], [1, 0], [255, 255]] {
        let mut message = valid.clone();
        message[4..6].copy_from_slice(&counts);
        assert_eq!(rcode(&message), ResponseCode::FormErr, "{counts:?} questions");
    }
    for section in [7, 9] {
        let mut message = valid.clone();
        message[section] = 1;
        assert_eq!(rcode(&message), ResponseCode::FormErr, "a record in section at {section}");
    }
    let mut pointing = valid;
    pointing[12] = 0xc0;
    assert_eq!(rcode(&pointing), ResponseCode::FormErr);
}

proptest! {
    #[test]
    fn arbitrary_bytes(message in prop::collection::vec(any::<u8>(), 0..600)) {
        check(&message, &snapshot(services(), true));
    }

    #[test]
    fn one_question_of_arbitrary_bytes(
        flags in any::<[u8; 2]>(), additional in 0u8..3, body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut message = vec![0, 1, flags[0] & 0x07, flags[1], 0, 1, 0, 0, 0, 0, 0, additional];
        message.extend(body);
        check(&message, &snapshot(services(), true));
    }

    #[test]
    fn a_valid_query_with_some_octets_changed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut message = valid();
        for (at, value) in changes {
            let at = at.index(message.len());
            message[at] = value;
        }
        check(&message, &snapshot(services(), true));
    }

    #[test]
    fn labels_of_arbitrary_octets_below_the_zone(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 0..6), record_type in any::<u16>(),
    ) {
        let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label);
        }
        message.extend(b"\x03svc\x0aclusterset\x05local\x00");
        message.extend(record_type.to_be_bytes());
        message.extend([0, 1]);
        check(&message, &snapshot(services(), true));
    }
}
