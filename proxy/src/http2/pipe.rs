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
    /// What of a piece waits for room, and whether it is the last.
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
    /// Until as much of what waits is sent as there is room for; true when it was the last. h2 would keep the whole of a piece for
    /// the sake of a byte, beside the next one that waits here.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Broken>> {
        while self.to.capacity() == 0 {
            match ready!(self.to.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Broken::Stream)),
            }
        }
        let Some((data, last)) = &mut self.waiting else { return Poll::Ready(Ok(false)) };
        let fits = data.split_to(data.len().min(self.to.capacity()));
        let whole = data.is_empty();
        let ends = *last && whole;
        if whole {
            self.waiting = None;
        }
        self.to.send_data(fits, ends).map_err(|_| Broken::Stream)?;
        Poll::Ready(Ok(ends))
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
                // What of it is sent is no more asked for: the rest is, until it has gone.
                self.to.reserve_capacity(data.len());
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::VecDeque;

    use http::{Request, Response};
    use http_body::Frame;

    use super::*;

    /// A body in pieces, and how many were asked for.
    struct Pieces(VecDeque<Bytes>, Rc<Cell<usize>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            self.1.set(self.1.get() + 1);
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    /// Answers the one request that comes with a body, and goes on with the connection.
    async fn answers(io: tokio::io::DuplexStream, body: Pieces) {
        let mut connection = h2::server::handshake(io).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let into = respond.send_response(Response::new(()), false).unwrap();
        let pipe = async { Pipe::new(body, into).await.unwrap() };
        let drive = async { while connection.accept().await.is_some() {} };
        tokio::join!(pipe, drive);
    }

    #[tokio::test]
    async fn a_stream_takes_no_more_of_a_piece_than_it_has_room_for() {
        let (near, far) = tokio::io::duplex(64 << 10);
        let asked = Rc::new(Cell::new(0));
        let pieces = ["all that is in the first", "second"].map(|piece| Bytes::from_static(piece.as_bytes()));
        let server = answers(far, Pieces(pieces.into(), asked.clone()));
        let client = async {
            let mut builder = h2::client::Builder::new();
            let (mut requests, connection) = builder.initial_window_size(10).handshake::<_, Bytes>(near).await.unwrap();
            let read = async move {
                let (response, _) = requests.send_request(Request::new(()), true).unwrap();
                drop(requests);
                let mut body = response.await.unwrap().into_body();
                let mut got = Vec::new();
                while let Some(data) = body.data().await {
                    let data = data.unwrap();
                    got.extend_from_slice(&data);
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                    }
                    let first = got.len() <= 20;
                    assert_eq!(asked.get(), if first { 1 } else { 2 }, "after {} bytes", got.len());
                    body.flow_control().release_capacity(data.len()).unwrap();
                }
                got
            };
            let (got, connection) = tokio::join!(read, connection);
            connection.unwrap();
            got
        };
        let (got, ()) = tokio::join!(client, server);
        assert_eq!(got, b"all that is in the firstsecond");
    }
}
