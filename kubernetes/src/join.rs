//! Making clusters peers of one another, and undoing it. For an operator with credentials for each of them.
//!
//! ```text
//! of each cluster: ConfigMap strait-cluster (id), ConfigMap strait-ca-bundle, Service strait-gateway, Nodes
//!        │ read                                    (public facts: no key, no Secret)
//!        ▼
//! introductions (pure) ──► in each cluster one ClusterPeer for each other ──► wait until each is connected
//! ```

mod diagnosis;
mod facts;
mod introduce;
mod leave;

pub use diagnosis::{PeerState, missing, states};
pub use facts::{AddressKind, ClusterFacts, FactsError, read, read_id};
pub use introduce::{IntroductionError, apply, introductions};
pub use leave::{LeaveError, Leftovers, clean, forget_peer, leftovers, silence_names, stop_controller, unmark_exports};
