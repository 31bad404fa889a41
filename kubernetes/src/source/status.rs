//! What the source says of itself: for readiness, `status` and the age of one's own knowledge.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::error::SourceError;
use super::target::Watched;
use crate::metrics::{Restart, SourceMetrics};

/// How the watch of one kind stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchState {
    /// The first list is not done.
    #[default]
    Starting,
    /// Listed, and watching from there.
    Watching,
    /// The API server does not serve the kind: its CRD is not installed. Asked for again every few seconds.
    Absent,
    /// The last list or watch failed; it is tried again with backoff, and what was known is kept.
    Broken,
}

/// One kind's line in a report.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct KindReport {
    /// The kind as Kubernetes calls it.
    pub kind: &'static str,
    /// How its watch stands.
    pub state: WatchState,
    /// The first complete list was taken in.
    pub synced: bool,
    /// Objects known.
    pub objects: usize,
    /// The revision up to which everything was seen.
    pub revision: u64,
    /// Seconds since the API server last answered for this kind; an idle watch stays silent for up to 65 s.
    pub age_seconds: Option<f64>,
    /// Seconds since it broke; `None` while it stands.
    pub broken_seconds: Option<f64>,
    /// What failed last; empty once it stands again.
    pub error: String,
}

#[derive(Clone, Debug, Default)]
struct Facts {
    state: WatchState,
    synced: bool,
    objects: usize,
    revision: u64,
    heard: Option<Instant>,
    broken: Option<Instant>,
    error: String,
    reason: &'static str,
}

/// The handle by which others see how the watches stand. Cheap to clone; holds no lock while anyone waits.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    kinds: Arc<Mutex<BTreeMap<Watched, Facts>>>,
    synced: watch::Sender<bool>,
}

impl Default for SourceStatus {
    fn default() -> Self {
        let kinds = Watched::ALL.into_iter().map(|kind| (kind, Facts::default())).collect();
        Self { kinds: Arc::new(Mutex::new(kinds)), synced: watch::Sender::new(false) }
    }
}

impl SourceStatus {
    /// A status in which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<Watched, Facts>> {
        // Nothing panics while it is held, and plain facts cannot be half-written.
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once the first complete list of every kind was handed over. Stays true: later trouble shows as age.
    #[must_use]
    pub fn synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until [`Self::synced`].
    pub async fn wait_synced(&self) {
        // The sender is `self`, so it cannot be gone.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// How long the longest broken watch has been so; `None` while all stand. This is the age of what is known of
    /// one's own cluster: an idle watch that stands is current, however long nothing was said.
    #[must_use]
    pub fn broken_for(&self) -> Option<Duration> {
        self.kinds().values().filter_map(|facts| facts.broken).min().map(|since| since.elapsed())
    }

    /// True while the API server's revisions are below those seen before: its etcd was restored from a backup.
    #[must_use]
    pub fn went_back(&self) -> bool {
        self.kinds().values().any(|facts| facts.broken.is_some() && facts.reason == "went-back")
    }

    /// One line for each kind.
    #[must_use]
    pub fn report(&self) -> Vec<KindReport> {
        let seconds = |at: Option<Instant>| at.map(|at| at.elapsed().as_secs_f64());
        let line = |(kind, facts): (&Watched, &Facts)| KindReport {
            kind: kind.as_str(),
            state: facts.state,
            synced: facts.synced,
            objects: facts.objects,
            revision: facts.revision,
            age_seconds: seconds(facts.heard),
            broken_seconds: seconds(facts.broken),
            error: facts.error.clone(),
        };
        self.kinds().iter().map(line).collect()
    }

    /// How long ago the API server last answered for each kind it answered for.
    pub(super) fn ages(&self) -> Vec<(Watched, Duration)> {
        self.kinds().iter().filter_map(|(kind, facts)| Some((*kind, facts.heard?.elapsed()))).collect()
    }

    pub(super) fn of(&self, kind: Watched) -> KindStatus {
        KindStatus { all: self.clone(), kind, metrics: SourceMetrics::new(kind.as_str()) }
    }
}

/// One kind's side of the status: written by its cycle.
pub(super) struct KindStatus {
    all: SourceStatus,
    kind: Watched,
    pub(super) metrics: SourceMetrics,
}

impl KindStatus {
    fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(self.all.kinds().entry(self.kind).or_default());
    }

    /// A complete list was handed over.
    pub(super) fn listed(&self, state: WatchState, objects: usize, revision: u64) {
        self.metrics.relists.increment(1);
        self.metrics.synced.set(1.0);
        self.change(|facts| facts.synced = true);
        self.stands(state);
        self.knows(objects, revision);
        let all = self.all.kinds().values().all(|facts| facts.synced);
        self.all.synced.send_if_modified(|synced| all && !std::mem::replace(synced, all));
    }

    /// The API server answered: a watch began or went on, or a list was read.
    pub(super) fn stands(&self, state: WatchState) {
        let mut was_broken = false;
        self.change(|facts| {
            facts.state = state;
            facts.heard = Some(Instant::now());
            was_broken = facts.broken.take().is_some();
            facts.error.clear();
            facts.reason = "";
        });
        if was_broken {
            tracing::info!(kind = self.kind.as_str(), "watch stands again");
        }
    }

    /// What is known now.
    pub(super) fn knows(&self, objects: usize, revision: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge; counts stay far below 2^52")]
        self.metrics.objects.set(objects as f64);
        self.change(|facts| {
            facts.objects = objects;
            facts.revision = revision;
        });
    }

    pub(super) fn restarted(&self, why: Restart) {
        self.metrics.restarted(why);
    }

    /// A list or watch failed. Each new reason is logged once, its repetitions are counted.
    pub(super) fn failed(&self, error: &SourceError) {
        let reason = error.reason();
        self.metrics.failed(reason);
        let text = error.to_string();
        let mut news = false;
        self.change(|facts| {
            news = facts.reason != reason;
            facts.reason = reason;
            facts.error.clone_from(&text);
            facts.broken.get_or_insert_with(Instant::now);
            if facts.synced {
                facts.state = WatchState::Broken;
            }
        });
        if news {
            tracing::warn!(kind = self.kind.as_str(), error = text, "watch broke; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent() -> SourceError {
        SourceError::Silent { path: "/api/v1/services".into(), server: "https://127.0.0.1:1".into(), seconds: 30 }
    }

    #[tokio::test(start_paused = true)]
    async fn synced_needs_every_kind_and_survives_trouble() {
        let status = SourceStatus::new();
        for kind in Watched::ALL {
            assert!(!status.synced(), "before {}", kind.as_str());
            status.of(kind).listed(WatchState::Watching, 1, 5);
        }
        status.wait_synced().await;
        status.of(Watched::Service).failed(&silent());
        assert!(status.synced());
    }

    #[tokio::test(start_paused = true)]
    async fn broken_time_counts_from_the_first_failure() {
        let status = SourceStatus::new();
        let services = status.of(Watched::Service);
        services.listed(WatchState::Watching, 3, 5);
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(status.broken_for(), None, "an idle watch is current");
        services.failed(&silent());
        tokio::time::advance(Duration::from_secs(7)).await;
        services.failed(&silent());
        assert_eq!(status.broken_for(), Some(Duration::from_secs(7)));
        let report = status.report();
        let line = report.iter().find(|line| line.kind == "Service").cloned();
        assert!(
            line.is_some_and(|l| l.state == WatchState::Broken && l.objects == 3 && l.error.contains("127.0.0.1:1"))
        );
        services.stands(WatchState::Watching);
        assert_eq!(status.broken_for(), None);
    }
}
