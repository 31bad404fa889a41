//! The way back: a pod's answer, passed on as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::{Added, Answer, translate};
use super::ask::{Asked, Way};
use super::{Cause, Client, Ended, Scratch};
use crate::attempt::plain_outcome;

impl<'w> Client<'w> {
    /// Until the answer was passed on whole.
    pub(super) fn poll_answer(&mut self, asked: &mut Asked<'w>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            match &mut asked.way {
                Way::Dialing(..) => match self.poll_sent(asked, cx) {
                    Poll::Ready(sent) => sent?,
                    Poll::Pending => return self.poll_interruption(asked, cx),
                },
                Way::Failed(_) | Way::Partly { .. } => {
                    return Poll::Ready(Err(Ended::other(Cause::Moment)));
                }
                Way::Sent { .. } => ready!(self.poll_head_of_answer(asked, cx))?,
                Way::Passing { left: 0, .. } => asked.let_go(self.worker),
                Way::Passing { .. } => ready!(self.poll_body(asked, cx))?,
                Way::Said => return self.poll_taken(cx),
            }
        }
    }

    /// Until the head of a plain answer was passed on, with what came along.
    fn poll_head_of_answer(&mut self, asked: &mut Asked<'w>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let Way::Sent { tcp, .. } = &mut asked.way else { return Poll::Ready(Ok(())) };
        let mut scratch = self.worker.scratch.borrow_mut();
        let Scratch { input, output, date } = &mut *scratch;
        let mut read = ReadBuf::new(input);
        let Poll::Ready(result) = Pin::new(tcp).poll_read(cx, &mut read) else {
            drop(scratch);
            return self.poll_interruption(asked, cx);
        };
        let raw = read.filled();
        if result.is_err() || raw.is_empty() {
            return Poll::Ready(Err(Ended::other(Cause::Moment)));
        }
        let now = Instant::now();
        let named = self.worker.named(&self.worker.shared.local);
        let added = Added {
            served_by: named.as_bytes(),
            via: self.visit.trace.via(Version::HTTP_11).as_bytes(),
            date: date.at(SystemTime::now()).as_bytes(),
        };
        let elsewhere = |cause| Poll::Ready(Err(Ended::Other(cause, Bytes::copy_from_slice(raw))));
        let Some(answer) = translate(raw, added, output) else { return elsewhere(Cause::Pods) };
        if !self.visit.may_stay(self.worker, now) {
            return elsewhere(Cause::Moment);
        }
        output.extend_from_slice(&raw[answer.head..]);
        let passed = pass(&mut self.io, output, &mut self.unsent, cx);
        self.record(asked, answer, now);
        asked.passes(answer.length - (raw.len() - answer.head) as u64);
        Poll::Ready(if passed { Ok(()) } else { Err(Ended::Gone) })
    }

    /// What the head of an answer says of its pod, which came at `now`.
    fn record(&self, asked: &mut Asked<'w>, answer: Answer<'_>, now: Instant) {
        let latency = now.saturating_duration_since(asked.attempt.began());
        if let Some(report) = answer.load {
            asked.attempt.note_load(report);
        }
        asked.attempt.judge(plain_outcome(answer.status, latency), now);
        if let Some(unanswered) = asked.unanswered.take() {
            unanswered.answered();
        }
        self.visit.clock.answer_begins();
        self.door.speaks_http.set(true);
        self.door.metrics.answered(&self.worker.shared.local, answer.status, latency);
    }

    /// What ends the wait for an answer beside the answer.
    fn poll_interruption(&mut self, asked: &Asked<'_>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let stirred = self.io.poll_stirred(cx);
        if self.visit.is_cut(cx) || matches!(stirred, Poll::Ready(Err(_))) {
            return Poll::Ready(Err(Ended::Gone));
        }
        let other = |cause| Poll::Ready(Err(Ended::other(cause)));
        if stirred.is_ready() {
            // It may be there though it has ended its direction, or has more to say: hyper knows what to do.
            return other(Cause::Client);
        }
        ready!(self.alarm.poll(asked.overdue, cx));
        other(Cause::Moment)
    }

    /// Until a piece of the body was passed on.
    fn poll_body(&mut self, asked: &mut Asked<'w>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        ready!(self.poll_taken(cx))?;
        let Way::Passing { tcp, left, clean } = &mut asked.way else { return Poll::Ready(Ok(())) };
        let mut scratch = self.worker.scratch.borrow_mut();
        let mut read = ReadBuf::new(&mut scratch.input);
        let Poll::Ready(result) = Pin::new(tcp).poll_read(cx, &mut read) else {
            return self.io.poll_gone(cx).map(|()| Err(Ended::Gone));
        };
        let raw = read.filled();
        if result.is_err() || raw.is_empty() {
            asked.attempt.flight().broke_off(self.worker.shared.now_ms());
            return Poll::Ready(Err(Ended::Over));
        }
        let body = &raw[..usize::try_from(*left).map_or(raw.len(), |left| left.min(raw.len()))];
        *left -= body.len() as u64;
        *clean = body.len() == raw.len();
        Poll::Ready(if pass(&mut self.io, body, &mut self.unsent, cx) { Ok(()) } else { Err(Ended::Gone) })
    }

    /// Until the client has taken what was kept for it.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if self.visit.is_cut(cx) {
            return Poll::Ready(Err(Ended::Gone));
        }
        let taken = ready!(poll_unsent(&mut self.io, &mut self.unsent, cx));
        Poll::Ready(if taken { Ok(()) } else { Err(Ended::Gone) })
    }
}

