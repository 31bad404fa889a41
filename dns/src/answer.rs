//! The decision: a question and a snapshot give an answer. Pure, without allocation.

use strait_catalog::{Import, ImportPort, Snapshot};

use crate::locate::{Node, locate};
use crate::question::{CLASS_IN, Question, RecordType};
use crate::rcode::Rcode;
use crate::records::{Data, Family, Owner, Rrset, Set};
use crate::zone::Zone;

/// What is answered. Without records and with [`Rcode::NoError`] it means: the name exists, the record does not.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'s> {
    /// The response code.
    pub rcode: Rcode,
    /// The answer is this server's to give.
    pub authoritative: bool,
    /// The records asked for.
    pub answer: Option<Rrset<'s>>,
    /// The zone's SOA in every negative answer (RFC 2308).
    pub authority: Option<Rrset<'s>>,
    /// Addresses of the names that the answer tells, one set a family.
    pub additional: [Option<Rrset<'s>>; 2],
}

impl<'s> Answer<'s> {
    /// A code and nothing else.
    const fn bare(rcode: Rcode) -> Self {
        Self { rcode, authoritative: false, answer: None, authority: None, additional: [None, None] }
    }

    const fn negative(rcode: Rcode, soa: Rrset<'s>) -> Self {
        Self { rcode, authoritative: true, answer: None, authority: Some(soa), additional: [None, None] }
    }

    const fn positive(answer: Rrset<'s>) -> Self {
        Self {
            rcode: Rcode::NoError,
            authoritative: true,
            answer: Some(answer),
            authority: None,
            additional: [None, None],
        }
    }
}

/// Answers one question.
///
/// Until the catalog is complete (`snapshot.synced`), a name that is not known but could be is [`Rcode::ServFail`],
/// so that clients ask again elsewhere; names known from before are answered.
#[must_use]
pub fn answer<'s>(question: &Question, snapshot: &'s Snapshot, zone: &'s Zone) -> Answer<'s> {
    if let Some(rcode) = not_served(question) {
        return Answer::bare(rcode);
    }
    let Some(above) = zone.labels_above(&question.name) else { return Answer::bare(Rcode::Refused) };
    let node = locate(&question.name, above, snapshot);
    let asked = Asked { snapshot, zone, zone_at: above };
    match node {
        Node::Unknown if !snapshot.synced => Answer::bare(Rcode::ServFail),
        Node::Unknown | Node::Impossible => Answer::negative(Rcode::NxDomain, asked.soa(zone.negative_ttl())),
        found => match asked.records(found, question.record_type) {
            Some(set) => asked.with_addresses(found, set),
            None => Answer::negative(Rcode::NoError, asked.soa(zone.negative_ttl())),
        },
    }
}

/// Questions that are turned away whatever the name.
const fn not_served(question: &Question) -> Option<Rcode> {
    if matches!(question.edns_version, Some(1..)) {
        return Some(Rcode::BadVers);
    }
    if question.class != CLASS_IN {
        return Some(Rcode::Refused);
    }
    match question.record_type {
        RecordType::AXFR | RecordType::IXFR => Some(Rcode::Refused),
        RecordType::OPT | RecordType::TSIG => Some(Rcode::FormErr),
        RecordType::TKEY | RecordType::MAILA | RecordType::MAILB => Some(Rcode::NotImp),
        _ => None,
    }
}

/// What the making of records needs besides the node.
struct Asked<'s> {
    snapshot: &'s Snapshot,
    zone: &'s Zone,
    /// The label of the question's name at which the zone's name begins.
    zone_at: usize,
}

impl<'s> Asked<'s> {
    /// The records of that type at the node; `None` when there are none.
    fn records(&self, node: Node<'s>, wanted: RecordType) -> Option<Rrset<'s>> {
        if wanted == RecordType::ANY {
            // RFC 8482: one set is enough; the first that a client is likely to use.
            const USEFUL: [RecordType; 6] =
                [RecordType::A, RecordType::AAAA, RecordType::SRV, RecordType::TXT, RecordType::SOA, RecordType::NS];
            return USEFUL.into_iter().find_map(|one| self.records(node, one));
        }
        let set = match node {
            Node::Apex if wanted == RecordType::SOA => return Some(self.soa(self.zone.ttl())),
            Node::Apex if wanted == RecordType::NS => Set::One(Data::Ns(self.zone_at)),
            Node::Version if wanted == RecordType::TXT => Set::One(Data::Txt(self.zone.schema_version())),
            Node::NameServer => Set::Addresses(family(wanted)?, self.zone.name_server()),
            Node::Service { import, service } if wanted == RecordType::SRV => ports(import, &import.ports, service)?,
            Node::Service { import, .. } => Set::Addresses(family(wanted)?, &import.ips),
            Node::Port { import, port, service } if wanted == RecordType::SRV => {
                ports(import, std::slice::from_ref(port), service)?
            }
            _ => return None,
        };
        let set = Rrset { owner: Owner::Question(0), ttl: self.zone.ttl(), set };
        (!set.is_empty()).then_some(set)
    }

    /// Adds the addresses of the names that SRV and NS records tell.
    fn with_addresses(&self, node: Node<'s>, set: Rrset<'s>) -> Answer<'s> {
        let mut answer = Answer::positive(set);
        let (owner, ips) = match (set.record_type(), node) {
            (RecordType::SRV, Node::Service { import, service } | Node::Port { import, service, .. }) => {
                (Owner::Question(service), import.ips.as_slice())
            }
            (RecordType::NS, _) => (Owner::NameServer(self.zone_at), self.zone.name_server()),
            _ => return answer,
        };
        let addresses = |family| Rrset { owner, ttl: self.zone.ttl(), set: Set::Addresses(family, ips) };
        answer.additional = [Family::V4, Family::V6].map(|f| Some(addresses(f)).filter(|set| !set.is_empty()));
        answer
    }

    #[expect(clippy::cast_possible_truncation, reason = "serials wrap (RFC 1982)")]
    const fn soa(&self, ttl: u32) -> Rrset<'s> {
        let serial = self.snapshot.number as u32;
        let soa = Data::Soa { zone: self.zone_at, serial, minimum: self.zone.negative_ttl() };
        Rrset { owner: Owner::Question(self.zone_at), ttl, set: Set::One(soa) }
    }
}

const fn family(wanted: RecordType) -> Option<Family> {
    match wanted {
        RecordType::A => Some(Family::V4),
        RecordType::AAAA => Some(Family::V6),
        _ => None,
    }
}

/// SRV records need a target that has an address; without a ClusterSetIP yet they would lead nowhere.
fn ports<'s>(import: &Import, ports: &'s [ImportPort], service: usize) -> Option<Set<'s>> {
    (!import.ips.is_empty()).then_some(Set::Ports(ports, service))
}
