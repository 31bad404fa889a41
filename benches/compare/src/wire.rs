//! One connection of the client as its protocol sees it: requests become bytes, bytes become answers that are checked.

mod h1;
mod h2;

use std::net::SocketAddr;
use std::time::Instant;

use crate::load::{Load, Speech};

/// A connection's state.
pub enum Wire {
    /// HTTP/1.1.
    H1(h1::Wire),
    /// HTTP/2, plain or gRPC.
    H2(Box<h2::Wire>),
}

/// Answers that came, each by the moment its request was due.
pub type Answered = Vec<Instant>;

impl Wire {
    /// A fresh connection to an address; what opens it is added to `out`.
    pub fn open(load: Load, at: SocketAddr, out: &mut Vec<u8>) -> Self {
        match load.speech {
            Speech::H1 | Speech::Post => Self::H1(h1::Wire::new(at, load.body, load.speech.upload())),
            Speech::H2 | Speech::Grpc => Self::H2(Box::new(h2::Wire::open(load, at, out))),
        }
    }

    /// Writes a request.
    pub fn ask(&mut self, due: Instant, out: &mut Vec<u8>) {
        match self {
            Self::H1(wire) => wire.ask(due, out),
            Self::H2(wire) => wire.ask(due, out),
        }
    }

    /// Reads what came.
    ///
    /// # Errors
    /// What was wrong with an answer, in words.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, answered: &mut Answered) -> Result<(), String> {
        match self {
            Self::H1(wire) => wire.take(bytes, answered),
            Self::H2(wire) => wire.take(bytes, out, answered),
        }
    }
}
