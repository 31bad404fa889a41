//! The end of a connection from this side, so that its client hears all of it.
//!
//! A socket that is closed with unread bytes in it resets the connection, and a reset may overtake the answer: who is refused in the
//! middle of an upload would see a broken connection and no 413. So this side says its end, and reads on for a moment until
//! the client says its own (RFC 9112 §9.6).

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::io::ClientIo;
use crate::tunnel::Side;

/// How long the client may be silent meanwhile, and how long it may go on.
const SILENCE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read and thrown away at once.
const PIECE: usize = 4 * 1024;
const PIECES: usize = 64;

/// Ends a connection on which all was said.
pub(super) async fn linger(io: ClientIo) {
    let Side::Tcp(mut tcp, _) = io.into_side() else { return };
    // Said already where hyper has ended it well.
    if tcp.shutdown().await.is_err() || ended(&tcp) {
        return;
    }
    let until_its_end = async {
        loop {
            let stirs = tokio::time::timeout(SILENCE, tcp.readable()).await;
            if !matches!(stirs, Ok(Ok(()))) || ended(&tcp) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    // Whoever goes on for longer has been told for long enough.
    let _ = tokio::time::timeout(PATIENCE, until_its_end).await;
}

/// Reads what there is, or as much of it as others may wait for. True when there is no more to come.
fn ended(tcp: &TcpStream) -> bool {
    for _ in 0..PIECES {
        match read(tcp) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
    false
}

/// With a buffer that nobody carries while waiting.
fn read(tcp: &TcpStream) -> io::Result<usize> {
    tcp.try_read(&mut [0; PIECE])
}
