//! List, watch, list again: the life of one kind.

use std::time::Duration;

use futures_util::AsyncBufRead;
use kube::Client;
use strait_catalog::{Input, Version};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::backoff::{draw, pause_ms};
use super::epoch_cell::EpochCell;
use super::error::SourceError;
use super::follow::Follow;
use super::guard::needs_confirmation;
use super::list::{Listing, Reader};
use super::object::ObjectName;
use super::quarantine::Quarantine;
use super::status::{KindStatus, SourceStatus, WatchState};
use super::stream::{End, Stream};
use super::target::Watched;
use crate::metrics::Restart;

/// Cycles begin apart, so that a rollout of many agents does not list everything in the same instant, milliseconds.
const START_MS: std::ops::Range<u64> = 0..300;
/// How long a watch is asked to last, seconds.
const WATCH_S: std::ops::RangeInclusive<u64> = 30..=60;
/// When a kind that is not served is asked for again, milliseconds.
const ABSENT_MS: std::ops::Range<u64> = 3_000..7_000;
/// How long after the first a confirming list is read, milliseconds.
const CONFIRM_MS: std::ops::Range<u64> = 1_500..2_500;
/// A watch that lived this long was healthy, whatever ended it.
const HEALTHY: Duration = Duration::from_secs(10);
/// After so many refusals in a row a list is tried instead: the revision may be the trouble.
const REFUSALS: u32 = 3;

/// Nobody receives what is told.
struct Closed;

/// Where a list left off.
enum Place {
    /// To be watched from there.
    At(String, Version),
    /// Not served.
    Absent,
    /// The epoch rose while the list was read: it must be read again.
    Outdated,
}

