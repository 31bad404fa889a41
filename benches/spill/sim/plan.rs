//! What a simulated fleet is made of.

use std::time::Duration;

/// One cluster: its pods, its daemons and its clients.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPlan {
    pub(crate) name: &'static str,
    /// Pods at the start.
    pub(crate) pods: usize,
    /// Daemons: each balances for its part of the clients, and each is one gateway.
    pub(crate) agents: usize,
    /// Requests that its clients send, a second.
    pub(crate) rate: f64,
}

impl ClusterPlan {
    pub(crate) const fn new(name: &'static str, pods: usize, rate: f64) -> Self {
        Self { name, pods, agents: 1, rate }
    }
}

/// How pods work: so many requests at once, the others wait in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodPlan {
    /// Requests one pod works on at once.
    pub(crate) concurrency: usize,
    /// Mean time of one request, in milliseconds.
    pub(crate) mean_ms: f64,
    /// Times follow an Erlang distribution of this shape: 1 is exponential, larger is steadier.
    pub(crate) shape: u32,
}

/// Who chooses the pod inside the clients' own cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The balancer.
    Strait,
    /// Each pod in its turn.
    RoundRobin,
    /// Any pod.
    Random,
}

/// A fleet.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) clusters: Vec<ClusterPlan>,
    pub(crate) pod: PodPlan,
    /// Round trip between two clusters, in milliseconds, by position.
    pub(crate) rtt_ms: fn(usize, usize) -> f64,
    /// A client waits this long for an answer.
    pub(crate) patience: Duration,
    /// Way back to the own cluster after a first failover.
    pub(crate) ramp: Duration,
    /// Between two samples.
    pub(crate) sample: Duration,
    pub(crate) policy: Policy,
}

impl Plan {
    /// A fleet of pods that each answer 20 requests a second, two at once, and clients that wait for 5 s.
    pub(crate) fn new(clusters: Vec<ClusterPlan>) -> Self {
        Self {
            seed: 1,
            clusters,
            pod: PodPlan { concurrency: 2, mean_ms: 100.0, shape: 4 },
            rtt_ms: three_regions,
            patience: Duration::from_secs(5),
            ramp: Duration::from_secs(30),
            sample: Duration::from_millis(500),
            policy: Policy::Strait,
        }
    }
}

/// us-west, us-east and eu-west: 65 ms, 140 ms and 75 ms; further clusters 80 ms from each other.
pub(crate) fn three_regions(a: usize, b: usize) -> f64 {
    match (a.min(b), a.max(b)) {
        (0, 1) => 65.0,
        (0, 2) => 140.0,
        (1, 2) => 75.0,
        _ => 80.0,
    }
}
