//! The loop: take everything that has arrived, let the engine act, send, publish, sleep until the next duty.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use strait_catalog::{ClusterId, Input, Published};
use strait_identity::PeerError;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::{Dialers, Dialing};
use super::overview;
use crate::config::{Member, SyncConfig};
use crate::engine::{CloseReason, Engine, SessionId};
use crate::frame::{Body, Bye, Frame};
use crate::metrics::SyncMetrics;
use crate::session::{Event, SessionError};
use crate::status::SyncStatus;
use crate::topology::{self, Plan};

/// Snapshots are at least this far apart, unless a service's ready count comes to or leaves zero.
const PUBLISH_MS: u64 = 50;
/// Status and metrics are refreshed this often.
const STATUS_MS: u64 = 1_000;
/// Dialling begins when the source is through its first lists, since only then it is known who else could dial; or
/// after this long, since an API server that is down must not keep clusters apart.
const ALONE_MS: u64 = 5_000;
/// How much is taken in before anything is sent or published.
const BATCH: usize = 256;

/// One open session as the control task sees it.
pub(super) struct Session {
    /// `None` once it was given up and only its end is awaited.
    outbox: Option<mpsc::Sender<Bytes>>,
    pub(super) cluster: ClusterId,
    pub(super) address: Option<SocketAddr>,
    greeted: bool,
}

pub(super) struct Control {
    pub(super) config: SyncConfig,
    pub(super) engine: Engine,
    published: Published,
    members: watch::Receiver<Vec<Member>>,
    dialers: Dialers,
    pub(super) plan: Plan,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// Why the last attempt at each cluster failed.
    pub(super) errors: BTreeMap<ClusterId, String>,
    status: watch::Sender<SyncStatus>,
    metrics: SyncMetrics,
    published_at: u64,
    status_at: u64,
    /// When dialling begins at the latest; `None` once it has.
    dial_at: Option<u64>,
}

impl Control {
    pub(super) fn new(
        config: SyncConfig,
        engine: Engine,
        published: Published,
        members: watch::Receiver<Vec<Member>>,
        dialing: Dialing,
        status: watch::Sender<SyncStatus>,
        tracker: TaskTracker,
    ) -> Self {
        Self {
            dialers: Dialers::new(dialing, tracker, config.seed),
            config,
            engine,
            published,
            members,
            plan: Plan::default(),
            sessions: BTreeMap::new(),
            errors: BTreeMap::new(),
            status,
            metrics: SyncMetrics::new(),
            published_at: 0,
            status_at: 0,
            dial_at: None,
        }
    }

    fn now_ms(&self) -> u64 {
        let age = Instant::now().into_std().saturating_duration_since(self.config.origin);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut events: mpsc::Receiver<Event>,
        stop: CancellationToken,
    ) {
        let (mut source, mut membership) = (true, true);
        self.dial_at = Some(self.now_ms() + ALONE_MS);
        while !stop.is_cancelled() {
            let wake = self.attend();
            let now = self.now_ms();
            let nap = tokio::time::sleep(Duration::from_millis(wake.saturating_sub(now)));
            tokio::select! {
                () = stop.cancelled() => {}
                Some(event) = events.recv() => self.event(event),
                input = inputs.recv(), if source => match input {
                    Some(input) => self.input(input),
                    None => source = false,
                },
                changed = self.members.changed(), if membership => {
                    membership = changed.is_ok();
                    self.replan();
                }
                () = nap => {}
            }
            for _ in 0..BATCH {
                let (event, input) = (events.try_recv(), inputs.try_recv());
                if event.is_err() && input.is_err() {
                    break;
                }
                event.into_iter().for_each(|e| self.event(e));
                input.into_iter().for_each(|i| self.input(i));
            }
        }
        self.leave(&mut events).await;
    }

    /// Does what is due and says when to look again.
    fn attend(&mut self) -> u64 {
        let now = self.now_ms();
        self.engine.set_source_age((self.config.source_age_ms)());
        self.engine.tick(now);
        if self.dial_at.is_some_and(|at| now >= at || self.engine.catalog().is_synced()) {
            self.dial_at = None;
            self.replan();
        }
        self.end_given_up();
        self.greet();
        self.pump(now);
        let publish_at = self.publish(now);
        if now >= self.status_at {
            self.refresh(now);
        }
        let sends = self.sessions.iter().filter(|(_, s)| s.outbox.as_ref().is_some_and(|o| o.capacity() > 0));
        let send_at = sends.filter_map(|(id, _)| self.engine.next_send(*id)).min();
        let duties = [Some(self.engine.next_tick()), send_at, publish_at, Some(self.status_at), self.dial_at];
        duties.into_iter().flatten().min().unwrap_or(now)
    }

    fn event(&mut self, event: Event) {
        let now = self.now_ms();
        match event {
            Event::Up { id, peer, address, outbox } => {
                let cluster = peer.cluster.clone();
                self.sessions.insert(id, Session { outbox: Some(outbox), cluster, address, greeted: false });
                self.engine.session_up(now, id, peer);
            }
            Event::Frame { id, frame } => self.engine.frame(now, id, frame),
            Event::Written => {}
            Event::Distrusted { id, error } => self.distrusted(id, &error),
            Event::Down { id, error } => self.down(id, error.as_ref()),
            Event::DialFailed { cluster, error } => {
                self.metrics.dial_failed(&cluster);
                self.fault(&cluster, None, &error);
            }
        }
    }

    fn input(&mut self, input: Input) {
        let peers_changed = matches!(input, Input::Peers(_));
        if let Input::Peers(peers) = &input {
            (self.config.on_peers)(peers);
        }
        self.engine.input(self.now_ms(), input);
        if peers_changed {
            let catalog = self.engine.catalog();
            let known = |c: &ClusterId| c == catalog.local() || catalog.peers().contains_key(c);
            self.errors.retain(|c, _| known(c));
            self.metrics.retain(known);
            // Dialers read gateways from the snapshot.
            self.publish_now();
            self.replan();
        }
    }

