//! A thin layer over epoll: sockets by number, level-triggered.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// The number of the listener; connections have others.
pub const LISTENER: u64 = 0;

/// What is waited for.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// Something happened to a socket.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Its number.
    pub number: u64,
    /// It can be written to.
    pub writable: bool,
    /// It can be read, or has ended.
    pub readable: bool,
}

impl Poll {
    /// Waits for nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(256) })
    }

    /// Waits for connections at first.
    pub fn on(at: SocketAddr) -> Result<(Self, TcpListener)> {
        let listener = TcpListener::bind(at).with_context(|| format!("listening on {at}"))?;
        listener.set_nonblocking(true)?;
        let poll = Self::new()?;
        poll.add(&listener, LISTENER)?;
        Ok((poll, listener))
    }

    /// Reports when it can be read.
    pub fn add(&self, socket: impl AsFd, number: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(number), EventFlags::IN)?)
    }

    /// Reports from now on when it can be read, written, or both.
    pub fn want(&self, socket: impl AsFd, number: u64, read: bool, write: bool) -> io::Result<()> {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, read);
        flags.set(EventFlags::OUT, write);
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(number), flags)?)
    }

    /// Waits until something happens, or at most so long.
    pub fn wait(&mut self, most: Option<Duration>) -> io::Result<Vec<Ready>> {
        self.events.clear();
        let most = most.and_then(|m| Timespec::try_from(m).ok());
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), most.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |event: &Event| {
            // The kernel packs them, so they are copied out first.
            let (flags, data) = (event.flags, event.data);
            let ended = EventFlags::HUP | EventFlags::ERR;
            Ready {
                number: data.u64(),
                writable: flags.contains(EventFlags::OUT),
                readable: flags.intersects(EventFlags::IN | ended),
            }
        };
        Ok(self.events.iter().map(ready).collect())
    }
}
