//! The client side of every failover test: GET requests at a constant rate, one line in a file for each.
//!
//! **Open loop**: request *i* is due at `begin + i / rate` whether or not earlier ones have been answered, and its latency
//! counts from that moment. A server that stalls for a second therefore shows as a second's worth of slow requests, not as one.
//!
//! **Never a retry.** A connection that breaks under a request is one failed request. A kept-alive connection that its server
//! has already closed is noticed before a request is written to it and replaced, as curl does; that is not a repetition.
//!
//! It owns the schedule, the connections, the samples and their summary. It never judges: what a number must be is the
//! business of whoever reads the file.
//!
//! ```text
//!  schedule ──▶ task per request ──▶ connection (new, or one of 40 kept) ──▶ target
//!                     │
//!                     ▼ Sample
//!                bounded channel ──▶ sink ──▶ FILE ──▶ summary
//! ```

pub mod body;
pub mod connection;
pub mod generator;
pub mod noise;
pub mod pattern;
pub mod pool;
pub mod sample;
pub mod server;
pub mod sink;
pub mod summary;
pub mod talk;
pub mod target;
pub mod websocket;
