//! The replays of one service that are under way, on all workers: its own budget. Outlives routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Replays under way at once that are always allowed.
const FLOOR: u32 = 3;

/// What is counted of requests that are sent again.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    under_way: AtomicU32,
    /// Those of them that are beside another attempt of their request.
    beside: AtomicU32,
    /// Requests between two attempts: they are under way, and no attempt of theirs is.
    between: AtomicU32,
}

/// Room for one replay, until dropped.
#[derive(Debug)]
pub(crate) struct Replay {
    repeats: Arc<Repeats>,
    beside: bool,
}

/// A request between two attempts, until dropped.
#[derive(Debug)]
pub(crate) struct Between(Arc<Repeats>);

impl Repeats {
    /// Takes room for one replay, of which a service may have `percent` of its requests under way, `attempts` of which have an
    /// attempt under way, and never fewer than 3 unless it wants none. `None` when there is none. `beside` another attempt of
    /// the same request it is one attempt more, and no request.
    pub(crate) fn replay(self: &Arc<Self>, attempts: u32, percent: u32, beside: bool) -> Option<Replay> {
        let attempts = attempts.saturating_sub(self.beside.load(Ordering::Relaxed));
        let requests = u64::from(attempts) + u64::from(self.between.load(Ordering::Relaxed));
        let part = u32::try_from(requests * u64::from(percent) / 100).unwrap_or(u32::MAX);
        let room = if percent == 0 { 0 } else { part.max(FLOOR) };
        let one_more = |now: u32| (now < room).then_some(now + 1);
        self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        self.beside.fetch_add(u32::from(beside), Ordering::Relaxed);
        Some(Replay { repeats: self.clone(), beside })
    }

    /// Counts a request whose attempt has failed, until its next begins.
    pub(crate) fn between(self: &Arc<Self>) -> Between {
        self.between.fetch_add(1, Ordering::Relaxed);
        Between(self.clone())
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.repeats.under_way.fetch_sub(1, Ordering::Relaxed);
        self.repeats.beside.fetch_sub(u32::from(self.beside), Ordering::Relaxed);
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.0.between.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rooms(repeats: &Arc<Repeats>, attempts: u32, percent: u32) -> Vec<Replay> {
        std::iter::from_fn(|| repeats.replay(attempts, percent, false)).collect()
    }

    #[test]
    fn a_fifth_and_never_fewer_than_three() {
        for (attempts, percent, most) in [
            (0, 20, 3),
            (10, 20, 3),
            (100, 20, 20),
            (100, 50, 50),
            (100, 0, 0),
            (0, 0, 0),
            (10, 1, 3),
            (u32::MAX, 1, 42_949_672),
        ] {
            let repeats = Arc::new(Repeats::default());
            if most < 1_000 {
                assert_eq!(rooms(&repeats, attempts, percent).len(), most, "{attempts} {percent}");
            }
            repeats.under_way.store(u32::try_from(most).unwrap_or(u32::MAX), Ordering::Relaxed);
            assert!(repeats.replay(attempts, percent, false).is_none());
        }
    }

    #[test]
    fn requests_between_two_attempts_are_under_way_too() {
        let repeats = Arc::new(Repeats::default());
        let waiting: Vec<Between> = (0..50).map(|_| repeats.between()).collect();
        let held = rooms(&repeats, 50, 20);
        assert_eq!(held.len(), 20);
        drop((held, waiting));
        assert_eq!(rooms(&repeats, 50, 20).len(), 10, "room comes back, and requests leave");
    }

    #[test]
    fn hedges_do_not_make_room_for_hedges() {
        let repeats = Arc::new(Repeats::default());
        let mut hedges = Vec::new();
        while let Some(hedge) = repeats.replay(100 + u32::try_from(hedges.len()).unwrap(), 50, true) {
            hedges.push(hedge);
        }
        assert_eq!(hedges.len(), 50);
        drop(hedges);
        assert_eq!(rooms(&repeats, 100, 50).len(), 50);
    }

    #[test]
    fn services_have_a_budget_each() {
        let (busy, quiet) = (Arc::new(Repeats::default()), Arc::new(Repeats::default()));
        let _all = rooms(&busy, 1_000, 100);
        assert_eq!(rooms(&quiet, 10, 20).len(), 3);
    }
}
