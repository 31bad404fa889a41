//! Answers that do not fit: whole sets leave, the message says so, EDNS stays.

use hickory_proto::rr::RecordType;
use strait_catalog::{Import, Protocol, ServiceKey};
use strait_dns::{MAX_UDP_PAYLOAD, Transport};

use crate::world::{ask, import, port, query, snapshot, with_edns, zone};

/// A service with that many named ports.
fn with_ports(count: u16) -> Vec<(ServiceKey, Import)> {
    let ports = (0..count).map(|n| port(&format!("p{n}"), Protocol::Tcp, 2000 + n)).collect();
    vec![(ServiceKey::parse("default/wide").unwrap(), import(&["10.96.0.14", "fd00::14"], ports))]
}

#[test]
fn nothing_is_ever_cut_in_the_middle() {
    let mut seen = [false; 2];
    for count in (1..=200).step_by(3) {
        let snapshot = snapshot(with_ports(count), true);
        for payload in [None, Some(0), Some(512), Some(700), Some(1232), Some(4096), Some(65_535)] {
            let mut message = query("wide.default.svc.clusterset.local.", RecordType::SRV);
            if let Some(payload) = payload {
                message = with_edns(message, 512);
                let mut bytes = message.to_vec().unwrap();
                let class_at = bytes.len() - 8;
                bytes[class_at..class_at + 2].copy_from_slice(&u16::to_be_bytes(payload));
                message = hickory_proto::op::Message::from_vec(&bytes).unwrap();
            }
            let bytes = message.to_vec().unwrap();
            let limit = usize::from(payload.unwrap_or(512).clamp(512, MAX_UDP_PAYLOAD));
            let (answer, out) = ask(&bytes, Transport::Udp, &snapshot, &zone()).unwrap();
            assert!(out.len() <= limit, "{count} ports, payload {payload:?}: {} octets", out.len());
            assert_eq!(answer.edns.is_some(), payload.is_some());
            let truncated = answer.metadata.truncation;
            seen[usize::from(truncated)] = true;
            assert_eq!(answer.answers.len(), if truncated { 0 } else { usize::from(count) }, "{payload:?}");
        }
    }
    assert_eq!(seen, [true, true], "both outcomes were met");
}

#[test]
fn over_tcp_the_answer_is_whole_even_for_the_longest_names() {
    let long = format!("{}/{}", "n".repeat(63), "s".repeat(63));
    let ports = (0..1000).map(|n| port(&format!("p{n}"), Protocol::Tcp, 2000 + n)).collect();
    let services = vec![(ServiceKey::parse(&long).unwrap(), import(&["10.96.0.14"], ports))];
    let name = format!("{}.{}.svc.clusterset.local.", "s".repeat(63), "n".repeat(63));
    let message = query(&name, RecordType::SRV).to_vec().unwrap();
    let (answer, _) = ask(&message, Transport::Tcp, &snapshot(services, true), &zone()).unwrap();
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 200, "more ports than anyone has are left out");
    assert_eq!(answer.additionals.len(), 1);
}

#[test]
fn addresses_nobody_asked_for_leave_without_a_word() {
    let mut met = false;
    for count in 1..60 {
        let snapshot = snapshot(with_ports(count), true);
        let message = query("wide.default.svc.clusterset.local.", RecordType::SRV).to_vec().unwrap();
        let (answer, _) = ask(&message, Transport::Udp, &snapshot, &zone()).unwrap();
        met |= !answer.metadata.truncation && !answer.answers.is_empty() && answer.additionals.len() < 2;
        assert!(!answer.metadata.truncation || answer.additionals.is_empty());
    }
    assert!(met, "some answer fitted only without them");
}
