//! The links to other clusters' gateways: warm before they are needed, watched while they stand.
//!
//! Every worker has its own connections, since an h2 connection shared between threads is a lock. A link is made as
//! soon as a snapshot names a gateway, so that the first request that spills pays no handshake, and it is dialled
//! again for as long as it is named.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use strait_catalog::{ClusterId, Snapshot};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod backoff;
pub(crate) mod bounds;
mod choose;
mod dial;
mod line;
mod news;
mod pulse;

pub(crate) use choose::routed;
pub(crate) use line::{Line, Seat};
pub(crate) use news::News;
pub(crate) use pulse::Pulse;

use crate::health::{Outcome, Slot, Target};
use crate::http2::Driver;
use crate::metrics::LinkMetrics;
use crate::retry::Failure;
use crate::shared::Shared;
use dial::{Dialled, allowance, dial};

/// How often a link looks at its lines unasked.
const CHECK: Duration = Duration::from_secs(1);
/// Connections of one worker to one gateway.
const MOST_LINES: usize = 8;
/// How often a request that waits for a seat looks for one.
const SEAT_LOOK: Duration = Duration::from_millis(10);
/// A line that ended sooner than this was no success.
const SHORT_LIVED: Duration = Duration::from_secs(1);

/// A cluster and one of its gateways' addresses.
type LinkKey = (ClusterId, Arc<str>);

/// One worker's links.
pub(crate) struct Links {
    shared: Arc<Shared>,
    all: RefCell<HashMap<LinkKey, Rc<Link>>>,
}

/// The way to one gateway.
pub(crate) struct Link {
    shared: Arc<Shared>,
    cluster: ClusterId,
    address: Arc<str>,
    slot: Arc<Slot>,
    lines: RefCell<Vec<Rc<Line>>>,
    /// A line came up, or a dial failed.
    news: Notify,
    failed_dials: Cell<u32>,
    /// The lines should be looked at.
    look: Notify,
    /// The last line ended as soon as it was up: a pause before the next keeps the two ends from spinning.
    pause: Cell<bool>,
    stop: CancellationToken,
    metrics: LinkMetrics,
}

impl Links {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, all: RefCell::default() }
    }

    /// Makes links to the gateways the snapshot names (the chosen ones, where there are many) and drops those to others.
    pub(crate) fn reconcile(&self, snapshot: &Snapshot) {
        let wanted = choose::wanted(snapshot, self.shared.limits.gateways_per_cluster, self.shared.seed);
        let mut all = self.all.borrow_mut();
        all.retain(|(cluster, address), link| {
            let keep = choose::named(snapshot, cluster, address);
            if !keep {
                link.stop.cancel();
                self.shared.news.forget(cluster, address);
            }
            keep
        });
        for key in wanted {
            all.entry(key).or_insert_with_key(|(cluster, address)| Link::start(&self.shared, cluster, address));
        }
    }

    /// The link to one gateway; made now when a route names a gateway that was not among the chosen.
    pub(crate) fn get(&self, cluster: &ClusterId, address: &Arc<str>) -> Rc<Link> {
        let mut all = self.all.borrow_mut();
        let key = (cluster.clone(), address.clone());
        all.entry(key).or_insert_with(|| Link::start(&self.shared, cluster, address)).clone()
    }

    /// Ends all links: no new lines; those that stand end with their last stream.
    pub(crate) fn stop(&self) {
        for (_, link) in self.all.borrow_mut().drain() {
            link.stop.cancel();
        }
    }
}

impl Link {
    fn start(shared: &Arc<Shared>, cluster: &ClusterId, address: &Arc<str>) -> Rc<Self> {
        let target = Target::Gateway { cluster: cluster.clone(), address: address.clone() };
        let slot = shared.registry.slot(&target, shared.registry.number(cluster), shared.now_ms());
        let link = Rc::new(Self {
            shared: shared.clone(),
            cluster: cluster.clone(),
            address: address.clone(),
            slot,
            lines: RefCell::default(),
            news: Notify::new(),
            failed_dials: Cell::new(0),
            look: Notify::new(),
            pause: Cell::new(false),
            stop: CancellationToken::new(),
            metrics: LinkMetrics::new(cluster),
        });
        tokio::task::spawn_local(link.clone().maintain());
        link
    }

    /// The least loaded line that takes streams, young before old.
    fn best(&self) -> Option<Rc<Line>> {
        let lines = self.lines.borrow();
        let best = lines.iter().filter(|l| l.usable()).min_by_key(|l| (l.full(), l.is_old(), l.streams())).cloned();
        if best.as_ref().is_some_and(|l| l.crowded()) {
            self.look.notify_one();
        }
        best
    }

    /// The best line if a stream can be opened on it at once, or if more lines would not be made anyway.
    fn free(&self) -> Option<Rc<Line>> {
        self.best().filter(|l| !l.full() || self.lines.borrow().len() >= MOST_LINES)
    }

    /// True when a request would not have to wait.
    fn warm(&self) -> bool {
        self.lines.borrow().iter().any(|l| l.usable())
    }

    /// A seat on a line. Waits for one that is being dialled, never longer than a connection may take, and not at all
    /// between dials.
    ///
    /// # Errors
    /// [`Failure::NoLink`].
    pub(crate) async fn seat(&self) -> Result<Seat, Failure> {
        if let Some(line) = self.free() {
            return Ok(Seat::on(line));
        }
        self.look.notify_one();
        let failed = self.failed_dials.get();
        if failed > 0 && !self.warm() {
            return Err(Failure::NoLink);
        }
        let known = self.shared.registry.link(&self.cluster).rtt();
        let limit = known.map_or(self.shared.timeouts.connect_gateway, |rtt| Duration::from_millis(250) + 4 * rtt);
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline && (self.failed_dials.get() == failed || self.warm()) {
            // Streams that end free seats without news.
            let _ = tokio::time::timeout(SEAT_LOOK, self.news.notified()).await;
            if let Some(line) = self.free() {
                return Ok(Seat::on(line));
            }
        }
        // A full line is better than none: the stream is opened when another ends.
        self.best().map(Seat::on).ok_or(Failure::NoLink)
    }

