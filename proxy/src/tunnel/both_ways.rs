//! Two connections joined in one task, which holds no buffer while nothing is under way: idle ones are many.
//!
//! What one end says is read into the worker's scratch and written at once; only what the other end does not take is kept,
//! and until that has gone nothing more is read.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::client::Scratch;
use crate::http2::Carried;
use crate::pods::PodIo;
use crate::socket::Broken;

/// What is read at once, before others of the worker have their turn.
const PIECES: usize = 8;

/// One of the two. What is written to it goes without a flush.
pub(crate) trait End: AsyncRead + AsyncWrite + Unpin {
    /// After it has said its end, which is the last that reading tells: ready when it is gone.
    fn poll_gone(&mut self, watch: &mut Broken, cx: &mut Context<'_>) -> Poll<()>;
}

impl End for TcpStream {
    fn poll_gone(&mut self, watch: &mut Broken, cx: &mut Context<'_>) -> Poll<()> {
        watch.poll(self.as_fd(), cx)
    }
}

impl End for PodIo {
    fn poll_gone(&mut self, watch: &mut Broken, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_gone(watch, cx)
    }
}

impl End for Carried {
    fn poll_gone(&mut self, _watch: &mut Broken, cx: &mut Context<'_>) -> Poll<()> {
        self.into.poll_reset(cx)
    }
}

/// Carries what both say until both have said their end. `ahead` was heard of each before.
///
/// # Errors
/// What broke either of them.
pub(crate) async fn both_ways<A: End, B: End>(
    (a, b): (&mut A, &mut B),
    ahead: (Bytes, Bytes),
    scratch: &RefCell<Scratch>,
) -> io::Result<()> {
    let (mut there, mut back) = (Way::new(ahead.0), Way::new(ahead.1));
    poll_fn(|cx| {
        let ended = (there.poll(a, b, scratch, cx)?.is_ready(), back.poll(b, a, scratch, cx)?.is_ready());
        let gone = match ended {
            (true, true) => return Poll::Ready(Ok(())),
            (true, false) => a.poll_gone(&mut there.watch, cx),
            (false, true) => b.poll_gone(&mut back.watch, cx),
            (false, false) => Poll::Pending,
        };
        gone.map(|()| Err(ErrorKind::ConnectionReset.into()))
    })
    .await
}

/// One direction.
struct Way {
    /// Read, and not taken yet.
    unsent: Bytes,
    stage: Stage,
    /// Over who has ended it.
    watch: Broken,
}

#[derive(Clone, Copy)]
enum Stage {
    Speaks,
    /// All was read, and its end is to be passed on.
    Ends,
    Ended,
}

impl Way {
    fn new(ahead: Bytes) -> Self {
        Self { unsent: ahead, stage: Stage::Speaks, watch: Broken::default() }
    }

    /// Until the end was passed on.
    fn poll(
        &mut self,
        from: &mut impl End,
        into: &mut impl End,
        scratch: &RefCell<Scratch>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..PIECES {
            ready!(self.poll_sent(into, cx))?;
            match self.stage {
                Stage::Speaks => ready!(self.poll_passed(from, into, scratch, cx))?,
                Stage::Ends => {
                    ready!(Pin::new(&mut *into).poll_shutdown(cx))?;
                    self.stage = Stage::Ended;
                }
                Stage::Ended => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Until what was kept has been taken.
    fn poll_sent(&mut self, into: &mut impl End, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let taken = ready!(poll_write(into, &self.unsent, cx))?;
            self.unsent.advance(taken);
        }
        // Even an empty piece would keep all of its buffer.
        self.unsent = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// Until a piece was read, and written as far as it is taken now.
    fn poll_passed(
        &mut self,
        from: &mut impl End,
        into: &mut impl End,
        scratch: &RefCell<Scratch>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = scratch.borrow_mut();
        let mut read = ReadBuf::new(scratch.input());
        ready!(Pin::new(from).poll_read(cx, &mut read))?;
        let mut rest = read.filled();
        if rest.is_empty() {
            self.stage = Stage::Ends;
        }
        while !rest.is_empty() {
            match poll_write(into, rest, cx)? {
                Poll::Ready(taken) => rest = &rest[taken..],
                Poll::Pending => {
                    self.unsent = Bytes::copy_from_slice(rest);
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes some of it.
fn poll_write(into: &mut impl End, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    Poll::Ready(match ready!(Pin::new(into).poll_write(cx, bytes)) {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        written => written,
    })
}

#[cfg(test)]
mod tests;
