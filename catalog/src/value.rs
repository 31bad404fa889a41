//! What a record carries, one message a kind, in its canonical protobuf form. Field numbers are never reused.
//!
//! A daemon keeps the bytes it received beside the decoded value and passes those on, so fields of a newer
//! version survive a hop through an older one.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::policy::PolicyRecord;
use crate::record::{Kind, RecordError};

/// The transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
    /// SCTP.
    Sctp = 2,
}

impl Protocol {
    /// As Kubernetes and DNS SRV names spell it, in capitals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// Reads the Kubernetes spelling; an absent protocol is TCP there.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("TCP" | "") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

/// One port of a Service.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServicePort {
    /// The port's name; empty when it has none.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Transport protocol.
    #[prost(enumeration = "Protocol", tag = "2")]
    pub protocol: i32,
    /// The Service's port number, 1–65535.
    #[prost(uint32, tag = "3")]
    pub port: u32,
    /// `appProtocol`, empty when unset.
    #[prost(string, tag = "4")]
    pub app_protocol: String,
}

/// `sessionAffinity: ClientIP` with its timeout.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SessionAffinity {
    /// How long a client stays, in seconds.
    #[prost(uint32, tag = "1")]
    pub timeout_seconds: u32,
}

/// Projection of one Service.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServiceRecord {
    /// All ports.
    #[prost(message, repeated, tag = "1")]
    pub ports: Vec<ServicePort>,
    /// `clusterIP: None`.
    #[prost(bool, tag = "2")]
    pub headless: bool,
    /// Absent for `sessionAffinity: None`.
    #[prost(message, optional, tag = "3")]
    pub session_affinity: Option<SessionAffinity>,
    /// `internalTrafficPolicy`, empty when unset.
    #[prost(string, tag = "4")]
    pub internal_traffic_policy: String,
    /// `trafficDistribution`, empty when unset.
    #[prost(string, tag = "5")]
    pub traffic_distribution: String,
    /// `type: ExternalName`, which cannot be exported.
    #[prost(bool, tag = "6")]
    pub external_name: bool,
    /// `ipFamilies` in order, `IPv4` and `IPv6`.
    #[prost(string, repeated, tag = "7")]
    pub ip_families: Vec<String>,
}

/// Projection of one ServiceExport.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExportRecord {
    /// `metadata.creationTimestamp`, seconds since 1970: the oldest export decides conflicts.
    #[prost(int64, tag = "1")]
    pub created_unix_s: i64,
    /// `spec.exportedLabels`.
    #[prost(btree_map = "string, string", tag = "2")]
    pub labels: BTreeMap<String, String>,
    /// `spec.exportedAnnotations`.
    #[prost(btree_map = "string, string", tag = "3")]
    pub annotations: BTreeMap<String, String>,
    /// `strait.dev/plain-name: "true"`: steer `<svc>.<ns>` as well.
    #[prost(bool, tag = "4")]
    pub plain_name: bool,
}

/// Endpoints of one slice in one zone.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ZoneCounts {
    /// The zone; empty when unknown.
    #[prost(string, tag = "1")]
    pub zone: String,
    /// Ready.
    #[prost(uint32, tag = "2")]
    pub ready: u32,
    /// Serving, ready or not.
    #[prost(uint32, tag = "3")]
    pub serving: u32,
    /// Terminating.
    #[prost(uint32, tag = "4")]
    pub terminating: u32,
    /// All endpoints in the slice.
    #[prost(uint32, tag = "5")]
    pub total: u32,
}

/// One endpoint of a slice. Other clusters receive these for headless services and flat networks only.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SliceEndpoint {
    /// IP addresses, all of the same pod.
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
    /// `hostname`, empty when unset.
    #[prost(string, tag = "2")]
    pub hostname: String,
    /// Zone, empty when unknown.
    #[prost(string, tag = "3")]
    pub zone: String,
    /// Node, empty when unknown.
    #[prost(string, tag = "4")]
    pub node: String,
    /// `conditions.ready`; absent counts as true in Kubernetes.
    #[prost(bool, tag = "5")]
    pub ready: bool,
    /// `conditions.serving`.
    #[prost(bool, tag = "6")]
    pub serving: bool,
    /// `conditions.terminating`.
    #[prost(bool, tag = "7")]
    pub terminating: bool,
}

/// One port of a slice: the number pods listen on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SlicePort {
    /// The Service port's name; empty when it has none.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Transport protocol.
    #[prost(enumeration = "Protocol", tag = "2")]
    pub protocol: i32,
    /// The pods' port number.
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

