//! From an answer to the octets of a message, within a limit.

use std::ops::ControlFlow;

use crate::answer::Answer;
use crate::question::{
    CLASS_IN, FLAG_CHECKING_DISABLED, FLAG_RECURSION_DESIRED, FLAG_RESPONSE, HEADER, OPCODE_MASK, Query, RecordType,
};
use crate::rcode::Rcode;
use crate::records::{Data, Owner, Rrset};
use crate::respond::MAX_UDP_PAYLOAD;

const FLAG_AUTHORITATIVE: u16 = 0x0400;
const FLAG_TRUNCATED: u16 = 0x0200;

/// Octets of the OPT record of an answer: it carries no options.
const OPT_LEN: usize = 11;

/// The labels of the name server in front of the zone's name, as on the wire.
const NAME_SERVER: &[u8] = b"\x02ns\x03dns";

/// The labels of the responsible person's mailbox in front of the zone's name.
const MAILBOX: &[u8] = b"\x0ahostmaster";

/// SOA timers in seconds, as CoreDNS has them. No secondary ever reads them: transfers are refused.
pub(crate) const REFRESH: u32 = 7200;
/// See [`REFRESH`].
pub(crate) const RETRY: u32 = 1800;
/// See [`REFRESH`].
pub(crate) const EXPIRE: u32 = 86_400;

/// SRV priority; there is one target, so it does not matter.
pub(crate) const SRV_PRIORITY: u16 = 0;
/// SRV weight, see [`SRV_PRIORITY`].
pub(crate) const SRV_WEIGHT: u16 = 100;

/// The space is used up.
struct Full;

/// Appends to the message and never beyond its limit.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    limit: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if self.out.len() + bytes.len() > self.limit {
            return Err(Full);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes a header without anything behind it.
pub(crate) fn encode_fault(id: u16, flags: u16, rcode: Rcode, out: &mut Vec<u8>) {
    let kept = flags & (OPCODE_MASK | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED);
    out.clear();
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&(FLAG_RESPONSE | kept | (rcode.number() & 0xf)).to_be_bytes());
    out.extend_from_slice(&[0; 8]);
}

/// Writes the whole answer into at most `limit` octets, 512 or more. Sets of records that do not fit are left out
/// whole; true when that hides something that was asked for, and then the message says so (TC).
pub(crate) fn encode(query: &Query<'_>, answer: &Answer<'_>, limit: usize, out: &mut Vec<u8>) -> bool {
    out.clear();
    out.extend_from_slice(&[0; HEADER]);
    out.extend_from_slice(query.wire);
    let reserved = if query.edns.is_some() { OPT_LEN } else { 0 };
    let mut sets = Sets { query, writer: Writer { out, limit: limit - reserved } };
    let mut counts = [0u16; 3];
    let truncated = sets.fill(answer, &mut counts).is_err();
    if let Some(edns) = query.edns {
        put_opt(out, answer.rcode, edns.dnssec_ok);
        counts[2] += 1;
    }
    put_header(query, answer, truncated, counts, out);
    truncated
}

fn put_header(query: &Query<'_>, answer: &Answer<'_>, truncated: bool, counts: [u16; 3], out: &mut [u8]) {
    let mut flags = FLAG_RESPONSE | (query.flags & (FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED));
    flags |= answer.rcode.number() & 0xf;
    if answer.authoritative {
        flags |= FLAG_AUTHORITATIVE;
    }
    if truncated {
        flags |= FLAG_TRUNCATED;
    }
    let fields = [query.id, flags, 1, counts[0], counts[1], counts[2]];
    for (place, field) in out.chunks_exact_mut(2).zip(fields) {
        place.copy_from_slice(&field.to_be_bytes());
    }
}

/// RFC 6891 §6.1.2: root, OPT, payload size, upper bits of the code, version 0, flags, no options.
fn put_opt(out: &mut Vec<u8>, rcode: Rcode, dnssec_ok: bool) {
    let payload = MAX_UDP_PAYLOAD.to_be_bytes();
    let extended = u8::try_from(rcode.number() >> 4).unwrap_or(0);
    let flags = if dnssec_ok { 0x80 } else { 0 };
    out.extend_from_slice(&[0, 0, 41, payload[0], payload[1], extended, 0, flags, 0, 0, 0]);
}

