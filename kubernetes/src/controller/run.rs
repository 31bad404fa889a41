//! The controller's loop: observe, plan, write while leading; follow along while not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kube::Client;
use strait_catalog::{ClusterId, Published, Snapshot};
use strait_identity::Identity;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authority::CertificateKeeper;
use super::certificates;
use super::execute::{Outcome, Writer};
use super::figures::Figures;
use super::naming::CONTROLLER;
use super::observed::Observed;
use super::peers::{self, PeerFacts};
use super::plan::{Memory, Now, Settings, World, plan};
use super::properties;
use super::watching::{Watched, fresh};
use crate::api::SYSTEM_NAMESPACE;
use crate::epoch::raise_epoch;
use crate::lease::{Candidate, Leadership};
use crate::source::SourceStatus;

/// A pass at least this often, in case a change was missed.
const TICK: Duration = Duration::from_secs(10);
/// How often the peers are looked at: silence shows by time alone.
const PEERS: Duration = Duration::from_secs(2);
/// A pass this often while something waits for time to pass.
const SOON: Duration = Duration::from_secs(1);
/// Changes that come together are handled together.
const COALESCE: Duration = Duration::from_millis(100);
/// How long a raised epoch has to take effect.
const EPOCH_PAUSE: Duration = Duration::from_secs(15);

/// What a controller works with.
pub struct ControllerParts {
    /// The API server.
    pub client: Client,
    /// What all clusters export, from this cluster's agents.
    pub published: Published,
    /// This cluster's identity; the controller puts its certificate into it.
    pub identity: Identity,
    /// This candidate's name for the lease, such as the pod's.
    pub holder: String,
    /// Zero of the clock that [`strait_catalog::Freshness`] counts by.
    pub origin: Instant,
    /// What agents say of their sessions; an empty map when they are not asked.
    pub facts: watch::Receiver<BTreeMap<ClusterId, PeerFacts>>,
    /// How patient to be.
    pub settings: Settings,
    /// The own source, which notices when a restored etcd took the revisions back.
    pub source: SourceStatus,
}

/// What a controller says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ControllerStatus {
    /// This one writes.
    pub leading: bool,
    /// Every watch has its first list.
    pub observing: bool,
    /// This cluster has a certificate.
    pub certified: bool,
    /// ServiceImports that stand.
    pub imports: usize,
    /// Listener numbers in use.
    pub listeners: usize,
    /// What stands in the way, one line each.
    pub troubles: BTreeSet<String>,
}

