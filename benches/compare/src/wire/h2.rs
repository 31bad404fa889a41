//! HTTP/2 with prior knowledge: GET, or a unary gRPC call. Answers are decoded and checked whole, trailers included.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use loona_hpack::Decoder;

use super::Answered;
use crate::frames::{self, Frame, Name, kind};
use crate::load::{Load, Speech};

/// A message of sixteen bytes with its prefix, as gRPC frames it.
const MESSAGE: [u8; 21] = *b"\0\0\0\0\x10sixteen bytes...";
/// So much is read before the other end gets that much of the connection's window back.
const GIVE_BACK: usize = 1 << 20;

/// One connection.
pub struct Wire {
    /// The header block of every request.
    block: Vec<u8>,
    grpc: bool,
    /// Bytes of DATA in an answer.
    length: usize,
    next: u32,
    streams: HashMap<u32, Stream>,
    /// Due, and waiting for a window.
    waiting: VecDeque<Instant>,
    /// What may still be sent on the connection.
    window: i64,
    input: Vec<u8>,
    decoder: Decoder<'static>,
    /// Header block of a stream that CONTINUATION frames go on with, and whether the stream ends with it.
    block_read: (Vec<u8>, bool),
    unreturned: usize,
}

struct Stream {
    due: Instant,
    status: bool,
    received: usize,
}

impl Wire {
    /// What opens it is added to `out`.
    pub fn open(load: Load, at: SocketAddr, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(frames::PREFACE);
        frames::open(out);
        let grpc = load.speech == Speech::Grpc;
        Self {
            block: block(grpc, at, load.body),
            grpc,
            length: if grpc { load.body + 5 } else { load.body },
            next: 1,
            streams: HashMap::new(),
            waiting: VecDeque::new(),
            window: frames::WINDOW,
            input: Vec::new(),
            decoder: Decoder::new(),
            block_read: (Vec::new(), false),
            unreturned: 0,
        }
    }

    pub fn ask(&mut self, due: Instant, out: &mut Vec<u8>) {
        self.waiting.push_back(due);
        self.send(out);
    }

    /// Sends what the window allows.
    fn send(&mut self, out: &mut Vec<u8>) {
        let weight = if self.grpc { MESSAGE.len() as i64 } else { 0 };
        while self.window >= weight {
            let Some(due) = self.waiting.pop_front() else { return };
            let stream = self.next;
            self.next += 2;
            let end = if self.grpc { 0 } else { frames::END_STREAM };
            frames::put(out, kind::HEADERS, frames::END_HEADERS | end, stream, &self.block);
            if self.grpc {
                frames::put(out, kind::DATA, frames::END_STREAM, stream, &MESSAGE);
                self.window -= weight;
            }
            self.streams.insert(stream, Stream { due, status: false, received: 0 });
        }
    }

    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, answered: &mut Answered) -> Result<(), String> {
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let mut rest = input.as_slice();
        while let Some((frame, after)) = frames::first(rest)? {
            self.frame(&frame, out, answered)?;
            rest = after;
        }
        let read = input.len() - rest.len();
        input.drain(..read);
        self.input = input;
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>, answered: &mut Answered) -> Result<(), String> {
        match frame.kind {
            kind::DATA => self.data(frame, out, answered),
            kind::HEADERS | kind::CONTINUATION => self.headers(frame, answered),
            kind::SETTINGS if !frame.has(frames::ACK) => {
                frames::put(out, kind::SETTINGS, frames::ACK, 0, &[]);
                Ok(())
            }
            kind::PING if !frame.has(frames::ACK) => {
                frames::put(out, kind::PING, frames::ACK, 0, frame.payload);
                Ok(())
            }
            kind::WINDOW_UPDATE if frame.stream == 0 => {
                self.window += i64::from(frame.number(0));
                self.send(out);
                Ok(())
            }
            kind::RST_STREAM => Err(format!("RST_STREAM with code {}", frame.number(0))),
            kind::GOAWAY => Err(format!("GOAWAY with code {}", frame.number(4))),
            _ => Ok(()),
        }
    }

    fn data(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>, answered: &mut Answered) -> Result<(), String> {
        self.unreturned += frame.weight;
        if self.unreturned >= GIVE_BACK {
            frames::give(out, 0, u32::try_from(self.unreturned).unwrap_or(u32::MAX >> 1));
            self.unreturned = 0;
        }
        let stream = self.streams.get_mut(&frame.stream).ok_or("DATA of a stream that is not open")?;
        stream.received += frame.payload.len();
        if frame.has(frames::END_STREAM) {
            if self.grpc {
                return Err("the call ended without trailers".to_owned());
            }
            return self.end(frame.stream, answered);
        }
        Ok(())
    }

    fn headers(&mut self, frame: &Frame<'_>, answered: &mut Answered) -> Result<(), String> {
        if frame.kind == kind::HEADERS {
            self.block_read = (Vec::new(), frame.has(frames::END_STREAM));
        }
        self.block_read.0.extend_from_slice(frame.payload);
        if !frame.has(frames::END_HEADERS) {
            return Ok(());
        }
        let (block, ends) = std::mem::take(&mut self.block_read);
        let fields = self.decoder.decode(&block).map_err(|e| format!("header block: {e:?}"))?;
        let read = |n: &[u8]| fields.iter().find(|(name, _)| name == n).map(|(_, value)| value.as_slice());
        let stream = self.streams.get_mut(&frame.stream).ok_or("HEADERS of a stream that is not open")?;
        if !stream.status {
            match read(b":status") {
                Some(b"200") => stream.status = true,
                other => return Err(format!(":status {:?}", other.map(String::from_utf8_lossy))),
            }
        }
        if !ends {
            return Ok(());
        }
        if self.grpc && read(b"grpc-status") != Some(b"0") {
            return Err(format!("grpc-status {:?}", read(b"grpc-status").map(String::from_utf8_lossy)));
        }
        self.end(frame.stream, answered)
    }

    fn end(&mut self, stream: u32, answered: &mut Answered) -> Result<(), String> {
        let stream = self.streams.remove(&stream).ok_or("the end of a stream that is not open")?;
        if stream.received != self.length {
            return Err(format!("{} bytes instead of {}", stream.received, self.length));
        }
        answered.push(stream.due);
        Ok(())
    }
}

/// Method, scheme and the rest, by RFC 7541's static table: 2 is GET, 3 is POST, 6 is http.
fn block(grpc: bool, at: SocketAddr, body: usize) -> Vec<u8> {
    let mut out = vec![if grpc { 0x83 } else { 0x82 }, 0x86];
    frames::field(&mut out, Name::Static(1), at.to_string().as_bytes());
    let path = if grpc { format!("/bench.Pods/{body}") } else { format!("/{body}") };
    frames::field(&mut out, Name::Static(4), path.as_bytes());
    if grpc {
        frames::field(&mut out, Name::Static(31), b"application/grpc");
        frames::field(&mut out, Name::New("te"), b"trailers");
    }
    out
}
