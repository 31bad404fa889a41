//! Three clusters in one process: real agents, sockets, certificates, DNS and backends; only the distance between
//! the regions is made, by a relay of our own.
//!
//! ```text
//! load ─► us-west agent ─► pods of us-west
//!              └─► relay (round trip of the pair) ─► gateway of us-east / eu-west ─► its pods
//! ```

pub mod backend;
pub mod fleet;
pub mod judge;
pub mod layout;
pub mod phase;
pub mod relay;
pub mod screen;
pub mod script;
pub mod traffic;
