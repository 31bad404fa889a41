//! Frames of HTTP/2 that only cost: counted as they are read, so that a flood of them ends its connection.
//!
//! h2 bounds what a peer can make it keep: CONTINUATION, streams reset before they are looked at, streams that it has to
//! reset itself, empty DATA. It does not bound what a peer can make it *do*: PING, SETTINGS and PRIORITY are answered or
//! read for ever, and each pair of HEADERS and RST_STREAM begins and abandons a request. Here such frames are paid from
//! an allowance that time and the bytes sent to the peer refill: who receives much also acknowledges much.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::server::Builder;
use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

mod wire;

pub(crate) use wire::Wire;

use crate::http2::Heard;
use wire::Part;

/// What a peer may send that only costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Frames at once.
    burst: u64,
    /// In a second, for as long as the peer likes.
    a_second: u64,
    /// Streams that it reset before they were looked at, at one time: what comes in one piece is read in one piece, and so is
    /// all that a daemon that stalled finds in its sockets.
    unseen_resets: usize,
}

/// One client.
pub(crate) const CLIENT: Terms = Terms { burst: 10_000, a_second: 1_000, unseen_resets: 256 };
/// Another cluster's daemon, which passes on what all its clients give up.
pub(crate) const PEER: Terms = Terms { burst: 40_000, a_second: 4_000, unseen_resets: 4_096 };
/// Bytes sent to the peer that allow it one more.
const BYTES_EACH: u64 = 4_096;
/// How many PING and WINDOW_UPDATE a frame of DATA that is sent to the peer allows it: many answer each by one of both, from
/// which they learn how large their windows should be.
const DATA_ALLOWS: u64 = 2;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// No CONTINUATION follows.
const END_HEADERS: u8 = 0x4;
/// What a stream given up costs, by either end: a request was begun for it, or it was one too many, or broke the protocol.
const RESET: u64 = 2;
const RST_STREAM: u8 = 3;
/// What comes before the first frame (RFC 9113 §3.4).
const PREFACE: usize = 24;
const HEADER: usize = 9;

/// Streams that were reset from here and are remembered for a second, so that what is on the way to them is passed over.
pub(crate) const REMEMBERED_RESETS: usize = 4_096;

/// Sets what h2 itself bounds, whatever its defaults are. The streams that this end resets are not among that: h2 counts them for
/// the connection's life, refused ones too, and who opens more streams than it may before it has read how many those are has
/// done no wrong. They are priced as they are written.
pub(crate) fn bound(builder: &mut Builder, terms: Terms, streams: u32, head_bytes: u32) -> &mut Builder {
    builder
        .max_concurrent_streams(streams)
        .max_header_list_size(head_bytes)
        .max_pending_accept_reset_streams(terms.unseen_resets)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .max_local_error_reset_streams(None)
}

/// What a peer has left.
#[derive(Debug)]
struct Allowance {
    terms: Terms,
    left: u64,
    since: Instant,
    sent: u64,
    /// Acknowledgements that are free, for what was sent.
    acks: u64,
}

impl Allowance {
    const fn new(terms: Terms, now: Instant) -> Self {
        Self { terms, left: terms.burst, since: now, sent: 0, acks: 0 }
    }

    /// Takes the price of frames of which so many acknowledge what was sent; false when there is not enough left.
    fn pay_beside(&mut self, acks: u64, others: u64, now: Instant) -> bool {
        let free = acks.min(self.acks);
        self.acks -= free;
        let price = acks - free + others;
        price == 0 || self.pay(price, now)
    }

    /// So many frames of DATA were sent.
    fn sent_data(&mut self, frames: u64) {
        self.acks = self.acks.saturating_add(frames * DATA_ALLOWS).min(self.terms.burst);
    }

    /// Takes the price of a frame; false when there is not enough left.
    fn pay(&mut self, price: u64, now: Instant) -> bool {
        if self.left < price {
            self.refill(now);
        }
        match self.left.checked_sub(price) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX);
        let by_time = passed.saturating_mul(self.terms.a_second) / 1_000;
        // What is too little for one is kept for later.
        if by_time > 0 {
            self.since += Duration::from_millis(by_time.saturating_mul(1_000) / self.terms.a_second);
        }
        let by_bytes = self.sent / BYTES_EACH;
        self.sent %= BYTES_EACH;
        self.left = self.left.saturating_add(by_time).saturating_add(by_bytes).min(self.terms.burst);
    }
}

