//! What this daemon has seen of each place it sends requests to, kept in atomics that all workers share.
//!
//! **Owns** the [`Slot`] of every target (a pod of a service, an address of another cluster's gateway), the
//! [`Breaker`] that decides whether it may be used, its success window and its peak-EWMA, and the [`Registry`] in
//! which slots outlive snapshots.
//! **Never does**: I/O, read a clock (milliseconds are an argument, on the daemon's monotonic clock), choose a target.
//!
//! ```text
//! Choice::begin() ──► InFlight ──record(Outcome)──► Slot ──trips──► Registry's Notify ──► balancer's next tick
//!                                                    ▲
//!                    Registry: Target → Arc<Slot> ───┘ (dashmap; held by routes, swept when no route does)
//! ```

mod active;
mod breaker;
mod ewma;
mod grpc;
mod link;
mod orca;
mod outcome;
mod readiness;
mod registry;
mod slot;
mod window;

pub(crate) use active::{Reason, idle, on_probation, take};
pub use breaker::{Breaker, Cause, Policy, State};
pub(crate) use grpc::{grpc_outcome, is_grpc};
pub use link::Link;
pub(crate) use orca::{ENDPOINT_LOAD_METRICS, Report, relative};
pub use outcome::Outcome;
pub use registry::{ClusterNumber, Registry, Target};
pub use slot::{Slot, Usable};
pub use window::Window;
