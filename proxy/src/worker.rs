//! One worker: a thread, its runtime, and everything that lives only there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use http::HeaderValue;
use rustls::ServerConfig;
use strait_catalog::ClusterId;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::board::{Socket, Use};
use crate::client::{self, Crowd, Scratch, Visits};
use crate::door::Door;
use crate::gateway::{self, Reports};
use crate::handoff::{self, Doors, Given};
use crate::hygiene::Pseudonym;
use crate::links::Links;
use crate::listen::{Listeners, OnAccept};
use crate::metrics::Metrics;
use crate::plan::plan;
use crate::pods::{BarePods, H2cPods, Pods};
use crate::quiet::Quiet;
use crate::retry::Requests;
use crate::route::RouteTable;
use crate::shared::{Phase, Shared};

/// How often a worker looks after its pools and failed listeners.
const TICK: Duration = Duration::from_secs(1);
/// Snapshots closer together than this are acted on together.
const TOGETHER: Duration = Duration::from_millis(20);

/// What a worker's connections and requests use. Single-threaded: cells, no locks.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    index: usize,
    pub(crate) pods: Pods,
    pub(crate) bare: BarePods,
    pub(crate) scratch: RefCell<Scratch>,
    pub(crate) h2c: Rc<H2cPods>,
    pub(crate) links: Links,
    pub(crate) reports: Reports,
    pub(crate) requests: Requests,
    pub(crate) metrics: Metrics,
    pub(crate) tasks: TaskTracker,
    pub(crate) phase: watch::Receiver<Phase>,
    seen: RefCell<watch::Receiver<Phase>>,
    leaving: Cell<bool>,
    pub(crate) clients: Rc<Cell<u32>>,
    pub(crate) visits: Visits,
    pub(crate) peers: Rc<Cell<u32>>,
    /// Raw and upgraded connections that cross clusters.
    pub(crate) tunnels: Rc<Cell<u32>>,
    pub(crate) crowd: Crowd,
    /// Log lines about connections that make no sense.
    pub(crate) strangers: Rc<Quiet>,
    /// This cluster's name in `Via`.
    pub(crate) pseudonym: Rc<Pseudonym>,
    server_tls: Arc<ServerConfig>,
    /// Clusters are few: a scan is faster than a map.
    names: RefCell<Vec<(ClusterId, HeaderValue)>>,
    rng: RefCell<fastrand::Rng>,
    routes: RefCell<Cache<Arc<ArcSwap<RouteTable>>, Arc<RouteTable>>>,
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        let mut phase = shared.phase.subscribe();
        let leaving = *phase.borrow_and_update() != Phase::Running;
        Rc::new(Self {
            index,
            pods: Pods::new(&shared.timeouts, &shared.limits),
            bare: BarePods::new(&shared.timeouts, &shared.limits),
            scratch: RefCell::default(),
            h2c: Rc::new(H2cPods::new(&shared.timeouts, &shared.limits)),
            links: Links::new(shared.clone()),
            reports: Reports::default(),
            requests: Requests::default(),
            metrics: Metrics::new(),
            tasks: TaskTracker::new(),
            seen: RefCell::new(phase.clone()),
            phase,
            leaving: Cell::new(leaving),
            clients: Rc::default(),
            visits: Visits::default(),
            peers: Rc::default(),
            tunnels: Rc::default(),
            crowd: Crowd::default(),
            strangers: Rc::new(Quiet::new(Duration::from_secs(10))),
            pseudonym: Pseudonym::new(shared.local.as_str()),
            server_tls: shared.identity.server_config(),
            names: RefCell::default(),
            rng: RefCell::new(fastrand::Rng::new()),
            routes: RefCell::new(Cache::new(shared.routes.clone())),
            shared,
        })
    }

    /// Runs something with the newest route table.
    pub(crate) fn with_routes<T>(&self, f: impl FnOnce(&Arc<RouteTable>) -> T) -> T {
        f(self.routes.borrow_mut().load())
    }

    /// Runs something with this worker's random numbers.
    pub(crate) fn with_rng<T>(&self, f: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        f(&mut self.rng.borrow_mut())
    }

    /// The gateway's TLS configuration; it stays current by itself.
    pub(crate) fn server_tls(&self) -> Arc<ServerConfig> {
        self.server_tls.clone()
    }

    /// Counts a connection in, until dropped.
    pub(crate) fn opened(self: &Rc<Self>) -> Opened {
        self.shared.handoff.enter(self.index);
        Opened(self.clone())
    }

    /// The time, as an answer's `Date` has it.
    pub(crate) fn date(&self) -> HeaderValue {
        self.scratch.borrow_mut().date(SystemTime::now())
    }

    /// A cluster's name as the value of a field, made once.
    pub(crate) fn named(&self, cluster: &ClusterId) -> HeaderValue {
        let mut names = self.names.borrow_mut();
        if let Some((_, value)) = names.iter().find(|(id, _)| id == cluster) {
            return value.clone();
        }
        let value = HeaderValue::from_str(cluster.as_str()).expect("a cluster id is a DNS label");
        names.push((cluster.clone(), value.clone()));
        value
    }

    /// True from the start of a drain.
    pub(crate) fn leaving(&self) -> bool {
        let mut seen = self.seen.borrow_mut();
        // Asked for every answer: whether anything changed is told without the lock that the phase is read under.
        if seen.has_changed().unwrap_or(true) {
            self.leaving.set(*seen.borrow_and_update() != Phase::Running);
        }
        self.leaving.get()
    }
}

