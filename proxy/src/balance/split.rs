//! How a part of the requests is split over several clusters.

/// One cluster, as the split sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// Attraction: spare capacity, less with distance.
    pub(super) pull: f64,
    /// Largest share of all requests it may be given; infinite while demand is unknown.
    pub(super) cap: f64,
}

/// Splits `spill` by pull, filling those that reach their cap and handing the excess to the rest. `None` when the caps
/// do not hold all of it. Shares are in the order of `parts`.
pub(super) fn split(spill: f64, parts: &[Part]) -> Option<Vec<f64>> {
    let mut shares = vec![0.0; parts.len()];
    (fill(spill, parts, &mut shares) <= 0.0).then_some(shares)
}

/// The same on top of the shares that are there: those with pull have none yet. Returns what found no room.
pub(super) fn fill(amount: f64, parts: &[Part], shares: &mut [f64]) -> f64 {
    let mut open: Vec<usize> = (0..parts.len()).filter(|at| parts[*at].pull > 0.0 && parts[*at].cap > 0.0).collect();
    let mut left = amount;
    while left > 1e-12 {
        let pull: f64 = open.iter().map(|at| parts[*at].pull).sum();
        if open.is_empty() || pull <= 0.0 {
            return left;
        }
        let over = |at: &usize| shares[*at] + left * parts[*at].pull / pull > parts[*at].cap;
        let full: Vec<usize> = open.iter().copied().filter(over).collect();
        if full.is_empty() {
            for at in &open {
                shares[*at] += left * parts[*at].pull / pull;
            }
            return 0.0;
        }
        for at in full {
            left -= (parts[at].cap - shares[at]).max(0.0);
            shares[at] = parts[at].cap;
            open.retain(|o| *o != at);
        }
    }
    0.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn excess_goes_to_the_next() {
        let remote = |pull, cap| Part { pull, cap };
        let shares = split(1.0, &[remote(3.0, 0.3), remote(1.0, 10.0), remote(0.0, 1.0)]).unwrap();
        for (got, want) in shares.iter().zip([0.3, 0.7, 0.0]) {
            assert!((got - want).abs() < 1e-9, "{shares:?}");
        }
        assert_eq!(split(1.0, &[remote(1.0, 0.3), remote(1.0, 0.3)]), None, "not enough anywhere");
        assert_eq!(split(0.5, &[]), None);
        assert_eq!(split(0.0, &[]), Some(vec![]));
    }

    proptest::proptest! {
        #[test]
        fn nobody_is_over_its_cap_and_all_is_placed(
            spill in 0.0..1.0_f64,
            remotes in proptest::collection::vec((0.0..5.0_f64, 0.0..1.5_f64), 0..8),
        ) {
            let remotes: Vec<_> = remotes.into_iter().map(|(pull, cap)| Part { pull, cap }).collect();
            let room: f64 = remotes.iter().filter(|r| r.pull > 0.0).map(|r| r.cap).sum();
            match split(spill, &remotes) {
                Some(shares) => {
                    proptest::prop_assert!((shares.iter().sum::<f64>() - spill).abs() < 1e-9);
                    for (share, remote) in shares.iter().zip(&remotes) {
                        proptest::prop_assert!(*share <= remote.cap + 1e-9 && *share >= 0.0);
                        proptest::prop_assert!(*share == 0.0 || remote.pull > 0.0);
                    }
                }
                None => proptest::prop_assert!(room < spill + 1e-9),
            }
        }
    }
}
