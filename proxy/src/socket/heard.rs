//! What the kernel has last heard of a peer: `TCP_INFO`, for which no library here has a safe call.
#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// The beginning of Linux's `struct tcp_info` (`include/uapi/linux/tcp.h`), which only ever grows at its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct TcpInfo {
    state: u8,
    states: [u8; 7],
    /// Microseconds after which what is not acknowledged is sent again, longer each time.
    rto: u32,
    sizes: [u32; 3],
    /// Segments that were sent and not acknowledged.
    unacked: u32,
    counts_and_ages: [u32; 6],
    /// Milliseconds since data came, and since an acknowledgement did, that of a probe included. Data may come without
    /// counting as one.
    last_data_recv: u32,
    last_ack_recv: u32,
    path: [u32; 11],
    rates_and_bytes: [u64; 4],
    segments: [u32; 2],
    /// Bytes that wait to be sent, since Linux 4.6.
    notsent_bytes: u32,
    min_rtt: u32,
}

/// `TCP_CLOSE`: both have ended, and what is left is only to be read.
const CLOSED: u8 = 7;

/// What is known of a peer's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// How long ago it said anything; `None` when it has nothing more to say.
    pub(super) since: Option<Duration>,
    /// Something was sent to it that it has not acknowledged, and that is sent again after so long.
    pub(super) owes: Option<Duration>,
    /// Something waits to be sent, as it takes nothing at this moment.
    pub(super) queued: bool,
}

impl Heard {
    /// Of so many bytes that the kernel has told.
    fn of(info: &TcpInfo, told: usize) -> Self {
        let since = Duration::from_millis(info.last_ack_recv.min(info.last_data_recv).into());
        Self {
            since: (info.state != CLOSED).then_some(since),
            owes: (info.unacked > 0).then_some(Duration::from_micros(info.rto.into())),
            // A kernel that does not tell may have something.
            queued: info.notsent_bytes > 0 || told < offset_of!(TcpInfo, min_rtt),
        }
    }
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
    Ok(Heard::of(&info, usize::try_from(length).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read() {
        let told = size_of::<TcpInfo>();
        let quiet = TcpInfo { state: 1, last_ack_recv: 9_000, last_data_recv: 9_500, ..TcpInfo::default() };
        let of = |info: &TcpInfo| Heard::of(info, told);
        let since = Some(Duration::from_secs(9));
        assert_eq!(of(&quiet), Heard { since, owes: None, queued: false });
        // Who only listens acknowledges nothing, and is sent nothing to acknowledge.
        let pushes = TcpInfo { last_data_recv: 20, ..quiet };
        assert_eq!(of(&pushes).since, Some(Duration::from_millis(20)));
        assert_eq!(of(&TcpInfo { state: CLOSED, ..quiet }).since, None);
        let owes = TcpInfo { unacked: 1, rto: 200_000, notsent_bytes: 5, ..quiet };
        assert_eq!(of(&owes), Heard { since, owes: Some(Duration::from_millis(200)), queued: true });
        assert!(Heard::of(&quiet, 104).queued, "an old kernel's word is shorter");
    }
}
