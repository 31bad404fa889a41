//! HTTP/2 with prior knowledge, plain or gRPC by the request's content type.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;

use loona_hpack::Decoder;

use super::{Pod, size};
use crate::frames::{self, Frame, Name, kind};

/// So much may wait for the socket before more is made.
const HIGH: usize = 256 * 1024;
/// So much of requests' bodies is read before the window is given back.
const GIVE_BACK: usize = 16 * 1024;
const FILL: [u8; frames::LONGEST] = [b'x'; frames::LONGEST];

/// One connection.
pub struct Talk {
    input: Vec<u8>,
    out: Vec<u8>,
    decoder: Decoder<'static>,
    /// What CONTINUATION goes on with.
    block: Vec<u8>,
    /// Requests whose body has not ended.
    asking: HashMap<u32, Answer>,
    /// Answers in turn, a frame from each.
    answering: VecDeque<(u32, Answer)>,
    /// Answers whose stream's window is used up.
    shut: HashMap<u32, Answer>,
    window: i64,
    initial: i64,
    unreturned: usize,
}

#[derive(Debug)]
struct Answer {
    grpc: bool,
    /// The five bytes before a gRPC message, or nothing.
    prefix: Vec<u8>,
    /// Bytes that are left of the body.
    left: usize,
    window: i64,
}

impl Talk {
    pub fn open() -> Self {
        let mut out = Vec::new();
        frames::open(&mut out);
        Self {
            input: Vec::new(),
            out,
            decoder: Decoder::new(),
            block: Vec::new(),
            asking: HashMap::new(),
            answering: VecDeque::new(),
            shut: HashMap::new(),
            window: frames::WINDOW,
            initial: frames::WINDOW,
            unreturned: 0,
        }
    }

    pub fn take(&mut self, bytes: &[u8], pod: &mut Pod) -> Result<(), String> {
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let mut rest = input.as_slice();
        while let Some((frame, after)) = frames::first(rest)? {
            self.frame(&frame, pod)?;
            rest = after;
        }
        let read = input.len() - rest.len();
        input.drain(..read);
        self.input = input;
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, pod: &mut Pod) -> Result<(), String> {
        match frame.kind {
            kind::HEADERS | kind::CONTINUATION => self.headers(frame)?,
            kind::DATA => self.unreturned += frame.weight,
            kind::SETTINGS if !frame.has(frames::ACK) => self.settings(frame),
            kind::PING if !frame.has(frames::ACK) => {
                frames::put(&mut self.out, kind::PING, frames::ACK, 0, frame.payload);
            }
            kind::WINDOW_UPDATE => self.more(frame.stream, i64::from(frame.number(0))),
            kind::RST_STREAM => self.forget(frame.stream),
            _ => {}
        }
        if self.unreturned >= GIVE_BACK {
            frames::give(&mut self.out, 0, u32::try_from(self.unreturned).unwrap_or(u32::MAX >> 1));
            self.unreturned = 0;
        }
        if matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.has(frames::END_STREAM) {
            self.begin(frame.stream, pod);
        }
        Ok(())
    }

    fn headers(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        self.block.extend_from_slice(frame.payload);
        if !frame.has(frames::END_HEADERS) {
            return if frame.has(frames::END_STREAM) { Err("a request head in pieces".into()) } else { Ok(()) };
        }
        let fields = self.decoder.decode(&std::mem::take(&mut self.block)).map_err(|e| format!("{e:?}"))?;
        let read = |n: &[u8]| fields.iter().find(|(name, _)| name == n).map_or(&[][..], |(_, value)| value);
        let (size, grpc) = (size(read(b":path")), read(b"content-type").starts_with(b"application/grpc"));
        let mut prefix = Vec::new();
        if grpc {
            prefix.push(0);
            prefix.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
        }
        self.asking.insert(frame.stream, Answer { grpc, prefix, left: size, window: self.initial });
        Ok(())
    }

    fn settings(&mut self, frame: &Frame<'_>) {
        if let Some(initial) = frame.initial_window() {
            let change = initial - self.initial;
            self.initial = initial;
            let answering = self.answering.iter_mut().map(|(_, a)| a);
            answering.chain(self.shut.values_mut()).chain(self.asking.values_mut()).for_each(|a| a.window += change);
            self.answering.extend(self.shut.drain());
        }
        frames::put(&mut self.out, kind::SETTINGS, frames::ACK, 0, &[]);
    }

    fn more(&mut self, stream: u32, bytes: i64) {
        if stream == 0 {
            self.window += bytes;
        } else if let Some(mut answer) = self.shut.remove(&stream) {
            answer.window += bytes;
            self.answering.push_back((stream, answer));
        } else if let Some((_, answer)) = self.answering.iter_mut().find(|(s, _)| *s == stream) {
            answer.window += bytes;
        } else if let Some(answer) = self.asking.get_mut(&stream) {
            answer.window += bytes;
        }
    }

    fn forget(&mut self, stream: u32) {
        self.asking.remove(&stream);
        self.shut.remove(&stream);
        self.answering.retain(|(s, _)| *s != stream);
    }

    fn begin(&mut self, stream: u32, pod: &mut Pod) {
        let Some(answer) = self.asking.remove(&stream) else { return };
        pod.count();
        let mut block = vec![0x88];
        let (kind_of, length) =
            if answer.grpc { (&b"application/grpc"[..], None) } else { (&b"text/plain"[..], Some(answer.left)) };
        frames::field(&mut block, Name::Static(31), kind_of);
        if let Some(length) = length {
            frames::field(&mut block, Name::Static(28), length.to_string().as_bytes());
        }
        let empty = answer.left == 0 && !answer.grpc;
        let end = if empty { frames::END_STREAM } else { 0 };
        frames::put(&mut self.out, kind::HEADERS, frames::END_HEADERS | end, stream, &block);
        if !empty {
            self.answering.push_back((stream, answer));
        }
    }

    /// Makes frames as far as windows go.
    fn produce(&mut self) {
        while self.out.len() < HIGH {
            let Some((stream, mut answer)) = self.answering.pop_front() else { return };
            let enough = answer.prefix.len() as i64;
            if self.window <= enough {
                self.answering.push_front((stream, answer));
                return;
            }
            let most = self.window.min(answer.window).min(frames::LONGEST as i64);
            let Some(most) = usize::try_from(most).ok().filter(|_| answer.window > enough) else {
                self.shut.insert(stream, answer);
                continue;
            };
            let fill = answer.left.min(most - answer.prefix.len());
            let length = answer.prefix.len() + fill;
            answer.left -= fill;
            answer.window -= length as i64;
            self.window -= length as i64;
            let end = if answer.left == 0 && !answer.grpc { frames::END_STREAM } else { 0 };
            frames::head(&mut self.out, length, kind::DATA, end, stream);
            self.out.append(&mut answer.prefix);
            self.out.extend_from_slice(&FILL[..fill]);
            if answer.left > 0 {
                self.answering.push_back((stream, answer));
            } else if answer.grpc {
                let mut trailers = Vec::new();
                frames::field(&mut trailers, Name::New("grpc-status"), b"0");
                frames::put(&mut self.out, kind::HEADERS, frames::END_HEADERS | frames::END_STREAM, stream, &trailers);
            }
        }
    }

    pub fn write(&mut self, stream: &mut TcpStream) -> Option<bool> {
        loop {
            self.produce();
            if self.out.is_empty() {
                return Some(false);
            }
            match stream.write(&self.out) {
                Ok(n) => drop(self.out.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(true),
                Err(_) => return None,
            }
        }
    }
}
