//! The `strait` binary's parts: arguments, wiring, admin, readiness, shutdown and the subcommands.
//!
//! **Owns** the places where parts meet. **Never decides**: decisions live in the crates that are joined here.
//!
//! ```text
//! main ─► command ─► agent ──► source ─► gossip(catalog) ─► Arc<Snapshot> ─► dns, proxy
//!                      └─► identity, admin (/livez /readyz /status /metrics), shutdown
//! ```

pub mod admin;
pub mod agent;
pub mod args;
pub mod command;
pub mod demo;
pub mod file_source;
pub mod limits;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
