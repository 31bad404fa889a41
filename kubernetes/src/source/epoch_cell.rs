//! The epoch in force, shared by all cycles of one source.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    epoch: u64,
    /// The API server was asked, so the epoch is not a guess any more.
    settled: bool,
}

/// The epoch in force. It only rises.
#[derive(Clone, Debug)]
pub(super) struct EpochCell(watch::Sender<Known>);

impl EpochCell {
    pub(super) fn new(epoch: u64) -> Self {
        Self(watch::Sender::new(Known { epoch, settled: false }))
    }

    pub(super) fn get(&self) -> u64 {
        self.0.borrow().epoch
    }

    /// Raises the epoch; a lower one is ignored.
    pub(super) fn raise(&self, epoch: u64) {
        self.0.send_if_modified(|known| {
            let higher = epoch > known.epoch;
            known.epoch = known.epoch.max(epoch);
            higher
        });
    }

    /// Does something unless `used` is outdated; the epoch does not change meanwhile. False when it was not done.
    pub(super) fn while_at(&self, used: u64, act: impl FnOnce()) -> bool {
        // A read lock, held for as long as the guard lives.
        let known = self.0.borrow();
        if known.epoch == used {
            act();
        }
        known.epoch == used
    }

    /// Notes that the API server was asked.
    pub(super) fn settle(&self) {
        self.0.send_if_modified(|known| !std::mem::replace(&mut known.settled, true));
    }

    /// Waits until the API server was asked: records of an outdated epoch would only be replaced at once.
    pub(super) async fn settled(&self) {
        // The sender is `self`, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(|known| known.settled).await;
    }

    /// Waits until the epoch is another than `used`.
    pub(super) async fn differs_from(&self, used: u64) {
        let _ = self.0.subscribe().wait_for(|known| known.epoch != used).await;
    }
}
