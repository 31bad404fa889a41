//! Early hints (103, RFC 8297): what a pod says before its answer, passed on at once.
//!
//! On a stream of HTTP/2 they are heads like any other. Over HTTP/1.1 hyper's server knows one head for an answer. But while a
//! request is under way it keeps reading, to see its client leave, and there, below it, a pod's words are written, if nothing
//! of an earlier answer is on its way still. When the answer itself begins they come too late and are dropped.
//!
//! To listen for such words costs a request two allocations, and hardly any pod has some. So the first requests of a
//! listener listen, then one of many, and all of them once a pod has said something.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use http::{HeaderMap, Response, StatusCode};
use tokio::io::AsyncWrite;

use super::clock::HeadClock;
use crate::http2::Voice;
use crate::hygiene;

/// Requests of a listener that listen before it is known whether its pods have hints, and after them one of so many.
const FIRST: u32 = 64;
const ONE_OF: u32 = 64;
/// A head of hints beyond this many bytes is dropped.
const LONGEST: usize = 16 * 1024;
/// Bytes of hints that may wait for a client before more are dropped.
const MOST_WAITING: usize = 64 * 1024;
const START: &[u8] = b"HTTP/1.1 103 Early Hints\r\n";

/// What is to be written before a client's next answer.
#[derive(Debug, Default)]
pub(super) struct Hints {
    heads: Mutex<Heads>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Heads {
    bytes: BytesMut,
    /// Some of them are written: what is left has to follow, whatever else there is.
    begun: bool,
    /// Which request's pods are listened to, and whether its answer is still to begin: nothing may come between its parts.
    turn: u32,
    open: bool,
}

impl Hints {
    /// A request begins to listen.
    fn open(&self) -> u32 {
        self.with(|heads| {
            (heads.turn, heads.open) = (heads.turn.wrapping_add(1), true);
            heads.turn
        })
    }

    /// Adds one head for that request, if its answer has not begun.
    fn say(&self, turn: u32, head: &[u8]) {
        let taken = self.with(|heads| {
            // A client that takes nothing is not told more and more.
            let open = heads.open && heads.turn == turn && heads.bytes.len() <= MOST_WAITING;
            if open {
                heads.bytes.extend_from_slice(head);
            }
            open
        });
        if taken {
            self.waker.wake();
        }
    }

    /// Adds an informational head on the connection's own account; the caller knows that no answer has begun.
    pub(super) fn put(&self, head: &[u8]) {
        self.with(|heads| heads.bytes.extend_from_slice(head));
    }

