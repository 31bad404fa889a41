//! The fleet: daemons with the product's balancer, pods with queues, clients that send at random, all on one simulated
//! clock.
//!
//! **Real**: catalogs, routes, slots, breakers, picks, ticks, load reports. **Played**: pods, distances, clients, the
//! order of a request's attempts ([`exchange`]), and how long news takes: an own slice's change 100 ms, another
//! cluster's that and half a round trip more. Not played: what is on the wire, links that die, gossip's ages.

mod agent;
mod event;
mod exchange;
mod plan;
mod pods;
#[cfg(test)]
mod stretch;
mod tally;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent::Agent;
use event::{End, Event, Events};
use exchange::Exchange;
use plan::PodPlan;
pub(crate) use plan::{ClusterPlan, Plan, Policy};
pub(crate) use pods::Behaviour;
use pods::Pod;
#[cfg(test)]
pub(crate) use stretch::Stretch;
pub(crate) use tally::{Clients, Sample, percentile_of};

/// The daemon's clock does not start at 0.
const EPOCH_US: u64 = 1_000_000_000;
const TICK_US: u64 = 100_000;
/// The least between two looks that events ask for, in milliseconds.
const GAP_MS: u64 = 10;
/// From a pod's change to its cluster's slice and daemons.
const NEWS_US: u64 = 100_000;

/// A fleet at work.
pub(crate) struct World {
    now_us: u64,
    clock: Arc<AtomicU64>,
    events: Events,
    agents: Vec<Agent>,
    /// Which daemon stands behind a gateway's address.
    gateways: HashMap<String, usize>,
    pods: Vec<Vec<Pod>>,
    /// Pods that a cluster's slice lists.
    listed: Vec<BTreeSet<usize>>,
    rates: Vec<f64>,
    exchanges: HashMap<u64, Exchange>,
    last_exchange: u64,
    turns: Vec<usize>,
    arrivals_rng: fastrand::Rng,
    work_rng: fastrand::Rng,
    pod: PodPlan,
    policy: Policy,
    patience_us: u64,
    sample_us: u64,
    rtt_ms: fn(usize, usize) -> f64,
    tally: tally::Tally,
}

impl World {
    /// A fleet whose daemons know of all pods.
    pub(crate) fn new(plan: &Plan) -> Self {
        let clock = Arc::new(AtomicU64::new(EPOCH_US / 1_000));
        let mut world = Self {
            now_us: EPOCH_US,
            clock: clock.clone(),
            events: Events::default(),
            agents: Vec::new(),
            gateways: HashMap::new(),
            pods: plan.clusters.iter().map(|c| vec![Pod::new(); c.pods]).collect(),
            listed: plan.clusters.iter().map(|c| (0..c.pods).collect()).collect(),
            rates: plan.clusters.iter().map(|c| c.rate).collect(),
            exchanges: HashMap::new(),
            last_exchange: 0,
            turns: vec![0; plan.clusters.len()],
            arrivals_rng: fastrand::Rng::with_seed(plan.seed),
            work_rng: fastrand::Rng::with_seed(plan.seed ^ 0x5eed),
            pod: plan.pod,
            policy: plan.policy,
            patience_us: micros(plan.patience),
            sample_us: micros(plan.sample),
            rtt_ms: plan.rtt_ms,
            tally: tally::Tally::new(plan.clusters.len()),
        };
        for (at, cluster) in plan.clusters.iter().enumerate() {
            for number in 0..cluster.agents {
                let seed = plan.seed.wrapping_mul(1_000) + world.agents.len() as u64;
                world.gateways.insert(agent::gateway(cluster.name, number), world.agents.len());
                world.agents.push(Agent::new(plan, at, seed, clock.clone()));
            }
        }
        world.start();
        world
    }

    fn start(&mut self) {
        for agent in 0..self.agents.len() {
            for cluster in 0..self.listed.len() {
                let ready: Vec<usize> = self.listed[cluster].iter().copied().collect();
                self.agents[agent].hear(cluster, &ready);
            }
            // Daemons do not tick together.
            let phase = self.arrivals_rng.u64(..TICK_US);
            self.events.plan(self.now_us + phase, Event::Tick(agent));
        }
        for cluster in 0..self.rates.len() {
            self.arrive_later(cluster);
        }
        self.events.plan(self.now_us + self.sample_us, Event::Sample);
    }

