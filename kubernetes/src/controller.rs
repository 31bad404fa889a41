//! The controller: one leader per cluster, and the only one that writes to the API server.
//!
//! A pass ([`plan()`]) is a pure function of the snapshot and of what stands in the API server; the rest of this
//! module observes, keeps the lease, and writes what a pass wants by server-side apply.

pub mod action;
mod authority;
mod certificates;
pub mod conditions;
mod execute;
mod figures;
pub mod naming;
pub mod observed;
mod peers;
pub mod plan;
pub mod ports;
mod properties;
pub mod resolve;
mod run;
mod watching;

pub use action::Action;
pub use authority::{AuthorityTrouble, CertificateKeeper};
pub use figures::describe as describe_metrics;
pub use observed::Observed;
pub use peers::PeerFacts;
pub use plan::{Memory, Now, Plan, Settings, World, plan};
pub use run::{ControllerParts, ControllerStatus, start};
