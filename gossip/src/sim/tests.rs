//! Seeds.

use super::*;

/// How many seeds each test run tries; more with `STRAIT_SIM_SEEDS=5000`, others with `STRAIT_SIM_FIRST=100000`.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let first = number("STRAIT_SIM_FIRST", 0);
    first..first + number("STRAIT_SIM_SEEDS", 100)
}

fn try_seeds(seeds: impl Iterator<Item = u64>) {
    let (mut sum, mut slowest, mut count) = (Outcome::default(), (0, 0), 0);
    for seed in seeds {
        let scenario = Scenario::drawn(seed);
        match run(&scenario) {
            Ok(outcome) => {
                count += 1;
                slowest = slowest.max((outcome.converged_ms, seed));
                sum.cuts += outcome.cuts;
                sum.partitions += outcome.partitions;
                sum.restarts += outcome.restarts;
                sum.lies += outcome.lies;
                sum.restores += outcome.restores;
                sum.refused += outcome.refused;
                sum.repairs += outcome.repairs;
                sum.frames += outcome.frames;
                sum.writes += outcome.writes;
            }
            Err(violation) => panic!("{violation}\n{scenario:?}"),
        }
    }
    println!("{count} seeds, {sum:?}, slowest to become equal: {} ms (seed {})", slowest.0, slowest.1);
    // A fault that never happens proves nothing.
    let all = [sum.cuts, sum.partitions, sum.restarts, sum.restores, sum.lies, sum.refused, sum.repairs];
    assert!(count < 40 || all.iter().all(|n| *n > 0), "{sum:?}");
}

// Two halves, for two cores.

#[test]
fn fleets_keep_their_promises_whatever_breaks_even_seeds() {
    try_seeds(seeds().filter(|s| s.is_multiple_of(2)));
}

#[test]
fn fleets_keep_their_promises_whatever_breaks_odd_seeds() {
    try_seeds(seeds().filter(|s| !s.is_multiple_of(2)));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in seeds().take(5) {
        let scenario = Scenario::drawn(seed);
        assert_eq!(run(&scenario), run(&scenario));
    }
}
