//! How a part of the requests is split over several clusters.

/// One cluster, as the split sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// Attraction: spare capacity, less with distance.
    pub(super) pull: f64,
    /// Largest share of all requests it may be given; infinite while demand is unknown.
    pub(super) cap: f64,
}

/// Splits an amount by pull, filling those that reach their cap and handing the excess to the rest, on top of the shares
/// that are there: those with pull have none yet. Returns what found no room. Shares are in the order of `parts`.
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

/// Not enough anywhere: what is left goes to all by what they are `able` to do, on top of their shares.
pub(super) fn ration(left: f64, able: impl Iterator<Item = f64> + Clone, shares: &mut [f64]) {
    let all: f64 = able.clone().sum();
    if left > 0.0 && all > 0.0 {
        for (share, able) in shares.iter_mut().zip(able) {
            *share += left * able / all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares, and what found no room.
    fn filled(amount: f64, parts: &[Part]) -> (Vec<f64>, f64) {
        let mut shares = vec![0.0; parts.len()];
        let left = fill(amount, parts, &mut shares);
        (shares, left)
    }

    #[track_caller]
    fn assert_close(got: &[f64], want: &[f64]) {
        assert!(got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-9), "{got:?}");
    }

    #[test]
    fn excess_goes_to_the_next() {
        let remote = |pull, cap| Part { pull, cap };
        let (shares, left) = filled(1.0, &[remote(3.0, 0.3), remote(1.0, 10.0), remote(0.0, 1.0)]);
        assert_close(&shares, &[0.3, 0.7, 0.0]);
        assert!(left <= 0.0);
        let (shares, left) = filled(1.0, &[remote(1.0, 0.3), remote(1.0, 0.3)]);
        assert_close(&shares, &[0.3, 0.3]);
        assert!((left - 0.4).abs() < 1e-9, "not enough anywhere: {left}");
        assert_eq!((filled(0.5, &[]), filled(0.0, &[])), ((vec![], 0.5), (vec![], 0.0)));
    }

    #[test]
    fn what_is_left_goes_by_what_each_can_do_and_nowhere_when_nobody_can() {
        let mut shares = [0.3, 0.3, 0.0];
        ration(0.4, [3.0, 1.0, 0.0].into_iter(), &mut shares);
        assert_close(&shares, &[0.6, 0.4, 0.0]);
        ration(0.5, [0.0; 3].into_iter(), &mut shares);
        assert_close(&shares, &[0.6, 0.4, 0.0]);
    }

    proptest::proptest! {
        #[test]
        fn nobody_is_over_its_cap_and_all_is_placed(
            spill in 0.0..1.0_f64,
            remotes in proptest::collection::vec((0.0..5.0_f64, 0.0..1.5_f64), 0..8),
        ) {
            let remotes: Vec<_> = remotes.into_iter().map(|(pull, cap)| Part { pull, cap }).collect();
            let room: f64 = remotes.iter().filter(|r| r.pull > 0.0).map(|r| r.cap).sum();
            let (shares, left) = filled(spill, &remotes);
            proptest::prop_assert!((shares.iter().sum::<f64>() + left - spill).abs() < 1e-9);
            for (share, remote) in shares.iter().zip(&remotes) {
                proptest::prop_assert!(*share <= remote.cap + 1e-9 && *share >= 0.0);
                proptest::prop_assert!(*share == 0.0 || remote.pull > 0.0);
            }
            proptest::prop_assert!((left - (spill - room).max(0.0)).abs() < 1e-9, "{left} of {spill} in {room}");
        }
    }
}
