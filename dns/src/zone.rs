//! The zone that is served: its name, its times to live, and what stands at its top.

use std::net::IpAddr;

use crate::name::{MAX_NAME, QueryName, to_wire};

/// What `<svc>.<ns>.svc.` may take in front of the zone: two labels of 63 octets, one of 3, and their length octets.
const ROOM_FOR_A_SERVICE: usize = 64 + 64 + 4;

/// Longest time to live accepted, one day: a longer one would only keep wrong answers alive.
const MAX_TTL: u32 = 86_400;

/// Why a zone was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Not a dotted name of labels of 1 to 63 octets, or so long that not every service name fits in front of it.
    #[error("DNS zone {zone:?} is not a domain name of at most {max} octets, such as clusterset.local")]
    NotAName {
        /// The refused text, shortened to 80 characters.
        zone: String,
        /// Longest form on the wire.
        max: usize,
    },
    /// A time to live of more than a day.
    #[error("DNS time to live {seconds} s is longer than a day; answers would outlive what they tell")]
    TtlTooLong {
        /// The refused value.
        seconds: u32,
    },
    /// The schema version does not fit into one TXT string.
    #[error("DNS schema version has {length} octets; a TXT string holds 255")]
    VersionTooLong {
        /// Its length in octets.
        length: usize,
    },
}

/// What an operator says about the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneConfig {
    /// The zone's name, with or without the last dot.
    pub origin: String,
    /// Time to live of records, in seconds. A ClusterSetIP does not move when a cluster fails, so it need not be short.
    pub ttl: u32,
    /// Time to live of "no such name" and "no such record", in seconds. Pods walk their search lists through these,
    /// and a service that is exported a moment later should be found soon.
    pub negative_ttl: u32,
    /// What `dns-version.<zone>` says. The specification has 1.0.0; CoreDNS says 1.1.0 here.
    pub schema_version: String,
    /// Addresses of `ns.dns.<zone>`, the name server that NS and SOA name; empty leaves that name without addresses.
    pub name_server: Vec<IpAddr>,
}

impl Default for ZoneConfig {
    fn default() -> Self {
        Self {
            origin: "clusterset.local".into(),
            ttl: 30,
            negative_ttl: 5,
            schema_version: "1.0.0".into(),
            name_server: Vec::new(),
        }
    }
}

/// A checked zone.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: Box<[u8]>,
    labels: usize,
    ttl: u32,
    negative_ttl: u32,
    schema_version: String,
    name_server: Vec<IpAddr>,
}

impl Zone {
    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ZoneError`], naming the value that was refused.
    pub fn new(config: ZoneConfig) -> Result<Self, ZoneError> {
        let max = MAX_NAME - ROOM_FOR_A_SERVICE;
        let not_a_name = || ZoneError::NotAName { zone: config.origin.chars().take(80).collect(), max };
        let origin = to_wire(&config.origin).filter(|wire| wire.len() <= max).ok_or_else(not_a_name)?;
        if let Some(seconds) = [config.ttl, config.negative_ttl].into_iter().find(|ttl| *ttl > MAX_TTL) {
            return Err(ZoneError::TtlTooLong { seconds });
        }
        if config.schema_version.len() > 255 {
            return Err(ZoneError::VersionTooLong { length: config.schema_version.len() });
        }
        let labels = QueryName::parse(&origin).map_or(0, |name| name.labels());
        Ok(Self {
            origin,
            labels,
            ttl: config.ttl,
            negative_ttl: config.negative_ttl,
            schema_version: config.schema_version,
            name_server: config.name_server,
        })
    }

    /// How many labels stand in front of the zone's name; `None` for a name outside the zone.
    #[must_use]
    pub fn labels_above(&self, name: &QueryName) -> Option<usize> {
        let above = name.labels().checked_sub(self.labels)?;
        (*name.suffix(above) == *self.origin).then_some(above)
    }

    /// Time to live of records, in seconds.
    #[must_use]
    pub const fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Time to live of negative answers, in seconds.
    #[must_use]
    pub const fn negative_ttl(&self) -> u32 {
        self.negative_ttl
    }

    /// What `dns-version.<zone>` says.
    #[must_use]
    pub fn schema_version(&self) -> &str {
        &self.schema_version
    }

    /// Addresses of `ns.dns.<zone>`.
    #[must_use]
    pub fn name_server(&self) -> &[IpAddr] {
        &self.name_server
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn zone(origin: &str) -> Result<Zone, ZoneError> {
        Zone::new(ZoneConfig { origin: origin.into(), ..ZoneConfig::default() })
    }

    #[test]
    fn membership_ends_at_label_borders_and_ignores_case() {
        let zone = zone("ClusterSet.Local.").unwrap();
        let above = |wire: &[u8]| zone.labels_above(&QueryName::parse(wire).unwrap());
        assert_eq!(above(b"\x0aclusterset\x05local\x00"), Some(0));
        assert_eq!(above(b"\x01a\x0aCLUSTERSET\x05local\x00"), Some(1));
        assert_eq!(above(b"\x0bxclusterset\x05local\x00"), None);
        assert_eq!(above(b"\x05local\x00"), None);
        assert_eq!(above(b"\x00"), None);
        assert_eq!(above(b"\x10clusterset\x05local\x00\x00"), None, "a label may hold what looks like labels");
    }

    #[test]
    fn bad_zones_are_named() {
        assert!(matches!(zone(""), Err(ZoneError::NotAName { .. })));
        assert!(matches!(zone("a..b"), Err(ZoneError::NotAName { .. })));
        assert!(matches!(zone(&"abcdefghi.".repeat(13)), Err(ZoneError::NotAName { .. })));
        let long = ZoneConfig { ttl: MAX_TTL + 1, ..ZoneConfig::default() };
        assert_eq!(Zone::new(long).unwrap_err(), ZoneError::TtlTooLong { seconds: MAX_TTL + 1 });
        let wordy = ZoneConfig { schema_version: "x".repeat(256), ..ZoneConfig::default() };
        assert_eq!(Zone::new(wordy).unwrap_err(), ZoneError::VersionTooLong { length: 256 });
    }
}
