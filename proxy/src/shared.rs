//! What all workers share: the configuration, the registry of slots, the routes, the phase.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use strait_catalog::{ClusterId, Published};
use strait_identity::Identity;
use tokio::sync::watch;

use crate::board::Board;
use crate::config::{Limits, OnSync, ProxyConfig, Timeouts};
use crate::handoff::Handoff;
use crate::health::Registry;
use crate::links::News;
use crate::route::RouteTable;

/// So long after the first sync of the own cluster others may not have told anything yet.
const NEW_FOR: Duration = Duration::from_secs(10);

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Serving.
    Running,
    /// Still accepting, and asking every client to come back elsewhere.
    Draining,
    /// No new connections; what is left has until then.
    Stopping(Instant),
}

/// Shared by workers and the handle.
pub(crate) struct Shared {
    pub(crate) local: ClusterId,
    pub(crate) published: Published,
    pub(crate) identity: Identity,
    pub(crate) gateways: Vec<std::net::SocketAddr>,
    pub(crate) on_sync: OnSync,
    pub(crate) orca: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) registry: Arc<Registry>,
    pub(crate) routes: Arc<ArcSwap<RouteTable>>,
    pub(crate) board: Board,
    pub(crate) handoff: Handoff,
    /// What the log was told of gateways.
    pub(crate) news: News,
    pub(crate) phase: watch::Sender<Phase>,
    /// This process's own random number, to spread daemons over gateways.
    pub(crate) seed: u64,
    origin: Instant,
    synced: OnceLock<Instant>,
    parked: AtomicU32,
}

/// A parked connection, counted until dropped.
pub(crate) struct Parked<'s>(&'s AtomicU32);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// From the configuration, for that many workers.
    pub(crate) fn new(
        config: ProxyConfig,
        (workers, handoff): (usize, Handoff),
        seed: u64,
        registry: Arc<Registry>,
        routes: Arc<ArcSwap<RouteTable>>,
    ) -> Self {
        Self {
            local: config.published.load().local.clone(),
            published: config.published,
            identity: config.identity,
            gateways: config.gateways,
            on_sync: config.on_sync,
            orca: config.orca,
            timeouts: config.timeouts,
            limits: config.limits,
            registry,
            routes,
            board: Board::new(workers),
            handoff,
            news: News::default(),
            phase: watch::Sender::new(Phase::Running),
            seed,
            origin: config.origin,
            synced: OnceLock::new(),
            parked: AtomicU32::new(0),
        }
    }

    /// Notes that the own cluster's state is known: listeners are bound from here on.
    pub(crate) fn note_synced(&self) {
        self.synced.get_or_init(Instant::now);
    }

    /// True while what the daemon does not know may be what it has not been told yet.
    pub(crate) fn is_new(&self) -> bool {
        self.synced.get().is_none_or(|since| since.elapsed() < NEW_FOR)
    }

    /// Counts a parked connection in.
    pub(crate) fn park(&self) -> Parked<'_> {
        self.parked.fetch_add(1, Ordering::Relaxed);
        Parked(&self.parked)
    }

    /// Parked connections of all workers.
    pub(crate) fn parked(&self) -> u32 {
        self.parked.load(Ordering::Relaxed)
    }

    /// Milliseconds on the daemon's monotonic clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_at(Instant::now())
    }

    /// The same at a moment that was read already: on the way of a request each look at the clock counts.
    pub(crate) fn ms_at(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}
