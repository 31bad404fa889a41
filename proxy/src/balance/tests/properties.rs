//! What shares and draws keep over whole histories, whatever is measured: by random cases.

use proptest::prelude::*;

use super::inputs::input;
use crate::balance::{AliasTable, ClusterInput, Settings, Spill};

const TICK: u64 = 100;

/// A whole cluster of `expected` endpoints; the own one at position 0.
fn cluster(at: u32, healthy: f64, expected: f64) -> ClusterInput {
    ClusterInput { rtt_ms: Some(35.0 * f64::from(at)), ..input(at, healthy, expected) }
}

/// Other clusters: endpoints, healthy part, load, distance, staleness.
fn others() -> impl Strategy<Value = Vec<ClusterInput>> {
    let one = (1.0..20.0_f64, 0.2..=1.0_f64, prop::option::of(0.0..20.0_f64), 1.0..300.0_f64, 0.1..=1.0_f64);
    prop::collection::vec(one, 1..6).prop_map(|all| {
        let other = |(at, (expected, part, load, rtt, weight)): (usize, (f64, f64, Option<f64>, f64, f64))| {
            let base = cluster(u32::try_from(at).unwrap() + 1, expected * part, expected);
            ClusterInput { load, rtt_ms: Some(rtt), weight, ..base }
        };
        all.into_iter().enumerate().map(other).collect()
    })
}

fn with_own(healthy: f64, expected: f64, others: &[ClusterInput]) -> Vec<ClusterInput> {
    std::iter::once(cluster(0, healthy, expected)).chain(others.iter().copied()).collect()
}

/// How often a share turns by more than two hundredths.
fn reversals(shares: &[f64]) -> usize {
    let (mut extreme, mut rising, mut count) = (shares[0], false, 0);
    for share in shares {
        let turned = if rising { extreme - share > 0.02 } else { share - extreme > 0.02 };
        if turned {
            (count, rising, extreme) = (count + 1, !rising, *share);
        } else if (*share > extreme) == rising {
            extreme = *share;
        }
    }
    count
}

