//! The pod: a raw epoll loop that answers `GET /N` with N bytes. Nothing that a request costs here counts.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::Result;

use crate::poll::{LISTENER, Poll, Ready};

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    answers: VecDeque<(Arc<[u8]>, usize)>,
    waiting: bool,
}

/// Serves until it is killed.
pub fn serve(at: SocketAddr) -> Result<()> {
    let (mut poll, listener) = Poll::on(at)?;
    let (mut open, mut next) = (HashMap::new(), LISTENER + 1);
    let mut answers: HashMap<usize, Arc<[u8]>> = HashMap::new();
    loop {
        for ready in poll.wait()? {
            if ready.number == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    poll.add(&stream, next)?;
                    open.insert(
                        next,
                        Connection { stream, input: Vec::new(), answers: VecDeque::new(), waiting: false },
                    );
                    next += 1;
                }
                continue;
            }
            let Some(connection) = open.get_mut(&ready.number) else { continue };
            if !connection.attend(&poll, ready, &mut answers) {
                open.remove(&ready.number);
            }
        }
    }
}

impl Connection {
    /// False when it is over.
    fn attend(&mut self, poll: &Poll, ready: Ready, answers: &mut HashMap<usize, Arc<[u8]>>) -> bool {
        if ready.readable && !self.read(answers) {
            return false;
        }
        if !self.write() {
            return false;
        }
        let waiting = !self.answers.is_empty();
        if waiting == self.waiting {
            return true;
        }
        self.waiting = waiting;
        poll.want(&self.stream, ready.number, true, waiting).is_ok()
    }

    fn read(&mut self, answers: &mut HashMap<usize, Arc<[u8]>>) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(n) => self.input.extend_from_slice(&buffer[..n]),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
        while let Some(end) = self.input.windows(4).position(|w| w == b"\r\n\r\n") {
            let size = asked(&self.input[..end]);
            self.input.drain(..end + 4);
            let answer = answers.entry(size).or_insert_with(|| answer(size));
            self.answers.push_back((answer.clone(), 0));
        }
        true
    }

    fn write(&mut self) -> bool {
        while let Some((answer, sent)) = self.answers.front_mut() {
            match self.stream.write(&answer[*sent..]) {
                Ok(n) => *sent += n,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
            if *sent == answer.len() {
                self.answers.pop_front();
            }
        }
        true
    }
}

/// N of `GET /N HTTP/1.1`; 0 for anything else.
fn asked(head: &[u8]) -> usize {
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let path = line.split(|b| *b == b' ').nth(1).unwrap_or_default();
    std::str::from_utf8(path).ok().and_then(|p| p.trim_start_matches('/').parse().ok()).unwrap_or(0)
}

fn answer(size: usize) -> Arc<[u8]> {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {size}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + size, b'x');
    bytes.into()
}
