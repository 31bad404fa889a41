//! One record: a key, a version, and either a value or a tombstone.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::name::{ClusterId, NameError, ServiceKey};
use crate::value::Value;
use crate::version::Version;

/// Longest record name: `namespace/service/uid` of 63 + 63 + 36 characters and the slashes, with room to spare.
const MAX_NAME: usize = 512;

/// Why a record cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not the message of that kind.
    #[error("{kind} record does not decode: {source}; was it written by a newer or a faulty version?")]
    Undecodable {
        /// The kind.
        kind: Kind,
        /// What the decoder says.
        source: prost::DecodeError,
    },
    /// The name does not fit the kind.
    #[error("{kind} record has a bad name {name:?}: {source}")]
    BadName {
        /// The kind.
        kind: Kind,
        /// The refused name, shortened.
        name: String,
        /// What is wrong.
        source: NameError,
    },
    /// The name is empty or too long, or a slice's or policy's name has no third part.
    #[error("{kind} record has a name that does not fit its kind: {name:?}")]
    Misnamed {
        /// The kind.
        kind: Kind,
        /// The refused name, shortened.
        name: String,
    },
}

/// The kind of a record: an open set, since newer versions may send kinds that this one does not know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u32);

impl Kind {
    /// A Service; named `namespace/name`.
    pub const SERVICE: Self = Self(1);
    /// A ServiceExport; named `namespace/name`.
    pub const EXPORT: Self = Self(2);
    /// An EndpointSlice; named `namespace/service/uid`.
    pub const SLICE: Self = Self(3);
    /// A node's gateway; named by the node.
    pub const GATEWAY: Self = Self(4);
    /// The cluster; the name is empty.
    pub const CLUSTER: Self = Self(5);
    /// An operator's wish; named freely.
    pub const INTENT: Self = Self(6);
    /// A TrafficPolicy; named `namespace/service/policy`. Sessions do not carry it.
    pub const POLICY: Self = Self(7);

    /// The kinds this version reads.
    pub const KNOWN: [Self; 7] =
        [Self::SERVICE, Self::EXPORT, Self::SLICE, Self::GATEWAY, Self::CLUSTER, Self::INTENT, Self::POLICY];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::SERVICE => "Service",
            Self::EXPORT => "Export",
            Self::SLICE => "Slice",
            Self::GATEWAY => "Gateway",
            Self::CLUSTER => "Cluster",
            Self::INTENT => "Intent",
            Self::POLICY => "Policy",
            Self(other) => return write!(f, "kind-{other}"),
        })
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which object a record stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The cluster whose API server owns the object.
    pub cluster: ClusterId,
    /// The object's kind.
    pub kind: Kind,
    /// Its name within the kind, see [`Kind`].
    pub name: Arc<str>,
}

impl Key {
    /// The key of a Service or Export.
    #[must_use]
    pub fn of_service(cluster: &ClusterId, kind: Kind, service: &ServiceKey) -> Self {
        Self { cluster: cluster.clone(), kind, name: service.to_string().into() }
    }

    /// The key of a slice.
    #[must_use]
    pub fn of_slice(cluster: &ClusterId, service: &ServiceKey, uid: &str) -> Self {
        Self { cluster: cluster.clone(), kind: Kind::SLICE, name: format!("{service}/{uid}").into() }
    }

    /// The key of a policy for a service.
    #[must_use]
    pub fn of_policy(cluster: &ClusterId, service: &ServiceKey, name: &str) -> Self {
        Self { cluster: cluster.clone(), kind: Kind::POLICY, name: format!("{service}/{name}").into() }
    }

    /// The key of a node's gateway.
    #[must_use]
    pub fn of_gateway(cluster: &ClusterId, node: &str) -> Self {
        Self { cluster: cluster.clone(), kind: Kind::GATEWAY, name: node.into() }
    }

    /// The key of the cluster's own record.
    #[must_use]
    pub fn of_cluster(cluster: &ClusterId) -> Self {
        Self { cluster: cluster.clone(), kind: Kind::CLUSTER, name: "".into() }
    }

