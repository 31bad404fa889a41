//! Who gets the next request: "spill", a local-first balancer over clusters and endpoints.
//!
//! **Owns** the shares of each service's clusters ([`Spill`], a pure function of time and inputs), the pick of a
//! request ([`pick`]), what a request has tried ([`Attempted`]) and the task that recomputes shares ([`Balancer`]).
//! **Never does**: connect, retry, read a request, watch anything.
//!
//! ```text
//! every 100 ms, on a new snapshot, on a breaker's trip
//!   Balancer ──► rebuild changed routes ──► inputs ──► Spill::tick ──► thresholds and weights, in place (atomics)
//!                                                                          │
//! per request      pick(route, rng, now, attempted) ◄──────────────────────┘
//!   cluster by thresholds ─► two alias draws, lower peak-EWMA × (in flight + 1) ÷ weight ─► Choice ─► InFlight
//! ```

mod alias;
mod attempted;
mod capacity;
mod checking;
mod choice;
mod driver;
mod errors;
mod failback;
mod latency;
mod overload;
mod pick;
mod rank;
mod returning;
mod sample;
mod settings;
mod spill;
mod split;
mod status;
mod usual;

pub use alias::AliasTable;
pub use attempted::Attempted;
pub(crate) use checking::{Check, Checking};
pub(crate) use choice::Chosen;
pub use choice::{Choice, TargetRef};
pub use driver::Balancer;
pub use pick::{pick, pick_beside, pick_local_only};
#[doc(hidden)]
pub use sample::sample_route;
pub use settings::{Ranking, Settings};
pub use spill::{ClusterInput, Hold, Shares, Spill};
pub use status::{ClusterStatus, EndpointState, EndpointStatus, ReturnStatus, ServiceStatus};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