    /// Lets the fleet work until that many seconds after its start.
    pub(crate) fn run_until(&mut self, seconds: f64) {
        let until = EPOCH_US + micros(std::time::Duration::from_secs_f64(seconds));
        while let Some((at, event)) = self.events.next(until) {
            self.now_us = at;
            self.clock.store(at / 1_000, Ordering::Relaxed);
            self.happen(event);
        }
        self.now_us = until;
        self.clock.store(until / 1_000, Ordering::Relaxed);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(cluster) => {
                self.arrive_later(cluster);
                let own: Vec<usize> = (0..self.agents.len()).filter(|a| self.agents[*a].cluster == cluster).collect();
                let agent = own[self.arrivals_rng.usize(..own.len())];
                self.begin(agent, None);
            }
            Event::Tick(agent) => {
                self.agents[agent].look(false);
                self.events.plan(self.now_us + TICK_US, Event::Tick(agent));
            }
            Event::Look(agent) => self.agents[agent].look(true),
            Event::AtPod { job, cluster, pod } => self.at_pod(job, cluster, pod),
            Event::Served { job, cluster, pod, life } => self.served(job, cluster, pod, life),
            Event::AtGateway { job, agent } => {
                // The asking client may have left meanwhile.
                if self.exchanges.contains_key(&job.0) {
                    self.begin(agent, Some(job));
                }
            }
            Event::Back { job, end } => self.back(job, end),
            Event::Again(id) => self.attempt(id),
            Event::Leave(id) => self.leave(id),
            Event::News { agent, cluster, ready } => self.agents[agent].hear(cluster, &ready),
            Event::Sample => self.sample(),
        }
    }

    fn arrive_later(&mut self, cluster: usize) {
        let rate = self.rates[cluster];
        let gap_us = if rate > 0.0 { -(1.0 - self.arrivals_rng.f64()).ln() / rate * 1e6 } else { 1e5 };
        self.events.plan(self.now_us + whole(gap_us), Event::Arrival(cluster));
    }

    /// Half of the round trip between two clusters.
    fn half_way_us(&self, a: usize, b: usize) -> u64 {
        whole((self.rtt_ms)(a, b) * 500.0)
    }

    /// The pod whose turn it is, or any, when the balancer does not choose.
    fn turn(&mut self, cluster: usize) -> usize {
        let count = self.pods[cluster].len();
        self.turns[cluster] += 1;
        if self.policy == Policy::Random { self.work_rng.usize(..count) } else { self.turns[cluster] % count }
    }

    /// When a breaker moved, the daemon's balancer looks soon.
    fn woken(&mut self, agent: usize) {
        if self.agents[agent].woken() && !self.agents[agent].look_planned {
            self.agents[agent].look_planned = true;
            let at_ms = (self.agents[agent].looked_ms + GAP_MS).max(self.now_us / 1_000);
            self.events.plan((at_ms * 1_000).max(self.now_us), Event::Look(agent));
        }
    }

    fn sample(&mut self) {
        let pods = self.pods.iter().map(|pods| tally::Pods {
            up: pods.iter().filter(|p| p.behaviour != Behaviour::Refuses).count(),
            held: pods.iter().map(Pod::held).sum(),
            most: pods.iter().map(Pod::held).max().unwrap_or(0),
            answers: 0,
        });
        let pods = pods.collect();
        let first = |cluster: usize| self.agents.iter().find(|a| a.cluster == cluster);
        let shares = (0..self.pods.len()).map(|c| first(c).map(Agent::shares).unwrap_or_default()).collect();
        #[expect(clippy::cast_precision_loss, reason = "seconds of a simulation")]
        let at_s = (self.now_us - EPOCH_US) as f64 / 1e6;
        let taken = self.pods.iter().map(|pods| pods.iter().map(|p| p.taken).collect()).collect();
        self.tally.sample(at_s, shares, pods, taken);
        self.events.plan(self.now_us + self.sample_us, Event::Sample);
    }

    /// What was seen so far.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.tally.samples
    }

    /// How many requests a second a cluster's clients send from now on.
    pub(crate) fn rate(&mut self, cluster: usize, rate: f64) {
        self.rates[cluster] = rate;
    }

    /// Makes a pod so many times slower.
    pub(crate) fn slow(&mut self, cluster: usize, pod: usize, times: f64) {
        self.pods[cluster][pod].slower = times;
    }

    /// How a pod behaves from now on.
    pub(crate) fn behave(&mut self, cluster: usize, pod: usize, behaviour: Behaviour) {
        self.pods[cluster][pod].behaviour = behaviour;
    }

    /// The processes of these pods end without a word: what they held breaks, and they refuse.
    pub(crate) fn kill(&mut self, cluster: usize, pods: impl Iterator<Item = usize>) {
        for pod in pods {
            for job in self.pods[cluster][pod].die() {
                self.events.plan(self.now_us, Event::Back { job, end: End::Broken });
            }
        }
    }

    /// What a cluster's slice lists from now on; daemons hear of it `after_s` later and by their distance.
    pub(crate) fn list(&mut self, cluster: usize, ready: impl Iterator<Item = usize>, after_s: f64) {
        self.listed[cluster] = ready.collect();
        let ready: Vec<usize> = self.listed[cluster].iter().copied().collect();
        for agent in 0..self.agents.len() {
            let away = self.agents[agent].cluster;
            let far = if away == cluster { 0 } else { self.half_way_us(away, cluster) };
            let at = self.now_us + NEWS_US + far + whole(after_s * 1e6);
            self.events.plan(at, Event::News { agent, cluster, ready: ready.clone() });
        }
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds; clamped")]
fn whole(us: f64) -> u64 {
    us.max(0.0) as u64
}
