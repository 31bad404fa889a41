//! The handle on the data plane: started once, drained and stopped once, looked at by status and readiness.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use strait_catalog::ClusterId;
use tokio::runtime::{Builder, LocalOptions, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::balance::{Balancer, Checking, ServiceStatus};
use crate::board::{Bound, ListenerView};
use crate::checks;
use crate::config::ProxyConfig;
use crate::handoff::{Given, Handoff};
use crate::health::Registry;
use crate::links::routed;
use crate::metrics::{Reporter, describe};
use crate::shared::{Phase, Shared};
use crate::worker::work;

/// How often gauges are read off the routes.
const REPORT: Duration = Duration::from_secs(1);

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
#[error("a thread or runtime of the proxy cannot be made: {0}; is the limit of processes or open files reached?")]
pub struct StartError(#[from] std::io::Error);

/// The running data plane: worker threads and one control thread.
pub struct Proxy {
    shared: Arc<Shared>,
    control: CancellationToken,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The data plane at one moment, for status.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ProxyView {
    /// This daemon's cluster.
    pub cluster: ClusterId,
    /// Whether it is accepting, draining or stopping.
    pub phase: &'static str,
    /// Open connections of each worker, clients' and gateway's.
    pub connections: Vec<u32>,
    /// Idle client connections that have given up their buffers.
    pub parked: u32,
    /// The gateway has a certificate and is open.
    pub gateway_open: bool,
    /// Import listeners, as readiness sees them.
    pub bound: Bound,
    /// All listeners.
    pub listeners: Vec<ListenerView>,
    /// All services with the shares and endpoints of each cluster.
    pub services: Vec<ServiceStatus>,
}

impl Proxy {
    /// Starts the threads. Install the metrics recorder before: handles are resolved here. Listeners follow the snapshots from here on; [`Self::bound`] tells when they stand.
    ///
    /// # Errors
    /// [`StartError`] when the system gives no threads or runtimes. Addresses that cannot be bound are no error here:
    /// they are a state, shown by [`Self::view`] and tried again.
    pub fn start(config: ProxyConfig) -> Result<Self, StartError> {
        describe();
        let workers = config.workers.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let registry = Registry::new();
        let origin = config.origin;
        let clock = move || u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (seed, most) = (fastrand::u64(..), config.limits.gateways_per_cluster);
        let balancer = Balancer::new(config.published.clone(), registry.clone(), clock)
            .returning_within(config.timeouts.failback_ramp)
            .choosing(Box::new(move |gateways| routed(gateways, most, seed)));
        let (ask, asked) = mpsc::channel(checks::QUEUE);
        let balancer = match config.timeouts.check_idle {
            Some(idle) => balancer.checking(Checking::new(ask, idle)),
            None => balancer,
        };
        let (handoff, given) = Handoff::new(workers);
        let shared = Arc::new(Shared::new(config, (workers, handoff), seed, registry, balancer.table()));
        let proxy = Self { shared: shared.clone(), control: CancellationToken::new(), threads: Mutex::default() };

        let (runtime, stop, seen) = (make_runtime()?, proxy.control.clone(), shared.clone());
        proxy.spawn("proxy-control", move || {
            runtime.block_on(async {
                tokio::join!(balancer.run(stop.clone()), report(&seen, &stop), checks::check(&seen, asked, &stop));
            });
        })?;
        for (index, given) in given.into_iter().enumerate() {
            proxy.spawn_worker(index, given)?;
        }
        Ok(proxy)
    }

    /// A worker's runtime is made on the thread it stays on. Whether that worked is waited for.
    fn spawn_worker(&self, index: usize, given: mpsc::Receiver<Given>) -> Result<(), StartError> {
        let shared = self.shared.clone();
        let (told, made) = std::sync::mpsc::sync_channel(1);
        self.spawn(&format!("proxy-{index}"), move || {
            match Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    let _ = told.send(Ok(()));
                    runtime.block_on(work(index, shared, given));
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                }
            }
        })?;
        let made = made.recv().unwrap_or_else(|_| Err(std::io::Error::other("its thread panicked")));
        made.map_err(StartError::from)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Follows whether all imports' listeners are bound on all workers: half of the node's readiness.
    #[must_use]
    pub fn bound(&self) -> watch::Receiver<Bound> {
        self.shared.board.subscribe()
    }

    /// Begins to leave: new connections are still accepted, but HTTP/1.1 answers close theirs and HTTP/2 connections
    /// are told to go; idle connections stay until [`Self::stop`]. Can be called again.
    pub fn drain(&self) {
        self.shared.phase.send_if_modified(|phase| {
            let begins = *phase == Phase::Running;
            if begins {
                *phase = Phase::Draining;
            }
            begins
        });
    }

    /// Stops: accepts what the kernel has queued, closes the listeners and idle connections, lets requests under way
    /// end, and cuts what is left after `within`. Returns when all threads have ended.
    pub async fn stop(&self, within: Duration) {
        self.shared.phase.send_replace(Phase::Stopping(Instant::now() + within));
        let mut threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // The first thread is the control thread, which the workers' last requests still need.
        let mut workers = threads.split_off(threads.len().min(1));
        while !workers.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.control.cancel();
        while !threads.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        threads.append(&mut workers);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy had panicked");
            }
        }
    }

    /// Everything at this moment.
    #[must_use]
    pub fn view(&self) -> ProxyView {
        ProxyView {
            cluster: self.shared.local.clone(),
            phase: match *self.shared.phase.borrow() {
                Phase::Running => "running",
                Phase::Draining => "draining",
                Phase::Stopping(_) => "stopping",
            },
            connections: self.shared.handoff.open(),
            parked: self.shared.parked(),
            gateway_open: !self.shared.gateways.is_empty() && self.shared.identity.leaf().is_some(),
            bound: self.shared.board.subscribe().borrow().clone(),
            listeners: self.shared.board.listeners(),
            services: self.shared.routes.load().status(self.shared.now_ms()),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Threads end by themselves; a dropped proxy must not serve on.
        self.shared.phase.send_replace(Phase::Stopping(Instant::now()));
        self.control.cancel();
    }
}

fn make_runtime() -> Result<Runtime, StartError> {
    Ok(Builder::new_current_thread().enable_io().enable_time().build()?)
}

async fn report(shared: &Shared, stop: &CancellationToken) {
    let mut reporter = Reporter::default();
    let mut tick = tokio::time::interval(REPORT);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => reporter.report(&shared.routes.load().status(shared.now_ms())),
        }
    }
}
