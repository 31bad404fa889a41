//! When a target may be used: a small state machine, pure, packed into one atomic word by the slot.
//!
//! A refused or timed-out connect, or a dead link, opens it at once; softer failures open it after five in a row or
//! when fewer than half of the last ten seconds' attempts succeeded. After a back-off of `base · 2^k`, jittered by
//! ±50 %, one request is let through as a probation; its success closes the breaker. All four numbers can be set for a
//! service ([`Policy`]).

/// A probation that says nothing for this long no longer keeps others out, in milliseconds.
const PROBATION_LEASE_MS: u64 = 2_000;
/// After this long without trouble an opening counts as the first again, in milliseconds.
const FORGIVE_MS: u64 = 60_000;
/// Openings in a row that still lengthen the back-off.
const MAX_TRIPS: u8 = 31;
const TIME_BITS: u32 = 48;

/// When a target is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Back-off after the first opening, in milliseconds; below 2^24.
    pub base_ms: u64,
    /// Longest back-off before jitter, in milliseconds; below 2^24.
    pub max_ms: u64,
    /// Consecutive soft failures that open the breaker, 1–15.
    pub run: u8,
    /// The success ratio of the last ten seconds below which it opens, in percent, 0–90.
    pub min_percent: u8,
}

impl Policy {
    /// Pods: back quickly after the first time, then ever later up to a minute.
    pub const POD: Self = Self { base_ms: 1_000, max_ms: 60_000, run: 5, min_percent: 50 };
    /// Gateways: few and precious, so a healed one is found within 3 s (2 s and 50 % of jitter) however often it failed.
    pub const GATEWAY: Self = Self { base_ms: 500, max_ms: 2_000, run: 5, min_percent: 50 };

    /// The back-off of the `trips`-th opening in a row, jittered to 50–150 % by `random` (uniform over all of `u32`).
    #[must_use]
    pub fn back_off_ms(self, trips: u8, random: u32) -> u64 {
        let exponent = u32::from(trips.saturating_sub(1)).min(16);
        let plain = (self.base_ms << exponent).min(self.max_ms);
        plain / 2 + ((plain * u64::from(random)) >> 32)
    }

    /// 24 bits for each time, 8 for each number: one word. Out of range is brought into it.
    pub(super) fn pack(self) -> u64 {
        let time = |ms: u64| ms.min((1 << 24) - 1);
        time(self.base_ms) << 40 | time(self.max_ms) << 16 | u64::from(self.run) << 8 | u64::from(self.min_percent)
    }

    #[allow(clippy::cast_possible_truncation, reason = "masked to its width")]
    pub(super) const fn unpack(word: u64) -> Self {
        Self {
            base_ms: word >> 40,
            max_ms: word >> 16 & ((1 << 24) - 1),
            run: (word >> 8 & 0xff) as u8,
            min_percent: (word & 0xff) as u8,
        }
    }
}

/// What kind of failure opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It answered, badly or not to the end. In a panic such a target is used all the same.
    Soft,
    /// It could not be connected to, or its link died.
    Hard,
}

/// Where the breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In use.
    Closed,
    /// Ejected.
    Open,
    /// Ejected, with a probation request on its way.
    Probing,
}

/// What happened to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An answer to a request that was begun at that time.
    Success { begun_ms: u64 },
    /// A connection was made.
    Connected,
    /// An attempt failed.
    Failure(Cause),
    /// The success ratio fell below one half with enough samples.
    LowRatio,
    /// A probation request takes the only place.
    Claim,
    /// The target was reported ready again after it was not: what was held against it is void.
    Revived,
}

/// The whole state of one target's breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Where it stands.
    pub state: State,
    /// What opened it last.
    pub cause: Cause,
    /// Openings in a row; decides the back-off.
    pub trips: u8,
    /// Consecutive failures, at most 15.
    pub run: u8,
    /// When it was closed or opened, in milliseconds. Probations change nothing: an answer to any request that was begun
    /// after the opening tells of the time after it, however long it took.
    pub since_ms: u64,
}

impl Breaker {
    /// A closed breaker that never opened.
    pub(super) const fn new(now_ms: u64) -> Self {
        Self { state: State::Closed, cause: Cause::Soft, trips: 0, run: 0, since_ms: now_ms }
    }

