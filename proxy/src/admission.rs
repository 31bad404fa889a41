//! Whether a request is taken in: as the requests under way come near a limit, the least urgent are turned away first, so
//! that what is urgent still finds room. One limit is this worker's ceiling ([`admits`]), others are what a service's
//! clusters can bear ([`Urgency::most`]).
//!
//! How urgent a request is, its client says in the `priority` field (RFC 9218, `u=0` … `u=7`, 0 the most urgent). It is a
//! wish among the clients of one cluster, who share this node's proxy; nobody gets past the ceiling itself.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// `Priority` (RFC 9218 §5).
const PRIORITY: HeaderName = HeaderName::from_static("priority");
/// Percent of the ceiling that is kept from each further step of urgency.
const STEP: u64 = 5;
/// Seconds within which those who were turned away are told to come back: between 1 and this.
const SPREAD: u32 = 4;

/// How urgent a request is: 0 (most) … 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency(u8);

impl Default for Urgency {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Urgency {
    /// RFC 9218 §4.1: what does not say, or not understandably.
    pub const USUAL: Self = Self(3);
    /// What may wait longest.
    pub(crate) const LEAST: Self = Self(7);
    /// What may not wait.
    #[cfg(test)]
    pub(crate) const MOST: Self = Self(0);
    /// How many steps there are.
    pub(crate) const STEPS: usize = 8;

    /// What the request says.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers.get(PRIORITY).and_then(Self::read).unwrap_or(Self::USUAL)
    }

    /// The member `u` of a dictionary of structured fields; the last one counts (RFC 9651 §3.2).
    fn read(field: &HeaderValue) -> Option<Self> {
        let members = field.to_str().ok()?.split(',').map(str::trim);
        let said = members.filter_map(|member| member.strip_prefix("u=")).next_back()?;
        // Parameters may follow and say nothing to us.
        let digits = said.split(';').next().unwrap_or_default().trim_end();
        let value: u8 = digits.parse().ok()?;
        (value <= Self::LEAST.0).then_some(Self(value))
    }

    /// Its place among the steps, the most urgent first.
    pub(crate) fn step(self) -> usize {
        usize::from(self.0)
    }

    /// Percent of a ceiling that it may use.
    const fn part(self) -> u64 {
        100 - STEP * self.0 as u64
    }

    /// How many requests may be under way, of `ceiling`, for one as urgent as this to be taken in.
    fn room(self, ceiling: u64) -> u64 {
        ceiling - ceiling.saturating_mul(100 - self.part()) / 100
    }

    /// The same in proportion where no ceiling is known, but how many may be under way for a request that does not say how
    /// urgent it is. At least one, if that is.
    pub(crate) fn most(self, usual: u32) -> u32 {
        let most = (u64::from(usual) * self.part()).div_ceil(Self::USUAL.part());
        u32::try_from(most).unwrap_or(u32::MAX)
    }
}

/// Whether a request is taken in with so many under way, itself included, where `most` may be.
pub(crate) fn admits(under_way: u32, most: usize, urgency: Urgency) -> bool {
    u64::from(under_way) <= urgency.room(most as u64)
}

/// When to come back, in seconds, for a `random` number of which all are equally likely: those who are turned away
/// together must not come back together.
pub(crate) const fn retry_after(random: u32) -> u32 {
    1 + random % SPREAD
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn urgency(said: &str) -> u8 {
        let mut headers = HeaderMap::new();
        headers.insert(PRIORITY, said.parse().unwrap());
        Urgency::of(&headers).0
    }

    #[test]
    fn urgency_is_what_the_field_says_and_three_otherwise() {
        for (said, expected) in [
            ("u=0", 0),
            ("u=7", 7),
            ("u=5, i", 5),
            ("i, u=1", 1),
            ("u=2;x=1, i", 2),
            ("u=6, u=4", 4),
            ("u=8", 3),
            ("u=-1", 3),
            ("u=01", 1),
            ("u=256", 3),
            ("u=", 3),
            ("u = 1", 3),
            ("urgent", 3),
            ("", 3),
        ] {
            assert_eq!(urgency(said), expected, "{said:?}");
        }
        assert_eq!(Urgency::of(&HeaderMap::new()), Urgency::USUAL);
    }

    #[test]
    fn the_least_urgent_are_turned_away_first() {
        for (under_way, least_admitted) in [
            (1, Some(7)),
            (650, Some(7)),
            (651, Some(6)),
            (701, Some(5)),
            (850, Some(3)),
            (851, Some(2)),
            (951, Some(0)),
            (1_000, Some(0)),
            (1_001, None),
        ] {
            let admitted: Vec<u8> = (0..=7).filter(|u| admits(under_way, 1_000, Urgency(*u))).collect();
            assert_eq!(admitted.last().copied(), least_admitted, "{under_way}");
            assert_eq!(
                admitted.len(),
                least_admitted.map_or(0, |u| usize::from(u) + 1),
                "none is passed over: {under_way}"
            );
        }
    }

    #[test]
    fn what_the_usual_may_use_the_urgent_exceed_and_the_least_urgent_leave() {
        for (usual, most) in [
            (0, [0; 8]),
            (1, [2, 2, 2, 1, 1, 1, 1, 1]),
            (100, [118, 112, 106, 100, 95, 89, 83, 77]),
            (8_500, [10_000, 9_500, 9_000, 8_500, 8_000, 7_500, 7_000, 6_500]),
        ] {
            assert_eq!(std::array::from_fn(|u| Urgency(u8::try_from(u).unwrap()).most(usual)), most, "{usual}");
        }
        assert_eq!(Urgency::USUAL.most(u32::MAX - 1), u32::MAX - 1);
        assert_eq!(Urgency(0).most(u32::MAX - 1), u32::MAX);
    }

    #[test]
    fn a_small_ceiling_has_room_for_all() {
        assert!((0..=7).all(|u| admits(1, 1, Urgency(u))));
        assert!(!admits(2, 1, Urgency(0)));
    }

    #[test]
    fn coming_back_is_spread_and_bounded() {
        let seen: std::collections::BTreeSet<u32> = (0..100).map(retry_after).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!((1..=SPREAD).contains(&retry_after(u32::MAX)));
    }
}
