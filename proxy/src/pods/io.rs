//! A pod's connection as hyper reads and writes it.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Load;
use crate::socket::{Broken, Watch, reset_on_close};

/// A connection on which a pod that has stopped reading may still be heard.
///
/// One that answers early and closes (413 to a large upload, say) resets what is still sent to it, and hyper gives up at
/// the first write that fails, though the answer has come and only waits to be read. So what such a pod does not take is
/// dropped, and what is read tells: the answer, then the end, or that it was broken off.
#[derive(Debug)]
pub(crate) struct PodIo {
    tcp: TcpStream,
    /// It takes nothing more, as a write that failed so has told.
    deaf: Option<ErrorKind>,
    /// It says nothing more.
    ended: bool,
    /// Whether its machine is there, where the kernel does not end the connection by itself.
    watch: Option<Watch>,
    /// Of a connection that is taken over in the middle of a request.
    before: Option<Box<Before>>,
}

/// What was sent and heard on a connection before it was taken over: the request that its new owner begins with is not sent
/// again, and what the pod has answered is heard again.
#[derive(Debug)]
struct Before {
    /// What of that request is still to be written.
    to_come: ToCome,
    heard: Bytes,
    /// Who reads before that.
    reader: Option<Waker>,
}

/// What is still to come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToCome {
    /// All of it, with so many bytes of a body.
    Head(usize),
    /// So many bytes of its body.
    Body(usize),
}

impl ToCome {
    /// A piece of it has come; returns how much of that was of this request.
    fn take(&mut self, piece: &[u8]) -> usize {
        let (head, left) = match *self {
            // It comes whole: hyper writes a head in one piece to a socket that takes all of it.
            Self::Head(body) => match piece.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(end) => (end + 4, body),
                None => return piece.len(),
            },
            Self::Body(left) => (0, left),
        };
        let body = left.min(piece.len() - head);
        *self = Self::Body(left - body);
        head + body
    }
}

impl Before {
    /// True until all of the request was written.
    fn is_to_come(&self) -> bool {
        self.to_come != ToCome::Body(0)
    }

    /// Takes a piece of the request in place of the pod.
    fn swallow(&mut self, piece: &[u8]) -> usize {
        let taken = self.to_come.take(piece);
        if !self.is_to_come() {
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        taken
    }

    /// True when there was something to be heard again.
    fn poll_heard(&mut self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<bool> {
        if self.is_to_come() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let piece = self.heard.split_to(self.heard.len().min(buf.remaining()));
        buf.put_slice(&piece);
        Poll::Ready(!piece.is_empty())
    }
}

/// True for a peer that takes nothing more.
fn is_deaf(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl PodIo {
    pub(super) fn new(tcp: TcpStream, load: Load) -> Self {
        Self { tcp, deaf: None, ended: false, watch: (load == Load::Bulk).then(Watch::new), before: None }
    }

    /// One to which a request with a `body` of so many bytes was sent, and what was heard since.
    pub(super) fn taken_over(tcp: TcpStream, body: usize, heard: Bytes) -> Self {
        let before = Box::new(Before { to_come: ToCome::Head(body), heard, reader: None });
        Self { before: Some(before), ..Self::new(tcp, Load::Small) }
    }

    /// After it has said its end: ready when it is gone, by its kernel's word or its machine's silence.
    pub(crate) fn poll_gone(&mut self, broken: &mut Broken, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(watch) = &mut self.watch
            && watch.poll_silent(self.tcp.as_fd(), cx).is_ready()
        {
            return Poll::Ready(());
        }
        broken.poll(self.tcp.as_fd(), cx)
    }

    /// Its end will be a reset.
    pub(crate) fn reset_on_close(&self) {
        reset_on_close(&self.tcp);
    }

    /// What writing `size` bytes comes to: one that takes nothing is written to in vain until it has said its last.
    fn write(
        &mut self,
        size: usize,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.deaf.is_none() {
            match write(Pin::new(&mut self.tcp)) {
                Poll::Ready(Err(error)) if is_deaf(&error) => self.deaf = Some(error.kind()),
                polled => return polled,
            }
        }
        Poll::Ready(if self.ended { Err(ErrorKind::BrokenPipe.into()) } else { Ok(size) })
    }
}

impl AsyncRead for PodIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(before) = &mut this.before {
            if ready!(before.poll_heard(cx, buf)) {
                return Poll::Ready(Ok(()));
            }
            this.before = None;
        }
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut this.tcp).poll_read(cx, buf) else {
            let Some(watch) = &mut this.watch else { return Poll::Pending };
            ready!(watch.poll_silent(this.tcp.as_fd(), cx));
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        };
        this.ended |= buf.filled().len() == before;
        // The kernel tells a reset once, and the write was told. A broken pipe is one of a pod that had ended before.
        let broken_off = this.ended && read.is_ok() && this.deaf == Some(ErrorKind::ConnectionReset);
        Poll::Ready(if broken_off { Err(ErrorKind::ConnectionReset.into()) } else { read })
    }
}

impl AsyncWrite for PodIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(before) = this.before.as_mut().filter(|before| before.is_to_come()) {
            return Poll::Ready(Ok(before.swallow(buf)));
        }
        this.write(buf.len(), |tcp| tcp.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.before.is_some() {
            let first = bufs.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
            return self.poll_write(cx, first);
        }
        let size = bufs.iter().map(|b| b.len()).sum();
        self.get_mut().write(size, |tcp| tcp.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.deaf.is_some() { Poll::Ready(Ok(())) } else { Pin::new(&mut this.tcp).poll_shutdown(cx) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_sent_is_taken_once_however_it_comes() {
        let head = b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n";
        let whole = [&head[..], b"hello"].concat();
        for ends in [vec![whole.len()], vec![head.len(), whole.len()], vec![head.len() + 2, whole.len()]] {
            let (mut to_come, mut from) = (ToCome::Head(5), 0);
            for end in ends {
                assert_ne!(to_come, ToCome::Body(0));
                assert_eq!(to_come.take(&whole[from..end]), end - from);
                from = end;
            }
            assert_eq!(to_come, ToCome::Body(0));
        }
        let mut to_come = ToCome::Head(5);
        assert_eq!(to_come.take(&[&whole[..], b"GET"].concat()), whole.len(), "the next is another's");
        let mut to_come = ToCome::Head(0);
        assert_eq!((to_come.take(head), to_come), (head.len(), ToCome::Body(0)));
    }
}
