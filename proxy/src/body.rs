//! The bodies that pass through: one enum each way, no boxing, one frame in flight.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

mod error;
mod hold;
mod incoming;
mod inflow;

pub(crate) use error::BodyError;
pub(crate) use hold::{Hold, Released};
pub(crate) use incoming::Incoming;
pub(crate) use inflow::{Inflow, Movement, Patience};

use crate::hygiene::clean_trailers;
use crate::tunnel::Flow;

/// A request's body on its way to a pod or a gateway.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// Small and kept, so that it can be sent again.
    Kept(Option<Bytes>),
    /// Passed through as it comes.
    Streaming(Inflow),
    /// Passed through once the pod asked for it (100 Continue).
    Held(Hold, Inflow),
    /// What a client says that is not HTTP.
    Tunnel(Flow),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Kept(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            Self::Streaming(body) => Pin::new(body).poll_frame(cx),
            Self::Held(hold, body) => {
                ready!(hold.poll_released(cx));
                Pin::new(body).poll_frame(cx)
            }
            Self::Tunnel(flow) => flow.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Kept(None) => true,
            Self::Kept(Some(bytes)) => bytes.is_empty(),
            Self::Streaming(body) | Self::Held(_, body) => body.is_end_stream(),
            Self::Tunnel(flow) => flow.is_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Kept(None) => SizeHint::with_exact(0),
            Self::Kept(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streaming(body) | Self::Held(_, body) => body.size_hint(),
            Self::Tunnel(_) => SizeHint::default(),
        }
    }
}

/// What has to happen when a response's body ends.
pub(crate) trait Finish {
    /// A piece of so many bytes was handed over; the next is asked for when there is room for it.
    fn gave(&mut self, _bytes: usize) {}

    /// The next piece is waited for.
    fn awaits(&mut self) {}

    /// The body ended: `whole` when its last byte was passed on, else it broke or was dropped.
    fn finish(self, whole: bool);

    /// The trailers came; the end follows.
    fn trailers(&mut self, _trailers: &HeaderMap) {}

    /// The body broke off; the end follows.
    fn broke(&mut self) {}
}

/// A response's body on its way to the client.
pub(crate) enum ResponseBody<F: Finish> {
    /// A text of our own, or nothing.
    Own(Option<Bytes>),
    /// A pod's or gateway's.
    Passed(Passed<F>),
    /// What a pod says that is not HTTP.
    Tunnel(Flow),
}

/// A body that is passed through, with what waits for its end.
pub(crate) struct Passed<F> {
    /// Came together with the head.
    first: Option<Result<Frame<Bytes>, BodyError>>,
    rest: Incoming,
    finish: Option<F>,
}

impl<F: Finish> ResponseBody<F> {
    /// Passes a body through, whose head must not have been sent on yet. One that is already at its end finishes at once.
    ///
    /// hyper asks the pod's connection for the body when it is first polled, and would send the head alone meanwhile: two
    /// packets and a system call more for nearly every answer. So the connection gets one turn first; what it has by then
    /// goes out with the head, and a body that is still to come keeps nobody waiting.
    pub(crate) async fn passed(mut body: Incoming, mut finish: F) -> Self {
        if body.is_end_stream() {
            finish.finish(true);
            return Self::Passed(Passed { first: None, rest: body, finish: None });
        }
        let mut given_a_turn = false;
        let first = std::future::poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending if given_a_turn => Poll::Ready(None),
            Poll::Pending => {
                given_a_turn = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
        // The head; what came along is handed over when there is room for it.
        finish.gave(0);
        Self::Passed(Passed { first, rest: body, finish: Some(finish) })
    }
}

impl<F: Finish> Passed<F> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = match self.first.take() {
            None => match Pin::new(&mut self.rest).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    self.finish.iter_mut().for_each(F::awaits);
                    return Poll::Pending;
                }
            },
            first => first,
        };
        if let Some(finish) = self.finish.as_mut() {
            match &mut frame {
                Some(Ok(frame)) => {
                    finish.gave(frame.data_ref().map_or(0, Bytes::len));
                    if let Some(trailers) = frame.trailers_mut() {
                        clean_trailers(trailers);
                        finish.trailers(trailers);
                    }
                }
                Some(Err(_)) => finish.broke(),
                None => {}
            }
        }
        let ended = match &frame {
            None => Some(true),
            Some(Err(_)) => Some(false),
            Some(Ok(_)) => self.rest.is_end_stream().then_some(true),
        };
        if let (Some(whole), Some(finish)) = (ended, ended.and_then(|_| self.finish.take())) {
            finish.finish(whole);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref);
        let (first, rest) = (first.map_or(0, |data| data.len() as u64), self.rest.size_hint());
        let mut hint = SizeHint::default();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint
    }
}

impl<F: Finish + Unpin> Body for ResponseBody<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            Self::Passed(passed) => passed.poll_frame(cx),
            Self::Tunnel(flow) => flow.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Passed(passed) => passed.first.is_none() && passed.rest.is_end_stream(),
            Self::Tunnel(flow) => flow.is_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Passed(passed) => passed.size_hint(),
            Self::Tunnel(_) => SizeHint::default(),
        }
    }
}

impl<F: Finish> Drop for ResponseBody<F> {
    fn drop(&mut self) {
        if let Self::Passed(passed) = self
            && let Some(finish) = passed.finish.take()
        {
            finish.finish(false);
        }
    }
}
