//! The catalog: what every cluster offers, by record and revision, merged into one immutable [`Snapshot`].
//!
//! **Owns** names, records and their encoding, the merge rule, the store of records ([`Catalog`]) with its single
//! writer, and the snapshot that all readers share ([`Published`]).
//! **Never does** I/O: no sockets, no clock, no Kubernetes, no TLS. Time, where a rule needs it, is an argument.
//!
//! ```text
//! watches / file ──► Input ─┐
//!                           ├─► Catalog (one writer) ──► Arc<Snapshot> ──► DNS, proxy, status
//! sync sessions ──► Record ─┘        │
//!                                    └──► projection of own records ──► sync sessions
//! ```
//!
//! The unit is a [`Record`]: the projection of exactly one Kubernetes object, never a join of two. Its [`Version`]
//! is the API server's own revision, so every daemon of a cluster derives the same records from its own watch and
//! merging is idempotent, commutative and associative.

mod backend;
mod freshness;
mod import;
mod input;
mod name;
mod peer;
mod policy;
mod projection;
mod publish;
mod record;
mod rules;
mod snapshot;
mod store;
mod value;
mod version;

pub use backend::{Backend, Condition, Endpoint, TargetPort};
pub use freshness::{Freshness, STALE_FLOOR, STALE_FULL_MS, staleness_weight};
pub use import::{Import, ImportPort};
pub use input::Input;
pub use name::{ClusterId, NameError, ServiceKey};
pub use peer::Peer;
pub use policy::{MAX_POLICY_CLUSTERS, Mode, Policy, PolicyCluster, PolicyFault, PolicyRecord};
pub use projection::Audience;
pub use publish::Published;
pub use record::{Key, Kind, Record, RecordError};
pub use rules::{Refusal, is_network};
pub use snapshot::{ClusterView, Gateway, ServiceView, Snapshot};
pub use store::{Applied, Authority, Catalog};
pub use value::{
    ClusterRecord, ExportRecord, GatewayRecord, IntentRecord, Protocol, ServicePort, ServiceRecord, SessionAffinity,
    SliceEndpoint, SlicePort, SliceRecord, Value, ZoneCounts,
};
pub use version::Version;