    /// The service that a Service, Export, Slice or Policy record belongs to.
    #[must_use]
    pub fn service(&self) -> Option<ServiceKey> {
        match self.kind {
            Kind::SERVICE | Kind::EXPORT => ServiceKey::parse(&self.name).ok(),
            Kind::SLICE | Kind::POLICY => ServiceKey::parse(self.name.rsplit_once('/')?.0).ok(),
            _ => None,
        }
    }

    /// Checks that the name fits the kind.
    ///
    /// # Errors
    /// [`RecordError`], naming kind and name.
    pub fn check(&self) -> Result<(), RecordError> {
        let shown = || self.name.chars().take(80).collect::<String>();
        let misnamed = || RecordError::Misnamed { kind: self.kind, name: shown() };
        let bad = |source| RecordError::BadName { kind: self.kind, name: shown(), source };
        if self.name.len() > MAX_NAME {
            return Err(misnamed());
        }
        match self.kind {
            Kind::SERVICE | Kind::EXPORT => ServiceKey::parse(&self.name).map(drop).map_err(bad),
            Kind::SLICE | Kind::POLICY => match self.name.rsplit_once('/') {
                Some((service, uid)) if !uid.is_empty() => ServiceKey::parse(service).map(drop).map_err(bad),
                _ => Err(misnamed()),
            },
            Kind::GATEWAY | Kind::INTENT if self.name.is_empty() => Err(misnamed()),
            Kind::CLUSTER if !self.name.is_empty() => Err(misnamed()),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.kind, self.cluster, self.name)
    }
}

/// A record as it is stored and sent. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    key: Key,
    version: Version,
    wire: Bytes,
    value: Option<Arc<Value>>,
}

impl Record {
    /// A live record from a value made here.
    ///
    /// # Panics
    /// Never for a value whose kind is the key's; a mismatch is a programming error and is caught in debug builds.
    #[must_use]
    pub fn live(key: Key, version: Version, value: Value) -> Self {
        debug_assert_eq!(value.kind(), Some(key.kind), "the value belongs to the key's kind");
        Self { wire: value.encode(), value: Some(Arc::new(value)), key, version }
    }

    /// A tombstone: the object was deleted at that version, or a list at that version did not contain it.
    #[must_use]
    pub const fn tombstone(key: Key, version: Version) -> Self {
        Self { key, version, wire: Bytes::new(), value: None }
    }

    /// A live record from bytes that came from elsewhere; the bytes are kept as they are.
    ///
    /// # Errors
    /// [`RecordError`] when the name or the bytes do not fit the kind.
    pub fn from_wire(key: Key, version: Version, wire: Bytes) -> Result<Self, RecordError> {
        key.check()?;
        let value = Value::decode(key.kind, &wire)?;
        Ok(Self { key, version, wire, value: Some(Arc::new(value)) })
    }

    /// A live record as a session received it: one that does not read is kept whole as [`Value::Opaque`], so that
    /// both ends still hold equal sets and only this record is out of use; the error says why.
    #[must_use]
    pub fn received(key: Key, version: Version, wire: Bytes) -> (Self, Option<RecordError>) {
        match Self::from_wire(key.clone(), version, wire.clone()) {
            Ok(record) => (record, None),
            Err(error) => (Self { key, version, wire, value: Some(Arc::new(Value::Opaque)) }, Some(error)),
        }
    }

    /// Which object.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// At which version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The value's bytes, as made or received; empty for a tombstone.
    #[must_use]
    pub const fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The decoded value; `None` for a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.value.as_deref()
    }

    /// True for a deletion.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// A 64-bit digest of key, version and bytes (FNV-1a with a final avalanche). Sums of these prove that two
    /// sets are equal, order aside. It guards against bugs and flipped bits, not against an adversary: authority
    /// does that.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hash = Fnv::new();
        hash.write(self.key.cluster.as_str().as_bytes());
        hash.write(&self.key.kind.0.to_be_bytes());
        hash.write(self.key.name.as_bytes());
        hash.write(&[0xff]);
        hash.write(&self.version.epoch.to_be_bytes());
        hash.write(&self.version.revision.to_be_bytes());
        hash.write(&[u8::from(self.is_tombstone())]);
        hash.write(&self.wire);
        hash.finish()
    }
}

