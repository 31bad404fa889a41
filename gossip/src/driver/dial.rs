//! Dialers: one task for each target of the plan, which keeps a session to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use strait_catalog::{ClusterId, Published};
use strait_identity::{Alpn, Identity, PeerRole, Shown};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::{Backoff, DialLimit, staggered};
use crate::config::DaemonId;
use crate::engine::{PeerInfo, SessionId};
use crate::session::{self, Event, SessionIds};
use crate::status::Direction;
use crate::topology::Plan;

/// One address gets this long for TCP and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Unacknowledged data for this long ends the connection: a black hole is noticed within it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// A session that stood this long was a success; shorter ones keep the backoff growing.
const STOOD: Duration = Duration::from_secs(10);
/// At most this much waits in the kernel, so that heads are not stuck behind old bulk.
const NOT_SENT: u32 = 128 * 1024;
/// Addresses of one host name that are tried.
const RESOLVED_MAX: usize = 4;

/// Gateways that `ClusterPeer`s name.
pub(super) type Bootstrap = BTreeMap<ClusterId, Vec<String>>;

/// What every dialer needs.
#[derive(Clone)]
pub(super) struct Dialing {
    pub(super) identity: Identity,
    pub(super) published: Published,
    pub(super) own: ClusterId,
    pub(super) limit: Arc<Mutex<DialLimit>>,
    pub(super) origin: std::time::Instant,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) ids: SessionIds,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Remote(ClusterId),
    Sibling(DaemonId, SocketAddr),
}

/// The dialers that run, by target.
pub(super) struct Dialers {
    dialing: Dialing,
    tracker: TaskTracker,
    rng: fastrand::Rng,
    bootstrap: watch::Sender<Bootstrap>,
    running: BTreeMap<Target, Dialer>,
}

struct Dialer {
    stop: CancellationToken,
    /// The session it holds at the moment.
    session: Arc<Mutex<Option<SessionId>>>,
}

impl Dialers {
    pub(super) fn new(dialing: Dialing, tracker: TaskTracker, seed: u64) -> Self {
        Self {
            dialing,
            tracker,
            rng: fastrand::Rng::with_seed(seed ^ 0xd1a1),
            bootstrap: watch::Sender::default(),
            running: BTreeMap::new(),
        }
    }

    /// Starts and stops dialers so that they fit the plan. Returns the sessions that nobody keeps any more.
    pub(super) fn follow(&mut self, plan: &Plan, bootstrap: Bootstrap) -> Vec<SessionId> {
        self.bootstrap.send_replace(bootstrap);
        let siblings = plan.siblings.iter().map(|m| Target::Sibling(m.id.clone(), m.address));
        let wanted: BTreeSet<_> = plan.remotes.iter().cloned().map(Target::Remote).chain(siblings).collect();
        let mut abandoned = Vec::new();
        self.running.retain(|target, dialer| {
            let keep = wanted.contains(target);
            if !keep {
                dialer.stop.cancel();
                abandoned.extend(*held(&dialer.session));
            }
            keep
        });
        for target in wanted {
            if !self.running.contains_key(&target) {
                let dialer = self.spawn(target.clone());
                self.running.insert(target, dialer);
            }
        }
        abandoned
    }

    fn spawn(&mut self, target: Target) -> Dialer {
        let dialer = Dialer { stop: CancellationToken::new(), session: Arc::default() };
        let task = Task {
            dialing: self.dialing.clone(),
            target,
            bootstrap: self.bootstrap.subscribe(),
            rng: self.rng.fork(),
            session: dialer.session.clone(),
        };
        let stop = dialer.stop.clone();
        self.tracker.spawn(async move {
            // A session that stands is ended by the control task, with a goodbye; the rest is just dropped.
            task.run(stop).await;
        });
        dialer
    }

    /// A session is over.
    pub(super) fn ended(&self, id: SessionId) {
        for dialer in self.running.values() {
            let mut current = held(&dialer.session);
            if *current == Some(id) {
                *current = None;
            }
        }
    }

    pub(super) fn stop(&self) {
        self.running.values().for_each(|d| d.stop.cancel());
    }
}

