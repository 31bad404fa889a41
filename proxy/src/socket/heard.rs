//! What the kernel has last heard of a peer: `TCP_INFO`, for which no library here has a safe call.
#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// The beginning of Linux's `struct tcp_info` (`include/uapi/linux/tcp.h`), which only ever grows at its end.
#[repr(C)]
#[derive(Debug, Default)]
struct TcpInfo {
    states: [u8; 8],
    timers_and_sizes: [u32; 4],
    /// Segments that were sent and not acknowledged.
    unacked: u32,
    counts_and_ages: [u32; 7],
    /// Milliseconds since the last acknowledgement, that of a probe included.
    last_ack_recv: u32,
    path: [u32; 11],
    rates_and_bytes: [u64; 4],
    segments: [u32; 2],
    /// Bytes that wait to be sent, since Linux 4.6.
    notsent_bytes: u32,
    min_rtt: u32,
}

/// What is known of a peer's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// How long ago it acknowledged anything.
    pub(super) since_ack: Duration,
    /// Something was sent to it that it has not acknowledged.
    pub(super) owes: bool,
    /// Something waits to be sent, as it takes nothing at this moment.
    pub(super) queued: bool,
}

/// Asks the kernel.
///
/// # Errors
/// What it says: the socket is none of TCP.
pub(super) fn heard(tcp: BorrowedFd<'_>) -> io::Result<Heard> {
    let mut info = TcpInfo::default();
    let mut length = libc::socklen_t::try_from(size_of::<TcpInfo>()).expect("some hundred bytes");
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most `length` bytes to `info`, which
    // has as many, and any bytes are valid for its fields.
    let result = unsafe {
        libc::getsockopt(
            tcp.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast::<libc::c_void>(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let told = usize::try_from(length).unwrap_or(0);
    Ok(Heard {
        since_ack: Duration::from_millis(info.last_ack_recv.into()),
        owes: info.unacked > 0,
        // A kernel that does not tell may have something.
        queued: info.notsent_bytes > 0 || told < offset_of!(TcpInfo, min_rtt),
    })
}