    /// Compares who should be dialled with who is.
    fn replan(&mut self) {
        if self.dial_at.is_some() {
            return;
        }
        let members = self.members.borrow_and_update().clone();
        let catalog = self.engine.catalog();
        let peers = catalog.peers();
        let me = &self.config.daemon;
        self.plan = topology::plan(me, self.config.leaf, catalog.local(), peers.keys(), &members);
        let bootstrap = peers.iter().map(|(c, p)| (c.clone(), p.gateways.clone())).collect();
        for id in self.dialers.follow(&self.plan, bootstrap) {
            if let Some(session) = self.sessions.get_mut(&id) {
                farewell(session, "another daemon dials from here now");
            }
        }
    }

    /// Sends whatever sockets can take.
    fn pump(&mut self, now: u64) {
        for (id, session) in &self.sessions {
            let Some(outbox) = &session.outbox else { continue };
            while let Ok(room) = outbox.try_reserve() {
                let Some(frame) = self.engine.poll_send(now, *id) else { break };
                room.send(frame.to_wire());
            }
        }
    }

    /// Publishes if something changed and the last snapshot is old enough; else says when to.
    fn publish(&mut self, now: u64) -> Option<u64> {
        let due = self.published_at + PUBLISH_MS;
        if now < due && !self.engine.urgent() {
            return self.engine.unpublished().then_some(due);
        }
        self.publish_now();
        None
    }

    fn publish_now(&mut self) {
        if let Some(snapshot) = self.engine.publish() {
            self.published_at = self.now_ms();
            self.metrics.published();
            self.published.publish(snapshot);
        }
    }

    /// The first hello of a session is the moment it counts as established.
    fn greet(&mut self) {
        for (id, session) in self.sessions.iter_mut().filter(|(_, s)| !s.greeted) {
            if let Some(daemon) = self.engine.daemon_of(*id) {
                session.greeted = true;
                self.errors.remove(&session.cluster);
                self.status_at = 0;
                tracing::info!(cluster = %session.cluster, %daemon, address = ?session.address, "sync session established");
            }
        }
    }

    fn down(&mut self, id: SessionId, error: Option<&SessionError>) {
        // The frame before the end may have been its reason: a goodbye.
        self.end_given_up();
        self.engine.session_down(id);
        self.dialers.ended(id);
        let Some(session) = self.sessions.remove(&id) else { return };
        self.status_at = 0;
        // The reason of a session that was given up here is known already.
        if session.outbox.is_some() {
            let error = error.map_or_else(|| "the other side closed the session".to_owned(), ToString::to_string);
            self.fault(&session.cluster, session.address, &error);
        }
    }

    /// Closes the sessions that the engine has given up.
    fn end_given_up(&mut self) {
        for (id, reason) in self.engine.take_closed() {
            self.give_up(id, &reason);
        }
    }

    fn give_up(&mut self, id: SessionId, reason: &CloseReason) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        farewell(session, &reason.to_string());
        let (cluster, address) = (session.cluster.clone(), session.address);
        if reason.is_expected() {
            tracing::info!(%cluster, ?address, %reason, "sync session ended");
            self.errors.insert(cluster, reason.to_string());
        } else {
            self.fault(&cluster, address, &reason.to_string());
        }
    }

    /// A new session decides whether the peer is still let in: with a renewed certificate it is, which is no news.
    fn distrusted(&mut self, id: SessionId, error: &PeerError) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (cluster, reason) = (session.cluster.clone(), format!("no longer trusted: {error}"));
        farewell(session, &reason);
        tracing::info!(%cluster, address = ?session.address, reason, "sync session ended");
        self.errors.insert(cluster, reason);
    }

    /// One log line for each new trouble with a cluster; repetitions, and the end of one session among several, only at
    /// debug level.
    fn fault(&mut self, cluster: &ClusterId, address: Option<SocketAddr>, error: &str) {
        let stands = |s: &Session| s.cluster == *cluster && s.greeted && s.outbox.is_some();
        if self.sessions.values().any(stands) {
            tracing::debug!(%cluster, ?address, error, "one of several sync sessions is missing");
            return;
        }
        let known = self.errors.insert(cluster.clone(), error.to_owned());
        if known.as_deref() == Some(error) {
            tracing::debug!(%cluster, ?address, error, "no sync session");
        } else {
            tracing::warn!(%cluster, ?address, error, "no sync session");
        }
    }

    fn refresh(&mut self, now: u64) {
        self.status_at = now + STATUS_MS;
        let report = self.engine.report(now);
        self.metrics.update(&report);
        let status = overview::status(self, &report, self.published.load().number);
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    /// Says goodbye everywhere and gives the sessions a moment to pass it on.
    async fn leave(&mut self, events: &mut mpsc::Receiver<Event>) {
        self.dialers.stop();
        for session in self.sessions.values_mut() {
            farewell(session, "shutting down");
        }
        let all_down = async {
            while !self.sessions.is_empty() {
                match events.recv().await {
                    Some(Event::Down { id, .. }) => drop(self.sessions.remove(&id)),
                    Some(_) => {}
                    None => break,
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), all_down).await;
    }
}

/// Closes a session from this side. A peer that reads nothing hears no reason.
fn farewell(session: &mut Session, reason: &str) {
    if let Some(outbox) = session.outbox.take() {
        let bye: Frame = Body::Bye(Bye { reason: reason.to_owned() }).into();
        let _ = outbox.try_send(bye.to_wire());
    }
}