proptest! {
    /// φρ ≥ 1 at every tick means that nothing leaves, whatever the others are and however much is asked.
    #[test]
    fn nothing_leaves_while_enough_is_healthy_whatever_the_others_are(
        parts in prop::collection::vec(1.0..1.4_f64, 1..60),
        steps in prop::collection::vec(others(), 1..4),
        demand in 0.0..50.0_f64,
    ) {
        let mut spill = Spill::default();
        spill.tick(0, &with_own(10.0, 10.0, &steps[0]), demand);
        for (at, part) in parts.iter().enumerate() {
            let inputs = with_own(10.0 * part / 1.4 + 1e-9, 10.0, &steps[at % steps.len()]);
            let shares = spill.tick((at as u64 + 1) * TICK, &inputs, demand);
            prop_assert!((shares.shares()[0] - 1.0).abs() < 1e-6, "{part}: {shares:?}");
        }
    }

    /// After any history, the tick that sees a cluster without healthy endpoints gives it nothing while another can.
    #[test]
    fn what_dies_has_no_share_within_one_tick_whatever_was_before(
        history in prop::collection::vec((0.0..10.0_f64, others(), 50..5_000_u64), 1..12),
        dead in 0..6_usize,
        demand in 0.0..30.0_f64,
    ) {
        let (mut spill, mut now) = (Spill::default(), 0);
        for (healthy, others, gone) in &history {
            now += gone;
            spill.tick(now, &with_own(*healthy, 10.0, others), demand);
        }
        let (healthy, others, _) = history.last().unwrap();
        let mut inputs = with_own(healthy.max(1.0), 10.0, others);
        let dead = dead % inputs.len();
        inputs[dead].healthy = 0.0;
        let shares = spill.tick(now + TICK, &inputs, demand);
        prop_assert!(shares.shares()[dead] == 0.0, "{dead}: {shares:?}");
        prop_assert!((shares.shares().iter().sum::<f64>() - 1.0).abs() < 1e-6);
    }

    /// With any part of the own pods lost, and at every tick of it: no more than 0.8 of anybody's spare capacity, as
    /// long as all caps together hold what is spilled.
    #[test]
    fn nobody_is_over_its_cap_at_any_tick(
        own in prop::collection::vec(0.0..10.0_f64, 1..20),
        others in others(),
        demand in 0.1..20.0_f64,
    ) {
        let mut spill = Spill::default();
        spill.tick(0, &with_own(10.0, 10.0, &others), demand);
        let spare = |c: &ClusterInput| {
            let able = (1.4 * c.healthy).min(c.expected);
            c.weight * (able - c.load.unwrap_or(c.expected / 2.0)).max(0.0)
        };
        let caps: Vec<f64> = others.iter().map(|c| 0.8 * spare(c) / demand).collect();
        let mut before: f64 = 1.0;
        for (at, healthy) in own.iter().enumerate() {
            let shares = spill.tick((at as u64 + 1) * TICK, &with_own(*healthy, 10.0, &others), demand);
            // The own share falls to what is left and rises from what it was: more than this is not spilled. What it gets
            // above its target, where others cannot, does not count.
            let most = 1.0 - before.min(shares.target);
            before = shares.shares()[0].min(shares.target);
            if caps.iter().sum::<f64>() > most + 1e-6 {
                for (share, cap) in shares.shares()[1..].iter().zip(&caps) {
                    prop_assert!(*share <= cap + 1e-6, "{share} over {cap}: {shares:?}");
                }
            }
        }
    }

    /// The own share never rises faster than the ramp that is set, nor faster than the ramp that earlier failovers
    /// have made of it.
    #[test]
    fn the_way_back_keeps_to_the_ramp_and_to_what_failovers_made_of_it(
        ramp_s in 1..60_u64,
        earlier in 0..4_u32,
        healthy in prop::collection::vec(0.5..10.0_f64, 20..200),
        gap in 10..2_000_u64,
    ) {
        let settings = Settings { ramp_ms: ramp_s * 1_000, ramp_max_ms: ramp_s * 10_000, ..Settings::default() };
        let rest = [cluster(1, 10.0, 10.0), cluster(2, 10.0, 10.0)];
        let (mut spill, mut now) = (Spill::new(settings), 0);
        spill.tick(now, &with_own(10.0, 10.0, &rest), 0.0);
        // Each of them far enough from the one before to be one of its own, and back up before the next.
        for _ in 0..=earlier {
            now += 6_000;
            spill.tick(now, &with_own(0.0, 10.0, &rest), 0.0);
            let mut share = 0.0;
            while share < 0.2 && now < 500_000 {
                now += 500;
                share = spill.tick(now, &with_own(10.0, 10.0, &rest), 0.0).shares()[0];
            }
        }
        let counted = spill.tick(now, &with_own(10.0, 10.0, &rest), 0.0);
        let mut before = counted.shares()[0];
        let ramp = (settings.ramp_ms << (counted.failovers.saturating_sub(1))).min(settings.ramp_max_ms);
        for healthy in healthy {
            now += gap;
            let shares = spill.tick(now, &with_own(healthy, 10.0, &rest), 0.0);
            #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
            let step = gap as f64 / if shares.failovers >= counted.failovers { ramp } else { settings.ramp_ms } as f64;
            prop_assert!(shares.shares()[0] <= before + step + 1e-9, "{before} to {}", shares.shares()[0]);
            before = shares.shares()[0];
        }
    }

    /// Pods lost one after the other never raise the own share, whether or not the others have room for what it gives up.
    #[test]
    fn losing_pods_never_raises_the_own_share(
        lost in prop::collection::vec(0.0..2.0_f64, 1..30),
        others in others(),
        demand in 0.1..40.0_f64,
    ) {
        let mut spill = Spill::default();
        let (mut healthy, mut now) = (10.0_f64, 0);
        let mut before = spill.tick(now, &with_own(healthy, 10.0, &others), demand).shares()[0];
        for lost in lost {
            (healthy, now) = ((healthy - lost).max(0.0), now + TICK);
            let shares = spill.tick(now, &with_own(healthy, 10.0, &others), demand);
            // With nothing left anywhere it is the own pods that are tried.
            if healthy > 0.0 {
                prop_assert!(shares.shares()[0] <= before + 1e-9, "{before} rises at {healthy}: {shares:?}");
            }
            before = shares.shares()[0];
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Over all that may be left of the own pods, and all that may be asked, no share takes a step: at whatever depth of
    /// shortage, and anywhere on the way back.
    #[test]
    fn small_changes_move_shares_by_little(
        back in prop::option::of(0..30_000_u64),
        healthy in 1.0..10.0_f64,
        others in others(),
        demand in 0.1..40.0_f64,
    ) {
        let mut spill = Spill::default();
        spill.tick(0, &with_own(10.0, 10.0, &others), demand);
        if let Some(back) = back {
            spill.tick(TICK, &with_own(0.0, 10.0, &others), demand);
            for now in (2 * TICK..back).step_by(1_000) {
                spill.tick(now, &with_own(healthy, 10.0, &others), demand);
            }
        }
        let now = back.unwrap_or(0) + TICK;
        let shares = |healthy: f64, demand: f64| spill.clone().tick(now, &with_own(healthy, 10.0, &others), demand);
        let lost = (0..=1_800).map(|step| shares(10.0 - f64::from(step) * 0.005, demand));
        let asked = (0..=1_200).map(|step| shares(healthy, 0.1 * 1.005_f64.powi(step)));
        for sweep in [lost.collect::<Vec<_>>(), asked.collect()] {
            for pair in sweep.windows(2) {
                for (a, b) in pair[0].shares().iter().zip(pair[1].shares()) {
                    prop_assert!((a - b).abs() < 0.01, "{:?} and {:?}", pair[0], pair[1]);
                }
            }
        }
    }

    /// Two clusters whose pods come and go twice a second, each with a daemon that sees both, in any phase to each
    /// other: at most one reversal of either's own share in the time of a ramp. The third cluster can take everything:
    /// where it cannot, an own pod that is there for a moment is used for that moment.
    #[test]
    fn two_controllers_that_see_each_other_flap_turn_at_most_once_a_ramp(
        phases in (0..500_u64, 0..500_u64),
        up_ms in (100..400_u64, 100..400_u64),
        demand in 0.1..3.9_f64,
    ) {
        let healthy = |now: u64, phase: u64, up: u64| if (now + phase) % 500 < up { 10.0 } else { 0.0 };
        let (mut mine, mut theirs) = (Spill::default(), Spill::default());
        let third = cluster(2, 10.0, 10.0);
        let (mut my_shares, mut their_shares) = (Vec::new(), Vec::new());
        for now in (0..120_000).step_by(50) {
            let steady = now < 5_000;
            let a = if steady { 10.0 } else { healthy(now, phases.0, up_ms.0) };
            let b = if steady { 10.0 } else { healthy(now, phases.1, up_ms.1) };
            my_shares.push(mine.tick(now, &[cluster(0, a, 10.0), cluster(1, b, 10.0), third], demand).shares()[0]);
            their_shares.push(theirs.tick(now, &[cluster(0, b, 10.0), cluster(1, a, 10.0), third], demand).shares()[0]);
        }
        for shares in [my_shares, their_shares] {
            let turns = reversals(&shares);
            prop_assert!(turns <= 4, "{turns} in four ramps");
        }
    }

    /// Pearson's χ² of the draws against the weights, at six standard deviations (Wilson and Hilferty's approximation).
    #[test]
    fn draws_follow_their_weights_by_chi_square(
        weights in prop::collection::vec(0.05_f32..4.0, 2..40),
        seed in any::<u64>(),
    ) {
        const DRAWS: usize = 40_000;
        let table = AliasTable::uniform(weights.len());
        table.write(&weights);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut counts = vec![0_u32; weights.len()];
        for _ in 0..DRAWS {
            counts[table.draw(rng.u64(..)).unwrap()] += 1;
        }
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
        let squared: f64 = counts
            .iter()
            .zip(&weights)
            .map(|(count, weight)| {
                let expected = DRAWS as f64 * f64::from(*weight) / total;
                (f64::from(*count) - expected).powi(2) / expected
            })
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "a few weights")]
        let freedom = (weights.len() - 1) as f64;
        let spread = 2.0 / (9.0 * freedom);
        let limit = freedom * (6.0 * spread.sqrt() + 1.0 - spread).powi(3);
        prop_assert!(squared < limit, "χ² {squared} above {limit} with {freedom} degrees of freedom: {weights:?}");
    }
}
