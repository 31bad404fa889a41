//! The pod: a raw epoll loop that answers `GET /N`, or a call of method `N`, with N bytes, in HTTP/1.1, HTTP/2 or gRPC as it
//! is asked. Nothing that a request costs here counts. `GET /accepts` says how many connections it has accepted.

mod h1;
mod h2;

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;

use crate::frames::PREFACE;
use crate::poll::{LISTENER, Poll, Ready};

/// Answers nobody for a while, once.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// After so many requests.
    pub after: u64,
    /// For so long.
    pub length: Duration,
}

/// What all connections have in common.
pub struct Pod {
    answers: h1::Answers,
    /// Connections accepted.
    accepts: u64,
    /// Requests read.
    requests: u64,
    stall: Option<Stall>,
}

struct Connection {
    stream: TcpStream,
    talk: Talk,
    waiting: bool,
}

/// What is spoken on a connection; its first bytes tell.
enum Talk {
    Unknown(Vec<u8>),
    H1(h1::Talk),
    H2(Box<h2::Talk>),
}

/// Serves until it is killed.
pub fn serve(at: SocketAddr, stall: Option<Stall>) -> Result<()> {
    let (mut poll, listener) = Poll::on(at)?;
    let (mut open, mut next) = (HashMap::new(), LISTENER + 1);
    let mut pod = Pod { answers: HashMap::new(), accepts: 0, requests: 0, stall };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        for ready in poll.wait(None)? {
            if ready.number == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    poll.add(&stream, next)?;
                    open.insert(next, Connection { stream, talk: Talk::Unknown(Vec::new()), waiting: false });
                    next += 1;
                    pod.accepts += 1;
                }
                continue;
            }
            let Some(connection) = open.get_mut(&ready.number) else { continue };
            if !connection.attend(&poll, ready, &mut buffer, &mut pod) {
                open.remove(&ready.number);
            }
        }
    }
}

impl Pod {
    /// A request has been read.
    fn count(&mut self) {
        self.requests += 1;
        if let Some(stall) = self.stall.filter(|s| s.after == self.requests) {
            #[expect(clippy::disallowed_methods, reason = "that nothing goes on is what it is for")]
            std::thread::sleep(stall.length);
        }
    }
}

impl Connection {
    /// False when it is over.
    fn attend(&mut self, poll: &Poll, ready: Ready, buffer: &mut [u8], pod: &mut Pod) -> bool {
        if ready.readable {
            let read = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(n) => self.talk.take(&buffer[..n], pod),
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
            if !read {
                return false;
            }
        }
        let Some(waiting) = self.talk.write(&mut self.stream) else { return false };
        if waiting == self.waiting {
            return true;
        }
        self.waiting = waiting;
        poll.want(&self.stream, ready.number, true, waiting).is_ok()
    }
}

impl Talk {
    /// False when it makes no sense.
    fn take(&mut self, bytes: &[u8], pod: &mut Pod) -> bool {
        match self {
            Self::H1(talk) => talk.take(bytes, pod),
            Self::H2(talk) => talk.take(bytes, pod).is_ok(),
            Self::Unknown(seen) => {
                seen.extend_from_slice(bytes);
                let seen = std::mem::take(seen);
                let preface = seen.len().min(PREFACE.len());
                if seen[..preface] != PREFACE[..preface] {
                    *self = Self::H1(h1::Talk::default());
                    return self.take(&seen, pod);
                }
                if preface < PREFACE.len() {
                    *self = Self::Unknown(seen);
                    return true;
                }
                *self = Self::H2(Box::new(h2::Talk::open()));
                self.take(&seen[preface..], pod)
            }
        }
    }

    /// Writes what the socket takes. Whether more is waiting; nothing when the connection is broken.
    fn write(&mut self, stream: &mut TcpStream) -> Option<bool> {
        match self {
            Self::Unknown(_) => Some(false),
            Self::H1(talk) => talk.write(stream),
            Self::H2(talk) => talk.write(stream),
        }
    }
}

/// N of `/N`, or of `/Service/N`; 0 for anything else.
fn size(path: &[u8]) -> usize {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    std::str::from_utf8(name).ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}
