//! The same answers as records of hickory-proto, for the transports that hickory-server speaks.

use std::ops::ControlFlow;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, NS, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::answer::Answer;
use crate::encode::{EXPIRE, REFRESH, RETRY, SRV_PRIORITY, SRV_WEIGHT};
use crate::question::Query;
use crate::rcode::Rcode;
use crate::records::{Data, Owner, Rrset};
use crate::respond::MAX_UDP_PAYLOAD;

/// An answer in hickory's types.
#[derive(Default)]
pub(crate) struct TypedAnswer {
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    pub(crate) edns: Option<Edns>,
}

impl TypedAnswer {
    /// Converts the records of an answer.
    ///
    /// # Errors
    /// Only when hickory reads names differently than the query's parser did.
    pub(crate) fn new(query: &Query<'_>, answer: &Answer<'_>) -> Result<Self, ProtoError> {
        let mut typed = Self { edns: query.edns.map(|edns| opt(edns.dnssec_ok)), ..Self::default() };
        if let Some(set) = &answer.answer {
            append(query, set, &mut typed.answers)?;
        }
        if let Some(set) = &answer.authority {
            append(query, set, &mut typed.authorities)?;
        }
        for set in answer.additional.iter().flatten() {
            append(query, set, &mut typed.additionals)?;
        }
        Ok(typed)
    }
}

fn opt(dnssec_ok: bool) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_UDP_PAYLOAD).set_dnssec_ok(dnssec_ok);
    edns
}

fn append(query: &Query<'_>, set: &Rrset<'_>, records: &mut Vec<Record>) -> Result<(), ProtoError> {
    let owner = match set.owner {
        // As the client wrote it: the compressed form points into the question.
        Owner::Question(label) => read(&query.wire[query.question.name.offset(label)..])?,
        Owner::NameServer(zone) => in_zone(&["ns", "dns"], query, zone)?,
    };
    let visited = set.visit(|data| match rdata(query, data) {
        Ok(rdata) => {
            records.push(Record::from_rdata(owner.clone(), set.ttl, rdata));
            ControlFlow::Continue(())
        }
        Err(error) => ControlFlow::Break(error),
    });
    match visited {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[expect(clippy::cast_possible_wrap, reason = "hickory holds these small constants as i32")]
fn rdata(query: &Query<'_>, data: Data<'_>) -> Result<RData, ProtoError> {
    Ok(match data {
        Data::A(ip) => RData::A(A(ip)),
        Data::Aaaa(ip) => RData::AAAA(AAAA(ip)),
        Data::Srv { port, target } => {
            RData::SRV(SRV::new(SRV_PRIORITY, SRV_WEIGHT, port, read(query.question.name.suffix(target))?))
        }
        Data::Txt(text) => RData::TXT(TXT::new(vec![text.to_owned()])),
        Data::Ns(zone) => RData::NS(NS(in_zone(&["ns", "dns"], query, zone)?)),
        Data::Soa { zone, serial, minimum } => RData::SOA(SOA::new(
            in_zone(&["ns", "dns"], query, zone)?,
            in_zone(&["hostmaster"], query, zone)?,
            serial,
            REFRESH as i32,
            RETRY as i32,
            EXPIRE as i32,
            minimum,
        )),
    })
}

/// A name that starts at the front of `wire`.
fn read(wire: &[u8]) -> Result<Name, ProtoError> {
    Ok(Name::read(&mut BinDecoder::new(wire))?)
}

/// Labels in front of the zone's name, as the client wrote the zone.
fn in_zone(labels: &[&str], query: &Query<'_>, zone: usize) -> Result<Name, ProtoError> {
    let zone = read(&query.wire[query.question.name.offset(zone)..])?;
    Name::from_labels(labels.iter().map(|label| label.as_bytes()))?.append_domain(&zone)
}

/// The code in hickory's types.
pub(crate) const fn response_code(rcode: Rcode) -> ResponseCode {
    match rcode {
        Rcode::NoError => ResponseCode::NoError,
        Rcode::FormErr => ResponseCode::FormErr,
        Rcode::ServFail => ResponseCode::ServFail,
        Rcode::NxDomain => ResponseCode::NXDomain,
        Rcode::NotImp => ResponseCode::NotImp,
        Rcode::Refused => ResponseCode::Refused,
        Rcode::NotAuth => ResponseCode::NotAuth,
        Rcode::BadVers => ResponseCode::BADVERS,
    }
}
