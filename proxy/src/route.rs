//! Where each service's requests may go: per (service, port) the clusters, and per cluster its targets.
//!
//! **Owns** the [`RouteTable`] built from a [`Snapshot`](strait_catalog::Snapshot), rebuilt only for services whose view changed (pointer
//! equality of `Arc<ServiceView>`) or whose clusters' gateways changed, and what is counted per service and cluster
//! ([`Place`]).
//! **Never does**: decide shares (the balancer), judge health (slots do), hold connections.
//!
//! ```text
//! Arc<Snapshot> ──► Builder ──► Arc<RouteTable> in ArcSwap ──► workers (arc_swap::Cache)
//!                     │ slots by target from the Registry, places carried over from the previous route
//! ```

mod build;
mod class;
mod inflight;
mod lease;
mod load;
mod place;
mod repeats;
mod service;
mod shares;
mod table;
mod targets;

pub use build::{Builder, Changes, ChooseGateways};
pub use class::Class;
pub use inflight::{InFlight, RelayedError};
pub use load::LoadReport;
pub use place::Place;
pub(crate) use place::{BUCKETS, bucket_ms};
pub(crate) use repeats::{Between, Replay};
pub(crate) use service::TRICKLE;
pub use service::{ClusterRoute, ServiceRoute};
pub use shares::{MAX_CLUSTERS, ShareCells};
pub use table::{RouteKey, RouteTable};
pub(crate) use targets::Totals;
pub use targets::{Address, Candidate, Targets};
