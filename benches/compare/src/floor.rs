//! The floor: a raw epoll relay that knows nothing of HTTP. Two reads, two writes and their waits are what any proxy in a
//! process of its own must pay for a request.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::Result;

use crate::poll::{LISTENER, Poll, Ready};

/// One connection of a client and the one made for it. Even numbers are clients, the odd ones after them their upstreams.
struct Pair {
    sides: [TcpStream; 2],
    /// What was read from the other side and could not be written yet.
    pending: [Vec<u8>; 2],
}

/// Carries until it is killed.
pub fn relay(at: SocketAddr, to: SocketAddr) -> Result<()> {
    let (mut poll, listener) = Poll::on(at)?;
    let (mut open, mut next) = (HashMap::new(), 2);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        for ready in poll.wait(None)? {
            if ready.number == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let upstream = TcpStream::connect(to)?;
                    for (side, number) in [(&client, next), (&upstream, next + 1)] {
                        side.set_nonblocking(true)?;
                        side.set_nodelay(true)?;
                        poll.add(side, number)?;
                    }
                    open.insert(next, Pair { sides: [client, upstream], pending: [Vec::new(), Vec::new()] });
                    next += 2;
                }
                continue;
            }
            let pair = ready.number & !1;
            let Some(both) = open.get_mut(&pair) else { continue };
            if !both.attend(&poll, ready, &mut buffer) {
                open.remove(&pair);
            }
        }
    }
}

impl Pair {
    /// False when either side is over.
    fn attend(&mut self, poll: &Poll, ready: Ready, buffer: &mut [u8]) -> bool {
        let from = usize::from(ready.number & 1 == 1);
        if ready.writable && !self.flush(poll, ready.number, from) {
            return false;
        }
        !ready.readable || !self.pending[1 - from].is_empty() || self.carry(poll, ready.number, from, buffer)
    }

    fn carry(&mut self, poll: &Poll, number: u64, from: usize, buffer: &mut [u8]) -> bool {
        let n = match self.sides[from].read(buffer) {
            Ok(0) => return false,
            Ok(n) => n,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let to = 1 - from;
        let written = match self.sides[to].write(&buffer[..n]) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        if written == n {
            return true;
        }
        self.pending[to].extend_from_slice(&buffer[written..n]);
        poll.want(&self.sides[from], number, false, !self.pending[from].is_empty()).is_ok()
            && poll.want(&self.sides[to], number ^ 1, self.pending[from].is_empty(), true).is_ok()
    }

    /// Writes what is pending to a side; when all is out, its other side is read again.
    fn flush(&mut self, poll: &Poll, number: u64, side: usize) -> bool {
        match self.sides[side].write(&self.pending[side]) {
            Ok(n) => drop(self.pending[side].drain(..n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
        if !self.pending[side].is_empty() {
            return true;
        }
        let other = 1 - side;
        let stuck = !self.pending[other].is_empty();
        poll.want(&self.sides[side], number, !stuck, false).is_ok()
            && poll.want(&self.sides[other], number ^ 1, true, stuck).is_ok()
    }
}