/// Why a list was not taken in.
enum Failure {
    Closed,
    Source(SourceError),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<Closed> for Failure {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// The life of one kind.
pub(super) struct Cycle {
    reader: Reader,
    tx: mpsc::Sender<Input>,
    status: KindStatus,
    epoch: EpochCell,
    quarantine: Quarantine,
    random: fastrand::Rng,
    /// The highest version seen, by a list, an event or a bookmark.
    highest: Version,
    /// The epoch in which the kind was last told to be empty because it is not served.
    told_absent: Option<u64>,
}

impl Cycle {
    pub(super) fn new(
        watched: Watched,
        client: &Client,
        server: &str,
        tx: &mpsc::Sender<Input>,
        status: &SourceStatus,
        epoch: &EpochCell,
    ) -> Self {
        let status = status.of(watched);
        Self {
            reader: Reader { client: client.clone(), server: server.to_owned(), watched },
            tx: tx.clone(),
            quarantine: Quarantine::new(status.metrics.quarantined.clone()),
            status,
            epoch: epoch.clone(),
            random: fastrand::Rng::new(),
            highest: Version::default(),
            told_absent: None,
        }
    }

    /// Lives until nobody receives any more.
    pub(super) async fn run<F: Follow>(mut self, mut follow: F) {
        let settles = self.reader.watched == Watched::Epoch;
        if !settles {
            self.epoch.settled().await;
        }
        sleep(draw(&mut self.random, START_MS)).await;
        let mut attempt = 0;
        loop {
            let listed = self.relist(&mut follow).await;
            if settles && answered(&listed) {
                self.epoch.settle();
            }
            match listed {
                Err(Failure::Closed) => return,
                Err(Failure::Source(error)) => self.status.failed(&error),
                Ok(Place::Outdated) => continue,
                Ok(Place::Absent) => {
                    attempt = 0;
                    self.pause(ABSENT_MS).await;
                    continue;
                }
                Ok(Place::At(path, from)) => match self.watch(&mut follow, &path, from).await {
                    Err(Closed) => return,
                    // What was watched well is listed again soon, but not by every agent in the same instant.
                    Ok(true) => attempt = 0,
                    Ok(false) => {}
                },
            }
            self.pause(pause_ms(attempt)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    /// Waits, but not for an epoch that is already outdated.
    async fn pause(&mut self, range_ms: std::ops::Range<u64>) {
        let used = self.epoch.get();
        tokio::select! {
            () = sleep(draw(&mut self.random, range_ms)) => {}
            () = self.epoch.differs_from(used) => {}
        }
    }

    async fn relist<F: Follow>(&mut self, follow: &mut F) -> Result<Place, Failure> {
        let mut listing = self.reader.list(follow, &mut self.quarantine).await?;
        let (known, gone) = losses(follow, listing.as_ref());
        if needs_confirmation(known, gone, listing.is_none()) {
            let kind = self.reader.watched.as_str();
            tracing::warn!(kind, known, gone, "a list lost many objects; it is read again before it counts");
            self.status.metrics.confirmations.increment(1);
            sleep(draw(&mut self.random, CONFIRM_MS)).await;
            listing = self.reader.list(follow, &mut self.quarantine).await?;
        }
        match listing {
            Some(listing) => self.take_in(follow, listing).await,
            None => self.take_in_absence(follow).await,
        }
    }

    async fn take_in<F: Follow>(&mut self, follow: &mut F, listing: Listing<F::Fact>) -> Result<Place, Failure> {
        follow.heed(&listing.seen);
        let version = self.advance(&listing.path, listing.revision)?;
        if !self.tell_list(version.epoch, follow.listed(version, listing.seen)).await? {
            return Ok(Place::Outdated);
        }
        self.told_absent = None;
        self.status.listed(WatchState::Watching, follow.known().count(), version.revision);
        Ok(Place::At(listing.path, version))
    }

    async fn take_in_absence<F: Follow>(&mut self, follow: &mut F) -> Result<Place, Failure> {
        let epoch = self.epoch.get();
        if self.told_absent != Some(epoch) {
            let revision = self.reader.current_revision().await?;
            let paths = self.reader.watched.paths();
            let version = self.advance(&paths[0], revision)?;
            if !self.tell_list(version.epoch, follow.listed(version, Vec::new())).await? {
                return Ok(Place::Outdated);
            }
            self.told_absent = Some(epoch);
            self.status.listed(WatchState::Absent, 0, version.revision);
            tracing::info!(
                kind = self.reader.watched.as_str(),
                "the API server does not serve this kind, or not to this account; are its CRD and the role installed?"
            );
        }
        self.status.stands(WatchState::Absent);
        Ok(Place::Absent)
    }

    /// The version of a list; an error when it is below one already seen.
    fn advance(&mut self, path: &str, revision: u64) -> Result<Version, SourceError> {
        let version = Version::new(self.epoch.get(), revision);
        if version < self.highest {
            let (path, server) = (path.to_owned(), self.reader.server.clone());
            return Err(SourceError::WentBack { path, server, listed: version, known: self.highest });
        }
        self.highest = version;
        Ok(version)
    }

    /// Tells a list, unless the epoch rose meanwhile: receivers date what a list does not contain with the epoch told
    /// last, so a list of the life before must not come after the first word of the next. False when it rose.
    async fn tell_list(&self, epoch: u64, inputs: Vec<Input>) -> Result<bool, Closed> {
        let places = self.tx.reserve_many(inputs.len()).await.map_err(|_| Closed)?;
        let told = self.epoch.while_at(epoch, || places.zip(inputs).for_each(|(place, input)| place.send(input)));
        Ok(told)
    }

    async fn tell(&self, inputs: Vec<Input>) -> Result<(), Closed> {
        for input in inputs {
            self.tx.send(input).await.map_err(|_| Closed)?;
        }
        Ok(())
    }

    /// Watches from one list until another is needed; true when the watch was healthy until then.
    async fn watch<F: Follow>(&mut self, follow: &mut F, path: &str, mut from: Version) -> Result<bool, Closed> {
        let (mut attempt, mut refusals) = (0, 0);
        let (mut healthy, mut doubt) = (false, false);
        loop {
            let (started, before) = (Instant::now(), from);
            let end = self.watch_once(follow, path, &mut from, doubt).await?;
            let lived = from > before || started.elapsed() >= HEALTHY;
            if lived {
                (attempt, refusals, healthy) = (0, 0, true);
            }
            doubt = !matches!(end, End::Regular);
            match end {
                End::Relist => return Ok(healthy),
                End::Regular => {
                    self.status.restarted(Restart::Ended);
                    self.status.stands(WatchState::Watching);
                    continue;
                }
                End::Cut => self.status.restarted(Restart::Failed),
                End::Stalled => {
                    self.status.restarted(Restart::Stalled);
                    self.status.failed(&self.reader.silent(path, started.elapsed()));
                    // Long enough was waited.
                    continue;
                }
                End::Broken(error) => {
                    self.status.restarted(Restart::Failed);
                    self.status.failed(&error);
                    refusals += u32::from(error.is_an_answer());
                    if refusals >= REFUSALS {
                        return Ok(false);
                    }
                }
            }
            self.pause(pause_ms(attempt)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    /// One watch, from `from` on, which follows what was seen. In `doubt`, after a watch that did not end by itself,
    /// the server's revision is asked for first: a restored server that has not reached `from` yet accepts a watch
    /// from there without a word, and then stays silent about everything that happens below.
    async fn watch_once<F: Follow>(
        &mut self,
        follow: &mut F,
        path: &str,
        from: &mut Version,
        doubt: bool,
    ) -> Result<End, Closed> {
        if self.epoch.get() != from.epoch {
            return Ok(End::Relist);
        }
        if doubt {
            match self.reader.revision_at(path).await {
                Ok(revision) if revision < from.revision => return Ok(End::Relist),
                Ok(_) => {}
                Err(error) if matches!(error.code(), Some(404 | 410)) => return Ok(End::Relist),
                Err(error) => return Ok(End::Broken(error)),
            }
        }
        let time = Duration::from_secs(self.random.u64(WATCH_S));
        let reader = self.reader.clone();
        let mut stream = match reader.watch(path, *from, time).await {
            Ok(stream) => stream,
            Err(end) => return Ok(end),
        };
        self.status.stands(WatchState::Watching);
        loop {
            if let Some(end) = self.hear(follow, &mut stream, from).await? {
                return Ok(end);
            }
        }
    }

    /// Takes in one batch of events; returns how the watch ended, if it did.
    async fn hear<F: Follow, R: AsyncBufRead>(
        &mut self,
        follow: &mut F,
        stream: &mut Stream<'_, R>,
        from: &mut Version,
    ) -> Result<Option<End>, Closed> {
        let batch = tokio::select! {
            () = self.epoch.differs_from(from.epoch) => return Ok(Some(End::Relist)),
            batch = stream.next(follow, &mut self.quarantine) => batch,
        };
        if batch.revision > 0 {
            self.status.metrics.events.increment(batch.changes.len() as u64);
            self.tell(follow.changed(from.epoch, batch.changes)).await?;
            from.revision = from.revision.max(batch.revision);
            self.highest = self.highest.max(*from);
            self.status.stands(WatchState::Watching);
            self.status.knows(follow.known().count(), from.revision);
        }
        Ok(batch.end)
    }
}

/// True when the API server said something, be it no.
fn answered(listed: &Result<Place, Failure>) -> bool {
    match listed {
        Ok(_) | Err(Failure::Source(SourceError::WentBack { .. })) => true,
        Err(Failure::Source(error)) => error.code().is_some(),
        Err(Failure::Closed) => false,
    }
}

/// How many objects are known, and how many of them a list does not contain. An object that is there but says
/// nothing of use any more is not lost.
fn losses<F: Follow>(follow: &F, listing: Option<&Listing<F::Fact>>) -> (usize, usize) {
    let listed: std::collections::BTreeSet<&ObjectName> =
        listing.into_iter().flat_map(|listing| listing.seen.iter().map(|seen| &seen.name)).collect();
    let known = follow.known().count();
    let gone = follow.known().filter(|name| !listed.contains(*name)).count();
    (known, gone)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
