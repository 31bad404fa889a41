//! Whether a connection is broken on which nobody reads or writes.
//!
//! Who has heard the end of its peer's direction reads no more, so neither a reset nor the kernel's giving up reaches him
//! before he writes again, which he may never do. The kernel tells of both by a readiness of its own.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::TcpStream;

/// A watch over one connection. It costs a descriptor, and begins when it is first asked.
#[derive(Default)]
pub(crate) struct Broken(Option<Pin<Box<dyn Future<Output = ()>>>>);

impl Broken {
    /// Ready when the connection is broken.
    pub(crate) fn poll(&mut self, tcp: BorrowedFd<'_>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(broken(tcp.try_clone_to_owned()))).as_mut().poll(cx)
    }
}

async fn broken(tcp: std::io::Result<OwnedFd>) {
    match tcp.and_then(|tcp| TcpStream::from_std(tcp.into())) {
        // Without the runtime everything ends.
        Ok(watched) => drop(watched.ready(Interest::ERROR).await),
        // Without a descriptor for it there is no watch, and the connection is as good as any other.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::socket::reset_on_close;

    #[tokio::test]
    async fn a_reset_is_seen_beyond_an_end_and_an_end_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut near, _) = listener.accept().await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut [0; 1]).await.unwrap(), 0);
        let mut watch = Broken::default();
        assert!(poll_fn(|cx| watch.poll(near.as_fd(), cx)).now_or_never().is_none());
        near.write_all(b"still heard").await.unwrap();
        far.read_exact(&mut [0; 11]).await.unwrap();
        assert!(poll_fn(|cx| watch.poll(near.as_fd(), cx)).now_or_never().is_none());
        reset_on_close(&far);
        drop(far);
        let seen = poll_fn(|cx| watch.poll(near.as_fd(), cx));
        tokio::time::timeout(Duration::from_secs(60), seen).await.expect("it is woken");
    }
}
