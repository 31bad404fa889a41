//! The properties that the shares keep in every mode but `LocalFirst`, on a simulated clock.

use proptest::prelude::*;

use super::*;
use crate::balance::spill::{Shares, Spill};
use crate::balance::tests::inputs::{any_inputs, input};

const TICK: u64 = 100;
const OWN: ClusterNumber = ClusterNumber(0);
const EAST: ClusterNumber = ClusterNumber(1);
const EU: ClusterNumber = ClusterNumber(2);

/// Own cluster, one 70 ms away, one 110 ms away, of ten endpoints each, so many of them healthy.
fn healthy(parts: [f64; 3]) -> Vec<ClusterInput> {
    (0..).zip(parts).map(|(at, healthy)| input(at, healthy, 10.0)).collect()
}

fn spill(ranking: Ranking) -> Spill {
    let mut spill = Spill::default();
    spill.follow(Settings::default(), ranking);
    spill
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

#[track_caller]
fn assert_shares(shares: &Shares, want: [f64; 3]) {
    let got = shares.shares();
    assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-3), "{got:?}, not {want:?}");
}

fn any_ranking() -> impl Strategy<Value = Ranking> {
    let number = || (0..7_u32).prop_map(ClusterNumber);
    prop_oneof![
        prop::collection::vec(number(), 1..5).prop_map(Ranking::Ordered),
        Just(Ranking::Nearest),
        prop::collection::vec((number(), 0.0..10.0_f64), 0..5).prop_map(Ranking::Spread),
    ]
}

proptest! {
    #[test]
    fn shares_sum_to_one(
        ranking in any_ranking(),
        steps in prop::collection::vec((any_inputs(), 0..200_000_u64, 0.0..30.0_f64), 1..20),
    ) {
        let (mut spill, mut now) = (spill(ranking), 0);
        for (inputs, gone, demand) in steps {
            now += gone;
            let shares = spill.tick(now, &inputs, demand);
            prop_assert!(close(shares.shares().iter().sum(), 1.0), "{shares:?}");
            prop_assert!(shares.shares().iter().all(|s| (0.0..=1.0 + 1e-9).contains(s)), "{shares:?}");
            let mut order = shares.order().to_vec();
            order.sort_unstable();
            prop_assert!(order.iter().enumerate().all(|(at, o)| usize::from(*o) == at), "every cluster stands in once");
        }
    }

    #[test]
    fn nothing_goes_where_nothing_is_able_from_the_next_tick(
        ranking in any_ranking(),
        before in any_inputs().prop_filter("several", |i| i.len() > 1),
        dead in 0..6_usize,
        demand in 0.0..30.0_f64,
    ) {
        let mut spill = spill(ranking);
        spill.tick(0, &before, demand);
        let mut inputs = before;
        let dead = dead % inputs.len();
        inputs[dead].healthy = 0.0;
        prop_assume!(inputs.iter().any(|i| i.healthy > 0.0 && (i.local || i.weight > 0.0)));
        let shares = spill.tick(TICK, &inputs, demand);
        prop_assert!(shares.shares()[dead] == 0.0, "{shares:?}");
    }

    /// Whatever happens to one cluster, while the others stand it gets no more faster than the ramp allows.
    #[test]
    fn the_way_back_is_never_steeper_than_the_ramp(
        ranking in any_ranking(),
        which in 0..3_usize,
        parts in prop::collection::vec(prop_oneof![Just(0.0), 0.0..10.0_f64], 2..300),
        gap in 10..2_000_u64,
    ) {
        let (mut spill, mut now) = (spill(ranking), 0);
        let mut before = spill.tick(now, &healthy([10.0; 3]), 0.0).shares()[which];
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        let step = gap as f64 / 30_000.0;
        for part in parts {
            now += gap;
            let mut inputs = healthy([10.0; 3]);
            inputs[which].healthy = part;
            let share = spill.tick(now, &inputs, 0.0).shares()[which];
            prop_assert!(share <= before + step + 1e-9, "{before} to {share}");
            before = share;
        }
    }

    #[test]
    fn staleness_lowers_and_never_empties(
        ranking in any_ranking(),
        inputs in any_inputs(),
        which in 0..6_usize,
        weight in 0.1..1.0_f64,
    ) {
        let which = which % inputs.len();
        let mut fresh = inputs;
        fresh[which].weight = 1.0;
        let mut stale = fresh.clone();
        stale[which].weight = weight;
        let share = |inputs: &[ClusterInput]| spill(ranking.clone()).tick(0, inputs, 0.0).shares()[which];
        prop_assert!(share(&stale) <= share(&fresh) + 1e-9, "{} over {}", share(&stale), share(&fresh));
        let alone: Vec<_> = stale.iter().map(|i| ClusterInput { healthy: if i.cluster == stale[which].cluster { i.healthy } else { 0.0 }, ..*i }).collect();
        prop_assert!(stale[which].healthy == 0.0 || close(share(&alone), 1.0), "what is left is used, however old");
    }

    #[test]
    fn the_nearest_other_cluster_is_never_over_its_cap(
        remotes in prop::collection::vec((0.5..10.0_f64, 0.0..6.0_f64), 1..5),
        demand in 0.1..5.0_f64,
    ) {
        let mut inputs = vec![input(0, 0.0, 4.0)];
        for (at, (healthy, load)) in (1..).zip(&remotes) {
            inputs.push(ClusterInput { load: Some(*load), ..input(at, *healthy, *healthy) });
        }
        let caps: Vec<f64> = remotes.iter().map(|(healthy, load)| 0.8 * (healthy - load).max(0.0) / demand).collect();
        let shares = spill(Ranking::Nearest).tick(0, &inputs, demand);
        // When they do not hold it all, everybody shares by what it is able to do instead.
        if caps.iter().map(|cap| cap.min(1.0)).sum::<f64>() > 1.0 + 1e-9 {
            for (share, cap) in shares.shares()[1..].iter().zip(&caps) {
                prop_assert!(*share <= cap + 1e-9, "{share} over {cap}");
            }
        }
    }

    #[test]
    fn absurd_measurements_do_no_harm(ranking in any_ranking(), values in prop::collection::vec(prop::num::f64::ANY, 12)) {
        let mut inputs = healthy([1.0; 3]);
        for (input, v) in inputs.iter_mut().zip(values.chunks_exact(4)) {
            (input.healthy, input.expected, input.weight) = (v[0], v[1], v[2]);
            (input.load, input.rtt_ms) = (Some(v[3]), Some(v[2]));
        }
        let mut spill = spill(ranking);
        for step in 0..3 {
            let shares = spill.tick(step * TICK, &inputs, values[0]);
            prop_assert!(shares.shares().iter().all(|s| s.is_finite() && *s >= 0.0), "{shares:?}");
        }
    }
}