struct Sets<'q, 'm, 'o> {
    query: &'q Query<'m>,
    writer: Writer<'o>,
}

impl Sets<'_, '_, '_> {
    fn fill(&mut self, answer: &Answer<'_>, counts: &mut [u16; 3]) -> Result<(), Full> {
        if let Some(set) = &answer.answer {
            counts[0] = self.put_set(set)?;
        }
        if let Some(set) = &answer.authority {
            counts[1] = self.put_set(set)?;
        }
        for set in answer.additional.iter().flatten() {
            // Nobody asked for these: leaving them out does not make the answer incomplete (RFC 2181 §9).
            counts[2] += self.put_set(set).unwrap_or(0);
        }
        Ok(())
    }

    /// Writes all records of the set or none.
    fn put_set(&mut self, set: &Rrset<'_>) -> Result<u16, Full> {
        let before = self.writer.out.len();
        let mut count = 0;
        let record_type = set.record_type();
        let filled = set.visit(|data| match self.put_record(set, record_type, data) {
            Ok(()) => {
                count += 1;
                ControlFlow::Continue(())
            }
            Err(Full) => ControlFlow::Break(()),
        });
        match filled {
            ControlFlow::Continue(()) => Ok(count),
            ControlFlow::Break(()) => {
                self.writer.out.truncate(before);
                Err(Full)
            }
        }
    }

    fn put_record(&mut self, set: &Rrset<'_>, record_type: RecordType, data: Data<'_>) -> Result<(), Full> {
        match set.owner {
            Owner::Question(label) => self.put_pointer(label)?,
            Owner::NameServer(zone) => self.put_in_zone(NAME_SERVER, zone)?,
        }
        let mut fixed = [0; 10];
        fixed[..2].copy_from_slice(&record_type.0.to_be_bytes());
        fixed[2..4].copy_from_slice(&CLASS_IN.to_be_bytes());
        fixed[4..8].copy_from_slice(&set.ttl.to_be_bytes());
        self.writer.put(&fixed)?;
        let start = self.writer.out.len();
        self.put_data(data)?;
        let length = u16::try_from(self.writer.out.len() - start).map_err(|_| Full)?;
        self.writer.out[start - 2..start].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn put_data(&mut self, data: Data<'_>) -> Result<(), Full> {
        match data {
            Data::A(ip) => self.writer.put(&ip.octets()),
            Data::Aaaa(ip) => self.writer.put(&ip.octets()),
            Data::Srv { port, target } => {
                let (priority, weight, port) =
                    (SRV_PRIORITY.to_be_bytes(), SRV_WEIGHT.to_be_bytes(), port.to_be_bytes());
                self.writer.put(&[priority[0], priority[1], weight[0], weight[1], port[0], port[1]])?;
                // RFC 2782: the target is never compressed.
                self.writer.put(self.query.question.name.suffix(target))
            }
            Data::Txt(text) => {
                self.writer.put(&[u8::try_from(text.len()).map_err(|_| Full)?])?;
                self.writer.put(text.as_bytes())
            }
            Data::Ns(zone) => self.put_in_zone(NAME_SERVER, zone),
            Data::Soa { zone, serial, minimum } => {
                self.put_in_zone(NAME_SERVER, zone)?;
                self.put_in_zone(MAILBOX, zone)?;
                [serial, REFRESH, RETRY, EXPIRE, minimum].iter().try_for_each(|n| self.writer.put(&n.to_be_bytes()))
            }
        }
    }

    /// Labels in front of the zone's name.
    fn put_in_zone(&mut self, labels: &[u8], zone: usize) -> Result<(), Full> {
        self.writer.put(labels)?;
        self.put_pointer(zone)
    }

    /// A pointer into the question's name, which stands right behind the header (RFC 1035 §4.1.4).
    fn put_pointer(&mut self, label: usize) -> Result<(), Full> {
        let offset = u16::try_from(HEADER + self.query.question.name.offset(label)).map_err(|_| Full)?;
        self.writer.put(&(0xc000 | offset).to_be_bytes())
    }
}
