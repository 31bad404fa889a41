//! The file source: this cluster's state from one YAML file, hot reloaded. The demo and tests without Kubernetes
//! use it; it makes the same records as the watches do.
//!
//! A file that is broken or half written keeps the last good state, and says so in the log, in `/status` and in
//! `strait_file_source_failing`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use strait_catalog::{ClusterId, Input};

mod document;
mod follow;
mod policies;
mod records;
mod revision;

pub use document::{Document, EndpointEntry, GatewayEntry, PeerEntry, PolicyEntry, PortEntry, ServiceEntry};
pub use follow::{Follower, POLL};
pub use revision::{Numbered, Revisions};

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

/// Reads a content: the same records as the watches make, under the number of this content.
fn interpret(path: &Path, text: &str, cluster: &ClusterId, revisions: &mut Revisions) -> Result<Vec<Input>, FileError> {
    let document = Document::parse(text).map_err(|reason| FileError::Malformed { path: path.to_owned(), reason })?;
    let inputs = |revision| {
        records::inputs(&document, cluster, revision).map_err(|(object, reason)| FileError::Invalid {
            path: path.to_owned(),
            object,
            reason,
        })
    };
    inputs(0)?;
    let revision = revisions.number(path, document.revision, text)?;
    inputs(revision)
}

fn read(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|source| FileError::Unreadable { path: path.to_owned(), source })
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
