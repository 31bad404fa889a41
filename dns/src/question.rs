//! From bytes to a question: every length checked, no pointer followed, nothing allocated.

use crate::name::{MAX_NAME, QueryName};
use crate::rcode::Rcode;

/// Octets of a DNS header.
pub(crate) const HEADER: usize = 12;

pub(crate) const FLAG_RESPONSE: u16 = 0x8000;
pub(crate) const FLAG_RECURSION_DESIRED: u16 = 0x0100;
pub(crate) const FLAG_CHECKING_DISABLED: u16 = 0x0010;
pub(crate) const OPCODE_MASK: u16 = 0x7800;

/// Additional records that a query may carry: an OPT and a TSIG (NSD draws the same line).
const MAX_ADDITIONAL: u16 = 2;

/// A record type by its number (IANA "DNS Parameters").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// IPv4 address.
    pub const A: Self = Self(1);
    /// Name server.
    pub const NS: Self = Self(2);
    /// Start of authority.
    pub const SOA: Self = Self(6);
    /// Text.
    pub const TXT: Self = Self(16);
    /// IPv6 address.
    pub const AAAA: Self = Self(28);
    /// Service location.
    pub const SRV: Self = Self(33);
    /// EDNS pseudo-record.
    pub const OPT: Self = Self(41);
    /// Key exchange.
    pub const TKEY: Self = Self(249);
    /// Transaction signature.
    pub const TSIG: Self = Self(250);
    /// Incremental zone transfer.
    pub const IXFR: Self = Self(251);
    /// Zone transfer.
    pub const AXFR: Self = Self(252);
    /// Mailbox records, obsolete.
    pub const MAILB: Self = Self(253);
    /// Mail agent records, obsolete.
    pub const MAILA: Self = Self(254);
    /// Any type (RFC 8482).
    pub const ANY: Self = Self(255);
}

/// The Internet's class.
pub(crate) const CLASS_IN: u16 = 1;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The name.
    pub name: QueryName,
    /// The record type.
    pub record_type: RecordType,
    /// The class; 1 is the Internet.
    pub class: u16,
    /// The version of EDNS that the client speaks; `None` without EDNS.
    pub edns_version: Option<u8>,
}

/// What a client says in its OPT record (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest datagram it takes, as it wrote it.
    pub payload: u16,
    /// Its version of EDNS.
    pub version: u8,
    /// It wants DNSSEC records; copied into the answer (RFC 3225 §3).
    pub dnssec_ok: bool,
}

/// A well-formed query.
#[derive(Clone, Debug)]
pub struct Query<'m> {
    /// The message's id.
    pub id: u16,
    /// The header's flags as received.
    pub flags: u16,
    /// Name, type and class as received: they are echoed octet for octet, so a client's random capitals come back.
    pub wire: &'m [u8],
    /// The question.
    pub question: Question,
    /// The OPT record, if any.
    pub edns: Option<Edns>,
}

/// What a message turned out to be.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "the query is the common case, and boxing it would allocate")]
pub enum Parsed<'m> {
    /// Too short for a header, or a response: answering could start a loop or help a reflection attack.
    Drop,
    /// Answered with a header alone.
    Fault {
        /// The message's id.
        id: u16,
        /// The header's flags as received.
        flags: u16,
        /// [`Rcode::FormErr`], [`Rcode::NotImp`] or [`Rcode::NotAuth`].
        rcode: Rcode,
    },
    /// A query.
    Query(Query<'m>),
}

