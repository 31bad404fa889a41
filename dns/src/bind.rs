//! Sockets: one TCP listener and any number of UDP sockets on the same address and port.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

/// Receive buffer asked for on each UDP socket, in octets; the kernel may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 256;

/// How often a free port is looked for when none was given: TCP may hold the number that UDP found.
const ATTEMPTS: usize = 16;

/// The sockets of one address.
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: TcpListener,
}

/// Binds everything for one address. An IPv6 address is for IPv6 alone, so that `0.0.0.0` and `[::]` can stand beside
/// each other. Needs a tokio runtime.
///
/// # Errors
/// What the kernel says, with the address named.
pub(crate) fn bind(address: SocketAddr, udp_sockets: usize) -> io::Result<Bound> {
    let mut attempt = 1;
    loop {
        match bind_once(address, udp_sockets.max(1)) {
            Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                attempt += 1;
            }
            done => return done,
        }
    }
}

fn bind_once(address: SocketAddr, udp_sockets: usize) -> io::Result<Bound> {
    let first = bind_udp(address)?;
    let address = first.local_addr()?;
    let tcp = bind_tcp(address)?;
    let mut udp = vec![first];
    for _ in 1..udp_sockets {
        udp.push(bind_udp(address)?);
    }
    Ok(Bound { address, udp, tcp })
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(true)?;
        prepare(&socket, address)?;
        if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
            tracing::debug!(%address, %error, "the UDP receive buffer keeps its default size");
        }
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|error| named("UDP", address, &error))
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        prepare(&socket, address)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|error| named("TCP", address, &error))
}

fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)
}

fn named(transport: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("DNS cannot listen on {transport} {address}: {error}"))
}
