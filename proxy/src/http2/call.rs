//! One stream on which this end is asked: the request, and the way back.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::sync::oneshot;

use super::carried::Carried;
use super::pipe::Pipe;
use super::received::Received;
use crate::body::{BodyError, Incoming};

/// What is said on a stream before its answer. It is silent once that has begun.
#[derive(Clone)]
pub(crate) struct Voice(Arc<Mutex<Speech>>);

struct Speech {
    respond: Option<SendResponse<Bytes>>,
    /// Early hints that may still be said: no window holds them back from a client that reads nothing.
    hints: u32,
}

/// Heads of early hints before one answer; what a pod says beyond that is dropped.
const MOST_HINTS: u32 = 32;

impl Voice {
    fn of(respond: SendResponse<Bytes>) -> Self {
        Self(Arc::new(Mutex::new(Speech { respond: Some(respond), hints: MOST_HINTS })))
    }

    /// Sends an informational head.
    pub(crate) fn say(&self, head: Response<()>) {
        self.with(|speech| {
            let Some(respond) = &mut speech.respond else { return };
            if head.status() == StatusCode::EARLY_HINTS {
                let Some(left) = speech.hints.checked_sub(1) else { return };
                speech.hints = left;
            }
            // A stream that is gone is told by what polls it.
            let _ = respond.send_informational(head);
        });
    }

    /// The answer begins, or there will be none.
    fn take(&self) -> Option<SendResponse<Bytes>> {
        self.with(|speech| speech.respond.take())
    }

    /// Ready when the other end has given the request up, before its answer.
    fn poll_given_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with(|speech| speech.respond.as_mut().map_or(Poll::Ready(()), |respond| respond.poll_reset(cx).map(drop)))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Speech) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Voice")
    }
}

/// Gives a stream that leaves HTTP, once the client was told that it may.
pub(crate) type Given = oneshot::Receiver<Carried>;

/// A request that came.
pub(crate) struct Call {
    pub(crate) request: Request<Incoming>,
    /// What of its stream follows it.
    pub(crate) way_back: WayBack,
    /// The stream itself, if this is a CONNECT and is granted.
    pub(crate) given: Option<Given>,
}

/// Where the answer goes.
pub(crate) struct WayBack {
    voice: Voice,
    /// Of a CONNECT: who waits for the stream, and what comes on it.
    leaves: Option<(oneshot::Sender<Carried>, RecvStream)>,
}

impl Call {
    /// `None` for a CONNECT that says it has a body, which is turned away.
    pub(super) fn of(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Option<Self> {
        let (head, stream) = request.into_parts();
        if head.method == Method::CONNECT {
            if head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0") {
                respond.send_reset(Reason::PROTOCOL_ERROR);
                return None;
            }
            let (give, given) = oneshot::channel();
            let way_back = WayBack { voice: Voice::of(respond), leaves: Some((give, stream)) };
            return Some(Self { request: Request::from_parts(head, Incoming::None), way_back, given: Some(given) });
        }
        let voice = Voice::of(respond);
        let mut body = Received::new(stream, &head.headers);
        if !body.is_end_stream() && expects_continue(&head.headers) {
            body = body.awaited_by(voice.clone());
        }
        let request = Request::from_parts(head, Incoming::Http2(body));
        Some(Self { request, way_back: WayBack { voice, leaves: None }, given: None })
    }

    /// How many fields its head has; the crumbs of `Cookie` (RFC 9113 §8.2.3) are one.
    pub(crate) fn fields(&self) -> usize {
        let headers = self.request.headers();
        headers.len() - headers.get_all(header::COOKIE).iter().skip(1).count()
    }

    /// Answers it at once, and with nothing else.
    pub(crate) fn refuse(self, status: StatusCode) {
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        if let Some(respond) = self.way_back.voice.take() {
            begin(respond, answer, true);
        }
    }

    /// Tells the client that nobody has looked at it, so that it can be sent again elsewhere (RFC 9113 §8.7).
    pub(crate) fn turn_away(self) {
        self.way_back.voice.take().into_iter().for_each(|mut respond| respond.send_reset(Reason::REFUSED_STREAM));
    }
}

/// RFC 9110 §10.1.1.
fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl WayBack {
    /// What is said before the answer.
    pub(crate) const fn voice(&self) -> &Voice {
        &self.voice
    }

    /// Answers, unless the other end gives the request up first. What is left of the stream then is reset.
    pub(crate) async fn answer<B>(self, answer: impl Future<Output = Response<B>>)
    where
        B: Body<Data = Bytes, Error = BodyError> + Unpin,
    {
        let answer = self.until_answered(answer).await;
        let (Some(respond), Some(answer)) = (self.voice.take(), answer) else { return };
        if let Some((give, stream)) = self.leaves.filter(|_| answer.status().is_success()) {
            if let Some(into) = begin(respond, answer.map(drop), false) {
                // Who waited may have gone meanwhile, and the stream is reset.
                let _ = give.send(Carried::new(stream, into));
            }
            return;
        }
        let (mut head, body) = answer.into_parts();
        let ends = body.is_end_stream();
        if let Some(length) = body.size_hint().exact().filter(|_| !ends) {
            head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        if let Some(into) = begin(respond, Response::from_parts(head, ()), ends).filter(|_| !ends) {
            // Its end is told by the stream.
            let _ = Pipe::new(body, into).await;
        }
    }

    /// `None` when the other end gives the request up. What made the answer is gone when it begins.
    async fn until_answered<B>(&self, answer: impl Future<Output = Response<B>>) -> Option<Response<B>> {
        let mut answer = pin!(answer);
        let answered = std::future::poll_fn(|cx| {
            // First, so that nothing is begun for a stream that is reset already, as one is whose body belies its head.
            if self.voice.poll_given_up(cx).is_ready() {
                return Poll::Ready(None);
            }
            answer.as_mut().poll(cx).map(Some)
        });
        answered.await
    }
}

/// Sends the head. `None` when the stream is gone, or the head is none for HTTP/2.
fn begin(mut respond: SendResponse<Bytes>, head: Response<()>, ends: bool) -> Option<SendStream<Bytes>> {
    match respond.send_response(head, ends) {
        Ok(into) => Some(into),
        Err(_) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            None
        }
    }
}
