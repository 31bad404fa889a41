//! The records of an answer: visited rather than stored, so that nothing is allocated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use strait_catalog::ImportPort;

use crate::question::RecordType;

/// Most ports of one service that SRV answers tell. With names of full length that is below the 65,535 octets of a
/// TCP message, so an answer over TCP is always whole.
const MAX_SRV: usize = 200;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// Whose record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The question's name from that label on; 0 is the whole name.
    Question(usize),
    /// `ns.dns` in front of the zone, whose name begins at that label of the question.
    NameServer(usize),
}

/// The data of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'s> {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// A service's port. Its target is the question's name from that label on.
    Srv {
        /// The port.
        port: u16,
        /// The target's first label within the question's name.
        target: usize,
    },
    /// One string.
    Txt(&'s str),
    /// `ns.dns.<zone>`; the zone's name begins at that label of the question.
    Ns(usize),
    /// Start of authority.
    Soa {
        /// Where the zone's name begins within the question's name.
        zone: usize,
        /// Rises with each snapshot of this process.
        serial: u32,
        /// Time to live of negative answers, in seconds.
        minimum: u32,
    },
}

/// All records of one name and type. Visited rather than stored, so that nothing is allocated.
#[derive(Clone, Copy, Debug)]
pub struct Rrset<'s> {
    /// Whose they are.
    pub owner: Owner,
    /// Time to live, in seconds.
    pub ttl: u32,
    /// The records.
    pub set: Set<'s>,
}

/// The records of a set.
#[derive(Clone, Copy, Debug)]
pub enum Set<'s> {
    /// The addresses of one family.
    Addresses(Family, &'s [IpAddr]),
    /// One record for each port number; the same number for TCP and UDP is one record.
    Ports(&'s [ImportPort], usize),
    /// A single record.
    One(Data<'s>),
}

impl<'s> Rrset<'s> {
    /// The type of every record in the set.
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        match self.set {
            Set::Addresses(Family::V4, _) | Set::One(Data::A(_)) => RecordType::A,
            Set::Addresses(Family::V6, _) | Set::One(Data::Aaaa(_)) => RecordType::AAAA,
            Set::Ports(..) | Set::One(Data::Srv { .. }) => RecordType::SRV,
            Set::One(Data::Txt(_)) => RecordType::TXT,
            Set::One(Data::Ns(_)) => RecordType::NS,
            Set::One(Data::Soa { .. }) => RecordType::SOA,
        }
    }

    /// Shows each record in turn until the visitor breaks.
    pub fn visit<B>(&self, mut visitor: impl FnMut(Data<'s>) -> ControlFlow<B>) -> ControlFlow<B> {
        match self.set {
            Set::Addresses(Family::V4, ips) => {
                let v4 = ips.iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(Data::A(*ip)) } else { None });
                v4.into_iter().try_for_each(visitor)
            }
            Set::Addresses(Family::V6, ips) => {
                let v6 = ips.iter().filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(Data::Aaaa(*ip)) } else { None });
                v6.into_iter().try_for_each(visitor)
            }
            Set::Ports(ports, target) => {
                let ports = &ports[..ports.len().min(MAX_SRV)];
                let first = |(at, port): &(usize, &ImportPort)| ports[..*at].iter().all(|p| p.port != port.port);
                let unique = ports.iter().enumerate().filter(first);
                unique.map(|(_, port)| Data::Srv { port: port.port, target }).try_for_each(visitor)
            }
            Set::One(data) => visitor(data),
        }
    }

    /// True when the set holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.visit(|_| ControlFlow::Break(())).is_continue()
    }
}