#[test]
fn ordered_fills_one_cluster_before_the_next() {
    // As Envoy's priorities: health × 1.4 each, the rest to the next, in proportion when it is not enough.
    for (parts, want) in [
        ([10.0, 10.0, 10.0], [0.0, 1.0, 0.0]),
        ([10.0, 8.0, 10.0], [0.0, 1.0, 0.0]),
        ([10.0, 5.0, 10.0], [0.3, 0.7, 0.0]),
        ([5.0, 1.0, 10.0], [0.7, 0.14, 0.16]),
        ([0.0, 0.0, 5.0], [0.0, 0.0, 1.0]),
        ([1.0, 1.0, 0.0], [0.5, 0.5, 0.0]),
    ] {
        let mut spill = spill(Ranking::Ordered(vec![EAST, OWN]));
        spill.tick(0, &healthy([10.0; 3]), 0.0);
        assert_shares(&spill.tick(TICK, &healthy(parts), 0.0), want);
    }
}

#[test]
fn ordered_stands_in_by_the_list_and_what_is_not_listed_comes_last() {
    let mut spill = spill(Ranking::Ordered(vec![EU, OWN]));
    assert_eq!(spill.tick(0, &healthy([10.0; 3]), 0.0).order(), [2, 0, 1]);
    assert_eq!(
        spill.tick(TICK, &healthy([10.0, 10.0, 0.0]), 0.0).order(),
        [0, 1, 2],
        "who can do nothing is asked last"
    );
}

#[test]
fn nearest_goes_by_distance_alone() {
    let mut spill = spill(Ranking::Nearest);
    assert_shares(&spill.tick(0, &healthy([10.0; 3]), 0.0), [1.0, 0.0, 0.0]);
    assert_shares(&spill.tick(TICK, &healthy([0.0, 10.0, 10.0]), 0.0), [0.0, 1.0, 0.0]);
    let mut moved = healthy([0.0, 10.0, 10.0]);
    (moved[1].rtt_ms, moved[2].rtt_ms) = (Some(115.0), Some(100.0));
    assert_shares(&spill.tick(2 * TICK, &moved, 0.0), [0.0, 1.0, 0.0]);
    moved[2].rtt_ms = Some(40.0);
    assert_shares(&spill.tick(3 * TICK, &moved, 0.0), [0.0, 0.0, 1.0]);
}

