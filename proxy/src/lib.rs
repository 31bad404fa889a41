//! The data plane: what a pod's request goes through on its way to a pod that can answer it.
//!
//! **Owns** the listeners of imported services and the gateway port, routing, balancing, health, spill to other
//! clusters, retries, connection pools and the links between gateways, raw TCP relays and tunnels.
//! **Never does**: watch Kubernetes, resolve names for pods, decide what is true about a cluster (the catalog does) or
//! who a cluster is (identity does). It writes nothing but its own health observations.
//!
//! ```text
//! pod ──► listener of (service, port) ─┐                          ┌─► pooled HTTP/1.1 connection ──► local pod
//!                                      ├─► admit ─► pick ─► try ──┤
//! other cluster ──► gateway (mTLS, h2)─┘    ▲       ▲       │     └─► warm h2 link, mTLS ──► another cluster's gateway
//!                                           │       └ again ┘
//!                       Snapshot ──► routes and slots (health, weights), shared by all workers
//! ```
//!
//! Each worker is one thread with one `current_thread` runtime, its own `SO_REUSEPORT` sockets, its own pools and its
//! own links; workers share nothing per request but atomics: the slots' and, of what is sent again, the services' budgets.
//!
//! A plain request over HTTP/1.1 is carried from socket to socket without hyper, by the same decisions (`client::fast_path`), and
//! is handed to the path below as soon as it turns out to be anything else.
//!
//! The request path is written as one plain async function a stage, in reading order: admission, hygiene and
//! route (`serve`, `gateway`), deadline and attempts (`exchange`, with the decisions in `retry`), one attempt
//! (`attempt`), metrics. They are not `tower` layers: a worker's futures are not `Send`, and every layer would box the
//! future of each request and hide the order.

mod admission;
mod attempt;
pub mod balance;
mod bell;
mod board;
mod body;
mod checks;
mod client;
mod config;
mod deadline;
mod door;
mod exchange;
mod extended_connect;
mod failure;
mod floods;
mod gateway;
mod handoff;
pub mod health;
mod http2;
mod hygiene;
mod links;
mod listen;
mod metrics;
mod outgoing;
mod plan;
mod pods;
mod policy;
mod proxy;
mod quiet;
mod relay;
mod retry;
pub mod route;
mod serve;
mod shared;
mod socket;
mod takeover;
mod tunnel;
mod worker;

pub use admission::Urgency;
pub use balance::{ClusterStatus, EndpointState, EndpointStatus, Hold, ReturnStatus, ServiceStatus};
pub use board::{Bound, ListenerView, Socket, Use};
pub use config::{Limits, OnSync, ProxyConfig, Timeouts};
pub use metrics::{LATENCY_BUCKETS, LATENCY_METRIC};
pub use plan::{Purpose, Speech};
pub use policy::{PolicyStatus, ServicePolicy};
pub use proxy::{Proxy, ProxyView, StartError};