    /// Writes what there is, as far as the client takes it.
    ///
    /// # Errors
    /// What the socket says: the client is gone.
    pub(super) fn pass(&self, to: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>) -> std::io::Result<()> {
        self.waker.register(cx.waker());
        match self.with(|heads| heads.poll_write(to, cx)) {
            Poll::Ready(Err(gone)) => Err(gone),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Before an answer is written: ends what is half written, and drops the rest.
    pub(super) fn poll_over(&self, to: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.with(|heads| {
            heads.open = false;
            if heads.begun {
                return heads.poll_write(to, cx);
            }
            heads.bytes.clear();
            Poll::Ready(Ok(()))
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Heads) -> T) -> T {
        f(&mut self.heads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Heads {
    fn poll_write(&mut self, mut to: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.bytes.is_empty() {
            let written = ready!(to.as_mut().poll_write(cx, &self.bytes))?;
            self.begun = true;
            self.bytes.advance(written);
        }
        self.begun = false;
        Poll::Ready(Ok(()))
    }
}

/// Listens to the pods of one request.
#[derive(Clone, Debug)]
pub(crate) struct HintSink {
    to: To,
    heard: Arc<AtomicBool>,
}

/// Who is told.
#[derive(Clone, Debug)]
enum To {
    /// A client of HTTP/1.1, on whose connection it is this request's turn.
    Connection { clock: Arc<HeadClock>, turn: u32 },
    /// A stream.
    Stream(Voice),
}

impl HintSink {
    /// A pod said this with 103.
    pub(crate) fn heard(&self, headers: &HeaderMap) {
        self.heard.store(true, Ordering::Relaxed);
        let headers = hygiene::clean_hints(headers);
        if headers.is_empty() || length(&headers) > LONGEST {
            return;
        }
        match &self.to {
            To::Connection { clock, turn } => clock.hints().say(*turn, &encode(&headers)),
            To::Stream(voice) => {
                let mut head = Response::new(());
                *head.status_mut() = StatusCode::EARLY_HINTS;
                *head.headers_mut() = headers;
                voice.say(head);
            }
        }
    }
}

/// Which requests of a listener listen.
#[derive(Debug, Default)]
pub(crate) struct HintSampling {
    requests: Cell<u32>,
    heard: Arc<AtomicBool>,
}

impl HintSampling {
    /// A pod of the listener was heard to give early hints.
    pub(crate) fn note_heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// One more request, on a client's connection; whether it listens.
    pub(super) fn sink(&self, clock: &Arc<HeadClock>) -> Option<HintSink> {
        self.listens().then(|| {
            // Made before anything is said, so that the connection's reading is woken by the first word.
            let to = To::Connection { turn: clock.hints().open(), clock: clock.clone() };
            HintSink { to, heard: self.heard.clone() }
        })
    }

    /// The same on a stream.
    pub(crate) fn sink_of_stream(&self, voice: &Voice) -> Option<HintSink> {
        self.listens().then(|| HintSink { to: To::Stream(voice.clone()), heard: self.heard.clone() })
    }

    fn listens(&self) -> bool {
        let before = self.requests.get();
        self.requests.set(before.wrapping_add(1));
        before < FIRST || before.is_multiple_of(ONE_OF) || self.heard.load(Ordering::Relaxed)
    }
}

/// Bytes of a head with those fields, as HTTP/1.1 has it.
fn length(headers: &HeaderMap) -> usize {
    START.len() + 2 + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

/// The head as HTTP/1.1 has it.
fn encode(headers: &HeaderMap) -> BytesMut {
    let mut head = BytesMut::with_capacity(length(headers));
    head.extend_from_slice(START);
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_first_listen_then_few_then_all_once_something_was_heard() {
        let (hints, clock) = (HintSampling::default(), Arc::new(HeadClock::new(Instant::now())));
        let listens = |requests: u32| (0..requests).filter_map(|_| hints.sink(&clock)).collect::<Vec<_>>();
        assert_eq!(listens(FIRST).len(), 64);
        assert_eq!(listens(ONE_OF * 10).len(), 10);
        let one = listens(ONE_OF).pop().expect("one of so many");
        one.heard(&HeaderMap::new());
        assert_eq!(listens(100).len(), 100);
    }

    #[test]
    fn a_head_loses_what_concerns_the_pods_connection() {
        let headers =
            [("link", "</a.css>; rel=preload"), ("connection", "x-own"), ("x-own", "1"), ("x-strait-hop", "1")];
        let map = |headers: &[(&'static str, &'static str)]| -> HeaderMap {
            headers.iter().map(|(n, v)| (http::HeaderName::from_static(n), http::HeaderValue::from_static(v))).collect()
        };
        let kept = hygiene::clean_hints(&map(&headers));
        let head = encode(&kept);
        assert_eq!(&head[..], b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
        assert_eq!(head.len(), length(&kept));
        assert!(hygiene::clean_hints(&map(&headers[1..])).is_empty());
    }

    #[tokio::test]
    async fn what_has_begun_is_ended_and_the_rest_is_dropped() {
        let hints = Hints::default();
        let (mut near, mut far) = tokio::io::duplex(4);
        hints.say(hints.open(), b"0123456789");
        std::future::poll_fn(|cx| Poll::Ready(hints.pass(Pin::new(&mut near), cx))).await.expect("it is written");
        let over = std::future::poll_fn(|cx| hints.poll_over(Pin::new(&mut near), cx));
        let mut heard = [0; 10];
        let (over, read) = tokio::join!(over, tokio::io::AsyncReadExt::read_exact(&mut far, &mut heard));
        assert!(over.is_ok() && read.is_ok());
        assert_eq!(&heard, b"0123456789");
        let turn = hints.open();
        hints.say(turn - 1, b"of the request before");
        hints.say(turn, b"late");
        std::future::poll_fn(|cx| hints.poll_over(Pin::new(&mut near), cx)).await.expect("nothing is written");
        hints.say(turn, b"between the parts of the answer");
        std::future::poll_fn(|cx| Poll::Ready(hints.pass(Pin::new(&mut near), cx))).await.expect("it is written");
        drop(near);
        assert_eq!(tokio::io::AsyncReadExt::read(&mut far, &mut heard).await.ok(), Some(0));
    }
}