/// Runs a controller until stopped: watches, lease, certificates and passes, all on `tracker`.
#[must_use]
pub fn start(
    parts: ControllerParts,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> watch::Receiver<ControllerStatus> {
    let watched = Watched::default();
    watched.start(&parts.client, tracker, stop);
    let candidate = Candidate::new(parts.client.clone(), SYSTEM_NAMESPACE, CONTROLLER, &parts.holder);
    let leadership = candidate.leadership();
    let writing = CancellationToken::new();
    let keeper = CertificateKeeper::new(parts.client.clone(), parts.identity.id().clone());
    tracker.spawn(certificates::follow(keeper, parts.identity.clone(), leadership.clone(), stop.clone()));
    // The lease is given back only after the last write.
    tracker.spawn(candidate.run(writing.clone()));
    let (status, told) = watch::channel(ControllerStatus::default());
    let passes = Passes {
        writer: Writer::new(parts.client.clone(), leadership.clone()),
        started: Instant::now(),
        figures: Figures::new(),
        memory: Memory::default(),
        led: false,
        raised: None,
        peers_fail: false,
        troubles: BTreeSet::new(),
        parts,
        watched,
        leadership,
        status,
    };
    let stop = stop.clone();
    tracker.spawn(async move {
        passes.run(stop).await;
        writing.cancel();
    });
    told
}

struct Passes {
    parts: ControllerParts,
    watched: Watched,
    leadership: Leadership,
    writer: Writer,
    started: Instant,
    figures: Figures,
    memory: Memory,
    /// This process led in its last pass, so its memory is whole.
    led: bool,
    /// When the epoch was raised last.
    raised: Option<Duration>,
    /// The last writing of peers' statuses failed, and was told.
    peers_fail: bool,
    troubles: BTreeSet<String>,
    status: watch::Sender<ControllerStatus>,
}

impl Passes {
    async fn run(mut self, stop: CancellationToken) {
        let mut snapshots = self.parts.published.subscribe();
        let mut leadership = self.leadership.clone();
        let mut failures = 0_u32;
        let mut peers = tokio::time::interval(PEERS);
        peers.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let again = self.pass(&mut failures).await;
            let sleep = tokio::time::sleep(again);
            tokio::pin!(sleep);
            let held = self.leadership.held();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = &mut sleep => break,
                    () = self.watched.changed() => break,
                    Ok(()) = snapshots.changed() => break,
                    _ = peers.tick() => { self.look_at_peers().await; }
                    () = leadership.changed() => if leadership.held() != held { break },
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(COALESCE) => {}
            }
        }
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { unix_s: i64::try_from(unix.as_secs()).unwrap_or(i64::MAX), mono: self.started.elapsed() }
    }

    /// One pass; says when the next is due at the latest.
    async fn pass(&mut self, failures: &mut u32) -> Duration {
        let leading = self.leadership.held();
        let Some(mut observed) = self.watched.observed() else {
            self.led = false;
            self.tell(leading, false, &Observed::default());
            return SOON;
        };
        let snapshot = self.parts.published.load();
        observed.ready = ready(&snapshot);
        let now = self.now();
        if !leading {
            self.led = false;
            self.memory.follow(&observed, now.mono);
            self.tell(false, true, &observed);
            return TICK;
        }
        if !self.led && !self.take_over(&observed, now).await {
            return SOON;
        }
        self.mind_restores(&snapshot, now).await;
        let settings = self.parts.settings.clone();
        let wanted =
            plan(World { snapshot: &snapshot, observed: &observed, settings: &settings, now }, &mut self.memory);
        self.note_troubles(wanted.troubles);
        let mut failed = false;
        for action in &wanted.actions {
            let outcome = self.writer.write(action).await;
            self.figures.wrote(action.verb(), outcome.word());
            match outcome {
                Outcome::Done => tracing::info!("{action}"),
                Outcome::Moot => tracing::debug!("{action}: the object changed meanwhile"),
                Outcome::NotLeading => return SOON,
                Outcome::Failed(error) => {
                    failed = true;
                    if *failures == 0 {
                        tracing::warn!(error, "cannot {action}");
                    }
                }
            }
        }
        *failures = if failed { failures.saturating_add(1) } else { 0 };
        self.tell(true, true, &observed);
        match (failed, wanted.waiting || !wanted.actions.is_empty()) {
            (true, _) => SOON * 2_u32.pow((*failures).min(4)).min(10),
            (false, true) => SOON,
            (false, false) => TICK,
        }
    }

    /// Revisions that went back mean a restored etcd: a new epoch makes everything new again.
    async fn mind_restores(&mut self, snapshot: &Snapshot, now: Now) {
        let recently = self.raised.is_some_and(|at| now.mono.saturating_sub(at) < EPOCH_PAUSE);
        if recently || !self.parts.source.went_back() {
            return;
        }
        self.raised = Some(now.mono);
        let known = snapshot.cluster(&snapshot.local).map_or(0, |c| c.highest.epoch);
        match tokio::time::timeout(Duration::from_secs(5), raise_epoch(self.parts.client.clone(), known)).await {
            Ok(Ok(epoch)) => {
                tracing::warn!(epoch, "the API server's revisions went back (etcd was restored): raised the epoch")
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot raise the epoch in ConfigMap strait-system/strait-epoch"),
            Err(_) => {
                tracing::warn!("cannot raise the epoch in ConfigMap strait-system/strait-epoch: no answer in time")
            }
        }
    }

    /// A new leader reads anew what its predecessor may have written last, before it hands out any number.
    async fn take_over(&mut self, observed: &Observed, now: Now) -> bool {
        match tokio::time::timeout(Duration::from_secs(5), fresh(&self.parts.client)).await {
            Ok(Ok(standing)) => {
                self.memory.follow(&standing, now.mono);
                let id = &self.parts.identity.id().cluster;
                properties::declare(&self.parts.client, id.as_str(), observed.system_uid.as_deref()).await;
                self.led = true;
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot read what stands before leading");
                false
            }
            Err(_) => false,
        }
    }

    async fn look_at_peers(&mut self) {
        let Some(held) = self.watched.peers().filter(|_| self.leadership.held()) else { return };
        let (snapshot, now) = (self.parts.published.load(), self.now());
        let clock_ms = u64::try_from(self.parts.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let facts = self.parts.facts.borrow().clone();
        let certified = self.parts.identity.leaf().is_some();
        let mut failing = None;
        for (name, status) in peers::statuses(&held, &snapshot, &facts, certified, clock_ms, now) {
            let connected = status.connected;
            let outcome = self.writer.write_peer(&name, &status).await;
            self.figures.wrote("peer_status", outcome.word());
            match outcome {
                Outcome::Done => tracing::debug!(peer = name, connected, "wrote status of ClusterPeer"),
                Outcome::Moot | Outcome::NotLeading => {}
                Outcome::Failed(error) => failing = Some((name, error)),
            }
        }
        let fails = failing.is_some();
        if let Some((peer, error)) = failing.filter(|_| !self.peers_fail) {
            tracing::warn!(peer, error, "cannot write status of ClusterPeer");
        }
        self.peers_fail = fails;
    }

    /// Each trouble is logged when it begins and when it ends.
    fn note_troubles(&mut self, now: BTreeSet<String>) {
        for trouble in now.difference(&self.troubles) {
            tracing::warn!("{trouble}");
        }
        for trouble in self.troubles.difference(&now) {
            tracing::info!("over: {trouble}");
        }
        self.troubles = now;
    }

    fn tell(&self, leading: bool, observing: bool, observed: &Observed) {
        let next = ControllerStatus {
            leading,
            observing,
            certified: self.parts.identity.leaf().is_some(),
            imports: observed.imports.len(),
            listeners: self.memory.pool.in_use(),
            troubles: if observing { self.troubles.clone() } else { self.awaited() },
        };
        self.figures.state(&next, self.memory.pool.resting());
        self.status.send_if_modified(|held| {
            let news = *held != next;
            *held = next;
            news
        });
    }

    fn awaited(&self) -> BTreeSet<String> {
        self.watched.awaited().into_iter().map(|kind| format!("waiting for the first list of {kind}")).collect()
    }
}

/// Ready endpoints of each Service in Strait's namespace, as this cluster's slices tell.
fn ready(snapshot: &Arc<Snapshot>) -> BTreeMap<String, usize> {
    snapshot
        .services()
        .filter(|(service, _)| service.namespace() == SYSTEM_NAMESPACE)
        .filter_map(|(service, view)| {
            Some((service.name().to_owned(), view.backends.get(&snapshot.local)?.ready as usize))
        })
        .collect()
}
