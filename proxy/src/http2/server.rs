//! A connection on which this end is asked.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake};
use tokio::io::{AsyncRead, AsyncWrite};

use super::call::Call;
use super::keep_alive::{KeepAlive, Pings};

/// Drives a connection to its end, and hands each request to `take`.
pub(crate) struct Server<IO, F> {
    state: State<IO>,
    keep_alive: KeepAlive,
    take: F,
    leaving: bool,
}

enum State<IO> {
    Begins(Handshake<IO, Bytes>),
    Stands(Connection<IO, Bytes>, Pings),
}

impl<IO, F> Server<IO, F>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(Call),
{
    /// From before the preface on.
    pub(crate) fn new(builder: &Builder, io: IO, keep_alive: KeepAlive, take: F) -> Self {
        Self { state: State::Begins(builder.handshake(io)), keep_alive, take, leaving: false }
    }

    /// Ends it when what is under way is answered; the other end is told to open no more streams.
    pub(crate) fn graceful_shutdown(&mut self) {
        if !self.leaving
            && let State::Stands(connection, _) = &mut self.state
        {
            connection.graceful_shutdown();
        }
        self.leaving = true;
    }
}

impl<IO, F> Future for Server<IO, F>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(Call) + Unpin,
{
    type Output = Result<(), h2::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Begins(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    let pings = connection.ping_pong().expect("asked for once");
                    if this.leaving {
                        connection.graceful_shutdown();
                    }
                    this.state = State::Stands(connection, Pings::new(this.keep_alive.clone(), pings));
                }
                State::Stands(connection, pings) => match connection.poll_accept(cx) {
                    Poll::Ready(Some(call)) => {
                        let (request, respond) = call?;
                        Call::of(request, respond).into_iter().for_each(&mut this.take);
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    // Judged when everything that came was read: this end may have been late itself.
                    Poll::Pending => return pings.poll_gone(cx).map(Ok),
                },
            }
        }
    }
}
