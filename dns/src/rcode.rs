//! Response codes.

/// A response code (RFC 1035 §4.1.1, RFC 6891 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rcode {
    /// No error; without records: the name exists, the record does not.
    NoError,
    /// The message is malformed.
    FormErr,
    /// Not known yet, the catalog is not complete.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// Not a query.
    NotImp,
    /// Not a zone, class or transfer that is served.
    Refused,
    /// Signed with a key that is not known.
    NotAuth,
    /// A version of EDNS above 0.
    BadVers,
}

impl Rcode {
    /// Every code that is ever answered.
    pub const ALL: [Self; 8] = [
        Self::NoError,
        Self::FormErr,
        Self::ServFail,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::NotAuth,
        Self::BadVers,
    ];

    /// The number; more than four bits only with EDNS.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::NotAuth => 9,
            Self::BadVers => 16,
        }
    }

    /// The usual name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "noerror",
            Self::FormErr => "formerr",
            Self::ServFail => "servfail",
            Self::NxDomain => "nxdomain",
            Self::NotImp => "notimp",
            Self::Refused => "refused",
            Self::NotAuth => "notauth",
            Self::BadVers => "badvers",
        }
    }
}
