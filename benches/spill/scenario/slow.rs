//! A tenth of the pods is ten times slower.

use super::Named;
use crate::picture;
use crate::plot::{Panel, Plot};
use crate::sim::{ClusterPlan, Plan, Policy, World};

const POLICIES: [(Policy, &str); 3] =
    [(Policy::Strait, "strait"), (Policy::RoundRobin, "each in its turn"), (Policy::Random, "any pod")];

/// One cluster of 20 pods at 70 % of what it can do with two slow ones.
fn slow(policy: Policy, end_s: f64) -> World {
    let mut world = World::new(&Plan { policy, ..Plan::new(vec![ClusterPlan::new("us-west", 20, 255.0)]) });
    for pod in [3, 13] {
        world.slow(0, pod, 10.0);
    }
    world.run_until(end_s);
    world
}

pub(crate) fn plots() -> Vec<Named> {
    let worlds: Vec<(World, &str)> = POLICIES.iter().map(|(p, name)| (slow(*p, 60.0), *name)).collect();
    let lines = |which: usize| {
        let line = |(world, name): &(World, &str)| {
            let mut line = picture::waiting(world.samples(), "", 0).lines.swap_remove(which);
            line.name = (*name).into();
            line
        };
        worlds.iter().map(line).collect()
    };
    let plot = Plot {
        title: "2 of 20 pods are ten times slower".into(),
        note: "70 % of the capacity is asked for; clients wait up to 5 s and then give up".into(),
        at_s: worlds[0].0.samples().iter().map(|s| s.at_s).collect(),
        marks: Vec::new(),
        panels: vec![
            Panel { axis: "median wait, ms".into(), at_least: 100.0, lines: lines(0) },
            Panel { axis: "99th percentile of the wait, ms".into(), at_least: 100.0, lines: lines(1) },
        ],
    };
    vec![("slow".into(), plot)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Stretch;

    #[test]
    fn slow_pods_do_not_set_the_tail() {
        let seen = |policy| {
            let world = slow(policy, 30.0);
            // In the first seconds nothing is known of any pod, and what waits at the slow ones has to be got through.
            let stretch = Stretch::of(world.samples(), 12.0, 30.0);
            (stretch.waited_ms(0, 0.99), stretch.gave_up())
        };
        let (ours, gave_up) = seen(Policy::Strait);
        assert_eq!(gave_up, 0);
        for other in [Policy::RoundRobin, Policy::Random] {
            let (theirs, gave_up) = seen(other);
            assert!(ours < theirs / 4.0, "{ours} ms against {theirs} ms of {other:?}");
            assert!(gave_up > 300, "{other:?}: a twentieth of the requests meets a slow pod: {gave_up}");
        }
    }
}
