//! Sockets with the options that make a dead peer show itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

mod broken;
mod heard;
mod silence;

pub(crate) use broken::Broken;
pub(crate) use silence::{Watch, fallen_silent};

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Binds one of several listeners of the same address: each worker has its own and the kernel spreads connections.
///
/// # Errors
/// What the kernel says, unchanged: the caller names address and purpose.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// How soon a peer that went silent is noticed by the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Unacknowledged data for this long breaks the connection (`TCP_USER_TIMEOUT`), also when the peer only does not read;
    /// `None` leaves it to a [`Watch`].
    pub(crate) unacked: Option<Duration>,
    /// First and further keepalive probes on an idle connection.
    pub(crate) keepalive: Duration,
}

/// To a pod that is sent heads and small bodies, which it has room for whether it reads or not: 300 ms of silence are a dead
/// node. Keepalive every second.
pub(crate) const fn hasty() -> Patience {
    Patience { unacked: Some(Duration::from_millis(300)), keepalive: Duration::from_secs(1) }
}

/// To a pod that may leave unread what it is sent, under a [`Watch`]. Keepalive every second.
pub(crate) const fn patient() -> Patience {
    Patience { unacked: None, keepalive: Duration::from_secs(1) }
}

/// Connects within the limit, with the options set before the first packet.
///
/// # Errors
/// What the kernel says; `TimedOut` when the limit ran out.
pub(crate) async fn connect(to: SocketAddr, limit: Duration, patience: Patience) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    let options = SockRef::from(&socket);
    options.set_tcp_user_timeout(Some(patience.unacked.unwrap_or(limit).max(limit)))?;
    let keepalive = TcpKeepalive::new().with_time(patience.keepalive).with_interval(patience.keepalive);
    options.set_tcp_keepalive(&keepalive)?;
    let stream = match tokio::time::timeout(limit, socket.connect(to)).await {
        Ok(connected) => connected?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing answered the connection attempt")),
    };
    // While connecting the option also limits the handshake, where `limit` decides; from here on it is the peer's.
    SockRef::from(&stream).set_tcp_user_timeout(patience.unacked)?;
    Ok(stream)
}

/// Options of an accepted connection: answers leave at once, dead clients are noticed.
///
/// # Errors
/// What the kernel says: the client is gone already.
pub(crate) fn tune_accepted(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Breaks a connection whose peer has not taken a byte of what was sent to it for that long, alive or not.
///
/// # Errors
/// As [`tune_accepted`].
pub(crate) fn cut_when_unread(stream: &TcpStream, after: Duration) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(Some(after))
}

/// Takes [`cut_when_unread`] back.
///
/// # Errors
/// As [`tune_accepted`].
pub(crate) fn let_unread(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(None)
}

/// The close that follows sends RST instead of FIN.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // A socket that refuses the option is closed with FIN, and there is nobody to tell.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_may_leave_all_unread_has_no_limit_of_that() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let limit = || SockRef::from(&tcp).tcp_user_timeout().unwrap().filter(|limit| !limit.is_zero());
        assert_eq!(limit(), None);
        cut_when_unread(&tcp, Duration::from_secs(60)).unwrap();
        assert_eq!(limit(), Some(Duration::from_secs(60)));
        let_unread(&tcp).unwrap();
        assert_eq!(limit(), None);
    }
}
