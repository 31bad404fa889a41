//! One of ten pods behind a gateway answers 500 to everything.

use super::Named;
use crate::picture;
use crate::plot::{Line, Panel, Plot};
use crate::sim::{Behaviour, ClusterPlan, Plan, World};

const NAMES: [&str; 2] = ["us-west", "us-east"];
const FAILS_S: f64 = 10.0;

/// us-west has no pods of its own; us-east has ten, one of which fails from 10 s on.
fn fail(end_s: f64) -> World {
    let [west, east] = NAMES;
    let mut world = World::new(&Plan::new(vec![ClusterPlan::new(west, 0, 100.0), ClusterPlan::new(east, 10, 0.0)]));
    world.run_until(FAILS_S);
    world.behave(1, 4, Behaviour::Errors);
    world.run_until(end_s);
    world
}

pub(crate) fn plots() -> Vec<Named> {
    let world = fail(60.0);
    let samples = world.samples();
    let taken = |pod: usize| Line {
        name: if pod == 4 { "the failing one".into() } else { format!("pod {pod}") },
        values: samples.windows(2).map(|s| f64::from(s[1].taken[1][pod] - s[0].taken[1][pod]) * 2.0).collect(),
    };
    let plot = Plot {
        title: "One of ten pods behind a gateway answers 500 to everything".into(),
        note: "all requests come from another cluster, through the gateway".into(),
        at_s: samples[1..].iter().map(|s| s.at_s).collect(),
        marks: vec![(FAILS_S, "fails")],
        panels: vec![
            picture::ends(&samples[1..]),
            Panel { axis: "requests a second to each pod".into(), at_least: 10.0, lines: (0..10).map(taken).collect() },
            picture::waiting(&samples[1..], NAMES[0], 0),
        ],
    };
    vec![("failing".into(), plot)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Stretch;

    #[test]
    fn the_other_nine_stay_in_use_and_the_cluster_is_not_left() {
        let world = fail(40.0);
        let samples = world.samples();
        let after = Stretch::of(samples, FAILS_S, 40.0);
        let (good, bad) = (after.good(), after.bad());
        assert!(good > 2_800, "the requests of 30 s: {good}");
        // Five in a row eject it; then one probation a back-off.
        assert!((5..=20).contains(&bad), "{bad} errors");
        let (first, last) = (&samples[samples.len() - 21].taken[1], &samples[samples.len() - 1].taken[1]);
        for pod in (0..10).filter(|p| *p != 4) {
            let taken = last[pod] - first[pod];
            assert!(taken > 50, "pod {pod} got {taken} of 1,000 requests in the last ten seconds");
        }
    }
}
