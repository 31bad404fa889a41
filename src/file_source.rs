//! The file source: this cluster's state from one YAML file, hot reloaded. The demo and tests without Kubernetes
//! use it; it makes the same records as the watches do.
//!
//! A file that is broken or half written keeps the last good state, and says so in the log, in `/status` and in
//! `strait_file_source_failing`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use strait_catalog::{ClusterId, Input};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod document;
mod records;
mod revision;

pub use document::{Document, EndpointEntry, GatewayEntry, PeerEntry, PortEntry, ServiceEntry};
pub use revision::{Numbered, Revisions};

/// How often the file is looked at.
pub const POLL: Duration = Duration::from_millis(100);

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("source file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not the YAML that is expected; often a half-written file.
    #[error("source file {path}: {reason} (is it written in place? write beside it and rename)")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// A name, address or port in it is wrong.
    #[error("source file {path}: {object}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which entry.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The content changed but its `revision:` did not rise.
    #[error("source file {path}: the content changed but `revision: {revision}` did not rise above {last}")]
    RevisionNotRaised {
        /// The file.
        path: PathBuf,
        /// What the file says.
        revision: u64,
        /// The last one taken.
        last: u64,
    },
    /// There is no `revision:` and the counter beside the file cannot be written.
    #[error("source file {path}: no `revision:`, and the counter {counter} cannot be kept: {source}")]
    NoCounter {
        /// The file.
        path: PathBuf,
        /// The counter's file.
        counter: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Reads the file once.
///
/// # Errors
/// [`FileError`], naming the file and the entry.
pub fn load(path: &Path, cluster: &ClusterId, revisions: &mut Revisions) -> Result<Vec<Input>, FileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
    let document = Document::parse(&text).map_err(|reason| FileError::Malformed { path: path.to_owned(), reason })?;
    let inputs = |revision| {
        records::inputs(&document, cluster, revision).map_err(|(object, reason)| FileError::Invalid {
            path: path.to_owned(),
            object,
            reason,
        })
    };
    inputs(0)?;
    let revision = revisions.number(path, document.revision, &text)?;
    inputs(revision)
}

/// What the source says of itself in `/status`.
#[derive(Clone, Debug, Default)]
pub struct FileStatus(Arc<ArcSwapOption<String>>);

impl FileStatus {
    /// The error that keeps the last good state in force, if any.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.0.load().as_ref().map(|e| e.to_string())
    }
}

/// Follows the file until cancelled. The first state is the caller's to load, so that a daemon does not start on a
/// broken file; `seen` is the file's stamp from before that, so that a change in between is not missed.
pub async fn follow(
    path: PathBuf,
    cluster: ClusterId,
    mut revisions: Revisions,
    mut seen: Stamp,
    inputs: mpsc::Sender<Input>,
    status: FileStatus,
    stop: CancellationToken,
) {
    describe();
    gauge(false);
    let mut again = false;
    loop {
        if stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_none() {
            return;
        }
        let now = Stamp::of(&path);
        if now == seen && !again {
            continue;
        }
        (seen, again) = (now, false);
        match load(&path, &cluster, &mut revisions) {
            Ok(changes) => {
                if status.0.swap(None).is_some() {
                    tracing::info!(path = %path.display(), "source file is good again");
                }
                gauge(false);
                for change in changes {
                    if inputs.send(change).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                // What is no fault of the content may pass without the file changing.
                again = matches!(error, FileError::Unreadable { .. } | FileError::NoCounter { .. });
                let text = error.to_string();
                if status.error().as_ref() != Some(&text) {
                    tracing::warn!("{text}; the last good state stays");
                    gauge(true);
                    status.0.store(Some(Arc::new(text)));
                }
            }
        }
    }
}

fn describe() {
    metrics::describe_gauge!(
        "strait_file_source_failing",
        "1 while the source file is not good and the last good state stays"
    );
}

#[allow(clippy::disallowed_macros)]
fn gauge(failing: bool) {
    metrics::gauge!("strait_file_source_failing").set(f64::from(u8::from(failing)));
}

/// What tells that a file changed, without reading it: identity, length and time; none when it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(Option<(u64, u64, i64, i64)>);

impl Stamp {
    /// Of the file as it is now.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let meta = std::fs::metadata(path).ok();
        Self(meta.map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