fn held(session: &Mutex<Option<SessionId>>) -> std::sync::MutexGuard<'_, Option<SessionId>> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Task {
    dialing: Dialing,
    target: Target,
    bootstrap: watch::Receiver<Bootstrap>,
    rng: fastrand::Rng,
    session: Arc<Mutex<Option<SessionId>>>,
}

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        let mut identity = self.dialing.identity.changes();
        let mut wait = Duration::from_millis(self.rng.u64(0..100));
        loop {
            let paused = async {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    // New certificates or roots: what failed a moment ago may work now.
                    _ = identity.changed() => {}
                }
                tokio::time::sleep(self.turn()).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = paused => {}
            }
            let attempt = self.attempt();
            let connected = tokio::select! {
                () = stop.cancelled() => return,
                connected = attempt => connected,
            };
            match connected {
                Ok((stream, address)) => {
                    let began = Instant::now();
                    self.hold(stream, address).await;
                    if began.elapsed() >= STOOD {
                        backoff.succeeded();
                    }
                }
                Err(error) => {
                    let cluster = self.cluster().clone();
                    if self.dialing.events.send(Event::DialFailed { cluster, error }).await.is_err() {
                        return;
                    }
                }
            }
            if stop.is_cancelled() {
                return;
            }
            wait = backoff.failed(&mut self.rng);
        }
    }

    /// How long to wait for this dial's place in the limit over all of them.
    fn turn(&self) -> Duration {
        let age = Instant::now().into_std().saturating_duration_since(self.dialing.origin);
        let now_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.dialing.limit.lock().unwrap_or_else(PoisonError::into_inner).reserve(now_ms)
    }

    const fn cluster(&self) -> &ClusterId {
        match &self.target {
            Target::Remote(cluster) => cluster,
            Target::Sibling(..) => &self.dialing.own,
        }
    }

    async fn hold(&self, stream: TlsStream<TcpStream>, address: SocketAddr) {
        let id = self.dialing.ids.next();
        *held(&self.session) = Some(id);
        let peer = PeerInfo { cluster: self.cluster().clone(), direction: Direction::Dialled };
        let shown = Shown::on(stream.get_ref().1, PeerRole::Server);
        let distrusted = self.dialing.identity.clone().distrusted(shown);
        session::run(stream, id, peer, Some(address), distrusted, self.dialing.events.clone()).await;
    }

    /// The addresses known for the target, each with whether it is worth trying first.
    fn addresses(&self) -> Vec<(String, bool)> {
        let cluster = match &self.target {
            Target::Sibling(_, address) => return vec![(address.to_string(), true)],
            Target::Remote(cluster) => cluster,
        };
        let live = self.dialing.published.load();
        let gateways = live.cluster(cluster).map(|view| view.gateways.clone()).unwrap_or_default();
        let mut known: Vec<_> = gateways.into_iter().map(|g| (g.address, g.ready)).collect();
        // Live gateways replace the configured ones; these stay as a last resort.
        let configured = self.bootstrap.borrow().get(cluster).cloned().unwrap_or_default();
        for address in configured {
            if known.iter().all(|(a, _)| *a != address) {
                known.push((address, false));
            }
        }
        known
    }

    /// Dials all addresses, each 300 ms after the one before, and keeps the first that answers.
    async fn attempt(&mut self) -> Result<(TlsStream<TcpStream>, SocketAddr), String> {
        let addresses = self.addresses();
        if addresses.is_empty() {
            return Err("no gateway address is known; does the ClusterPeer name one?".to_owned());
        }
        let cluster = self.cluster().clone();
        let config = self.dialing.identity.client_config(&cluster, &[Alpn::Sync]).map_err(|e| e.to_string())?;
        let connector = TlsConnector::from(config);
        let mut race: FuturesUnordered<_> = staggered(&addresses, &mut self.rng)
            .into_iter()
            .map(|(delay, address)| {
                let (connector, cluster) = (connector.clone(), cluster.clone());
                async move {
                    tokio::time::sleep(delay).await;
                    let connected = tokio::time::timeout(CONNECT_LIMIT, connect(&address, &cluster, connector)).await;
                    connected
                        .unwrap_or_else(|_| Err(format!("no answer within {} s", CONNECT_LIMIT.as_secs())))
                        .map_err(|e| format!("{address}: {e}"))
                }
            })
            .collect();
        let mut errors = BTreeSet::new();
        while let Some(outcome) = race.next().await {
            match outcome {
                Ok(connected) => return Ok(connected),
                Err(error) => errors.insert(error),
            };
        }
        Err(errors.into_iter().take(3).collect::<Vec<_>>().join("; "))
    }
}

async fn connect(
    address: &str,
    cluster: &ClusterId,
    connector: TlsConnector,
) -> Result<(TlsStream<TcpStream>, SocketAddr), String> {
    let resolved = tokio::net::lookup_host(address).await.map_err(|e| format!("does not resolve: {e}"))?;
    let mut last = "resolves to no address".to_owned();
    for resolved in resolved.take(RESOLVED_MAX) {
        match TcpStream::connect(resolved).await {
            Ok(stream) => {
                tune(&stream).map_err(|e| format!("socket options: {e}"))?;
                let handshake = connector.connect(Identity::server_name(cluster), stream).await;
                let stream = handshake.map_err(|e| strait_identity::explain(&e))?;
                return match Alpn::negotiated(stream.get_ref().1) {
                    Some(Alpn::Sync) => Ok((stream, resolved)),
                    _ => Err("the other side does not speak strait-sync/1".to_owned()),
                };
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// No delay for heads, and the kernel gives up on a silent path within seconds.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(2)).with_interval(Duration::from_secs(1));
    socket.set_tcp_keepalive(&keepalive.with_retries(3))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.set_tcp_notsent_lowat(NOT_SENT)
}
