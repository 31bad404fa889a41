//! us-west's pods come and go twice a second.

use super::Named;
use super::fleet::{NAMES, plan};
use crate::picture;
use crate::plot::Plot;
use crate::sim::World;

const FLAPS_S: f64 = 10.0;
const STOPS_S: f64 = 70.0;

/// From 10 s to 70 s the slice is empty and full in turn, a quarter of a second each.
fn flap(end_s: f64) -> World {
    let mut world = World::new(&plan());
    world.run_until(FLAPS_S);
    let mut at_s = FLAPS_S;
    while at_s < STOPS_S.min(end_s) {
        world.list(0, 0..0, 0.0);
        world.run_until(at_s + 0.25);
        world.list(0, 0..20, 0.0);
        at_s += 0.5;
        world.run_until(at_s);
    }
    world.run_until(end_s);
    world
}

pub(crate) fn plots() -> Vec<Named> {
    let world = flap(160.0);
    let samples = world.samples();
    let plot = Plot {
        title: "us-west's slice is empty and full in turn, twice a second".into(),
        note: "from 10 s to 70 s; its pods work all the time".into(),
        at_s: samples.iter().map(|s| s.at_s).collect(),
        marks: vec![(FLAPS_S, "flaps"), (STOPS_S, "stops")],
        panels: vec![
            picture::shares(samples, &NAMES, 0),
            picture::held(samples, &NAMES),
            picture::waiting(samples, NAMES[0], 0),
            picture::ends(samples),
        ],
    };
    vec![("flap".into(), plot)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Sample, Stretch};

    /// How often the share of a cluster's own pods turns by more than two hundredths.
    fn reversals(samples: &[Sample], cluster: usize) -> usize {
        let mut shares = samples.iter().map(|s| s.clients[cluster].shares[cluster]);
        let (mut extreme, mut rising, mut count) = (shares.next().unwrap_or(0.0), false, 0);
        for share in shares {
            let turned = if rising { extreme - share > 0.02 } else { share - extreme > 0.02 };
            if turned {
                (count, rising, extreme) = (count + 1, !rising, share);
            } else if (share > extreme) == rising {
                extreme = share;
            }
        }
        count
    }

    #[test]
    fn flapping_turns_the_share_at_most_once_a_ramp() {
        let world = flap(105.0);
        let samples = world.samples();
        let turns = reversals(samples, 0);
        assert!(turns <= 4, "{turns} in 95 s with a ramp of 30 s");
        assert_eq!(Stretch::of(samples, 0.0, 105.0).bad(), 0);
        assert!(samples.last().is_some_and(|s| s.clients[0].shares[0] > 0.99), "and it comes back");
    }
}
