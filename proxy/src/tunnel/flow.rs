//! One direction of a tunnel across clusters, as the body of a request or of an answer.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::oneshot;

use super::Pair;
use super::side::Source;
use crate::body::BodyError;

/// What a side says, sent as it says it.
pub(crate) struct Flow(State);

enum State {
    /// Nothing is taken from the side before the other cluster has said yes.
    Awaited(oneshot::Receiver<(Source, Rc<Pair>)>),
    Open(Source, Rc<Pair>),
    Ended,
}

/// Where the side is handed in. Dropped instead, the flow ends without a word.
pub(crate) struct Give(oneshot::Sender<(Source, Rc<Pair>)>);

impl Give {
    /// Lets it flow.
    pub(crate) fn give(self, source: Source, pair: &Rc<Pair>) {
        // Without a receiver the stream has ended already, which its answer's body tells as well.
        if self.0.send((source, pair.clone())).is_err() {
            pair.break_off();
        }
    }
}

impl Flow {
    /// One whose side is handed in later.
    pub(crate) fn awaited() -> (Self, Give) {
        let (give, awaited) = oneshot::channel();
        (Self(State::Awaited(awaited)), Give(give))
    }

    /// One that flows at once.
    pub(crate) fn open(source: Source, pair: &Rc<Pair>) -> Self {
        Self(State::Open(source, pair.clone()))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let State::Awaited(awaited) = &mut self.0 {
            self.0 = match ready!(Pin::new(awaited).poll(cx)) {
                Ok((source, pair)) => State::Open(source, pair),
                Err(_) => State::Ended,
            };
        }
        let State::Open(source, pair) = &mut self.0 else { return Poll::Ready(None) };
        pair.wake_on_break(cx);
        let said = if pair.is_broken() { Err(()) } else { ready!(source.poll_chunk(cx)).map_err(|_| ()) };
        Poll::Ready(match said {
            Ok(Some(bytes)) => Some(Ok(Frame::data(bytes))),
            Ok(None) => {
                pair.said.cancel();
                self.0 = State::Ended;
                None
            }
            Err(()) => {
                // Dropping what is open breaks the pair.
                self.0 = State::Ended;
                Some(Err(BodyError::Tunnel(h2::Error::from(h2::Reason::CONNECT_ERROR))))
            }
        })
    }

    /// True when nothing more comes.
    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self.0, State::Ended)
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flow")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Self::Open(_, pair) = self
            && !pair.said.is_cancelled()
        {
            pair.said.cancel();
            pair.break_off();
        }
    }
}
