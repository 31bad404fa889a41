//! The next request of a connection that has none under way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::alarm::Alarm;
use super::ask::Asked;
use super::request::{Reading, translate};
use super::scratch::{HEAD, Scratch};
use super::{Cause, Client, Ended, Parking};
use crate::client::visit::WhileIdle;

impl<'w> Client<'w> {
    /// Until a plain request was read and sent to a pod.
    pub(super) fn poll_request(
        &mut self,
        parking: &mut Option<Parking<'w>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Asked<'w>, Ended>> {
        match self.visit.while_idle(cx) {
            WhileIdle::Wait => {}
            WhileIdle::Park => self.park(parking),
            WhileIdle::End => return Poll::Ready(Err(Ended::Over)),
        }
        if !self.door.is_fast() {
            let stirred = ready!(self.io.poll_stirred(cx));
            self.visit.stirred();
            return Poll::Ready(Err(stirred.map_or(Ended::Gone, |_| Ended::Other(Cause::Moment, Bytes::new()))));
        }
        let mut scratch = self.worker.scratch.borrow_mut();
        let Scratch { input, output, .. } = &mut *scratch;
        let mut read = ReadBuf::new(&mut input[..HEAD]);
        let reading = ready!(self.poll_head(&mut read, output, cx));
        self.visit.stirred();
        let Some(reading) = reading else { return Poll::Ready(Err(Ended::Gone)) };
        self.head.clear();
        self.head.extend_from_slice(read.filled());
        self.whole = reading != Reading::Incomplete;
        let asked = match reading {
            Reading::Plain if self.visit.detour.may_try() && self.door.detour.may_try() => self.ask(output),
            Reading::Plain => Err(Cause::Moment),
            Reading::Incomplete | Reading::Other => Err(Cause::Client),
        };
        Poll::Ready(asked.map_err(|cause| Ended::Other(cause, Bytes::new())))
    }

    /// Reads as much of a head as there is, and translates it. `None` when the client has gone.
    fn poll_head(
        &mut self,
        read: &mut ReadBuf<'_>,
        output: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Reading>> {
        let most_target = self.worker.shared.limits.target_bytes;
        loop {
            let before = read.filled().len();
            match Pin::new(&mut self.io).poll_read(cx, read) {
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Ready(Ok(())) if read.filled().len() > before => {}
                Poll::Ready(_) if before == 0 => return Poll::Ready(None),
                // The rest has not come yet, or never will.
                Poll::Pending | Poll::Ready(_) => return Poll::Ready(Some(Reading::Incomplete)),
            }
            if read.filled().iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                // Empty lines behind a request are nothing (RFC 9112 §2.2).
                read.clear();
                self.visit.clock.went_idle(Instant::now());
                continue;
            }
            let reading = translate(read.filled(), most_target, &self.visit.trace, output);
            if reading != Reading::Incomplete || read.remaining() == 0 {
                return Poll::Ready(Some(reading));
            }
        }
    }

    /// Gives up what an idle connection does not need.
    fn park(&mut self, parking: &mut Option<Parking<'w>>) {
        if parking.is_none() {
            *parking = Some((self.worker.metrics.parked(), self.worker.shared.park()));
            (self.head, self.unsent, self.alarm) = (Vec::new(), Vec::new(), Alarm::default());
        }
    }
}