impl Asked<'_> {
    /// The head of its answer was passed on, and so many bytes of its body are to come.
    fn passes(&mut self, left: u64) {
        if let Way::Sent { tcp, .. } = std::mem::replace(&mut self.way, Way::Said) {
            self.way = Way::Passing { tcp, left, clean: true };
        }
    }
}

/// Writes what the client takes now, and keeps the rest for later. False when it has gone.
fn pass(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8], unsent: &mut Vec<u8>, cx: &mut Context<'_>) -> bool {
    let written = match Pin::new(io).poll_write(cx, bytes) {
        Poll::Ready(Ok(written)) => written,
        Poll::Ready(Err(_)) => return false,
        Poll::Pending => 0,
    };
    unsent.extend_from_slice(&bytes[written..]);
    true
}

/// Writes what was kept. False when the client has gone.
fn poll_unsent(io: &mut (impl AsyncWrite + Unpin), unsent: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<bool> {
    while !unsent.is_empty() {
        match ready!(Pin::new(&mut *io).poll_write(cx, unsent)) {
            Ok(written) if written > 0 => drop(unsent.drain(..written)),
            Ok(_) | Err(_) => return Poll::Ready(false),
        }
    }
    Poll::Ready(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn what_a_client_does_not_take_is_kept_in_order() {
        let (mut near, mut far) = tokio::io::duplex(4);
        let mut unsent = Vec::new();
        for piece in [&b"HTTP/1.1 200"[..], b" OK"] {
            assert!(poll_fn(|cx| Poll::Ready(pass(&mut near, piece, &mut unsent, cx))).await);
        }
        assert_eq!(unsent, b"/1.1 200 OK");
        let mut got = [0; 15];
        let sent = poll_fn(|cx| poll_unsent(&mut near, &mut unsent, cx));
        let (sent, read) = tokio::join!(sent, far.read_exact(&mut got));
        assert!(sent && read.is_ok() && unsent.is_empty());
        assert_eq!(&got, b"HTTP/1.1 200 OK");
        drop(far);
        assert!(!poll_fn(|cx| Poll::Ready(pass(&mut near, b"more", &mut unsent, cx))).await);
    }
}
