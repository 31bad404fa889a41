//! The fleet of 20, 15 and 10 pods: us-west loses a part of its pods and gets them back.

use super::Named;
use crate::picture;
use crate::plot::Plot;
use crate::sim::{Behaviour, ClusterPlan, Plan, World};

pub(crate) const NAMES: [&str; 3] = ["us-west", "us-east", "eu-west"];
const LOST_S: f64 = 10.0;
const BACK_S: f64 = 40.0;
const END_S: f64 = 90.0;

/// How pods go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Scaled away: the slice says so at once, they serve for another second.
    Leave,
    /// Killed without a word: the slice says so two seconds later.
    Killed,
}

/// The fleet at half of its capacity.
pub(crate) fn plan() -> Plan {
    let [west, east, eu] = NAMES;
    Plan::new(vec![
        ClusterPlan::new(west, 20, 200.0),
        ClusterPlan::new(east, 15, 150.0),
        ClusterPlan::new(eu, 10, 80.0),
    ])
}

/// us-west loses `part` of its 20 pods at 10 s and has them back at 40 s.
fn lose(part: usize, way: Way) -> World {
    let mut world = World::new(&plan());
    world.run_until(LOST_S);
    match way {
        Way::Leave => {
            world.list(0, part..20, 0.0);
            world.run_until(LOST_S + 1.0);
            world.kill(0, 0..part);
        }
        Way::Killed => {
            world.kill(0, 0..part);
            world.list(0, part..20, 2.0);
        }
    }
    world.run_until(BACK_S);
    for pod in 0..part {
        world.behave(0, pod, Behaviour::Answers);
    }
    world.list(0, 0..20, 0.0);
    world.run_until(END_S);
    world
}

pub(crate) fn plots() -> Vec<Named> {
    let mut plots = Vec::new();
    for way in [Way::Leave, Way::Killed] {
        for part in [5, 10, 20] {
            let world = lose(part, way);
            let samples = world.samples();
            let (file, how) = match way {
                Way::Leave => ("leave", "leave the slice"),
                Way::Killed => ("killed", "are killed, and the slice says so 2 s later"),
            };
            let percent = part * 5;
            plots.push((
                format!("fleet-{percent}-{file}"),
                Plot {
                    title: format!("{percent} % of us-west's pods {how}"),
                    note: "20/15/10 pods of 20 requests a second each, half of it used; one daemon a cluster".into(),
                    at_s: samples.iter().map(|s| s.at_s).collect(),
                    marks: vec![(LOST_S, "lost"), (BACK_S, "back")],
                    panels: vec![
                        picture::shares(samples, &NAMES, 0),
                        picture::held(samples, &NAMES),
                        picture::waiting(samples, NAMES[0], 0),
                        picture::ends(samples),
                    ],
                },
            ));
        }
    }
    plots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Stretch;

    fn share(world: &World, at_s: f64) -> f64 {
        world.samples().iter().find(|s| s.at_s >= at_s).map_or(f64::NAN, |s| s.clients[0].shares[0])
    }

    #[test]
    fn whatever_is_lost_no_request_is_and_the_share_follows_the_capacity() {
        for way in [Way::Leave, Way::Killed] {
            for (part, during) in [(5, 0.99..=1.0), (10, 0.69..=0.78), (20, 0.0..=0.001)] {
                let world = lose(part, way);
                let all = Stretch::of(world.samples(), 0.0, END_S);
                assert_eq!(all.bad(), 0, "{part} of 20, {way:?}");
                for at_s in [LOST_S + 1.5, 25.0, BACK_S] {
                    let share = share(&world, at_s);
                    assert!(during.contains(&share), "{part} of 20, {way:?}, at {at_s} s: {share}");
                }
                assert!(share(&world, BACK_S + 35.0) > 0.999, "{part} of 20, {way:?}: all back");
                // Half of the fleet's capacity is used, and with 20 gone 86 % of what is left.
                for cluster in 0..3 {
                    let most = Stretch::of(world.samples(), LOST_S, END_S).most_held(cluster);
                    assert!(most < 20, "{part} of 20, {way:?}: {most} requests held by one pod of {cluster}");
                }
            }
        }
    }

    #[test]
    fn the_return_follows_the_ramp() {
        for way in [Way::Leave, Way::Killed] {
            let world = lose(20, way);
            let shares: Vec<f64> = world.samples().iter().map(|s| s.clients[0].shares[0]).collect();
            let back = world.samples().partition_point(|s| s.at_s <= BACK_S);
            for pair in shares[back - 1..].windows(2) {
                assert!(pair[1] >= pair[0] - 1e-6 && pair[1] - pair[0] < 0.6 / 30.0, "{way:?}: {pair:?}");
            }
            assert!((0.28..0.38).contains(&share(&world, BACK_S + 10.0)), "a third after a third of the ramp");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let digest = |seed: u64| {
            let mut world = World::new(&Plan { seed, ..plan() });
            world.run_until(5.0);
            world.kill(0, 0..10);
            world.run_until(10.0);
            world.samples().iter().map(|s| format!("{s:?}")).collect::<String>()
        };
        assert_eq!(digest(7), digest(7));
        assert_ne!(digest(7), digest(8));
    }
}
