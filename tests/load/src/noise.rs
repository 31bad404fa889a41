//! Datagrams that mean nothing.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// From less than a DNS header to what fills a packet.
const LENGTHS: [usize; 6] = [0, 1, 12, 40, 512, 1_400];

/// Sends `rounds` of them to that address, each of another random content. What comes back is not read.
///
/// # Errors
/// When no socket can be made. That nobody takes a datagram is no error.
pub async fn datagrams(to: SocketAddr, rounds: u32) -> std::io::Result<u32> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let mut sent = 0;
    for _ in 0..rounds {
        // A socket each, so that an answer to one says nothing to the next.
        let socket = UdpSocket::bind(any).await?;
        for length in LENGTHS {
            let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect();
            sent += u32::from(socket.send_to(&noise, to).await.is_ok());
        }
    }
    Ok(sent)
}