/// A connection of a worker, counted until dropped.
pub(crate) struct Opened(Rc<Worker>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.shared.handoff.leave(self.0.index);
    }
}

/// Serves until the phase says stop, then until the last connection ended or the deadline. Connections are tracked;
/// accept loops, pools and links are tasks of this thread's runtime, which ends them when this returns.
pub(crate) async fn work(index: usize, shared: Arc<Shared>, given: Receiver<Given>) {
    let worker = Worker::new(index, shared.clone());
    let doors = Doors::default();
    let own = worker.clone();
    tokio::task::spawn_local(handoff::take(given, doors.clone(), move |usage| door(&own, usage)));
    tokio::task::spawn_local(client::watch_over(worker.clone()));
    let mut listeners = Listeners::new(index == 0, worker.strangers.clone());
    let mut snapshots = shared.published.subscribe();
    let mut identity = shared.identity.changes();
    let mut phase = shared.phase.subscribe();
    let mut tick = tokio::time::interval(TICK);
    let deadline = loop {
        let routed = reconcile(&worker, &mut listeners, &doors);
        tokio::select! {
            () = tokio::time::sleep(TOGETHER), if !routed => {}
            changed = snapshots.changed() => {
                if changed.is_err() {
                    // The catalog is gone with its process; the last snapshot serves on.
                    tokio::time::sleep(TICK).await;
                }
                tokio::time::sleep(TOGETHER).await;
            }
            _ = identity.changed() => {}
            _ = tick.tick() => {
                worker.pods.sweep();
                worker.bare.sweep();
            }
            _ = phase.changed() => {}
        }
        if let Phase::Stopping(deadline) = *phase.borrow_and_update() {
            break deadline;
        }
    };
    listeners.close();
    // Accept loops empty their queues in this turn of the runtime, before the tracker is closed.
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    worker.tasks.close();
    let ended = tokio::time::timeout_at(deadline.into(), worker.tasks.wait()).await;
    if ended.is_err() {
        tracing::info!(worker = index, left = worker.tasks.len(), "connections were cut at the deadline");
    }
    worker.links.stop();
}

/// Acts on the newest snapshot. False when some imports have no route yet: their listeners wait for it, or their
/// first requests would be told that there is nobody.
fn reconcile(worker: &Rc<Worker>, listeners: &mut Listeners, doors: &Doors) -> bool {
    let shared = &worker.shared;
    let snapshot = shared.published.load();
    // What is bound before the first lists are through would be asked for services whose endpoints are not known yet.
    let (imports, clashes) = if snapshot.synced {
        shared.note_synced();
        plan(&snapshot)
    } else {
        Default::default()
    };
    for (address, purpose) in clashes {
        tracing::warn!(%address, service = %purpose.service, port = purpose.port,
            "two imported ports ask for one listener; this one does not get it");
    }
    let (routed, waiting): (BTreeMap<_, _>, BTreeMap<_, _>) = worker.with_routes(|table| {
        let all = imports.into_iter().map(|(address, purpose)| (address, Use::Import(purpose)));
        all.partition(|(_, usage)| matches!(usage, Use::Import(p) if table.get(&p.key()).is_some()))
    });
    let mut wanted = routed;
    if shared.identity.leaf().is_some() {
        wanted.extend(shared.gateways.iter().map(|address| (*address, Use::Gateway)));
    }
    listeners.reconcile(&wanted, shared.timeouts.unbind_grace, |address, usage| spread(worker, doors, address, usage));
    doors.borrow_mut().retain(|address, _| wanted.contains_key(address));
    worker.links.reconcile(&snapshot);
    let mut states = listeners.states();
    let all_routed = waiting.is_empty();
    states.extend(waiting.into_iter().map(|(address, usage)| (address, (usage, Socket::Waiting))));
    shared.board.write(worker.index, snapshot.number, states);
    all_routed
}

/// What happens to what is accepted: it is for this worker, or for one with fewer connections.
fn spread(worker: &Rc<Worker>, doors: &Doors, address: SocketAddr, usage: &Use) -> OnAccept {
    let (worker, usage, here) = (worker.clone(), usage.clone(), door(worker, usage));
    doors.borrow_mut().insert(address, (usage.clone(), here.clone()));
    Rc::new(move |tcp, peer| {
        // At the stop what the kernel has queued is taken by whoever finds it: the others may have gone.
        let stays = if matches!(*worker.phase.borrow(), Phase::Stopping(_)) {
            Some(tcp)
        } else {
            worker.shared.handoff.give(worker.index, tcp, peer, (address, &usage))
        };
        if let Some(tcp) = stays {
            here(tcp, peer);
        }
    })
}

/// What happens to the connections of a listener.
fn door(worker: &Rc<Worker>, usage: &Use) -> OnAccept {
    let worker = worker.clone();
    match usage {
        Use::Import(purpose) => {
            let door = Rc::new(Door::new(purpose, &worker));
            Rc::new(move |tcp, peer| client::welcome(&worker, &door, tcp, peer))
        }
        Use::Gateway => Rc::new(move |tcp, peer| gateway::welcome(&worker, tcp, peer)),
    }
}