/// Reads a message. Never panics, whatever the bytes.
#[must_use]
pub fn parse(message: &[u8]) -> Parsed<'_> {
    let Some((header, rest)) = message.split_first_chunk::<HEADER>() else { return Parsed::Drop };
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (id, flags) = (field(0), field(2));
    if flags & FLAG_RESPONSE != 0 {
        return Parsed::Drop;
    }
    let fault = |rcode| Parsed::Fault { id, flags, rcode };
    if flags & OPCODE_MASK != 0 {
        return fault(Rcode::NotImp);
    }
    let (questions, answers, authorities, additional) = (field(4), field(6), field(8), field(10));
    if questions != 1 || answers != 0 || authorities != 0 || additional > MAX_ADDITIONAL {
        return fault(Rcode::FormErr);
    }
    let Some((mut question, wire, rest)) = read_question(rest) else { return fault(Rcode::FormErr) };
    match read_additional(rest, additional) {
        Ok(edns) => {
            question.edns_version = edns.map(|e| e.version);
            Parsed::Query(Query { id, flags, wire, question, edns })
        }
        Err(rcode) => fault(rcode),
    }
}

fn read_question(bytes: &[u8]) -> Option<(Question, &[u8], &[u8])> {
    let name = QueryName::parse(bytes)?;
    let (wire, rest) = bytes.split_at_checked(name.wire_len() + 4)?;
    let tail = wire.last_chunk::<4>()?;
    let record_type = RecordType(u16::from_be_bytes([tail[0], tail[1]]));
    let class = u16::from_be_bytes([tail[2], tail[3]]);
    Some((Question { name, record_type, class, edns_version: None }, wire, rest))
}

/// Reads the records behind the question. An OPT counts once only and stands at the root; a TSIG cannot be checked
/// here since no keys are shared with clients, so the sender learns that it is not authorized (RFC 8945 §5.2.1).
fn read_additional(mut bytes: &[u8], count: u16) -> Result<Option<Edns>, Rcode> {
    let mut edns = None;
    for _ in 0..count {
        let (record, rest) = read_record(bytes).ok_or(Rcode::FormErr)?;
        bytes = rest;
        match record.record_type {
            RecordType::OPT if edns.is_some() || !record.at_root || !options_fit(record.data) => {
                return Err(Rcode::FormErr);
            }
            RecordType::OPT => edns = Some(record.edns()),
            RecordType::TSIG => return Err(Rcode::NotAuth),
            _ => {}
        }
    }
    if bytes.is_empty() { Ok(edns) } else { Err(Rcode::FormErr) }
}

struct AdditionalRecord<'m> {
    at_root: bool,
    record_type: RecordType,
    class: u16,
    ttl: [u8; 4],
    data: &'m [u8],
}

impl AdditionalRecord<'_> {
    /// RFC 6891 §6.1.3: the class is the payload size, the time to live holds version and flags.
    const fn edns(&self) -> Edns {
        Edns { payload: self.class, version: self.ttl[1], dnssec_ok: self.ttl[2] & 0x80 != 0 }
    }
}

fn read_record(bytes: &[u8]) -> Option<(AdditionalRecord<'_>, &[u8])> {
    let owner = owner_len(bytes)?;
    let (fixed, rest) = bytes.get(owner..)?.split_first_chunk::<10>()?;
    let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let (data, rest) = rest.split_at_checked(length)?;
    let record = AdditionalRecord {
        at_root: owner == 1,
        record_type: RecordType(u16::from_be_bytes([fixed[0], fixed[1]])),
        class: u16::from_be_bytes([fixed[2], fixed[3]]),
        ttl: [fixed[4], fixed[5], fixed[6], fixed[7]],
        data,
    };
    Some((record, rest))
}

/// Octets that a record's name takes. A pointer ends it and is not followed: where it leads does not matter here.
fn owner_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < MAX_NAME {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += usize::from(length) + 1,
            192..=255 => return Some(at + 2),
            _ => return None,
        }
    }
    None
}

/// True when the options fill the OPT record exactly. What they say is ignored and never echoed (RFC 6891 §6.1.2).
fn options_fit(mut data: &[u8]) -> bool {
    while let Some((head, rest)) = data.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some(rest) = rest.get(length..) else { return false };
        data = rest;
    }
    data.is_empty()
}