/// What a frame costs, by its header: nothing when it carries a request forward.
fn price(kind: u8, flags: u8, length: usize) -> u64 {
    const END_STREAM: u8 = 0x1;
    match kind {
        // DATA, with something in it or at its end, and HEADERS.
        DATA if length > 0 || flags & END_STREAM != 0 => 0,
        HEADERS => 0,
        RST_STREAM => RESET,
        _ => 1,
    }
}

/// Where in the stream of frames the next byte stands.
#[derive(Debug)]
struct Reader {
    /// Bytes of the preface or of a payload that are passed over.
    skip: usize,
    header: [u8; HEADER],
    have: usize,
    /// Of the frame that is read, once that is known.
    kind: Option<u8>,
    /// More of a head follows.
    head_open: bool,
    /// Frames begun, all of one head counted as one.
    begun: u32,
}

impl Reader {
    /// Of what a client sends.
    const fn behind_preface() -> Self {
        Self { skip: PREFACE, ..Self::at_frame() }
    }

    /// Of what a server sends.
    const fn at_frame() -> Self {
        Self { skip: 0, header: [0; HEADER], have: 0, kind: None, head_open: false, begun: 0 }
    }

    /// Goes on over `bytes`, calling `frame` with each header's (type, flags, length).
    fn read(&mut self, mut bytes: &[u8], mut frame: impl FnMut(u8, u8, usize)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(bytes.len());
                self.skip -= count;
                bytes = &bytes[count..];
                continue;
            }
            if self.have == 0 {
                self.begun = self.begun.wrapping_add(u32::from(!self.head_open));
                self.kind = None;
            }
            let count = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + count].copy_from_slice(&bytes[..count]);
            self.have += count;
            bytes = &bytes[count..];
            if self.have == HEADER {
                let [a, b, c, kind, flags, ..] = self.header;
                let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                frame(kind, flags, length);
                (self.have, self.skip) = (0, length);
                self.kind = Some(kind);
                if matches!(kind, HEADERS | CONTINUATION) {
                    self.head_open = flags & END_HEADERS == 0;
                }
            }
        }
    }

    /// What has come in part; `None` between two frames.
    fn part(&self) -> Option<Part> {
        let data = self.kind == Some(DATA) && !self.head_open;
        (self.have > 0 || self.skip > 0 || self.head_open).then_some(Part { number: self.begun, data })
    }
}

/// A connection that speaks HTTP/2 and is cut when its peer sends more than [`Allowance`] has.
#[derive(Debug)]
pub(crate) struct Priced<S> {
    io: S,
    reader: Reader,
    written: Reader,
    allowance: Allowance,
    cut: Counter,
    heard: Heard,
    wire: Rc<Wire>,
    /// What it had was not enough for the streams that were reset from here.
    overdrawn: bool,
}

impl<S> Priced<S> {
    /// From before the preface on. `cut` counts connections that were cut.
    pub(crate) fn new(io: S, terms: Terms, cut: Counter) -> Self {
        let allowance = Allowance::new(terms, Instant::now());
        let (reader, written) = (Reader::behind_preface(), Reader::at_frame());
        Self { io, reader, written, allowance, cut, heard: Heard::default(), wire: Rc::default(), overdrawn: false }
    }

    /// How it stands with its bytes.
    pub(crate) fn wire(&self) -> Rc<Wire> {
        self.wire.clone()
    }

    /// Whether anything comes.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Priced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buf);
        let came = buf.filled().len() > before;
        let (mut acks, mut others) = (0, 0);
        if this.overdrawn {
            return this.cut();
        }
        this.reader.read(&buf.filled()[before..], |kind, flags, length| match kind {
            PING | WINDOW_UPDATE => acks += 1,
            _ => others += price(kind, flags, length),
        });
        if came {
            this.heard.note();
            this.wire.came(this.reader.part());
        }
        if acks + others > 0 && !this.allowance.pay_beside(acks, others, Instant::now()) {
            return this.cut();
        }
        polled
    }
}

impl<S> Priced<S> {
    fn cut(&self) -> Poll<io::Result<()>> {
        self.cut.increment(1);
        Poll::Ready(Err(io::Error::other("more control frames than requests need")))
    }
}

