//! Which number in 20000–29999 the proxies of all nodes listen on for each imported port.
//!
//! Numbers never move while they are in use: agents bind what the ServiceImport says and kube-proxy sends where the
//! derived Service says, at different moments. A number that was given back rests before another service gets it,
//! so that a late packet finds nobody rather than somebody else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use strait_catalog::{Protocol, ServiceKey};

/// One port of one imported service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The service.
    pub service: ServiceKey,
    /// Its port number.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// The range that listeners are taken from.
pub const LISTENERS: RangeInclusive<u16> = 20_000..=29_999;
/// How long a returned number rests before another owner may have it.
pub const REST: Duration = Duration::from_secs(600);

/// Two owners were found on one number; the second has to move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("listener {number} is written for both {} and {}: {} gets another (was a ServiceImport copied or edited by hand?)", .kept.service, .moved.service, .moved.service)]
pub struct Clash {
    /// The number.
    pub number: u16,
    /// Who keeps it.
    pub kept: Owner,
    /// Who loses it.
    pub moved: Owner,
}

/// All numbers in use or at rest. Time is the process's monotonic clock.
#[derive(Clone, Debug)]
pub struct PortPool {
    range: RangeInclusive<u16>,
    rest: Duration,
    held: BTreeMap<Owner, u16>,
    owners: BTreeMap<u16, Owner>,
    resting: BTreeMap<u16, (Owner, Duration)>,
}

impl Default for PortPool {
    fn default() -> Self {
        Self::new(LISTENERS, REST)
    }
}

impl PortPool {
    /// An empty pool over that range.
    #[must_use]
    pub const fn new(range: RangeInclusive<u16>, rest: Duration) -> Self {
        Self { range, rest, held: BTreeMap::new(), owners: BTreeMap::new(), resting: BTreeMap::new() }
    }

    /// Takes over what stands on ServiceImports and derived Services: `written` is one of their entries each, those
    /// of ServiceImports first, since agents have bound these. An owner that holds a number already keeps it.
    pub fn adopt(&mut self, written: impl IntoIterator<Item = (Owner, u16)>) -> Vec<Clash> {
        let mut clashes = Vec::new();
        for (owner, number) in written {
            if self.held.contains_key(&owner) || !self.range.contains(&number) {
                continue;
            }
            if let Some(kept) = self.owners.get(&number) {
                clashes.push(Clash { number, kept: kept.clone(), moved: owner });
                continue;
            }
            self.hold(owner, number);
        }
        clashes
    }

    /// Gives back every number whose owner is neither wanted nor written anywhere any more.
    pub fn release_unless(&mut self, kept: &BTreeSet<Owner>, now: Duration) {
        let gone: Vec<Owner> = self.held.keys().filter(|o| !kept.contains(*o)).cloned().collect();
        for owner in gone {
            if let Some(number) = self.held.remove(&owner) {
                self.owners.remove(&number);
                self.resting.insert(number, (owner, now));
            }
        }
        let rest = self.rest;
        self.resting.retain(|_, (_, since)| now.saturating_sub(*since) < rest);
    }

    /// The owner's number: the one it holds, else the one it had and that still rests, else a free one. The search
    /// starts at a number derived from the owner, so that two controllers that know the same choose the same.
    /// `None` when every number is in use or at rest.
    pub fn take(&mut self, owner: &Owner) -> Option<u16> {
        if let Some(number) = self.held.get(owner) {
            return Some(*number);
        }
        let had = self.resting.iter().find(|(_, (o, _))| o == owner).map(|(number, _)| *number);
        let number = had.or_else(|| self.free(owner))?;
        self.hold(owner.clone(), number);
        Some(number)
    }

    fn free(&self, owner: &Owner) -> Option<u16> {
        let size = u32::from(*self.range.end() - *self.range.start()) + 1;
        let start = preferred(owner) % size;
        (0..size)
            .filter_map(|i| u16::try_from(u32::from(*self.range.start()) + (start + i) % size).ok())
            .find(|n| !self.owners.contains_key(n) && !self.resting.contains_key(n))
    }

    fn hold(&mut self, owner: Owner, number: u16) {
        self.resting.remove(&number);
        self.owners.insert(number, owner.clone());
        self.held.insert(owner, number);
    }

