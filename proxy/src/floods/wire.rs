//! How it stands with the bytes of one connection of HTTP/2, for whoever watches over it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Where the reader stands in something that has begun to come: a frame, or a head of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Which one that is.
    pub(super) number: u32,
    /// It is a piece of a body.
    pub(super) data: bool,
}

/// One connection's.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// What has come in part, and since when.
    part: Cell<Option<(Part, Instant)>>,
    /// The other end has not taken everything that was written.
    unsent: Cell<bool>,
}

impl Wire {
    /// Something came, and the reader stands there now; `None` between two frames.
    pub(super) fn came(&self, part: Option<Part>) {
        let before = self.part.get();
        let since = |part: Part| match before {
            Some((same, since)) if same.number == part.number => since,
            _ => Instant::now(),
        };
        self.part.set(part.map(|part| (part, since(part))));
    }

    /// A write was tried: the socket took it, or is full.
    pub(super) fn wrote(&self, taken: bool) {
        let before = self.unsent.replace(!taken);
        if before && taken {
            // Nobody reads while nothing can be written.
            self.part.set(self.part.get().map(|(part, _)| (part, Instant::now())));
        }
    }

    /// True when the socket was full at the last write.
    pub(crate) fn is_unsent(&self) -> bool {
        self.unsent.get()
    }

    /// True when what has begun to come is not whole yet: a piece of a body after so long, anything else after the time of a
    /// `head`.
    pub(crate) fn is_late(&self, now: Instant, head: Duration, body: Duration) -> bool {
        let late = |(part, since): (Part, Instant)| {
            now.saturating_duration_since(since) >= if part.data { body } else { head }
        };
        !self.unsent.get() && self.part.get().is_some_and(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const BODY: Duration = Duration::from_secs(60);

    fn late_after(wire: &Wire, wait: Duration) -> bool {
        wire.is_late(Instant::now() + wait, HEAD, BODY)
    }

    #[test]
    fn what_has_begun_has_its_time_however_often_more_of_it_comes() {
        let wire = Wire::default();
        assert!(!late_after(&wire, BODY), "nothing has begun");
        let begun = Instant::now();
        for _ in 0..3 {
            wire.came(Some(Part { number: 1, data: false }));
        }
        assert!(!wire.is_late(begun + HEAD / 2, HEAD, BODY) && late_after(&wire, HEAD));
        wire.came(Some(Part { number: 2, data: true }));
        assert!(!late_after(&wire, HEAD) && late_after(&wire, BODY), "a body is slower");
        wire.came(None);
        assert!(!late_after(&wire, BODY), "it is whole");
    }

    #[test]
    fn who_is_not_read_from_is_not_late() {
        let wire = Wire::default();
        wire.came(Some(Part { number: 1, data: false }));
        wire.wrote(false);
        assert!(wire.is_unsent() && !late_after(&wire, BODY));
        let again = Instant::now();
        wire.wrote(true);
        assert!(!wire.is_late(again + HEAD / 2, HEAD, BODY) && late_after(&wire, HEAD));
    }
}
