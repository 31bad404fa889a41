//! The identity files, polled and put in use; a bad set leaves the certificate in memory alone.
//!
//! Polled by content, not watched: Kubernetes swaps a Secret volume by renaming a symlink, which inotify shows
//! differently on every storage, while reading three small files is the same everywhere and costs nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

mod progress;
mod state;

use progress::Progress;
pub use state::IdentityState;

use crate::material::MaterialPem;
use crate::moment::utc;
use crate::tls::Identity;

/// A Secret holds at most 1 MiB, so nothing longer is an identity file.
const MAX_BYTES: u64 = 1 << 20;

/// Where the identity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The leaf and its intermediates.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// The roots of one's own cluster; may be absent.
    pub authority: PathBuf,
}

impl IdentityFiles {
    /// `tls.crt`, `tls.key` and `ca.crt` in one directory, as a mounted TLS Secret has them.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
            authority: directory.join("ca.crt"),
        }
    }

    /// Reads all three twice: a volume swapped between two of them would show parts of two sets.
    fn read(&self) -> Found {
        let (first, second) = (self.read_once(), self.read_once());
        if first == second { first } else { Found::Unsettled }
    }

    fn read_once(&self) -> Found {
        let mut missing = Vec::new();
        let mut read = |path: &Path, optional: bool| match read_capped(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if absent(&error) => {
                if !optional {
                    missing.push(path.to_owned());
                }
                Ok(None)
            }
            Err(error) => Err(Found::Unreadable { path: path.to_owned(), error: error.to_string() }),
        };
        let parts = (read(&self.certificate, false), read(&self.key, false), read(&self.authority, true));
        match parts {
            (Ok(Some(certificate)), Ok(Some(key)), Ok(authority)) => {
                Found::Complete(MaterialPem { certificate, key, authority })
            }
            (Err(unreadable), _, _) | (_, Err(unreadable), _) | (_, _, Err(unreadable)) => unreadable,
            _ => Found::Missing(missing),
        }
    }
}

/// What lies at the paths at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Complete(MaterialPem),
    /// At least one of certificate and key is not there.
    Missing(Vec<PathBuf>),
    Unreadable {
        path: PathBuf,
        error: String,
    },
    /// Changed while it was read; the next look decides.
    Unsettled,
}

fn absent(error: &io::Error) -> bool {
    // A dangling symlink is `NotFound` too; a file where the directory should be is `NotADirectory`.
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 1 MiB"));
    }
    Ok(bytes)
}

/// Keeps an [`Identity`] equal to its files and says how that goes.
#[derive(Debug)]
pub struct IdentityWatcher {
    identity: Identity,
    files: IdentityFiles,
    progress: Progress,
    state: watch::Sender<IdentityState>,
}

impl IdentityWatcher {
    /// Looks at nothing yet; the state is [`IdentityState::Waiting`] until the first [`Self::poll`].
    #[must_use]
    pub fn new(identity: Identity, files: IdentityFiles) -> Self {
        let missing = vec![files.certificate.clone(), files.key.clone()];
        Self {
            identity,
            files,
            progress: Progress::default(),
            state: watch::Sender::new(IdentityState::Waiting { missing }),
        }
    }

    /// The state, for readiness, status and metrics; outlives the watcher.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<IdentityState> {
        self.state.subscribe()
    }

    /// Looks once and acts on it. Called once before serving, it makes the identity ready from the first moment.
    pub async fn poll(&mut self) {
        let files = self.files.clone();
        // File reads block, if only on tmpfs; the pool's threads may, the runtime's may not.
        let Ok(found) = tokio::task::spawn_blocking(move || files.read()).await else {
            return;
        };
        self.take(found, self.identity.now());
    }

    fn take(&mut self, found: Found, now: SystemTime) {
        let Some(step) = self.progress.step(found, self.identity.id(), now) else {
            return;
        };
        if let Some(material) = step.install {
            let leaf = material.leaf();
            tracing::info!(
                id = %leaf.id, serial = %leaf.serial, not_after = %utc(leaf.not_after), "certificate in use"
            );
            self.identity.install(material);
        }
        if step.complain {
            tracing::warn!(id = %self.identity.id(), "identity: {}", step.state);
        }
        self.state.send_if_modified(|state| {
            let changed = *state != step.state;
            *state = step.state;
            changed
        });
    }

    /// Looks at every interval (a few seconds), at once first, until told to stop.
    pub async fn run(mut self, interval: Duration, stop: CancellationToken) {
        // An interval of zero would panic; it can only mean "often".
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                ticks.tick().await;
                self.poll().await;
            }
        };
        // Cancelling in the middle of a look is safe: what was read is then simply not acted on.
        stop.run_until_cancelled(looking).await;
    }
}

#[cfg(test)]
mod tests;
