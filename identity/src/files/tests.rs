//! The watcher on real files.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::*;
use crate::testing::{FixedClock, Forge, ForgedLeaf, now, spiffe};

/// A directory of its own, gone at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("strait-identity-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, leaf: &ForgedLeaf, forge: &Forge) {
        write(&self.0, leaf, forge);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(directory: &Path, leaf: &ForgedLeaf, forge: &Forge) {
    fs::write(directory.join("tls.crt"), &leaf.certificate_pem).unwrap();
    fs::write(directory.join("tls.key"), &leaf.key_pem).unwrap();
    fs::write(directory.join("ca.crt"), forge.pem()).unwrap();
}

fn watcher(directory: &Directory) -> (IdentityWatcher, Identity, watch::Receiver<IdentityState>) {
    let identity = Identity::with_clock(spiffe("us-west"), Arc::new(FixedClock(now())));
    let watcher = IdentityWatcher::new(identity.clone(), IdentityFiles::in_directory(&directory.0));
    let state = watcher.state();
    (watcher, identity, state)
}

fn shows(state: &watch::Receiver<IdentityState>, text: &str) {
    let shown = state.borrow().to_string();
    assert!(shown.contains(text), "{shown}");
}

#[tokio::test]
async fn the_secret_may_appear_later() {
    let directory = Directory::new("later");
    let (mut watcher, identity, state) = watcher(&directory);
    watcher.poll().await;
    assert_eq!(state.borrow().label(), "waiting");

    let forge = Forge::new("us-west");
    let leaf = forge.leaf("us-west");
    fs::write(directory.0.join("tls.crt"), &leaf.certificate_pem).unwrap();
    watcher.poll().await;
    let expected = IdentityState::Waiting { missing: vec![directory.0.join("tls.key")] };
    assert_eq!(*state.borrow(), expected);

    directory.write(&leaf, &forge);
    watcher.poll().await;
    assert_eq!(state.borrow().leaf(), identity.leaf().as_ref());
    assert_eq!(state.borrow().label(), "ready");
    assert!(identity.trust().knows(&identity.id().cluster), "ca.crt is the root of its own cluster");
}

#[tokio::test]
async fn half_written_and_mismatched_files_keep_the_old() {
    let directory = Directory::new("half");
    let (mut watcher, identity, state) = watcher(&directory);
    let forge = Forge::new("us-west");
    directory.write(&forge.leaf("us-west"), &forge);
    watcher.poll().await;
    let old = identity.leaf().unwrap();

    let new = forge.leaf("us-west");
    fs::write(directory.0.join("tls.key"), &new.key_pem).unwrap();
    watcher.poll().await;
    assert_eq!(identity.leaf().as_ref(), Some(&old));
    shows(&state, "not the key of");

    fs::write(directory.0.join("tls.crt"), &new.certificate_pem[..new.certificate_pem.len() / 2]).unwrap();
    watcher.poll().await;
    assert_eq!(identity.leaf().as_ref(), Some(&old));
    shows(&state, "cut short");
    assert_eq!(state.borrow().leaf(), Some(&old));

    fs::write(directory.0.join("tls.crt"), &new.certificate_pem).unwrap();
    watcher.poll().await;
    assert_eq!(state.borrow().label(), "ready");
    assert_ne!(identity.leaf().as_ref(), Some(&old));
}

#[tokio::test]
async fn a_swapped_secret_volume_is_followed() {
    let directory = Directory::new("swap");
    let forge = Forge::new("us-west");
    let version = |name: &str| {
        let path = directory.0.join(name);
        fs::create_dir(&path).unwrap();
        write(&path, &forge.leaf("us-west"), &forge);
    };
    // As kubelet lays it out: files -> ..data/file, ..data -> ..version, swapped by rename.
    version("..1");
    symlink("..1", directory.0.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        symlink(format!("..data/{file}"), directory.0.join(file)).unwrap();
    }
    let (mut watcher, identity, state) = watcher(&directory);
    watcher.poll().await;
    let old = identity.leaf().unwrap();

    version("..2");
    symlink("..2", directory.0.join("..data_tmp")).unwrap();
    fs::rename(directory.0.join("..data_tmp"), directory.0.join("..data")).unwrap();
    fs::remove_dir_all(directory.0.join("..1")).unwrap();
    watcher.poll().await;
    assert_ne!(identity.leaf().unwrap(), old);

    fs::remove_file(directory.0.join("..data")).unwrap();
    watcher.poll().await;
    assert_eq!(state.borrow().label(), "failing", "dangling links are missing files");
    assert!(identity.leaf().is_some());
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let directory = Directory::new("unreadable");
    let (mut watcher, _identity, state) = watcher(&directory);
    let forge = Forge::new("us-west");
    directory.write(&forge.leaf("us-west"), &forge);
    fs::write(directory.0.join("tls.crt"), vec![b'x'; (1 << 20) + 1]).unwrap();
    watcher.poll().await;
    shows(&state, "1 MiB");
    fs::remove_file(directory.0.join("tls.crt")).unwrap();
    fs::create_dir(directory.0.join("tls.crt")).unwrap();
    watcher.poll().await;
    shows(&state, "tls.crt");
    assert_eq!(state.borrow().label(), "failing");
}

#[tokio::test(start_paused = true)]
async fn it_runs_until_it_is_told_to_stop() {
    let directory = Directory::new("run");
    let (watcher, identity, mut state) = watcher(&directory);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(watcher.run(Duration::from_secs(2), stop.clone()));

    let forge = Forge::new("us-west");
    directory.write(&forge.leaf("us-west"), &forge);
    state.wait_for(|state| state.label() == "ready").await.unwrap();
    let first = identity.leaf().unwrap();
    directory.write(&forge.leaf("us-west"), &forge);
    state.wait_for(|state| state.leaf().is_some_and(|leaf| *leaf != first)).await.unwrap();

    stop.cancel();
    tasks.close();
    tasks.wait().await;
    assert!(state.changed().await.is_err(), "the watcher is gone");
}
