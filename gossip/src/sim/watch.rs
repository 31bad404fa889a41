//! One daemon's watches: a list of each kind, then its changes in order, late.

use std::collections::BTreeMap;

use strait_catalog::{Input, Kind};

use super::source::{KINDS, Source};

#[derive(Clone, Copy, Debug, Default)]
struct Follower {
    /// When the first list of this kind comes; `None` once it did.
    list_at: Option<u64>,
    /// How many changes of the log were seen.
    position: usize,
    lag_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Watches(BTreeMap<Kind, Follower>);

impl Watches {
    /// All kinds are listed within a second, in any order.
    pub(super) fn start(now: u64, rng: &mut fastrand::Rng) -> Self {
        let follower = |rng: &mut fastrand::Rng| Follower {
            list_at: Some(now + rng.u64(1..1_000)),
            position: 0,
            lag_ms: rng.u64(1..40),
        };
        Self(KINDS.into_iter().map(|k| (k, follower(rng))).collect())
    }

    /// Makes one kind lag, or all of them prompt again.
    pub(super) fn lag(&mut self, kind: Kind, lag_ms: u64) {
        if let Some(f) = self.0.get_mut(&kind) {
            f.lag_ms = lag_ms;
        }
    }

    pub(super) fn prompt(&mut self) {
        self.0.values_mut().for_each(|f| f.lag_ms = 5);
    }

    /// Lists a kind again, from an API server that may be some changes behind.
    pub(super) fn relist(&mut self, kind: Kind, source: &Source, rng: &mut fastrand::Rng) -> Option<Input> {
        let f = self.0.get_mut(&kind)?;
        if f.list_at.is_some() {
            return None;
        }
        let newest = source.log[&kind].len();
        f.position = rng.usize(f.position.saturating_sub(2)..=newest);
        let (revision, records) = source.list(kind, f.position);
        Some(Input::Relist { kind, revision, records })
    }

    /// What has arrived by now.
    pub(super) fn due(&mut self, now: u64, source: &Source) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (kind, f) in &mut self.0 {
            let log = &source.log[kind];
            if let Some(at) = f.list_at {
                if at > now {
                    continue;
                }
                f.list_at = None;
                f.position = log.iter().take_while(|c| c.at_ms + f.lag_ms <= now).count();
                let (revision, records) = source.list(*kind, f.position);
                inputs.push(Input::Epoch(source.epoch));
                inputs.push(Input::Relist { kind: *kind, revision, records });
            }
            while let Some(change) = log.get(f.position).filter(|c| c.at_ms + f.lag_ms <= now) {
                f.position += 1;
                inputs.push(Input::Records(vec![change.record.clone()]));
            }
        }
        inputs
    }

    /// When the next change arrives.
    pub(super) fn next(&self, source: &Source) -> Option<u64> {
        let next = |(kind, f): (&Kind, &Follower)| match f.list_at {
            Some(at) => Some(at),
            None => source.log[kind].get(f.position).map(|c| c.at_ms + f.lag_ms),
        };
        self.0.iter().filter_map(next).min()
    }
}
