//! One watch: from a revision until it ends, one way or another.

use std::time::Duration;

use futures_util::{AsyncBufRead, FutureExt as _};
use kube::api::WatchParams;
use kube::core::{Request, Status};
use strait_catalog::Version;
use tokio::time::{Instant, timeout_at};

use super::error::SourceError;
use super::follow::Follow;
use super::lines::{Lines, MAX_LINE};
use super::list::Reader;
use super::object::{Change, revision};
use super::quarantine::Quarantine;
use super::wire::{Bookmark, Event, EventType};

/// How long the API server may take to begin its answer.
const HEADERS: Duration = Duration::from_secs(15);
/// How long after its time is up a watch may linger before it counts as half-dead.
const GRACE: Duration = Duration::from_secs(5);
/// A watch that ends this shortly before its time is up ended because of it.
const PROMPT: Duration = Duration::from_secs(2);
/// Events that are told at once when they arrive together.
const BATCH: usize = 256;

/// How a watch ended.
#[derive(Debug)]
pub(super) enum End {
    /// Its time was up.
    Regular,
    /// The server closed it before that: it shuts down, or lost its own storage.
    Cut,
    /// It outlived its time: nothing can have been heard for long, and nothing will be.
    Stalled,
    /// Its revision is too old (410), the kind is no longer served (404), or the epoch changed: list again.
    Relist,
    /// It broke.
    Broken(SourceError),
}

/// What one batch of lines told.
pub(super) struct Batch<F> {
    pub(super) changes: Vec<Change<F>>,
    /// The highest revision told, by events or bookmarks.
    pub(super) revision: u64,
    /// Set when the watch is over after these changes.
    pub(super) end: Option<End>,
}

/// An open watch.
pub(super) struct Stream<'a, R> {
    reader: &'a Reader,
    path: &'a str,
    lines: Lines<R>,
    deadline: Instant,
}

impl Reader {
    /// Starts a watch of `time` from a version's revision.
    pub(super) async fn watch<'a>(
        &'a self,
        path: &'a str,
        from: Version,
        time: Duration,
    ) -> Result<Stream<'a, impl AsyncBufRead>, End> {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let mut params = WatchParams::default().timeout(seconds);
        params.label_selector = self.watched.labels().map(str::to_owned);
        params.field_selector = self.watched.fields();
        let request = Request::new(path)
            .watch(&params, &from.revision.to_string())
            .map_err(|error| End::Broken(self.request(path, kube::Error::BuildRequest(error))))?;
        let started = Instant::now();
        match timeout_at(started + HEADERS, self.client.request_stream(request)).await {
            Err(_) => Err(End::Broken(self.silent(path, HEADERS))),
            Ok(Err(kube::Error::Api(status))) if over(status.code) => Err(End::Relist),
            Ok(Err(error)) => Err(End::Broken(self.request(path, error))),
            Ok(Ok(body)) => {
                let deadline = started + time + GRACE;
                Ok(Stream { reader: self, path, lines: Lines::new(body, MAX_LINE), deadline })
            }
        }
    }
}

/// The answers that only a list can follow.
const fn over(code: u16) -> bool {
    matches!(code, 404 | 410)
}

impl<R: AsyncBufRead> Stream<'_, R> {
    /// Waits for events and returns those that arrived together.
    pub(super) async fn next<F: Follow>(&mut self, follow: &F, quarantine: &mut Quarantine) -> Batch<F::Fact> {
        let mut batch = Batch { changes: Vec::new(), revision: 0, end: None };
        let Ok(first) = timeout_at(self.deadline, self.lines.next()).await else {
            batch.end = Some(End::Stalled);
            return batch;
        };
        batch.end = take_line(self.reader, self.path, first, follow, quarantine, &mut batch);
        while batch.end.is_none() && batch.changes.len() < BATCH {
            let Some(line) = self.lines.next().now_or_never() else { break };
            batch.end = take_line(self.reader, self.path, line, follow, quarantine, &mut batch);
        }
        if matches!(batch.end, Some(End::Cut)) && Instant::now() + GRACE + PROMPT >= self.deadline {
            batch.end = Some(End::Regular);
        }
        batch
    }
}

/// Adds one line to a batch; returns how the watch ended, if it did.
fn take_line<F: Follow>(
    reader: &Reader,
    path: &str,
    line: std::io::Result<Option<&[u8]>>,
    follow: &F,
    quarantine: &mut Quarantine,
    batch: &mut Batch<F::Fact>,
) -> Option<End> {
    match line {
        Err(error) => Some(End::Broken(reader.request(path, kube::Error::ReadEvents(error)))),
        Ok(None) => Some(End::Cut),
        Ok(Some(b"")) => None,
        Ok(Some(line)) => add(reader, path, line, follow, quarantine, batch).err(),
    }
}

fn add<F: Follow>(
    reader: &Reader,
    path: &str,
    line: &[u8],
    follow: &F,
    quarantine: &mut Quarantine,
    batch: &mut Batch<F::Fact>,
) -> Result<(), End> {
    let broken = End::Broken;
    let event: Event<'_> = serde_json::from_slice(line).map_err(|error| broken(reader.garbage(path, &error)))?;
    let json = event.object.get();
    let at = match event.event {
        EventType::Error => return Err(ended(reader, path, json)),
        EventType::Bookmark => {
            let bookmark: Bookmark =
                serde_json::from_str(json).map_err(|error| broken(reader.garbage(path, &error)))?;
            revision(&bookmark.metadata.resource_version).map_err(|text| broken(reader.no_revision(path, text)))?
        }
        EventType::Added | EventType::Modified | EventType::Deleted => {
            let seen = reader.sight(path, json, follow, quarantine).map_err(broken)?;
            let at = seen.revision;
            batch.changes.push(if event.event == EventType::Deleted {
                quarantine.free(&seen.name);
                Change::Gone(seen.name, at)
            } else {
                Change::Set(seen)
            });
            at
        }
    };
    batch.revision = batch.revision.max(at);
    Ok(())
}

fn ended(reader: &Reader, path: &str, json: &str) -> End {
    match serde_json::from_str::<Status>(json) {
        Ok(status) if over(status.code) => End::Relist,
        Ok(status) => End::Broken(reader.request(path, kube::Error::Api(Box::new(status)))),
        Err(error) => End::Broken(reader.garbage(path, &error)),
    }
}
