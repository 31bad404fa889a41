//! The end of a connection from this side, so that its client hears all of it.
//!
//! A socket that is closed with unread bytes in it resets the connection, and a reset may overtake the answer: who is refused in the
//! middle of an upload would see a broken connection and no 413. So this side says its end, and reads on for a moment until
//! the client says its own (RFC 9112 §9.6).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::io::ClientIo;
use crate::tunnel::Side;

/// How long the client has for that.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is read and thrown away at once.
const PIECE: usize = 16 * 1024;

/// Ends a connection on which all was said.
pub(super) async fn linger(io: ClientIo) {
    let Side::Tcp(mut tcp, _) = io.into_side() else { return };
    let until_its_end = async {
        tcp.shutdown().await?;
        let mut unread = vec![0; PIECE];
        while tcp.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether it ended well is its own business.
    let _ = tokio::time::timeout(PATIENCE, until_its_end).await;
}
