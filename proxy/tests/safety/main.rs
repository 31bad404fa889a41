//! What strangers' bytes can do to the data plane, over real sockets: conformance, ambiguous requests, floods, slow
//! peers, overload.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code, reason = "shared with the tests of tests/sockets, which use more of it")]
#[path = "../sockets/client.rs"]
mod client;
#[allow(dead_code, reason = "as above")]
#[path = "../sockets/pair.rs"]
mod pair;
#[allow(dead_code, reason = "as above")]
#[path = "../sockets/pod.rs"]
mod pod;
#[allow(dead_code, reason = "as above")]
#[path = "../sockets/relay.rs"]
mod relay;
#[allow(dead_code, reason = "as above")]
#[path = "../sockets/site.rs"]
mod site;

mod conformance;
mod floods;
mod frames;
mod go;
mod limits;
mod many_streams;
mod parting;
mod smuggling;