impl Key {
    /// The name of the service (`namespace/name`) that this record is a part of, else the record's own name.
    #[must_use]
    pub fn group(&self) -> &str {
        match self.kind {
            Kind::SLICE => self.name.rsplit_once('/').map_or(&*self.name, |(service, _)| service),
            _ => &self.name,
        }
    }

    /// True for the kinds that together make one service. They are sent, applied and compared as one group, so that
    /// no reader ever sees a part of a change to one service.
    #[must_use]
    pub const fn is_part_of_service(&self) -> bool {
        matches!(self.kind, Kind::SERVICE | Kind::EXPORT | Kind::SLICE)
    }

    /// Which of 256 buckets the key falls into; both ends of a session compute the same. All records of one service
    /// fall into one bucket, so that a repair never heals half of it.
    #[must_use]
    pub fn bucket(&self) -> u8 {
        let mut hash = Fnv::new();
        let kind = if self.is_part_of_service() { Kind::SERVICE } else { self.kind };
        hash.write(&kind.0.to_be_bytes());
        hash.write(self.group().as_bytes());
        hash.finish().to_be_bytes()[0]
    }
}

/// FNV-1a, 64 bit, finished with the mixer of MurmurHash3 so that sums of digests do not correlate.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    const fn finish(&self) -> u64 {
        let mut x = self.0;
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::value::ServiceRecord;

    fn cluster() -> ClusterId {
        ClusterId::parse("us-west").unwrap()
    }

    #[test]
    fn names_are_checked_by_kind() {
        let key = |kind, name: &str| Key { cluster: cluster(), kind, name: name.into() };
        for (kind, name, good) in [
            (Kind::SERVICE, "ns/svc", true),
            (Kind::SERVICE, "svc", false),
            (Kind::SLICE, "ns/svc/uid", true),
            (Kind::SLICE, "ns/svc", false),
            (Kind::SLICE, "ns/svc/", false),
            (Kind::POLICY, "ns/svc/policy", true),
            (Kind::POLICY, "ns/svc", false),
            (Kind::GATEWAY, "", false),
            (Kind::CLUSTER, "", true),
            (Kind::CLUSTER, "x", false),
            (Kind(99), "whatever it is", true),
        ] {
            assert_eq!(key(kind, name).check().is_ok(), good, "{kind} {name:?}");
        }
        assert!(key(Kind(99), &"x".repeat(600)).check().is_err());
    }

    #[test]
    fn unknown_kinds_keep_their_bytes() {
        let key = Key { cluster: cluster(), kind: Kind(77), name: "later".into() };
        let record = Record::from_wire(key, Version::new(0, 5), Bytes::from_static(b"\xff\x00anything")).unwrap();
        assert_eq!(record.value(), Some(&Value::Opaque));
        assert_eq!(&record.wire()[..], b"\xff\x00anything");
    }

    #[test]
    fn garbage_is_an_error_not_a_panic() {
        let key = Key { cluster: cluster(), kind: Kind::SERVICE, name: "a/b".into() };
        let error = Record::from_wire(key, Version::default(), Bytes::from_static(b"\xff\xff\xff")).unwrap_err();
        assert!(error.to_string().contains("Service record does not decode"), "{error}");
    }

    #[test]
    fn the_digest_sees_every_part() {
        let key = Key::of_service(&cluster(), Kind::SERVICE, &ServiceKey::parse("a/b").unwrap());
        let value = |headless| Value::Service(ServiceRecord { headless, ..ServiceRecord::default() });
        let digests = [
            Record::live(key.clone(), Version::new(0, 1), value(false)).digest(),
            Record::live(key.clone(), Version::new(0, 2), value(false)).digest(),
            Record::live(key.clone(), Version::new(1, 1), value(false)).digest(),
            Record::live(key.clone(), Version::new(0, 1), value(true)).digest(),
            Record::tombstone(key, Version::new(0, 1)).digest(),
        ];
        let unique: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(unique.len(), digests.len());
    }
}
