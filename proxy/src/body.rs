//! The bodies that pass through: one enum each way, no boxing, one frame in flight.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

mod error;
mod hold;

pub(crate) use error::BodyError;
pub(crate) use hold::{Hold, Released};

use crate::tunnel::Flow;

/// A request's body on its way to a pod or a gateway.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// Small and kept, so that it can be sent again.
    Kept(Option<Bytes>),
    /// Passed through as it comes.
    Streaming(Incoming),
    /// Passed through once the pod asked for it (100 Continue).
    Held(Hold, Incoming),
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
            Self::Streaming(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Http),
            Self::Held(hold, body) => {
                ready!(hold.poll_released(cx));
                Pin::new(body).poll_frame(cx).map_err(BodyError::Http)
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
    /// The body ended: `whole` when its last byte was passed on, else it broke or was dropped.
    fn finish(self, whole: bool);
}

/// A response's body on its way to the client.
pub(crate) enum ResponseBody<F: Finish> {
    /// A text of our own, or nothing.
    Own(Option<Bytes>),
    /// A pod's or gateway's, with what waits for its end.
    Passed(Incoming, Option<F>),
    /// What a pod says that is not HTTP.
    Tunnel(Flow),
}

impl<F: Finish> ResponseBody<F> {
    /// Passes a body through. One that is already at its end finishes at once.
    pub(crate) fn passed(body: Incoming, finish: F) -> Self {
        if body.is_end_stream() {
            finish.finish(true);
            return Self::Passed(body, None);
        }
        Self::Passed(body, Some(finish))
    }
}

impl<F: Finish + Unpin> Body for ResponseBody<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            Self::Passed(body, finish) => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                let ended = match &frame {
                    None => Some(true),
                    Some(Err(_)) => Some(false),
                    Some(Ok(_)) => body.is_end_stream().then_some(true),
                };
                if let (Some(whole), Some(finish)) = (ended, ended.and_then(|_| finish.take())) {
                    finish.finish(whole);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Http)))
            }
            Self::Tunnel(flow) => flow.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Passed(body, _) => body.is_end_stream(),
            Self::Tunnel(flow) => flow.is_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Passed(body, _) => body.size_hint(),
            Self::Tunnel(_) => SizeHint::default(),
        }
    }
}

impl<F: Finish> Drop for ResponseBody<F> {
    fn drop(&mut self) {
        if let Self::Passed(_, finish) = self
            && let Some(finish) = finish.take()
        {
            finish.finish(false);
        }
    }
}
