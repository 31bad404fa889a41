//! How the part that the own cluster does not take is split over the others.

/// One other cluster, as the split sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Remote {
    /// Attraction: spare capacity, less with distance.
    pub(super) pull: f64,
    /// Largest share of all requests it may be given; infinite while demand is unknown.
    pub(super) cap: f64,
}

/// Splits `spill` by pull, filling those that reach their cap and handing the excess to the rest. `None` when the caps
/// do not hold all of it. Shares are in the order of `remotes`.
pub(super) fn split(spill: f64, remotes: &[Remote]) -> Option<Vec<f64>> {
    let mut shares = vec![0.0; remotes.len()];
    let mut open: Vec<usize> =
        (0..remotes.len()).filter(|at| remotes[*at].pull > 0.0 && remotes[*at].cap > 0.0).collect();
    let mut left = spill;
    while left > 1e-12 {
        let pull: f64 = open.iter().map(|at| remotes[*at].pull).sum();
        if open.is_empty() || pull <= 0.0 {
            return None;
        }
        let over = |at: &usize| shares[*at] + left * remotes[*at].pull / pull > remotes[*at].cap;
        let full: Vec<usize> = open.iter().copied().filter(over).collect();
        if full.is_empty() {
            for at in &open {
                shares[*at] += left * remotes[*at].pull / pull;
            }
            return Some(shares);
        }
        for at in full {
            left -= (remotes[at].cap - shares[at]).max(0.0);
            shares[at] = remotes[at].cap;
            open.retain(|o| *o != at);
        }
    }
    Some(shares)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn excess_goes_to_the_next() {
        let remote = |pull, cap| Remote { pull, cap };
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
            let remotes: Vec<_> = remotes.into_iter().map(|(pull, cap)| Remote { pull, cap }).collect();
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
