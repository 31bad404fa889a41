//! Capacity is short everywhere: there is nowhere to spill to.

use super::Named;
use super::fleet::{NAMES, plan};
use crate::picture;
use crate::plot::Plot;
use crate::sim::World;

const SHORT_S: f64 = 10.0;
const END_S: f64 = 100.0;
/// Requests a second that a pod can answer.
const POD: f64 = 20.0;

/// All clusters lose two thirds of their pods: 13 of 45 are left, for 430 requests a second.
fn pods_are_lost(end_s: f64) -> (World, f64) {
    let mut world = World::new(&plan());
    world.run_until(SHORT_S);
    for (cluster, (left, all)) in [(6, 20), (4, 15), (3, 10)].into_iter().enumerate() {
        world.kill(cluster, left..all);
        world.list(cluster, 0..left, 2.0);
    }
    world.run_until(end_s);
    (world, 13.0 * POD)
}

/// Clients of all clusters send half as much again as all pods can answer.
fn too_much_is_asked(end_s: f64) -> (World, f64) {
    let mut world = World::new(&plan());
    world.run_until(SHORT_S);
    for (cluster, rate) in [600.0, 450.0, 300.0].into_iter().enumerate() {
        world.rate(cluster, rate);
    }
    world.run_until(end_s);
    (world, 45.0 * POD)
}

pub(crate) fn plots() -> Vec<Named> {
    let draw = |file: &str, title: &str, (world, capacity): (World, f64)| {
        let samples = world.samples();
        let plot = Plot {
            title: title.into(),
            note: format!(
                "{capacity:.0} requests a second can be answered; pods work on what nobody waits for any more"
            ),
            at_s: samples.iter().map(|s| s.at_s).collect(),
            marks: vec![(SHORT_S, "short from here")],
            panels: vec![
                picture::ends(samples),
                picture::held(samples, &NAMES),
                picture::shares(samples, &NAMES, 0),
                picture::waiting(samples, NAMES[0], 0),
            ],
        };
        (file.to_owned(), plot)
    };
    vec![
        draw("short-pods-lost", "All clusters lose two thirds of their pods", pods_are_lost(END_S)),
        draw("short-demand", "Clients of all clusters ask for 150 % of all capacity", too_much_is_asked(END_S)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Stretch;

    #[test]
    fn good_answers_stay_near_capacity_and_the_rest_is_told_at_once() {
        for ((world, capacity), name) in
            [(pods_are_lost(90.0), "pods lost"), (too_much_is_asked(80.0), "too much asked")]
        {
            let samples = world.samples();
            let end_s = samples.last().map_or(0.0, |s| s.at_s);
            let settled = Stretch::of(samples, 60.0, end_s);
            let rate = f64::from(settled.good()) / settled.seconds();
            assert!(rate > 0.9 * capacity, "{name}: {rate} of {capacity} a second");
            assert!(settled.shed() > 0 && settled.shed_ms(0.99) < 500.0, "{name}: {} ms", settled.shed_ms(0.99));
            assert!(settled.gave_up() < settled.good() / 100, "{name}: {} gave up", settled.gave_up());
            // And on the way there, clients' patience included: no collapse.
            let all = Stretch::of(samples, SHORT_S, end_s);
            let rate = f64::from(all.good()) / all.seconds();
            assert!(rate > 0.7 * capacity, "{name}: {rate} of {capacity} a second from the start");
        }
    }
}
