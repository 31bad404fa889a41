//! Connections to pods that speak HTTP/2 by prior knowledge (gRPC): few, shared by many streams, watched by pings.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{STALLED_BODY, failure};
use crate::body::RequestBody;
use crate::config::Timeouts;
use crate::exec::LocalExec;
use crate::links::{Line, Pulse, Seat, Watched};
use crate::retry::Failure;
use crate::socket::{Patience, connect, pod_patience};

/// Silence before a ping.
const PING: Duration = Duration::from_secs(1);
/// Silence that means a dead node.
const SILENCE: Duration = Duration::from_millis(1_500);
/// hyper's own verdict on a ping, a backstop.
const PING_BACKSTOP: Duration = Duration::from_secs(10);
/// How often a connection without streams is looked at; unused twice in a row, it is closed.
const IDLE_LOOK: Duration = Duration::from_secs(15);

type Driver = http2::Connection<TokioIo<Watched>, RequestBody, LocalExec>;

/// One worker's HTTP/2 connections to pods.
#[derive(Default)]
pub(crate) struct H2cPods {
    lines: RefCell<HashMap<SocketAddr, Vec<Rc<Line>>>>,
}

impl H2cPods {
    /// A seat on a connection that stands, else on a new one. `true` for a new one.
    ///
    /// # Errors
    /// [`Failure::Refused`] or [`Failure::ConnectTimeout`].
    pub(crate) async fn seat(self: &Rc<Self>, to: SocketAddr, timeouts: &Timeouts) -> Result<(Seat, bool), Failure> {
        match self.best(to) {
            Some(line) => Ok((Seat::on(line), false)),
            // Boxed, so that the many that find one do not carry it.
            None => Box::pin(self.dial(to, timeouts)).await.map(|seat| (seat, true)),
        }
    }

    async fn dial(self: &Rc<Self>, to: SocketAddr, timeouts: &Timeouts) -> Result<Seat, Failure> {
        let patience = Patience { unacked: STALLED_BODY, ..pod_patience(Duration::ZERO) };
        let tcp = connect(to, timeouts.connect_pod, patience).await.map_err(|error| failure(&error))?;
        let pulse = Pulse::new();
        let (sender, driver) = http2::Builder::new(LocalExec)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING_BACKSTOP)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(Watched::new(tcp, pulse.clone())))
            .await
            .map_err(|_| Failure::Refused)?;
        let most = u32::try_from(driver.current_max_send_streams()).unwrap_or(u32::MAX).max(1);
        let line = Rc::new(Line::new(sender, pulse, most));
        self.lines.borrow_mut().entry(to).or_default().push(line.clone());
        let seat = Seat::on(line.clone());
        tokio::task::spawn_local(self.clone().watch(to, line, driver));
        Ok(seat)
    }

    fn best(&self, to: SocketAddr) -> Option<Rc<Line>> {
        let lines = self.lines.borrow();
        let open = lines.get(&to)?.iter().filter(|l| l.usable() && !l.crowded());
        open.min_by_key(|l| l.streams()).cloned()
    }

    async fn watch(self: Rc<Self>, to: SocketAddr, line: Rc<Line>, mut driver: Driver) {
        let pulse = line.pulse().clone();
        tokio::select! {
            biased;
            _ = &mut driver => {}
            () = pulse.flatline(SILENCE) => line.kill(),
            () = unused(&line) => {}
        }
        // A driver that is dropped lets its streams end.
        line.retire();
        self.forget(to, &line);
        tokio::select! {
            biased;
            () = line.vacated() => {}
            () = pulse.flatline(SILENCE) => line.kill(),
        }
    }

    fn forget(&self, to: SocketAddr, line: &Rc<Line>) {
        let mut lines = self.lines.borrow_mut();
        if let Some(open) = lines.get_mut(&to) {
            open.retain(|l| !Rc::ptr_eq(l, line));
            if open.is_empty() {
                lines.remove(&to);
            }
        }
    }
}

/// Returns when the line carried no stream at two looks in a row.
async fn unused(line: &Line) {
    let mut before = false;
    loop {
        tokio::time::sleep(IDLE_LOOK).await;
        let now = line.streams() == 0;
        if before && now {
            return;
        }
        before = now;
    }
}
