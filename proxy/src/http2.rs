//! HTTP/2 as both ends speak it: connections, and one task a stream, on the h2 crate.
//!
//! hyper's own layer over h2 knows one head an answer. Here what is said before it passes too, early hints and 100 Continue
//! (RFC 9110 §15.2), a stream that breaks is told from one that ends, and nothing stands between a stream and its task.
//!
//! ```text
//! client, other cluster ──► Server ──► Call (request, its body, Voice) ──► answer: head ──► Pipe ──► stream
//! pod, gateway ◄── Pipe ◄── body, head ◄── Sender ◄── attempt           Connection drives all streams of one socket
//! ```

mod call;
mod carried;
mod client;
mod keep_alive;
mod pipe;
mod places;
mod received;
mod server;

pub(crate) use call::{Call, Given, Voice};
pub(crate) use carried::{Carried, CarriedFrom, CarriedInto};
pub(crate) use client::{Driver, Sender, Unanswered, Words, client, handshake};
pub(crate) use keep_alive::{Heard, KeepAlive};
pub(crate) use received::Received;
pub(crate) use server::Server;
