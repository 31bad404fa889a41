//! One message in, one message out, without allocation once the buffer has grown.

use strait_catalog::Snapshot;

use crate::answer::answer;
use crate::encode::{encode, encode_fault};
use crate::question::{Edns, Parsed, Query, parse};
use crate::rcode::Rcode;
use crate::zone::Zone;

/// Largest datagram sent, in octets: passes every usual path unfragmented (DNS Flag Day 2020).
pub const MAX_UDP_PAYLOAD: u16 = 1232;

/// Largest datagram for a client that says nothing about it (RFC 1035 §4.2.1).
const MIN_UDP_PAYLOAD: u16 = 512;

/// How the message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams of limited size.
    Udp,
    /// A stream; messages of up to 65,535 octets.
    Tcp,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing is sent.
    Silent,
    /// The buffer holds the response.
    Ready {
        /// Its code.
        rcode: Rcode,
        /// It says that it is not whole.
        truncated: bool,
    },
}

/// The most octets that an answer to the query may have.
#[must_use]
pub(crate) fn limit(query: &Query<'_>, transport: Transport) -> usize {
    match (transport, query.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => usize::from(MIN_UDP_PAYLOAD),
        (Transport::Udp, Some(Edns { payload, .. })) => usize::from(payload.clamp(MIN_UDP_PAYLOAD, MAX_UDP_PAYLOAD)),
    }
}

/// Answers a message into `out`, which is cleared first. Never panics, whatever the bytes.
pub fn respond(message: &[u8], transport: Transport, snapshot: &Snapshot, zone: &Zone, out: &mut Vec<u8>) -> Reply {
    out.clear();
    match parse(message) {
        Parsed::Drop => Reply::Silent,
        Parsed::Fault { id, flags, rcode } => {
            encode_fault(id, flags, rcode, out);
            Reply::Ready { rcode, truncated: false }
        }
        Parsed::Query(query) => {
            let answer = answer(&query.question, snapshot, zone);
            let truncated = encode(&query, &answer, limit(&query, transport), out);
            Reply::Ready { rcode: answer.rcode, truncated }
        }
    }
}
