//! HTTP/1.1, pipelined or not.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use super::{Pod, size};

/// Whole answers by the size of their body.
pub type Answers = HashMap<usize, Arc<[u8]>>;

/// One connection.
#[derive(Default)]
pub struct Talk {
    input: Vec<u8>,
    answers: VecDeque<(Arc<[u8]>, usize)>,
}

impl Talk {
    pub fn take(&mut self, bytes: &[u8], pod: &mut Pod) -> bool {
        self.input.extend_from_slice(bytes);
        while let Some(end) = self.input.windows(4).position(|w| w == b"\r\n\r\n") {
            let whole = end + 4 + upload(&self.input[..end]);
            if self.input.len() < whole {
                break;
            }
            let line = self.input[..end].split(|b| *b == b'\r').next().unwrap_or_default();
            let path = line.split(|b| *b == b' ').nth(1).unwrap_or_default();
            let answer = match path {
                b"/accepts" => answer(pod.accepts.to_string().as_bytes()),
                _ => {
                    let size = size(path);
                    pod.count();
                    pod.answers.entry(size).or_insert_with(|| answer(&vec![b'x'; size])).clone()
                }
            };
            self.answers.push_back((answer, 0));
            self.input.drain(..whole);
        }
        true
    }

    pub fn write(&mut self, stream: &mut TcpStream) -> Option<bool> {
        while let Some((answer, sent)) = self.answers.front_mut() {
            match stream.write(&answer[*sent..]) {
                Ok(n) => *sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(true),
                Err(_) => return None,
            }
            if *sent == answer.len() {
                self.answers.pop_front();
            }
        }
        Some(false)
    }
}

/// Bytes of the request's body.
fn upload(head: &[u8]) -> usize {
    if head.starts_with(b"GET ") {
        return 0;
    }
    let head = String::from_utf8_lossy(head);
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.unwrap_or(0)
}

fn answer(body: &[u8]) -> Arc<[u8]> {
    let length = body.len();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}