impl<S: AsyncWrite + Unpin> Priced<S> {
    fn note<'b>(
        &mut self,
        polled: Poll<io::Result<usize>>,
        pieces: impl Iterator<Item = &'b [u8]>,
    ) -> Poll<io::Result<usize>> {
        self.wire.wrote(polled.is_ready());
        if let Poll::Ready(Ok(count)) = &polled {
            self.allowance.sent = self.allowance.sent.saturating_add(*count as u64);
            let (mut left, mut data, mut resets) = (*count, 0, 0);
            for piece in pieces {
                let taken = piece.len().min(left);
                self.written.read(&piece[..taken], |kind, _, length| {
                    data += u64::from(kind == DATA && length > 0);
                    resets += u64::from(kind == RST_STREAM);
                });
                left -= taken;
            }
            self.allowance.sent_data(data);
            self.overdrawn |= resets > 0 && !self.allowance.pay(resets * RESET, Instant::now());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Priced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(cx, buf);
        this.note(polled, std::iter::once(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.note(polled, bufs.iter().map(|piece| &**piece))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let mut stream = vec![0; PREFACE];
        stream.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        stream.extend([0, 0, 3, 0, 1, 0, 0, 0, 1, 7, 7, 7]);
        stream.extend([0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]);
        for step in 1..stream.len() {
            let (mut reader, mut seen) = (Reader::behind_preface(), Vec::new());
            for part in stream.chunks(step) {
                reader.read(part, |kind, flags, length| seen.push((kind, flags, length)));
            }
            assert_eq!(seen, [(4, 0, 0), (0, 1, 3), (3, 0, 4)], "{step} bytes at a time");
        }
    }

    #[test]
    fn what_has_come_in_part_is_known_at_each_byte() {
        let mut reader = Reader::behind_preface();
        let mut at = |bytes: &[u8]| {
            reader.read(bytes, |_, _, _| ());
            reader.part().map(|part| (part.number, part.data))
        };
        assert_eq!(at(&[0; PREFACE - 1]), Some((0, false)));
        assert_eq!(at(&[0]), None);
        let head: [(&[u8], _); 6] = [
            (&[0, 0, 2, HEADERS], Some((1, false))),
            (&[0, 0, 0, 0, 1], Some((1, false))),
            (&[7, 7], Some((1, false))),
            (&[0, 0, 1, CONTINUATION, END_HEADERS, 0, 0, 0], Some((1, false))),
            (&[1], Some((1, false))),
            (&[7], None),
        ];
        let body: [(&[u8], _); 4] = [
            (&[0], Some((2, false))),
            (&[0, 2, DATA, 0, 0, 0, 0, 1], Some((2, true))),
            (&[7, 7, 0, 0, 9, DATA, 1, 0, 0, 0, 1, 7], Some((3, true))),
            (&[7, 7, 7, 7, 7, 7, 7, 7], None),
        ];
        for (bytes, part) in head.into_iter().chain(body) {
            assert_eq!(at(bytes), part, "{bytes:?}");
        }
    }

    #[test]
    fn what_carries_a_request_forward_is_free() {
        for (what, kind, flags, length, expected) in [
            ("data", 0, 0, 1, 0),
            ("empty data", 0, 0, 0, 1),
            ("the end of a body", 0, 1, 0, 0),
            ("headers", 1, 4, 40, 0),
            ("priority", 2, 0, 5, 1),
            ("reset", 3, 0, 4, RESET),
            ("settings", 4, 0, 0, 1),
            ("ping", 6, 0, 8, 1),
            ("window update", 8, 0, 4, 1),
            ("continuation", 9, 0, 16_384, 1),
            ("unknown", 0xfa, 0, 9, 1),
        ] {
            assert_eq!(price(kind, flags, length), expected, "{what}");
        }
    }

    #[test]
    fn time_and_bytes_sent_allow_more() {
        let start = Instant::now();
        let mut allowance = Allowance::new(CLIENT, start);
        assert!(allowance.pay(CLIENT.burst, start));
        assert!(!allowance.pay(1, start));
        let later = start + Duration::from_millis(500);
        assert!(allowance.pay(CLIENT.a_second / 2, later) && !allowance.pay(1, later));
        allowance.sent = 3 * BYTES_EACH + 1;
        assert!(allowance.pay(3, later) && !allowance.pay(1, later), "a window update for each few kilobytes is fair");
        assert_eq!(allowance.sent, 1);
        allowance.sent_data(5);
        assert!(!allowance.pay_beside(0, 1, later), "for acknowledgements only");
        assert!(allowance.pay_beside(10, 0, later), "an update and a ping for each frame of data");
        assert!(!allowance.pay_beside(1, 0, later));
        assert!(!allowance.pay(CLIENT.burst + 1, start + Duration::from_secs(3_600)), "what is saved has a ceiling");
        assert!(allowance.pay(CLIENT.burst, start + Duration::from_secs(3_600)));
    }
}
