//! Whether a list may be believed at once. Pure.

/// True when a list must be read again before it counts: it would remove more than half of the known objects, and
/// more than one; or the kind is `absent` (404) and anything at all would be removed.
pub(super) const fn needs_confirmation(known: usize, gone: usize, absent: bool) -> bool {
    if absent { gone > 0 } else { gone > 1 && gone > known / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_losses_are_confirmed() {
        for (known, gone, absent, confirm) in [
            (0, 0, false, false),
            (1, 1, false, false),
            (2, 1, false, false),
            (2, 2, false, true),
            (3, 2, false, true),
            (4, 2, false, false),
            (100, 50, false, false),
            (100, 51, false, true),
            (0, 0, true, false),
            (1, 1, true, true),
            (100, 100, true, true),
        ] {
            assert_eq!(needs_confirmation(known, gone, absent), confirm, "{gone} of {known}, absent {absent}");
        }
    }
}
