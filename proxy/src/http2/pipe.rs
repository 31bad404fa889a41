//! A body on its way into a stream, as fast as the other end takes it.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use super::places::Place;
use crate::bell::Bell;
use crate::body::BodyError;

/// Sends a body. The stream is reset when the body breaks off.
pub(super) struct Pipe<B> {
    body: B,
    to: SendStream<Bytes>,
    /// A piece that waits for room, and whether it is the last.
    waiting: Option<(Bytes, bool)>,
}

/// Why a body was not sent whole.
#[derive(Debug)]
pub(super) enum Broken {
    /// The body broke off.
    Body,
    /// The other end does not want the rest of it, or the stream is gone.
    Stream,
}

impl<B> Pipe<B> {
    pub(super) const fn new(body: B, to: SendStream<Bytes>) -> Self {
        Self { body, to, waiting: None }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Pipe<B> {
    /// Until the piece that waits is sent; true when it was the last.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        while self.to.capacity() == 0 {
            match ready!(self.to.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Broken::Stream)),
            }
        }
        let Some((data, last)) = self.waiting.take() else { return Poll::Ready(Ok(false)) };
        self.to.send_data(data, last).map_err(|_| Broken::Stream)?;
        Poll::Ready(Ok(last))
    }

    /// Until there is another piece to be sent, or the body has ended; true then.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.to.send_reset(error.reason());
                return Poll::Ready(Err(Broken::Body));
            }
            None => {
                self.to.send_data(Bytes::new(), true).map_err(|_| Broken::Stream)?;
                return Poll::Ready(Ok(true));
            }
        };
        match frame.into_data() {
            Ok(data) if data.is_empty() => {
                let last = self.body.is_end_stream();
                if last {
                    self.to.send_data(data, true).map_err(|_| Broken::Stream)?;
                }
                Poll::Ready(Ok(last))
            }
            Ok(data) => {
                // No more than a claim: the connection's window is shared, and h2 asks for the rest when it has the piece.
                self.to.reserve_capacity(1);
                self.waiting = Some((data, self.body.is_end_stream()));
                Poll::Ready(Ok(false))
            }
            Err(frame) => {
                let Ok(trailers) = frame.into_trailers() else { return Poll::Ready(Ok(false)) };
                self.to.reserve_capacity(0);
                self.to.send_trailers(trailers).map_err(|_| Broken::Stream)?;
                Poll::Ready(Ok(true))
            }
        }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Future for Pipe<B> {
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            // Whatever is waited for, the other end may give it up.
            if self.to.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(Broken::Stream));
            }
            let over =
                if self.waiting.is_some() { ready!(self.poll_waiting(cx))? } else { ready!(self.poll_body(cx))? };
            if over {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl BodyError {
    /// What the stream is reset with that it ends.
    fn reason(&self) -> Reason {
        let told = match self {
            Self::Http2(error) | Self::Tunnel(error) => error.reason(),
            Self::Http1(_) | Self::Stalled | Self::Endless => None,
        };
        // Two would say of this stream what holds for that one only: that it ended well, or was never looked at.
        let told = told.filter(|reason| ![Reason::NO_ERROR, Reason::REFUSED_STREAM].contains(reason));
        told.unwrap_or(Reason::INTERNAL_ERROR)
    }
}

/// Whether anybody waits for the answer to a request whose body is still sent.
#[derive(Debug)]
pub(super) struct Interest {
    lost: Cell<bool>,
    body_broke: Cell<bool>,
    bell: Bell,
    /// The stream's, until both of its directions are over.
    _place: Place,
}

impl Interest {
    /// Of a stream that has just been opened.
    pub(super) fn new(place: Place) -> Rc<Self> {
        let (lost, body_broke, bell) = (Cell::new(false), Cell::new(false), Bell::default());
        Rc::new(Self { lost, body_broke, bell, _place: place })
    }

    /// Nobody does any more: the rest of the body is not sent, and the stream is reset.
    pub(super) fn lose(&self) {
        self.lost.set(true);
        self.bell.ring();
    }

    /// True when the stream ended since the body did before its end.
    pub(super) fn body_broke(&self) -> bool {
        self.body_broke.get()
    }

    /// Sends a body for as long as anybody waits for its answer.
    pub(super) async fn send<B: Body<Data = Bytes, Error = BodyError> + Unpin>(self: Rc<Self>, mut pipe: Pipe<B>) {
        let sent = std::future::poll_fn(|cx| {
            if self.lost.get() {
                return Poll::Ready(Ok(()));
            }
            self.bell.listen(cx);
            Pin::new(&mut pipe).poll(cx)
        });
        if matches!(sent.await, Err(Broken::Body)) {
            self.body_broke.set(true);
        }
    }
}
