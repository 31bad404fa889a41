//! The next request of a connection that has none under way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::ask::Asked;
use super::request::{MOST_BODY, Reading, translate};
use super::scratch::{HEAD, Scratch};
use super::{Cause, Client, Ended, Parking};
use crate::client::visit::WhileIdle;

/// How long the rest of a body is waited for here: many write it behind the head, and some only once the head was
/// acknowledged, which a kernel may put off for 40 ms.
const BODY_SOON: Duration = Duration::from_millis(50);

impl<'w> Client<'w> {
    /// Until a plain request was read and sent to a pod.
    pub(super) fn poll_request(
        &mut self,
        parking: &mut Option<Parking<'w>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Asked<'w>, Ended>> {
        match self.visit.while_idle(cx) {
            WhileIdle::End if self.awaited.is_some() => return Poll::Ready(Err(Ended::other(Cause::Moment))),
            WhileIdle::End => return Poll::Ready(Err(Ended::Over)),
            WhileIdle::Park if self.awaited.is_none() => self.park(parking),
            WhileIdle::Park | WhileIdle::Wait => {}
        }
        if !self.door.is_fast() {
            let stirred = ready!(self.io.poll_stirred(cx));
            self.visit.stirred();
            return Poll::Ready(Err(stirred.map_or(Ended::Gone, |_| Ended::other(Cause::Moment))));
        }
        let worker = self.worker;
        let mut scratch = worker.scratch.borrow_mut();
        let Scratch { input, output, .. } = &mut *scratch;
        let mut read = ReadBuf::new(&mut input[..HEAD + MOST_BODY]);
        if self.awaited.is_some() {
            read.put_slice(&self.request);
        }
        let reading = ready!(self.poll_reading(&mut read, output, cx));
        self.visit.stirred();
        let Some(reading) = reading else { return Poll::Ready(Err(Ended::Gone)) };
        self.request.clear();
        self.request.extend_from_slice(read.filled());
        self.owed = reading != Reading::Incomplete;
        let may_try = || self.visit.detour.may_try() && self.door.detour.may_try();
        let asked = match reading {
            Reading::Plain { body, repeatable } if self.awaited.is_some() || may_try() => {
                self.ask(output, body, repeatable)
            }
            Reading::Awaited if self.awaited.is_some() || may_try() => {
                let since = *self.awaited.get_or_insert_with(Instant::now);
                ready!(self.alarm.poll(since + BODY_SOON, cx));
                Err(Cause::Client)
            }
            Reading::Plain { .. } | Reading::Awaited => Err(Cause::Moment),
            Reading::Incomplete | Reading::Other => Err(Cause::Client),
        };
        self.awaited = None;
        Poll::Ready(asked.map_err(Ended::other))
    }

    /// Reads as much of a request as there is, and translates it. `None` when the client has gone.
    fn poll_reading(
        &mut self,
        read: &mut ReadBuf<'_>,
        output: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Reading>> {
        let most_target = self.worker.shared.limits.target_bytes;
        let mut reading = if self.awaited.is_some() { Reading::Awaited } else { Reading::Incomplete };
        loop {
            let before = read.filled().len();
            match Pin::new(&mut self.io).poll_read(cx, read) {
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Ready(Ok(())) if read.filled().len() > before => {}
                Poll::Ready(_) if before == 0 => return Poll::Ready(None),
                // The rest has not come yet,
                Poll::Pending => return Poll::Ready(Some(reading)),
                // or never will, which hyper finds as well.
                Poll::Ready(_) if reading == Reading::Awaited => return Poll::Ready(Some(Reading::Other)),
                Poll::Ready(_) => return Poll::Ready(Some(reading)),
            }
            if read.filled().iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                // Empty lines behind a request are nothing (RFC 9112 §2.2).
                read.clear();
                self.visit.clock.went_idle(std::time::Instant::now());
                continue;
            }
            reading = translate(read.filled(), most_target, &self.visit.trace, output);
            if !matches!(reading, Reading::Incomplete | Reading::Awaited) || read.remaining() == 0 {
                return Poll::Ready(Some(reading));
            }
        }
    }

    /// Gives up what an idle connection does not need.
    fn park(&mut self, parking: &mut Option<Parking<'w>>) {
        if parking.is_none() {
            *parking = Some((self.worker.metrics.parked(), self.worker.shared.park()));
            (self.request, self.unsent, self.alarm) = (Vec::new(), Vec::new(), Alarm::default());
        }
    }
}
