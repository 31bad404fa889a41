//! Kubernetes in and out: one cluster's API server on the one side, catalog records on the other.
//!
//! **Owns** the custom resource types, the agent's watches and their projection to records, and the controller's
//! writes: ServiceImports, conditions, derived Services, names, peers.
//! **Never does** serve HTTP or DNS, route a request, or hold a Secret in the agent. An object is projected where it
//! is read and dropped at once; no cache of Kubernetes objects exists in the agent.
//!
//! ```text
//!              list + watch                projection
//! API server ───────────────► source ───────────────────► Input ──► Catalog
//!     ▲                       (agent, reads only)                      │
//!     │  server-side apply                                             ▼
//!     └────────────────────── controller (one leader) ◄──────── Snapshot
//! ```

pub mod api;
mod client;
pub mod epoch;
mod metrics;
pub mod source;

pub use client::{ClientError, client_for, client_from};
pub use kube::Client;
pub use metrics::describe as describe_metrics;

pub mod controller;
pub mod coredns;
pub mod join;
pub mod lease;
pub mod manifest;
