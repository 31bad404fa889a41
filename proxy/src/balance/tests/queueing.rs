//! Balance among endpoints, by a discrete-event simulation of their queues: seeded, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::balance::{Attempted, pick, sample_route};
use crate::health::Outcome;
use crate::route::InFlight;

const ENDPOINTS: u32 = 100;
/// Mean service time of a good endpoint, in microseconds.
const SERVICE_US: f64 = 20_000.0;

/// What one run measured.
struct Measured {
    p99_ms: f64,
    /// Mean over time of the largest queue ÷ the mean queue.
    unevenness: f64,
}

#[derive(Clone, Copy)]
enum Way {
    Pick,
    RoundRobin,
}

struct Job {
    begun_us: u64,
    guard: Option<InFlight>,
}

/// Poisson arrivals at `load` of all capacity, exponential service, one server an endpoint; every tenth is `slow` times
/// slower.
fn simulate(way: Way, load: f64, slow: f64, requests: usize) -> Measured {
    let route = sample_route(ENDPOINTS).unwrap();
    route.shares.publish(&[1.0, 0.0, 0.0], &[0, 1, 2]);
    let candidates = &route.clusters[0].targets.candidates;
    let mut rng = fastrand::Rng::with_seed(11);
    let mut pick_rng = fastrand::Rng::with_seed(12);
    let service = |at: usize| if at.is_multiple_of(10) { SERVICE_US * slow } else { SERVICE_US };
    let capacity: f64 = (0..ENDPOINTS as usize).map(|at| 1.0 / service(at)).sum();
    let gap = 1.0 / (capacity * load);
    #[expect(clippy::cast_possible_truncation, reason = "microseconds of a test")]
    let exponential = |rng: &mut fastrand::Rng, mean: f64| (-mean * (1.0 - rng.f64()).ln()).max(1.0) as u64;

    let mut queues: Vec<VecDeque<Job>> = (0..ENDPOINTS).map(|_| VecDeque::new()).collect();
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let (mut arrival, mut done) = (0, Vec::with_capacity(requests));
    let (mut uneven, mut samples, mut next) = (0.0, 0_u32, 0);
    for n in 0..requests {
        arrival += exponential(&mut rng, gap);
        while let Some(Reverse((end, at))) = ends.peek().copied().filter(|Reverse((end, _))| *end <= arrival) {
            ends.pop();
            let job = queues[at].pop_front().unwrap();
            let latency = end - job.begun_us;
            if let Some(guard) = job.guard {
                guard.record(Outcome::Success { latency: Duration::from_micros(latency) }, end / 1_000);
            }
            if n > requests / 10 {
                done.push(latency);
            }
            if !queues[at].is_empty() {
                ends.push(Reverse((end + exponential(&mut rng, service(at)), at)));
            }
        }
        let (at, guard) = match way {
            Way::RoundRobin => (n % ENDPOINTS as usize, None),
            Way::Pick => {
                let choice = pick(&route, &mut pick_rng, arrival / 1_000, &Attempted::none()).unwrap();
                let at = candidates.iter().position(|c| c.slot.id() == choice.slot.id()).unwrap();
                (at, Some(choice.begin()))
            }
        };
        queues[at].push_back(Job { begun_us: arrival, guard });
        if queues[at].len() == 1 {
            ends.push(Reverse((arrival + exponential(&mut rng, service(at)), at)));
        }
        next += 1;
        if next == 500 {
            next = 0;
            let longest = queues.iter().map(VecDeque::len).max().unwrap_or(0) as f64;
            let mean = queues.iter().map(VecDeque::len).sum::<usize>() as f64 / f64::from(ENDPOINTS);
            uneven += longest / mean.max(0.01);
            samples += 1;
        }
    }
    done.sort_unstable();
    Measured { p99_ms: done[done.len() * 99 / 100] as f64 / 1_000.0, unevenness: uneven / f64::from(samples) }
}

#[test]
fn slow_endpoints_do_not_set_the_tail() {
    // A tenth of the endpoints is three times slower; at 70 % of capacity a turn for each overloads those.
    let ours = simulate(Way::Pick, 0.7, 3.0, 60_000);
    let turns = simulate(Way::RoundRobin, 0.7, 3.0, 60_000);
    assert!(ours.p99_ms < turns.p99_ms / 2.0, "{} against {} ms", ours.p99_ms, turns.p99_ms);
    assert!(ours.unevenness < turns.unevenness / 2.0, "{} against {}", ours.unevenness, turns.unevenness);
}

#[test]
fn equal_endpoints_are_used_more_evenly_than_by_turns() {
    let ours = simulate(Way::Pick, 0.7, 1.0, 60_000);
    let turns = simulate(Way::RoundRobin, 0.7, 1.0, 60_000);
    assert!(ours.p99_ms < turns.p99_ms, "{} against {} ms", ours.p99_ms, turns.p99_ms);
    assert!(ours.unevenness < turns.unevenness, "{} against {}", ours.unevenness, turns.unevenness);
}
