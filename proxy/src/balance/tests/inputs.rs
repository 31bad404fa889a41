//! What a tick is told of clusters, made up for properties: of shares in every mode.

use proptest::prelude::*;

use crate::balance::ClusterInput;
use crate::health::ClusterNumber;

/// The own cluster when `at` is 0, else one that is 70 ms away, 110 ms, and so on; so many endpoints healthy of those there are.
pub(in crate::balance) fn input(at: u32, healthy: f64, expected: f64) -> ClusterInput {
    ClusterInput {
        cluster: ClusterNumber(at),
        local: at == 0,
        healthy,
        expected,
        load: None,
        rtt_ms: Some(if at == 0 { 0.0 } else { 30.0 + 40.0 * f64::from(at) }),
        weight: 1.0,
        answers: (0, 0),
        slow: false,
    }
}

/// Anything that may be measured.
pub(in crate::balance) fn any_input(at: u32) -> impl Strategy<Value = ClusterInput> {
    let load = prop::option::of(0.0..20.0_f64);
    let numbers = (0.0..20.0_f64, 0.0..1.0_f64, load, prop::option::of(0.0..400.0_f64), 0.0..=1.0_f64);
    (numbers, any::<bool>(), (0..100_u32, 0..100_u32), any::<bool>()).prop_map(
        move |((expected, part, load, rtt_ms, weight), dead, answers, slow)| {
            let healthy = if dead { 0.0 } else { expected * part };
            ClusterInput { load, rtt_ms, weight, answers, slow, ..input(at, healthy, expected) }
        },
    )
}

/// One to five clusters, with the own one or without.
pub(in crate::balance) fn any_inputs() -> impl Strategy<Value = Vec<ClusterInput>> {
    (1..6_u32, any::<bool>()).prop_flat_map(|(len, local)| {
        let first = u32::from(!local);
        (first..first + len).map(any_input).collect::<Vec<_>>()
    })
}
