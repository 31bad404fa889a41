//! For how many requests the fast path is not tried once it had to be left: changing the way costs as much as a request, and
//! what made one leave is likely to come again. Clients that ask for more than plain answers are on a detour of their own, pods
//! that answer otherwise, or are elsewhere, send all of their listener's clients on one.

use std::cell::Cell;

/// Requests on the fast path after which leaving it is taken for an exception.
const WELL: u16 = 2;
/// The longest detour.
const LONGEST: u16 = 256;

/// Of one connection, or of one listener.
#[derive(Debug, Default)]
pub(crate) struct Detour {
    length: Cell<u16>,
    left: Cell<u16>,
    /// Requests on the fast path since the last one.
    well: Cell<u16>,
    /// None has gone well since then.
    doubtful: Cell<bool>,
}

impl Detour {
    /// A request was answered on the fast path.
    pub(super) fn avoided(&self) {
        self.well.set(self.well.get().saturating_add(1));
        if self.doubtful.replace(false) {
            self.left.set(0);
        }
    }

    /// It is left: for one request, and for twice as many as the last time if that was just before.
    pub(super) fn begin(&self) {
        let again = self.well.replace(0) < WELL;
        let length = if again { (2 * self.length.get()).clamp(1, LONGEST) } else { 1 };
        self.length.set(length);
        self.left.set(length);
        self.doubtful.set(true);
    }

    /// Whether a request may try the fast path. After a detour one does, and others follow it once it went well, or once as
    /// many again have gone the long way.
    pub(super) fn may_try(&self) -> bool {
        let may = self.left.get() == 0;
        if may && self.doubtful.get() {
            self.left.set(self.length.get());
        }
        may
    }

    /// A request goes the long way; true when none has to after it.
    pub(super) fn passes(&self) -> bool {
        self.left.set(self.left.get().saturating_sub(1));
        self.left.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests the next detour takes.
    fn next(detour: &Detour) -> usize {
        detour.begin();
        (1..).find(|_| detour.passes()).unwrap_or(0)
    }

    #[test]
    fn one_that_leaves_again_and_again_stays_away_for_longer() {
        let detour = Detour::default();
        let lengths: Vec<usize> = (0..10).map(|_| next(&detour)).collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64, 128, 256, 256]);
        (0..WELL).for_each(|_| detour.avoided());
        assert_eq!(next(&detour), 1, "an exception");
        assert_eq!(next(&detour), 2);
    }

    #[test]
    fn one_tries_before_the_others() {
        let detour = Detour::default();
        assert!(detour.may_try() && detour.may_try());
        for _ in 0..4 {
            next(&detour);
        }
        assert!(detour.may_try());
        assert!(!detour.may_try(), "nobody knows yet");
        detour.avoided();
        assert!(detour.may_try() && detour.may_try());
        next(&detour);
        assert!(detour.may_try() && !detour.may_try());
        let others = (1..).find(|_| detour.passes());
        assert_eq!(others, Some(16), "the first was never heard of");
        assert!(detour.may_try());
    }
}
