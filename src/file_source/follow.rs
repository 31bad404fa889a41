//! The file as it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strait_catalog::{ClusterId, Input};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{FileError, FileStatus, Revisions, interpret, read};

/// How often the file is looked at.
pub const POLL: Duration = Duration::from_millis(100);

/// A source file whose first state was good.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    cluster: ClusterId,
    revisions: Revisions,
    /// The file as it was when it was last read.
    seen: Stamp,
    /// The last good content.
    good: String,
}

impl Follower {
    /// Reads the file for the first time, so that a daemon does not start on a broken one.
    ///
    /// # Errors
    /// [`FileError`], naming the file and the entry.
    pub fn start(path: &Path, cluster: &ClusterId) -> Result<(Self, Vec<Input>), FileError> {
        // From before the reading, so that a change in between is not missed.
        let (seen, mut revisions) = (Stamp::of(path), Revisions::default());
        let good = read(path)?;
        let inputs = interpret(path, &good, cluster, &mut revisions)?;
        Ok((Self { path: path.to_owned(), cluster: cluster.clone(), revisions, seen, good }, inputs))
    }

    /// Follows the file until cancelled.
    pub async fn run(mut self, inputs: mpsc::Sender<Input>, status: FileStatus, stop: CancellationToken) {
        describe();
        gauge(false);
        let (mut again, mut before) = (false, self.seen);
        while stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
            let now = Stamp::of(&self.path);
            // Who writes in place may not be done yet: what changed is read when it has stood still for one look. A
            // file that was put in the place of another is whole.
            let still = std::mem::replace(&mut before, now) == now || !now.same_file(self.seen);
            if !still || (now == self.seen && !again) {
                continue;
            }
            let in_place = now.same_file(self.seen);
            self.seen = now;
            match self.take(in_place) {
                Ok(changes) => {
                    again = false;
                    if status.0.swap(None).is_some() {
                        tracing::info!(path = %self.path.display(), "source file is good again");
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
                    tell(&error, &status);
                }
            }
        }
    }

    fn take(&mut self, in_place: bool) -> Result<Vec<Input>, FileError> {
        let text = read(&self.path)?;
        if in_place && let Some(reason) = unfinished(&text, &self.good) {
            return Err(FileError::Malformed { path: self.path.clone(), reason: reason.to_owned() });
        }
        let inputs = interpret(&self.path, &text, &self.cluster, &mut self.revisions)?;
        self.good = text;
        Ok(inputs)
    }
}

/// Why a content that was written in place is taken for half of one. YAML alone does not tell: the beginning of a good
/// file is often a good file with fewer services.
fn unfinished(text: &str, good: &str) -> Option<&'static str> {
    if !text.ends_with('\n') {
        return Some("its last line has no end");
    }
    (text.len() < good.len() && good.starts_with(text)).then_some("it is the beginning of the last good content")
}

fn tell(error: &FileError, status: &FileStatus) {
    let text = error.to_string();
    if status.error().as_ref() != Some(&text) {
        tracing::warn!("{text}; the last good state stays");
        gauge(true);
        status.0.store(Some(Arc::new(text)));
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
struct Stamp(Option<(u64, u64, i64, i64)>);

impl Stamp {
    /// Of the file as it is now.
    fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let meta = std::fs::metadata(path).ok();
        Self(meta.map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec())))
    }

    /// True when it is still the same file, however its content changed.
    fn same_file(self, other: Self) -> bool {
        matches!((self.0, other.0), (Some(a), Some(b)) if a.0 == b.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_file_is_told_from_a_shorter_one() {
        let good = "services:\n- a\n- b\n";
        assert_eq!(unfinished(good, good), None);
        assert_eq!(unfinished("services:\n- a\n- c\n", good), None);
        assert_eq!(unfinished("services:\n- b\n", good), None, "shorter, and no beginning of it");
        assert!(unfinished("services:\n- a\n", good).is_some());
        assert!(unfinished("services:\n- a\n- b\n- c", good).is_some());
        assert!(unfinished("", good).is_some());
    }
}