/// Projection of one EndpointSlice.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SliceRecord {
    /// Counts per zone, sorted by zone.
    #[prost(message, repeated, tag = "1")]
    pub zones: Vec<ZoneCounts>,
    /// The endpoints; empty in the projection for other clusters unless headless.
    #[prost(message, repeated, tag = "2")]
    pub endpoints: Vec<SliceEndpoint>,
    /// The ports pods listen on.
    #[prost(message, repeated, tag = "3")]
    pub ports: Vec<SlicePort>,
    /// Label `service.kubernetes.io/headless`: then endpoints are for other clusters too.
    #[prost(bool, tag = "4")]
    pub headless: bool,
}

/// Projection of one Node: where its agent's gateway is reached from other clusters.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GatewayRecord {
    /// `host:port`; the host is an IP address or a DNS name.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Zone, empty when unknown.
    #[prost(string, tag = "2")]
    pub zone: String,
    /// The Node is ready.
    #[prost(bool, tag = "3")]
    pub ready: bool,
}

/// Projection of ConfigMap `strait-cluster`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClusterRecord {
    /// Region.
    #[prost(string, tag = "1")]
    pub region: String,
    /// Zones, sorted.
    #[prost(string, repeated, tag = "2")]
    pub zones: Vec<String>,
    /// Pod networks: addresses outside them are refused.
    #[prost(string, repeated, tag = "3")]
    pub pod_cidrs: Vec<String>,
    /// Oldest sync protocol understood.
    #[prost(uint32, tag = "4")]
    pub protocol_min: u32,
    /// Newest sync protocol understood.
    #[prost(uint32, tag = "5")]
    pub protocol_max: u32,
    /// Feature bits.
    #[prost(uint64, tag = "6")]
    pub features: u64,
}

/// An operator's wish: drain, pin or hibernation.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IntentRecord {
    /// The verb, such as `drain`.
    #[prost(string, tag = "1")]
    pub verb: String,
    /// What it is about.
    #[prost(string, tag = "2")]
    pub target: String,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A Service.
    Service(ServiceRecord),
    /// A ServiceExport.
    Export(ExportRecord),
    /// An EndpointSlice.
    Slice(SliceRecord),
    /// A Node's gateway.
    Gateway(GatewayRecord),
    /// The cluster itself.
    Cluster(ClusterRecord),
    /// An operator's wish.
    Intent(IntentRecord),
    /// A TrafficPolicy.
    Policy(PolicyRecord),
    /// A kind this version does not know: kept and passed on, never read.
    Opaque,
}

impl Value {
    /// Decodes the bytes of one kind.
    ///
    /// # Errors
    /// [`RecordError::Undecodable`], naming the kind.
    pub fn decode(kind: Kind, wire: &Bytes) -> Result<Self, RecordError> {
        fn read<M: Message + Default>(kind: Kind, wire: &Bytes) -> Result<M, RecordError> {
            M::decode(wire.clone()).map_err(|source| RecordError::Undecodable { kind, source })
        }
        Ok(match kind {
            Kind::SERVICE => Self::Service(read(kind, wire)?),
            Kind::EXPORT => Self::Export(read(kind, wire)?),
            Kind::SLICE => Self::Slice(read(kind, wire)?),
            Kind::GATEWAY => Self::Gateway(read(kind, wire)?),
            Kind::CLUSTER => Self::Cluster(read(kind, wire)?),
            Kind::INTENT => Self::Intent(read(kind, wire)?),
            Kind::POLICY => Self::Policy(read(kind, wire)?),
            _ => Self::Opaque,
        })
    }

    /// The canonical bytes. Opaque values have none of their own: their record keeps what was received.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Service(m) => m.encode_to_vec(),
            Self::Export(m) => m.encode_to_vec(),
            Self::Slice(m) => m.encode_to_vec(),
            Self::Gateway(m) => m.encode_to_vec(),
            Self::Cluster(m) => m.encode_to_vec(),
            Self::Intent(m) => m.encode_to_vec(),
            Self::Policy(m) => m.encode_to_vec(),
            Self::Opaque => Vec::new(),
        }
        .into()
    }

    /// The kind this value belongs to; `None` for an opaque one.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Service(_) => Kind::SERVICE,
            Self::Export(_) => Kind::EXPORT,
            Self::Slice(_) => Kind::SLICE,
            Self::Gateway(_) => Kind::GATEWAY,
            Self::Cluster(_) => Kind::CLUSTER,
            Self::Intent(_) => Kind::INTENT,
            Self::Policy(_) => Kind::POLICY,
            Self::Opaque => return None,
        })
    }
}
