//! Many senders that lose their pods together, and few clusters that are left for all of them.

use super::Named;
use crate::picture;
use crate::plot::Plot;
use crate::sim::{ClusterPlan, Plan, World};

pub(crate) const NAMES: [&str; 10] =
    ["near", "middle", "far", "sender-1", "sender-2", "sender-3", "sender-4", "sender-5", "sender-6", "sender-7"];
const LEFT: usize = 3;
const LOST_S: f64 = 10.0;
const END_S: f64 = 70.0;

/// Round trips: 20, 65 and 140 ms from the senders to the clusters that are left.
fn distances(a: usize, b: usize) -> f64 {
    match a.min(b) {
        0 => 20.0,
        1 => 65.0,
        2 => 140.0,
        _ => 80.0,
    }
}

/// Seven senders of 4 pods each, and three clusters that keep theirs. `agents` daemons in every cluster.
pub(crate) fn plan(agents: usize) -> Plan {
    let cluster = |(at, name): (usize, &'static str)| {
        let (pods, rate) = if at < LEFT { (12, 100.0) } else { (4, 45.0) };
        ClusterPlan { agents, ..ClusterPlan::new(name, pods, rate) }
    };
    Plan { rtt_ms: distances, ..Plan::new(NAMES.into_iter().enumerate().map(cluster).collect()) }
}

/// All senders lose all their pods at 10 s.
fn lose(agents: usize) -> World {
    let mut world = World::new(&plan(agents));
    world.run_until(LOST_S);
    for sender in LEFT..NAMES.len() {
        world.kill(sender, 0..4);
        world.list(sender, 0..0, 2.0);
    }
    world.run_until(END_S);
    world
}

pub(crate) fn plots() -> Vec<Named> {
    let draw = |agents: usize| {
        let world = lose(agents);
        let samples = world.samples();
        let plot = Plot {
            title: format!("Seven clusters lose their pods together; daemons in each cluster: {agents}"),
            note: "three clusters are left, 20, 65 and 140 ms away; 85 % of their capacity is asked for".into(),
            at_s: samples.iter().map(|s| s.at_s).collect(),
            marks: vec![(LOST_S, "lost")],
            panels: vec![
                picture::shares(samples, &NAMES, LEFT),
                picture::held(samples, &NAMES[..LEFT]),
                picture::answers(samples, &NAMES[..LEFT]),
                picture::waiting(samples, NAMES[LEFT], LEFT),
                picture::ends(samples),
            ],
        };
        (format!("herd-{agents}"), plot)
    };
    vec![draw(1), draw(3)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Stretch;

    #[test]
    fn many_senders_make_no_herd() {
        for agents in [1, 3] {
            let world = lose(agents);
            let samples = world.samples();
            assert_eq!(Stretch::of(samples, 0.0, END_S).bad(), 0, "{agents}: nothing is lost");
            let settled = samples.partition_point(|s| s.at_s <= LOST_S + 5.0);
            for cluster in 0..LEFT {
                let shares = samples[settled..].iter().map(|s| s.clients[LEFT].shares[cluster]);
                let (least, most) = shares.fold((1.0_f64, 0.0_f64), |(a, b), s| (a.min(s), b.max(s)));
                assert!(most - least < 0.1, "{agents}: the share of {cluster} swings from {least} to {most}");
                let held = Stretch::of(samples, LOST_S, END_S).held(cluster) / 12.0;
                assert!(held < 20.0, "{agents}: a pod of {cluster} holds {held} requests: a second of work");
            }
        }
    }
}
