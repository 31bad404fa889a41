//! The revision of the file's content: its own `revision:`, or a counter kept beside it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use super::FileError;

/// A content and the number it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The revision.
    pub revision: u64,
    /// A digest of the content; equal content keeps its number.
    pub digest: u64,
}

/// Numbers the contents of one file, in rising order, across restarts.
#[derive(Clone, Debug, Default)]
pub struct Revisions {
    last: Option<Numbered>,
}

impl Revisions {
    /// The revision of this content.
    ///
    /// # Errors
    /// [`FileError::RevisionNotRaised`], or [`FileError::NoCounter`] where the counter cannot be kept.
    pub fn number(&mut self, path: &Path, stated: Option<u64>, text: &str) -> Result<u64, FileError> {
        let digest = digest(text);
        let next = match stated {
            Some(revision) => self.stated(path, revision, digest)?,
            None => self.counted(path, digest)?,
        };
        self.last = Some(next);
        Ok(next.revision)
    }

    fn stated(&self, path: &Path, revision: u64, digest: u64) -> Result<Numbered, FileError> {
        match self.last {
            Some(last) if last.digest != digest && revision <= last.revision => {
                Err(FileError::RevisionNotRaised { path: path.to_owned(), revision, last: last.revision })
            }
            _ => Ok(Numbered { revision, digest }),
        }
    }

    fn counted(&self, path: &Path, digest: u64) -> Result<Numbered, FileError> {
        let counter = counter_of(path);
        let last = self.last.or_else(|| read(&counter));
        if let Some(same) = last.filter(|l| l.digest == digest) {
            return Ok(same);
        }
        let next = Numbered { revision: last.map_or(0, |l| l.revision) + 1, digest };
        write(&counter, next).map_err(|source| FileError::NoCounter {
            path: path.to_owned(),
            counter: counter.clone(),
            source,
        })?;
        Ok(next)
    }
}

fn counter_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".revision");
    name.into()
}

/// `DefaultHasher::new()` has fixed keys, so a content keeps its digest across restarts of the same build; another
/// build at worst raises the number once without need.
fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn read(counter: &Path) -> Option<Numbered> {
    let text = std::fs::read_to_string(counter).ok()?;
    let (revision, digest) = text.trim().split_once(' ')?;
    Some(Numbered { revision: revision.parse().ok()?, digest: digest.parse().ok()? })
}

/// Beside it and renamed, so that a crash leaves the old or the new number.
fn write(counter: &Path, next: Numbered) -> std::io::Result<()> {
    let mut beside = counter.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, format!("{} {}\n", next.revision, next.digest))?;
    std::fs::rename(&beside, counter)
}
