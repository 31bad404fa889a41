//! Strait's DNS as clients see it: messages in, messages out, decoded by another implementation.

#![allow(clippy::unwrap_used)]

mod answers;
mod edns;
mod malformed;
mod paths;
mod sockets;
mod truncation;
mod world;
