//! Pings on a connection, so that one whose other end is gone is not kept.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep};

/// Whether anything was read of a connection, since it was asked last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Rc<Cell<bool>>);

impl Heard {
    /// Something was.
    pub(crate) fn note(&self) {
        self.0.set(true);
    }

    fn take(&self) -> bool {
        self.0.take()
    }
}

/// How a connection is asked whether its other end is there.
#[derive(Clone, Debug)]
pub(crate) struct KeepAlive {
    /// How long after an answer it is asked again.
    pub(crate) interval: Duration,
    /// How long an answer may take, unless something else is heard meanwhile.
    pub(crate) timeout: Duration,
    /// Noted by whoever reads the socket.
    pub(crate) heard: Heard,
}

/// A [`KeepAlive`] at work on one connection.
pub(super) struct Pings {
    terms: KeepAlive,
    pings: PingPong,
    timer: Pin<Box<Sleep>>,
    asked: bool,
}

impl Pings {
    pub(super) fn new(terms: KeepAlive, pings: PingPong) -> Self {
        let timer = Box::pin(tokio::time::sleep(terms.interval));
        Self { terms, pings, timer, asked: false }
    }

    /// Ready when the other end is gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.asked && self.pings.poll_pong(cx).is_ready() {
                self.asked = false;
                self.wait(self.terms.interval);
            }
            ready!(self.timer.as_mut().poll(cx));
            let heard = self.terms.heard.take();
            match self.asked {
                true if !heard => return Poll::Ready(()),
                true => self.wait(self.terms.timeout),
                false => {
                    // One that cannot be sent is of a connection that ends.
                    self.asked = self.pings.send_ping(Ping::opaque()).is_ok();
                    self.wait(if self.asked { self.terms.timeout } else { self.terms.interval });
                }
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }
}
