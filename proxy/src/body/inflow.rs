//! A client's body as it comes in, given up when it stops coming.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{BodyError, Incoming};
use crate::client::LastOfRequest;
use crate::hygiene::clean_trailers;

/// How long something may not move. The time runs only while it is waited for, and costs a timer only then.
#[derive(Debug)]
struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Stall {
    const fn new(limit: Duration) -> Self {
        Self { limit, timer: None, waiting: false }
    }

    const fn moved(&mut self) {
        self.waiting = false;
    }

    /// Ready when it has been waited for the whole limit.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.waiting {
            timer.as_mut().reset(Instant::now() + limit);
            self.waiting = true;
        }
        timer.as_mut().poll(cx)
    }
}

/// When a body last moved, for whoever gives its request time: an upload that comes along is no late answer.
#[derive(Clone, Debug)]
pub(crate) struct Movement(Rc<Cell<Instant>>);

impl Movement {
    /// When the last of it was passed on so far.
    pub(crate) fn last(&self) -> Instant {
        self.0.get()
    }
}

/// What is borne with a body that comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long it may be silent while it is read.
    pub(crate) stall: Duration,
    /// How long it may take until its end.
    pub(crate) whole: Duration,
}

#[derive(Debug)]
struct Ends {
    stall: Stall,
    at: Instant,
}

/// A client's body with its patience. A pod that reads slowly does not use up the patience with
/// silence: then nothing is asked of the client.
#[derive(Debug)]
pub(crate) struct Inflow {
    body: Incoming,
    limits: Option<Ends>,
    movement: Movement,
    last: Option<LastOfRequest>,
}

impl Inflow {
    /// A body that begins now; `None` has patience for ever. `last` is told when all of it has come.
    pub(crate) fn new(body: Incoming, patience: Option<Patience>, last: Option<LastOfRequest>) -> Self {
        let now = Instant::now();
        let limits = patience.map(|Patience { stall, whole }| Ends { stall: Stall::new(stall), at: now + whole });
        Self { body, limits, movement: Movement(Rc::new(Cell::new(now))), last }
    }

    /// Tells whoever wants to know how much of the request has come.
    fn tell<T>(&mut self, polled: &Poll<Option<T>>, ended: bool) {
        let Some(last) = &self.last else { return };
        if matches!(polled, Poll::Ready(None)) || ended || self.body.is_end_stream() {
            last.came();
            self.last = None;
        } else {
            last.asked_for(polled.is_pending());
        }
    }

    /// Tells when it last moved, for as long as anybody asks.
    pub(crate) fn movement(&self) -> Movement {
        self.movement.clone()
    }
}

impl Body for Inflow {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        let mut ended = false;
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            clean_trailers(trailers);
            // Nobody asks for what follows.
            ended = true;
        }
        if polled.is_ready() {
            this.movement.0.set(Instant::now());
        }
        this.tell(&polled, ended);
        let Some(Ends { stall, at }) = &mut this.limits else { return polled };
        if polled.is_pending() {
            return stall.poll_over(cx).map(|()| Some(Err(BodyError::Stalled)));
        }
        stall.moved();
        if this.movement.last() > *at && !this.body.is_end_stream() {
            return Poll::Ready(Some(Err(BodyError::Endless)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_silence_has_the_whole_limit_and_time_between_is_free() {
        let limit = Duration::from_secs(60);
        let mut stall = Stall::new(limit);
        for _ in 0..3 {
            assert!(std::future::poll_fn(|cx| Poll::Ready(stall.poll_over(cx))).await.is_pending());
            tokio::time::sleep(Duration::from_secs(59)).await;
            stall.moved();
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        let began = Instant::now();
        std::future::poll_fn(|cx| stall.poll_over(cx)).await;
        assert_eq!(began.elapsed(), limit);
    }
}
