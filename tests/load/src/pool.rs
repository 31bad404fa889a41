//! Kept-alive connections, used in turn.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::connection::Connection;

/// Holds the idle connections of one target. While fewer than its size are open, a request opens one more, so a pool that
/// lost its connections fills again.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    idle: VecDeque<Connection>,
    /// Idle ones and those that carry a request.
    open: usize,
}

/// What a request gets from the pool.
#[derive(Debug)]
pub enum Turn {
    /// The connection that has been idle for longest.
    Kept(Connection),
    /// Permission to open one, which counts until it is returned or given up.
    Open,
}

impl Pool {
    /// A pool that holds up to `size` connections.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size: size.max(1), inner: Mutex::new(Inner::default()) }
    }

    /// The next connection. Those their server has closed are thrown away.
    pub fn take(&self) -> Turn {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.open >= self.size {
            match inner.idle.pop_front() {
                Some(connection) if connection.is_open() => return Turn::Kept(connection),
                Some(_) => inner.open -= 1,
                None => break,
            }
        }
        inner.open += 1;
        Turn::Open
    }

    /// Gives a connection back after a request, or `None` when it did not survive it.
    pub fn give_back(&self, connection: Option<Connection>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) if inner.open <= self.size => inner.idle.push_back(connection),
            _ => inner.open -= 1,
        }
    }
}