#[test]
fn spread_goes_by_weight_or_by_capacity() {
    let weights = || Ranking::Spread(vec![(OWN, 1.0), (EAST, 3.0), (EU, 0.0)]);
    assert_shares(&spill(weights()).tick(0, &healthy([10.0; 3]), 0.0), [0.25, 0.75, 0.0]);
    assert_shares(&spill(weights()).tick(0, &healthy([0.0, 0.0, 10.0]), 0.0), [0.0, 0.0, 1.0]);
    let mut sizes = healthy([10.0; 3]);
    (sizes[2].healthy, sizes[2].expected) = (20.0, 20.0);
    sizes[2].rtt_ms = Some(400.0);
    assert_shares(&spill(Ranking::Spread(Vec::new())).tick(0, &sizes, 0.0), [0.25, 0.25, 0.5]);
}

#[test]
fn spread_moves_a_lost_share_at_once_and_gives_it_back_along_the_ramp() {
    let mut spill = spill(Ranking::Spread(Vec::new()));
    let third = 1.0 / 3.0;
    assert_shares(&spill.tick(0, &healthy([10.0; 3]), 0.0), [third; 3]);
    let lost = spill.tick(TICK, &healthy([10.0, 0.0, 10.0]), 0.0);
    assert_shares(&lost, [0.5, 0.0, 0.5]);
    let mut now = 60_000;
    let first = spill.tick(now, &healthy([10.0; 3]), 0.0);
    assert!(first.shares()[1] < 0.1 && first.moving, "{first:?}");
    let began = now;
    let mut last = first;
    while last.shares()[1] < third - 1e-3 {
        now += TICK;
        last = spill.tick(now, &healthy([10.0; 3]), 0.0);
        assert!(now < began + 30_000, "{last:?}");
    }
    assert!(now - began > 7_000, "a third of 30 s, less one long step, not {} ms", now - began);
    while now < began + 40_000 {
        now += TICK;
        last = spill.tick(now, &healthy([10.0; 3]), 0.0);
    }
    assert!(!last.moving, "and then it rests");
}

#[test]
fn the_own_clusters_return_is_held_and_told() {
    let settings = Settings { hold_ms: 20_000, ..Settings::default() };
    for ranking in [Ranking::Nearest, Ranking::LocalFirst] {
        let mut spill = Spill::default();
        spill.follow(settings, ranking);
        spill.tick(0, &healthy([10.0; 3]), 0.0);
        let down = spill.tick(TICK, &healthy([0.0, 10.0, 10.0]), 0.0);
        assert_eq!((down.shares()[0], down.failovers), (0.0, 1));
        for now in (2 * TICK..20_000).step_by(100) {
            let shares = spill.tick(now, &healthy([10.0; 3]), 0.0);
            assert!(shares.shares()[0] == 0.0 && close(shares.target, 1.0), "{now}: {shares:?}");
            assert_eq!(shares.hold, Some(crate::balance::Hold::Waiting));
        }
        for now in (20_000..60_000).step_by(100) {
            spill.tick(now, &healthy([10.0; 3]), 0.0);
        }
        assert!(close(spill.tick(60_000, &healthy([10.0; 3]), 0.0).shares()[0], 1.0));
    }
}

#[test]
fn another_mode_takes_its_shares_at_once() {
    let mut spill = spill(Ranking::Spread(Vec::new()));
    spill.tick(0, &healthy([10.0; 3]), 0.0);
    spill.follow(Settings::default(), Ranking::Ordered(vec![EU]));
    assert_shares(&spill.tick(TICK, &healthy([10.0; 3]), 0.0), [0.0, 0.0, 1.0]);
    spill.follow(Settings::default(), Ranking::LocalFirst);
    assert_shares(&spill.tick(2 * TICK, &healthy([10.0; 3]), 0.0), [1.0, 0.0, 0.0]);
}

#[test]
fn the_panic_threshold_can_be_set() {
    for (panic_below, panics) in [(0.5, false), (1.0, true), (0.0, false)] {
        let mut spill = Spill::default();
        spill.follow(Settings { panic_below, ..Settings::default() }, Ranking::Nearest);
        spill.tick(0, &healthy([10.0, 10.0, 10.0]), 0.0);
        assert_eq!(spill.tick(TICK, &healthy([2.0, 2.0, 2.0]), 0.0).panic, panics, "{panic_below}");
    }
}
