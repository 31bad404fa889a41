//! CoreDNS: the snippet of plain names it imports, and its connection to Strait's DNS.
//!
//! ```text
//! kube-system
//!   ConfigMap coredns          Corefile: + one import line in the main block, + one stub zone to strait-dns
//!   Deployment coredns         + one optional volume, mounted at /etc/coredns/strait
//!   ConfigMap coredns-strait   made here, written by the controller, read through that volume
//! ```
//!
//! What is added is marked, so that it can be taken out again and what was there before stands unchanged.

pub mod corefile;
pub mod mount;
pub mod names;

mod install;

pub use install::{Changes, CorednsError, Options, install, remove};
