//! The properties that the shares keep, whatever is measured, on a simulated clock.

use proptest::prelude::*;

use super::*;
use crate::balance::tests::inputs::{any_inputs, input};

const TICK: u64 = 100;

/// Local H of K, and two remotes of capacity 1.
fn three(healthy: f64, expected: f64) -> [ClusterInput; 3] {
    [input(0, healthy, expected), input(1, 1.0, 1.0), input(2, 1.0, 1.0)]
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

proptest! {
    #[test]
    fn shares_sum_to_one(steps in prop::collection::vec((any_inputs(), 0..200_000_u64, 0.0..30.0_f64), 1..20)) {
        let (mut spill, mut now) = (Spill::default(), 0);
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
    fn nothing_goes_where_nothing_is_able(
        before in any_inputs().prop_filter("several", |i| i.len() > 1),
        dead in 0..6_usize,
        demand in 0.0..30.0_f64,
    ) {
        let mut spill = Spill::default();
        spill.tick(0, &before, demand);
        let mut inputs = before;
        let dead = dead % inputs.len();
        inputs[dead].healthy = 0.0;
        let able = inputs.iter().any(|i| i.healthy > 0.0 && (i.local || i.weight > 0.0));
        prop_assume!(able);
        let shares = spill.tick(TICK, &inputs, demand);
        prop_assert!(shares.shares()[dead] == 0.0, "{shares:?}");
    }

    #[test]
    fn the_local_share_rises_with_local_health(less in 0.0..1.0_f64, more in 0.0..1.0_f64) {
        let (less, more) = (less.min(more), less.max(more));
        let mut settled = Spill::default();
        settled.tick(0, &three(10.0, 10.0), 0.0);
        let share = |part: f64| settled.clone().tick(TICK, &three(10.0 * part, 10.0), 0.0).shares()[0];
        prop_assert!(share(less) <= share(more) + 1e-9);
    }

    #[test]
    fn nothing_spills_while_enough_is_healthy(part in 0.72..1.0_f64, demand in 0.0..100.0_f64) {
        let mut spill = Spill::default();
        spill.tick(0, &three(10.0, 10.0), demand);
        for step in 1..50 {
            let shares = spill.tick(step * TICK, &three(10.0 * part, 10.0), demand);
            prop_assert!(close(shares.shares()[0], 1.0), "{shares:?}");
        }
    }

    #[test]
    fn no_remote_is_over_its_cap(remotes in prop::collection::vec((0.5..10.0_f64, 0.0..6.0_f64), 1..5), demand in 0.1..5.0_f64) {
        let mut inputs = vec![input(0, 0.0, 4.0)];
        for (at, (healthy, load)) in remotes.iter().enumerate() {
            let at = u32::try_from(at).unwrap_or_default() + 1;
            inputs.push(ClusterInput { load: Some(*load), ..input(at, *healthy, *healthy) });
        }
        let caps: Vec<f64> = remotes.iter().map(|(healthy, load)| 0.8 * (healthy - load).max(0.0) / demand).collect();
        let shares = Spill::default().tick(0, &inputs, demand);
        // When they do not hold it all, everybody shares by what it is able to do instead.
        if caps.iter().sum::<f64>() > 1.0 + 1e-9 {
            for (share, cap) in shares.shares()[1..].iter().zip(&caps) {
                prop_assert!(*share <= cap + 1e-9, "{share} over {cap}");
            }
        }
    }

    #[test]
    fn the_way_back_is_never_steeper_than_the_ramp(healthy in prop::collection::vec(0.0..10.0_f64, 2..300), gap in 10..2_000_u64) {
        let (mut spill, mut before, mut now) = (Spill::default(), None, 0);
        for healthy in healthy {
            let share = spill.tick(now, &three(healthy, 10.0), 0.0).shares()[0];
            #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
            let step = gap as f64 / 30_000.0;
            if let Some(before) = before {
                prop_assert!(share <= before + step + 1e-9, "{before} to {share}");
            }
            // The first local capacity ever is taken without a ramp.
            before = if before.is_some() || healthy > 0.0 { Some(share) } else { None };
            now += gap;
        }
    }

    #[test]
    fn absurd_measurements_do_no_harm(values in prop::collection::vec(prop::num::f64::ANY, 12)) {
        let mut inputs = three(1.0, 1.0);
        for (input, v) in inputs.iter_mut().zip(values.chunks_exact(4)) {
            (input.healthy, input.expected, input.weight) = (v[0], v[1], v[2]);
            (input.load, input.rtt_ms) = (Some(v[3]), Some(v[2]));
        }
        let mut spill = Spill::default();
        for step in 0..3 {
            let shares = spill.tick(step * TICK, &inputs, values[0]);
            prop_assert!(shares.shares().iter().all(|s| s.is_finite() && *s >= 0.0), "{shares:?}");
        }
    }
}

/// The worked examples: remotes of capacity 1 and load ½, 65 and 140 ms away.
#[test]
fn the_split_is_the_worked_one() {
    for (part, want) in
        [(0.8, [100.0, 0.0, 0.0]), (0.5, [70.0, 18.8, 11.2]), (0.25, [35.0, 40.8, 24.2]), (0.0, [0.0, 62.7, 37.3])]
    {
        let mut spill = Spill::default();
        let mut inputs = three(1.0, 1.0);
        (inputs[1].rtt_ms, inputs[2].rtt_ms) = (Some(65.0), Some(140.0));
        spill.tick(0, &inputs, 0.0);
        inputs[0].healthy = part;
        let shares = spill.tick(TICK, &inputs, 0.0);
        for (got, want) in shares.shares().iter().zip(want) {
            assert!((got * 100.0 - want).abs() < 0.1, "{part}: {:?}", shares.shares());
        }
    }
}

#[test]
fn endpoints_that_left_the_slice_are_missed() {
    let mut spill = Spill::default();
    spill.tick(0, &three(10.0, 10.0), 0.0);
    let shares = spill.tick(TICK, &three(3.0, 3.0), 0.0);
    assert!(close(shares.shares()[0], 1.4 * 0.3 * (TICK as f64 / 300_000.0).exp()), "3 of 3 listed, but 3 of 10 known");
    let mut now = TICK;
    while now < 600_000 {
        now += TICK;
        spill.tick(now, &three(3.0, 3.0), 0.0);
    }
    assert!(close(spill.tick(now, &three(3.0, 3.0), 0.0).shares()[0], 1.0), "a scale-down is learned");
}

#[test]
fn the_only_cluster_gets_everything() {
    let mut spill = Spill::default();
    assert_eq!(spill.tick(0, &[input(0, 10.0, 10.0)], 5.0).shares(), [1.0]);
    assert_eq!(spill.tick(TICK, &[input(0, 0.0, 10.0)], 5.0).shares(), [1.0], "even when it can do nothing");
    assert_eq!(Spill::default().tick(0, &[input(1, 1.0, 1.0)], 0.0).shares(), [1.0]);
    assert!(Spill::default().tick(0, &[], 0.0).shares().is_empty());
}

#[test]
fn staleness_weighs_and_never_empties() {
    let mut inputs = three(0.0, 1.0);
    inputs[2].rtt_ms = inputs[1].rtt_ms;
    inputs[2].weight = 0.1;
    let shares = Spill::default().tick(0, &inputs, 0.0);
    assert!(close(shares.shares()[2], 1.0 / 11.0), "{shares:?}");
}

#[test]
fn not_enough_anywhere_is_shared_by_what_each_can_do() {
    let mut spill = Spill::default();
    let full = |at, healthy: f64| ClusterInput { load: Some(healthy), ..input(at, healthy, healthy) };
    spill.tick(0, &[input(0, 10.0, 10.0), full(1, 30.0), full(2, 10.0)], 100.0);
    let shares = spill.tick(TICK, &[input(0, 0.0, 10.0), full(1, 30.0), full(2, 10.0)], 100.0);
    assert!(close(shares.shares()[1], 0.75) && close(shares.shares()[2], 0.25), "{shares:?}");
}

/// The other cluster has room for 0.4 of the requests: a pod more that is lost is a little more that is not placed, not
/// another rule for everything.
#[test]
fn the_edge_of_the_others_room_is_no_step() {
    let own_share = |healthy: f64| {
        let mut spill = Spill::default();
        spill.tick(0, &[input(0, 10.0, 10.0), input(1, 2.0, 2.0)], 2.0);
        spill.tick(TICK, &[input(0, healthy, 10.0), input(1, 2.0, 2.0)], 2.0).shares()[0]
    };
    let (above, below) = (own_share(6.1 / 1.4), own_share(5.9 / 1.4));
    assert!(close(above, 0.61) && (0.59..0.60).contains(&below), "{above} falls to {below}");
}

/// Half of the own pods are back and could take 70 %; the others have room for a tenth.
#[test]
fn what_others_have_no_room_for_lifts_the_way_back_to_the_own_part_and_no_further() {
    let mut spill = Spill::default();
    let inputs = |healthy| [input(0, healthy, 10.0), ClusterInput { load: Some(9.0), ..input(1, 10.0, 10.0) }];
    spill.tick(0, &inputs(10.0), 8.0);
    spill.tick(TICK, &inputs(0.0), 8.0);
    let mut now = TICK;
    let mut tick = |healthy: f64| {
        now += TICK;
        spill.tick(now, &inputs(healthy), 8.0).shares()[0]
    };
    let first = tick(5.0);
    assert!((0.3..0.45).contains(&first), "7 of 17 of nine tenths at once: {first}");
    let part = 7.0 / 17.0;
    let lent = part + (0.9 - part) * part;
    for _ in 0..50 {
        let share = tick(5.0);
        assert!(share < lent + 0.15, "no more than the ramp adds in five seconds: {share}");
    }
}

#[test]
fn panic_is_less_than_half_of_everything() {
    let mut spill = Spill::default();
    assert!(!spill.tick(0, &three(10.0, 10.0), 0.0).panic);
    assert!(!spill.tick(TICK, &three(0.0, 10.0), 0.0).panic, "the others are whole");
    let alone = [input(0, 1.0, 10.0), input(1, 0.1, 1.0)];
    let mut spill = Spill::default();
    assert!(spill.tick(0, &alone, 0.0).panic);
    assert!(!Spill::default().tick(0, &[input(0, 0.0, 0.0)], 0.0).panic, "scaled to zero is not a panic");
}

/// Runs ticks from `from` to `to` and returns the local share after each.
fn run(spill: &mut Spill, from: u64, to: u64, healthy: impl Fn(u64) -> f64) -> Vec<f64> {
    let steps = (from..to).step_by(usize::try_from(TICK).unwrap_or(1));
    steps.map(|now| spill.tick(now, &three(healthy(now), 10.0), 0.0).shares()[0]).collect()
}

#[test]
fn out_at_once_back_in_thirty_seconds_and_later_each_time() {
    let (mut spill, mut now) = (Spill::default(), 0);
    for ramp_s in [30, 60, 120, 240] {
        run(&mut spill, now, now + 1_000, |_| 10.0);
        let down = run(&mut spill, now + 1_000, now + 6_000, |_| 0.0);
        assert!(down[0] == 0.0, "within one tick");
        now += 6_000;
        let up = now;
        while spill.tick(now, &three(10.0, 10.0), 0.0).shares()[0] < 1.0 {
            now += TICK;
        }
        assert!((now - up).abs_diff(ramp_s * 1_000) <= 2 * TICK, "back after {} ms, not {ramp_s} s", now - up);
    }
    now += 700_000;
    run(&mut spill, now, now + 1_000, |_| 10.0);
    run(&mut spill, now + 1_000, now + 2_000, |_| 0.0);
    let back = run(&mut spill, now + 2_000, now + 34_000, |_| 10.0);
    assert!(back.last().is_some_and(|s| close(*s, 1.0)), "ten minutes of peace are forgotten");
}

#[test]
fn flapping_twice_a_second_reverses_at_most_once_a_ramp() {
    let mut spill = Spill::default();
    run(&mut spill, 0, 5_000, |_| 10.0);
    let shares = run(&mut spill, 5_000, 125_000, |now| if now / 250 % 2 == 0 { 10.0 } else { 0.0 });
    let (mut reversals, mut turned_at, mut rising) = (0, shares[0], false);
    for share in shares {
        let change = share - turned_at;
        if (change > 0.02 && !rising) || (change < -0.02 && rising) {
            reversals += 1;
            rising = !rising;
        }
        if (rising && share > turned_at) || (!rising && share < turned_at) || change.abs() > 0.02 {
            turned_at = share;
        }
    }
    assert!(reversals <= 4, "{reversals} in four ramps");
}

#[test]
fn a_return_holds_while_the_own_cluster_is_worse() {
    let worse = |answers, slow| {
        let mut inputs = three(10.0, 10.0);
        (inputs[0].answers, inputs[0].slow, inputs[1].answers) = (answers, slow, (1_000, 0));
        inputs
    };
    for (answers, slow, held) in
        [((100, 0), false, false), ((95, 5), false, true), ((100, 0), true, true), ((5, 5), false, false)]
    {
        let mut spill = Spill::default();
        run(&mut spill, 0, 1_000, |_| 10.0);
        run(&mut spill, 1_000, 2_000, |_| 0.0);
        for now in (2_000..12_000).step_by(100) {
            spill.tick(now, &worse(answers, slow), 0.0);
        }
        let share = spill.tick(12_000, &worse(answers, slow), 0.0).shares()[0];
        assert_eq!(share == 0.0, held, "{answers:?} {slow}: {share}");
    }
}

#[test]
fn a_return_is_tried_by_single_requests_from_the_start() {
    let mut spill = Spill::default();
    run(&mut spill, 0, 1_000, |_| 10.0);
    run(&mut spill, 1_000, 2_000, |_| 0.0);
    assert!(spill.tick(2_000, &three(2.0, 10.0), 0.0).trickle, "at once");
    assert!(!spill.tick(2_100, &three(2.0, 10.0), 0.0).trickle);
    assert!(spill.tick(3_000, &three(2.0, 10.0), 0.0).trickle, "and once a second");
    let shares = run(&mut spill, 3_100, 60_000, |_| 2.0);
    let last = shares.last().copied().unwrap_or_default();
    assert!(close(last, 0.28), "no more than what is ready can take: {last}");
}

#[test]
fn the_initial_fill_has_no_ramp() {
    let mut spill = Spill::default();
    assert!(spill.tick(0, &three(0.0, 0.0), 0.0).shares()[0] == 0.0);
    assert!(close(spill.tick(5_000, &three(10.0, 10.0), 0.0).shares()[0], 1.0));
    let mut late = Spill::default();
    late.tick(0, &three(0.0, 0.0), 0.0);
    late.tick(40_000, &three(0.0, 0.0), 0.0);
    assert!(late.tick(40_100, &three(10.0, 10.0), 0.0).shares()[0] < 0.01, "a minute later it is a return");
    let mut quiet = Spill::default();
    quiet.tick(0, &three(0.0, 0.0), 0.0);
    assert!(quiet.tick(40_000, &three(10.0, 10.0), 0.0).shares()[0] < 0.01, "also when nothing was looked at between");
}

#[test]
fn taking_the_export_back_is_no_failover() {
    let mut spill = Spill::default();
    let all = three(10.0, 10.0);
    assert!(close(spill.tick(0, &all, 1.0).shares()[0], 1.0));
    let without = spill.tick(TICK, &all[1..], 1.0);
    assert!(close(without.shares().iter().sum(), 1.0) && !without.moving, "{without:?}");
    let again = spill.tick(60_000, &all, 1.0);
    assert!(close(again.shares()[0], 1.0) && again.failovers == 0, "{again:?}");
}

#[test]
fn a_ramp_does_not_go_on_while_the_own_cluster_is_not_asked() {
    let (mut spill, up, down) = (Spill::default(), three(10.0, 10.0), three(0.0, 10.0));
    spill.tick(0, &up, 0.0);
    spill.tick(TICK, &down, 0.0);
    spill.tick(2 * TICK, &up, 0.0);
    spill.tick(3 * TICK, &up[1..], 0.0);
    assert!(spill.tick(60_000, &up, 0.0).shares()[0] < 0.1);
}