    /// The state after an event. `run` soft failures in a row open it.
    pub(super) fn after(self, event: Event, run: u8, now_ms: u64) -> Self {
        match (self.state, event) {
            (State::Closed, Event::Success { .. }) => Self { run: 0, ..self },
            (State::Closed, Event::Failure(Cause::Hard)) => self.opened(Cause::Hard, now_ms),
            (State::Closed, Event::Failure(Cause::Soft)) if self.run + 1 >= run => self.opened(Cause::Soft, now_ms),
            (State::Closed, Event::Failure(Cause::Soft)) => Self { run: self.run + 1, ..self },
            (State::Closed, Event::LowRatio) => self.opened(Cause::Soft, now_ms),
            (State::Closed, _) => self,
            // An answer to a request that was on its way before the ejection proves nothing: a pod that leaves
            // finishes what it has and refuses the rest.
            (_, Event::Success { begun_ms }) if begun_ms >= self.since_ms => self.closed(now_ms),
            (_, Event::Connected) if self.cause == Cause::Hard => self.closed(now_ms),
            (_, Event::Revived) => self.closed(now_ms),
            (State::Open | State::Probing, Event::Claim) => Self { state: State::Probing, ..self },
            (State::Probing, Event::Failure(cause)) => self.opened(cause, now_ms),
            // Ejected already: stragglers do not lengthen the back-off, they only make it look worse than others. What
            // turns out not to be there is as good as back once it can be connected to.
            (State::Open, Event::Failure(cause)) => {
                Self { run: self.run.saturating_add(1).min(15), cause: self.cause.max(cause), ..self }
            }
            (_, Event::Success { .. } | Event::Connected | Event::LowRatio) => self,
        }
    }

    fn opened(self, cause: Cause, now_ms: u64) -> Self {
        let fresh = self.state == State::Closed && now_ms.saturating_sub(self.since_ms) > FORGIVE_MS;
        let trips = if fresh { 1 } else { (self.trips + 1).min(MAX_TRIPS) };
        Self { state: State::Open, cause, trips, run: (self.run + 1).min(15), since_ms: now_ms }
    }

    const fn closed(self, now_ms: u64) -> Self {
        Self { state: State::Closed, cause: self.cause, trips: self.trips, run: 0, since_ms: now_ms }
    }

    /// When the next probation may start, in milliseconds, the last having started at `claimed_ms`; `None` while closed.
    /// `seed` is the target's own constant, from which the jitter of each opening follows.
    #[must_use]
    pub fn due_ms(self, policy: Policy, seed: u32, claimed_ms: u64) -> Option<u64> {
        match self.state {
            State::Closed => None,
            State::Open => Some(self.since_ms + policy.back_off_ms(self.trips, jitter(seed, self.trips))),
            State::Probing => Some(claimed_ms + PROBATION_LEASE_MS),
        }
    }

    /// Two bits of state, one of cause, five of trips, four of run, 48 of time: one word.
    #[allow(clippy::cast_possible_truncation, reason = "masked to its width")]
    pub(super) fn pack(self) -> u64 {
        let state = match self.state {
            State::Closed => 0,
            State::Open => 1,
            State::Probing => 2,
        };
        let head =
            state | u64::from(self.cause == Cause::Hard) << 2 | u64::from(self.trips) << 3 | u64::from(self.run) << 8;
        head << TIME_BITS | self.since_ms & ((1 << TIME_BITS) - 1)
    }

    #[allow(clippy::cast_possible_truncation, reason = "masked to its width")]
    pub(super) const fn unpack(word: u64) -> Self {
        let head = word >> TIME_BITS;
        Self {
            state: match head & 3 {
                0 => State::Closed,
                1 => State::Open,
                _ => State::Probing,
            },
            cause: if head & 4 == 0 { Cause::Soft } else { Cause::Hard },
            trips: (head >> 3 & 31) as u8,
            run: (head >> 8 & 15) as u8,
            since_ms: word & ((1 << TIME_BITS) - 1),
        }
    }

    /// True for a packed word whose breaker is closed: the only test on the path of a request.
    pub(super) const fn is_closed(word: u64) -> bool {
        (word >> TIME_BITS) & 3 == 0
    }
}

