//! TAP devices: the system calls.
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Opens a TAP device, moves it into the named network namespace and calls it `eth0` there.
pub fn open(name: &str, netns: &str) -> OwnedFd {
    let path = CString::new("/dev/net/tun").expect("no NUL in it");
    let device: String = format!("w-{name}").chars().take(14).collect();
    // SAFETY: plain system calls on values that live across the call.
    let fd = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC);
        assert!(fd >= 0, "open /dev/net/tun: {}", std::io::Error::last_os_error());
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
            *to = from as libc::c_char;
        }
        let done = libc::ioctl(fd, libc::TUNSETIFF as _, &request);
        assert!(done >= 0, "TUNSETIFF {device}: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    let pinned = netns.rsplit('/').next().expect("a split has a part");
    let moved =
        std::process::Command::new("ip").args(["link", "set", &device, "netns", pinned, "name", "eth0"]).status();
    assert!(moved.is_ok_and(|s| s.success()), "moving {device} into {pinned}");
    fd
}

/// Reads one frame; `None` when there is none.
pub fn read(device: &OwnedFd, frame: &mut [u8]) -> Option<usize> {
    // SAFETY: the buffer is valid for its length.
    let got = unsafe { libc::read(device.as_raw_fd(), frame.as_mut_ptr().cast(), frame.len()) };
    usize::try_from(got).ok()
}

/// Writes one frame. A device that is full or down drops it, as a router would.
pub fn write(device: &OwnedFd, bytes: &[u8]) {
    // SAFETY: the buffer is valid for its length.
    unsafe { libc::write(device.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
}
