//! Which cluster answers worse than the others, and for how long that is held against it.

use super::spill::ClusterInput;
use crate::health::ClusterNumber;

/// An error ratio above that of the others by more than this is worse.
const MARGIN: f64 = 0.01;
/// Fewer answers than this say nothing.
const ENOUGH: u32 = 20;
/// What has been worse for so long is how it is: one release may simply refuse what another does not. In milliseconds.
const NEW_NORMAL_MS: u64 = 300_000;

/// Since when clusters have answered worse than the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors(Vec<(ClusterNumber, u64)>);

impl Errors {
    /// Takes the answers of the last ten seconds.
    pub(super) fn step(&mut self, now_ms: u64, inputs: &[ClusterInput]) {
        self.0.retain(|(cluster, _)| inputs.iter().any(|i| i.cluster == *cluster));
        for (at, input) in inputs.iter().enumerate() {
            match worse(inputs, at) {
                Some(true) if !self.0.iter().any(|(cluster, _)| *cluster == input.cluster) => {
                    self.0.push((input.cluster, now_ms));
                }
                Some(false) => self.0.retain(|(cluster, _)| *cluster != input.cluster),
                // Where a cluster is asked too little to tell, what was known stands.
                _ => {}
            }
        }
    }

    /// True when more of its answers are bad than of the others', and not for so long that it has to be lived with.
    pub(super) fn hold(&self, now_ms: u64, inputs: &[ClusterInput], at: usize) -> bool {
        let lately = |since: u64| now_ms.saturating_sub(since) < NEW_NORMAL_MS;
        worse(inputs, at) == Some(true) && self.0.iter().any(|(c, since)| *c == inputs[at].cluster && lately(*since))
    }
}

/// Whether one cluster's answers are worse than the others'; `None` when there are too few of either.
fn worse(inputs: &[ClusterInput], at: usize) -> Option<bool> {
    let ratio = |(good, bad): (u32, u32)| (good + bad >= ENOUGH).then(|| f64::from(bad) / f64::from(good + bad));
    let others = inputs.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, i)| i.answers);
    let others = others.fold((0, 0), |(good, bad), more| (good + more.0, bad + more.1));
    Some(ratio(inputs[at].answers)? > ratio(others)? + MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(own: (u32, u32)) -> [ClusterInput; 2] {
        let of = |number: u32, answers| ClusterInput {
            cluster: ClusterNumber(number),
            local: number == 0,
            healthy: 1.0,
            expected: 1.0,
            load: None,
            rtt_ms: None,
            weight: 1.0,
            answers,
            slow: false,
        };
        [of(0, own), of(1, (1_000, 0))]
    }

    #[test]
    fn what_stays_worse_is_lived_with_and_held_anew_after_better_times() {
        let mut errors = Errors::default();
        let mut held = |now_ms, own| {
            let inputs = inputs(own);
            errors.step(now_ms, &inputs);
            errors.hold(now_ms, &inputs, 0)
        };
        assert!(!held(0, (995, 5)), "within the margin");
        assert!(held(1_000, (900, 100)));
        assert!(!held(2_000, (2, 1)), "too few to tell");
        assert!(held(300_999, (900, 100)));
        assert!(!held(301_000, (900, 100)), "five minutes of it");
        assert!(!held(302_000, (2, 1)));
        assert!(!held(303_000, (900, 100)), "too few to tell did not end it");
        assert!(!held(304_000, (1_000, 0)));
        assert!(held(305_000, (900, 100)));
    }
}