/// A number that is as good as random for one opening of one target (the finaliser of MurmurHash3).
const fn jitter(seed: u32, trips: u8) -> u32 {
    let mut x = seed ^ (trips as u32).wrapping_mul(0x9e37_79b9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: fn(u64) -> Event = |begun_ms| Event::Success { begun_ms };
    const HARD: Event = Event::Failure(Cause::Hard);
    const SOFT: Event = Event::Failure(Cause::Soft);

    fn run(events: &[(u64, Event)]) -> Breaker {
        events.iter().fold(Breaker::new(0), |b, (now, event)| b.after(*event, Policy::POD.run, *now))
    }

    #[test]
    fn how_many_failures_in_a_row_open_it_can_be_set() {
        for limit in 1..=15 {
            let after = |count| (0..count).fold(Breaker::new(0), |b, now| b.after(SOFT, limit, now)).state;
            assert_eq!((after(u64::from(limit) - 1), after(u64::from(limit))), (State::Closed, State::Open), "{limit}");
        }
    }

    #[test]
    fn what_opens_and_what_closes() {
        let soft = |n: u64| (0..n).map(|i| (i, SOFT)).collect::<Vec<_>>();
        let with = |mut head: Vec<(u64, Event)>, tail: &[(u64, Event)]| {
            head.extend_from_slice(tail);
            head
        };
        for (what, events, state) in [
            ("one refusal is enough", vec![(5, HARD)], State::Open),
            ("four soft failures are not", soft(4), State::Closed),
            ("five are", soft(5), State::Open),
            ("a success between starts over", with(soft(4), &[(4, OK(4)), (5, SOFT)]), State::Closed),
            ("a low ratio is", vec![(1, Event::LowRatio)], State::Open),
            ("a late answer to an old request does not close", vec![(5, HARD), (6, OK(1))], State::Open),
            ("an answer to a later request does", vec![(5, HARD), (9, OK(7))], State::Closed),
            ("a connection ends an ejection by connects", vec![(5, HARD), (9, Event::Connected)], State::Closed),
            ("but not one by answers", with(soft(5), &[(9, Event::Connected)]), State::Open),
            ("unless it then was not there", with(soft(5), &[(8, HARD), (9, Event::Connected)]), State::Closed),
            ("a probation waits", vec![(5, HARD), (2_000, Event::Claim)], State::Probing),
            ("its failure ejects again", vec![(5, HARD), (2_000, Event::Claim), (2_001, SOFT)], State::Open),
            ("its success closes", vec![(5, HARD), (2_000, Event::Claim), (2_090, OK(2_001))], State::Closed),
            ("ready again voids it", vec![(5, HARD), (6, Event::Revived)], State::Closed),
        ] {
            assert_eq!(run(&events).state, state, "{what}");
        }
    }

    #[test]
    fn the_back_off_doubles_to_its_cap_and_is_forgiven() {
        for (policy, cap) in [(Policy::POD, 60_000), (Policy::GATEWAY, 2_000)] {
            for trips in 1..=MAX_TRIPS {
                let plain = (policy.base_ms << u32::from(trips - 1).min(16)).min(cap);
                for random in [0, u32::MAX / 2, u32::MAX] {
                    let got = policy.back_off_ms(trips, random);
                    assert!((plain / 2..=plain * 3 / 2).contains(&got), "{got} of {plain}");
                }
            }
        }
        assert!(Policy::GATEWAY.back_off_ms(31, u32::MAX) <= 3_000, "a healed gateway is found within 3 s");
        let again = run(&[(0, HARD), (900, Event::Claim), (950, HARD)]);
        assert_eq!(again.trips, 2);
        let later = again.after(OK(951), 5, 1_000).after(HARD, 5, 1_000 + FORGIVE_MS + 1);
        assert_eq!(later.trips, 1, "a minute of peace forgives");
    }

    #[test]
    fn a_silent_probation_gives_way() {
        let probing = run(&[(0, HARD), (2_000, Event::Claim)]);
        assert_eq!(probing.due_ms(Policy::POD, 1, 2_000), Some(2_000 + PROBATION_LEASE_MS));
    }

    #[test]
    fn an_answer_that_takes_longer_than_the_lease_closes() {
        let probed = run(&[(0, Event::LowRatio), (2_000, Event::Claim), (4_000, Event::Claim), (6_000, Event::Claim)]);
        assert_eq!(probed.after(OK(2_001), 5, 7_000).state, State::Closed, "the first of three probations");
    }

    proptest::proptest! {
        #[test]
        fn a_packed_policy_is_the_same(base_ms in 0..1_u64 << 24, max_ms in 0..1_u64 << 24, run: u8, min_percent: u8) {
            let policy = Policy { base_ms, max_ms, run, min_percent };
            proptest::prop_assert_eq!(Policy::unpack(policy.pack()), policy);
        }

        #[test]
        fn packing_keeps_everything(state in 0..3_u8, hard: bool, trips in 0..32_u8, run in 0..16_u8, at in 0..1_u64 << 48) {
            let state = [State::Closed, State::Open, State::Probing][usize::from(state)];
            let cause = if hard { Cause::Hard } else { Cause::Soft };
            let b = Breaker { state, cause, trips, run, since_ms: at };
            proptest::prop_assert_eq!(Breaker::unpack(b.pack()), b);
            proptest::prop_assert_eq!(Breaker::is_closed(b.pack()), state == State::Closed);
        }
    }
}
