//! The bodies that server and client send: made as they are asked for, never whole in memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::pattern;

/// What is sent.
#[derive(Debug)]
pub enum Body {
    /// As it is; `None` when it has been sent.
    Whole(Option<Bytes>),
    /// So many bytes of the pattern.
    Pattern {
        /// Sent so far.
        offset: u64,
        /// All of them.
        total: u64,
    },
    /// Events of `text/event-stream`, one a tick.
    Events {
        /// The next one's number.
        next: u64,
        /// How many there are.
        count: u64,
        /// When the next is due.
        ticks: Interval,
    },
    /// What comes in, frame by frame, and then trailers.
    Echo {
        /// Where it comes from.
        from: Incoming,
        /// Sent at its end.
        trailers: Option<HeaderMap>,
    },
    /// What another task sends.
    Channel(mpsc::Receiver<Bytes>),
}

impl Body {
    /// A text, or nothing.
    #[must_use]
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Whole(Some(text.into()))
    }

    /// Numbered events, the first one at once.
    #[must_use]
    pub fn events(count: u64, every: std::time::Duration) -> Self {
        let mut ticks = interval(every.max(std::time::Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Events { next: 0, count, ticks }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Whole(text) => text.take().filter(|t| !t.is_empty()),
            Self::Pattern { offset, total } => {
                let chunk = pattern::chunk(*offset, *total);
                *offset += chunk.len() as u64;
                Some(chunk).filter(|c| !c.is_empty())
            }
            Self::Events { next, count, .. } if *next >= *count => None,
            Self::Events { next, ticks, .. } => {
                ready!(ticks.poll_tick(cx));
                *next += 1;
                Some(Bytes::from(format!("id: {0}\ndata: event {0}\n\n", *next - 1)))
            }
            Self::Echo { from, trailers } => return echo(from, trailers, cx),
            Self::Channel(receiver) => ready!(receiver.poll_recv(cx)),
        };
        Poll::Ready(data.map(|d| Ok(Frame::data(d))))
    }
}

/// A body that breaks off ends without the trailers that say that all is well.
fn echo(
    from: &mut Incoming,
    trailers: &mut Option<HeaderMap>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
    loop {
        return Poll::Ready(match ready!(Pin::new(&mut *from).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => Some(Ok(frame)),
            Some(Ok(_)) => continue,
            Some(Err(_)) => None,
            None => trailers.take().map(|t| Ok(Frame::trailers(t))),
        });
    }
}
