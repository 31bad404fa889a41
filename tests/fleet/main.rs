//! Real daemons: `strait` as separate processes, over real sockets with real mTLS on loopback addresses.
//!
//! It owns a small world of clusters without Kubernetes and without privilege, breaks one thing in each test, and
//! looks from outside: what clients get, what `/status` and `/metrics` say, and which line of the log names the
//! trouble. Every test has its own addresses, 127.(80 + n).0.0/16, so they run side by side; nothing of it survives the
//! test. It never judges how fast something is, since the machine may be busy; `strait demo --script failover` tells that, and
//! `cargo xtask test` plays it with the release build. `STRAIT_TEST_LOGS=1` with `--nocapture` shows every daemon's log.
//!
//! ```text
//!  load (open loop) ─▶ strait agent of us-west ─┬▶ pods of us-west            one HTTP server each, in the test
//!                           ▲      ▲            └▶ gateway of us-east ─▶ pods of us-east
//!                    source file   certificates    (another process)
//! ```
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod certificates;
mod daemon;
mod demo;
mod faults;
mod foreign;
mod garbage;
mod leaving;
mod load;
mod names;
mod peer;
mod pods;
mod process;
mod serving;
mod source;
mod wait;
mod web;
mod world;