    /// Keeps one line up, one more while the others are crowded, and replaces those that are old.
    async fn maintain(self: Rc<Self>) {
        let stop = self.stop.clone();
        let forever = async {
            loop {
                if self.pause.take() {
                    tokio::time::sleep(backoff::wait(3, fastrand::f64())).await;
                }
                if self.short_of_lines() {
                    if let Some(wait) = self.add_line().await {
                        self.between_dials(wait).await;
                    }
                    continue;
                }
                let _ = tokio::time::timeout(CHECK, self.look.notified()).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = forever => {}
        }
        // Dropping the senders lets each connection end with its last stream.
        for line in self.lines.borrow_mut().drain(..) {
            line.retire();
        }
    }

    /// Waits, but not longer than the shortest wait once a request has asked for the link.
    async fn between_dials(&self, wait: Duration) {
        tokio::time::sleep(backoff::FLOOR).await;
        let rest = wait.saturating_sub(backoff::FLOOR);
        let _ = tokio::time::timeout(rest, self.look.notified()).await;
    }

    fn short_of_lines(&self) -> bool {
        let lines = self.lines.borrow();
        let open = lines.iter().filter(|l| l.usable() && !l.is_old());
        open.clone().all(|l| l.crowded()) && open.count() < MOST_LINES
    }

    /// Dials once. Returns how long to wait before the next dial when it failed.
    async fn add_line(self: &Rc<Self>) -> Option<Duration> {
        let shared = &self.shared;
        let way = shared.registry.link(&self.cluster);
        match dial(&self.cluster, &self.address, way.rtt(), &shared.identity, &shared.timeouts).await {
            Ok(dialled) => {
                way.note_rtt(dialled.rtt);
                self.metrics.rtt(dialled.rtt);
                self.failed_dials.set(0);
                self.slot.connected(shared.now_ms());
                tracing::debug!(cluster = %self.cluster, address = %self.address, rtt = ?dialled.rtt, "link is up");
                shared.news.reached(&self.cluster, &self.address);
                self.adopt(dialled);
                self.news.notify_waiters();
                None
            }
            Err(error) => {
                let failures = self.failed_dials.get().saturating_add(1);
                self.failed_dials.set(failures);
                self.metrics.dial_failed(error.label());
                if let Some(outcome) = error.outcome() {
                    self.slot.record(outcome, shared.now_ms());
                    shared.news.failed(&self.cluster, &self.address, error.label(), &error.to_string());
                }
                self.news.notify_waiters();
                Some(backoff::wait(failures, fastrand::f64()))
            }
        }
    }

    /// Takes a new connection into use and watches it until it ends. Lines that have grown old make room for it.
    fn adopt(self: &Rc<Self>, dialled: Dialled) {
        let Dialled { sender, driver, pulse, rtt } = dialled;
        let line = Rc::new(Line::new(sender, pulse));
        let mut lines = self.lines.borrow_mut();
        lines.iter().filter(|l| l.is_old()).for_each(|l| l.retire());
        lines.push(line.clone());
        drop(lines);
        tokio::task::spawn_local(self.clone().watch(line, driver, allowance(rtt, &self.shared.timeouts)));
    }

    async fn watch(self: Rc<Self>, line: Rc<Line>, mut driver: Driver, allowed: Duration) {
        let _up = self.metrics.up();
        let began = Instant::now();
        let mut death = pin!(self.death(&line, allowed));
        let mut old = pin!(tokio::time::sleep(self.shared.timeouts.link_age.mul_f64(0.9 + 0.2 * fastrand::f64())));
        let dead = loop {
            tokio::select! {
                biased;
                _ = &mut driver => break false,
                () = &mut death => break true,
                () = line.vacated() => break false,
                () = &mut old, if !line.is_old() => {
                    line.grow_old();
                    self.look.notify_one();
                }
            }
        };
        line.retire();
        self.lines.borrow_mut().retain(|l| !Rc::ptr_eq(l, &line));
        if began.elapsed() < SHORT_LIVED {
            self.pause.set(true);
        }
        self.look.notify_one();
        if !dead {
            // GOAWAY ends a connection for new streams; those it still carries are watched to their end.
            tokio::select! {
                biased;
                () = line.vacated() => {}
                () = &mut death => {}
            }
        }
    }

    /// Returns when the line is dead. Suspicion comes first and may pass: suspect lines get no new requests and the
    /// slot is ejected for all workers, while requests that may not be replayed are given the grace.
    async fn death(&self, line: &Line, allowed: Duration) {
        let pulse = line.pulse();
        loop {
            pulse.flatline(allowed).await;
            tracing::warn!(
                cluster = %self.cluster, gateway = %self.address, streams = line.streams(), silence = ?allowed,
                "nothing comes back on a link; requests on it move where they safely can"
            );
            self.slot.record(Outcome::LinkDead, self.shared.now_ms());
            pulse.suspect(true);
            self.look.notify_one();
            if tokio::time::timeout(self.shared.timeouts.link_grace, pulse.next_beat()).await.is_err() {
                self.metrics.dead();
                line.kill();
                return;
            }
            pulse.suspect(false);
            self.slot.connected(self.shared.now_ms());
            self.news.notify_waiters();
            tracing::info!(cluster = %self.cluster, gateway = %self.address, "the link is back");
        }
    }
}