    /// How many numbers are in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.held.len()
    }

    /// How many rest.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.resting.len()
    }
}

/// FNV-1a over the owner, 32 bit.
fn preferred(owner: &Owner) -> u32 {
    let text = format!("{}:{}/{}", owner.service, owner.port, owner.protocol.as_str());
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(name: &str, port: u16) -> Owner {
        Owner { service: ServiceKey::new("ns", name).unwrap(), port, protocol: Protocol::Tcp }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_same_owner_gets_the_same_number_in_any_process() {
        let (mut a, mut b) = (PortPool::default(), PortPool::default());
        b.take(&owner("other", 1)).unwrap();
        assert_eq!(a.take(&owner("x", 80)), b.take(&owner("x", 80)));
        assert!(LISTENERS.contains(&a.take(&owner("x", 80)).unwrap()));
    }

    #[test]
    fn a_returned_number_rests_and_its_owner_may_have_it_back() {
        let mut pool = PortPool::new(20_000..=20_000, REST);
        assert_eq!(pool.take(&owner("x", 80)), Some(20_000));
        pool.release_unless(&BTreeSet::new(), at(0));
        assert_eq!(pool.take(&owner("y", 80)), None, "at rest");
        assert_eq!(pool.clone().take(&owner("x", 80)), Some(20_000));
        pool.release_unless(&BTreeSet::new(), at(599));
        assert_eq!(pool.take(&owner("y", 80)), None);
        pool.release_unless(&BTreeSet::new(), at(600));
        assert_eq!(pool.take(&owner("y", 80)), Some(20_000));
    }

    #[test]
    fn exhaustion_is_none_and_moves_nobody() {
        let mut pool = PortPool::new(20_000..=20_002, REST);
        let numbers: Vec<_> = ["a", "b", "c", "d"].iter().map(|n| pool.take(&owner(n, 80))).collect();
        assert_eq!(numbers.iter().flatten().collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(numbers[3], None);
        for (name, number) in ["a", "b", "c", "d"].iter().zip(numbers) {
            assert_eq!(pool.take(&owner(name, 80)), number);
        }
    }

    #[test]
    fn written_numbers_are_adopted_and_a_double_is_told() {
        let mut pool = PortPool::default();
        let clashes = pool.adopt([
            (owner("a", 80), 20_017),
            (owner("b", 80), 20_018),
            (owner("c", 80), 20_017),
            (owner("d", 80), 80),
        ]);
        assert_eq!(clashes.len(), 1);
        assert_eq!((clashes[0].kept.clone(), clashes[0].moved.clone()), (owner("a", 80), owner("c", 80)));
        assert!(clashes[0].to_string().contains("ns/c"));
        assert_eq!(pool.take(&owner("a", 80)), Some(20_017));
        assert_eq!(pool.take(&owner("b", 80)), Some(20_018));
        assert!(![20_017, 20_018].contains(&pool.take(&owner("c", 80)).unwrap()));
        assert!(LISTENERS.contains(&pool.take(&owner("d", 80)).unwrap()), "outside the range is not adopted");
    }

    proptest! {
        #[test]
        fn numbers_never_move_while_wanted_and_never_meet(
            steps in proptest::collection::vec(proptest::collection::btree_set(0..12_u16, 0..10), 1..30),
        ) {
            let mut pool = PortPool::new(20_000..=20_015, at(3));
            let mut before: BTreeMap<Owner, u16> = BTreeMap::new();
            for (time, wanted) in steps.iter().enumerate() {
                let kept: BTreeSet<Owner> = wanted.iter().map(|n| owner("s", n + 1)).collect();
                pool.release_unless(&kept, at(time as u64));
                let now: BTreeMap<Owner, u16> =
                    kept.iter().filter_map(|o| Some((o.clone(), pool.take(o)?))).collect();
                for (o, number) in &now {
                    if let Some(had) = before.get(o) {
                        prop_assert_eq!(had, number);
                    }
                }
                let unique: BTreeSet<_> = now.values().collect();
                prop_assert_eq!(unique.len(), now.len());
                before = now;
            }
        }
    }
}
