//! The event loop.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use strait_catalog::{Catalog, ClusterId};

use super::checks::differs;
use super::network::Network;
use super::node::{Node, engine_of};
use super::source::Source;
use super::{Outcome, Scenario, Violation};
use crate::config::DaemonId;
use crate::engine::Engine;
use crate::frame::Frame;

mod faults;
mod traffic;

/// By then after the last fault a fleet must be equal, in virtual milliseconds: five seconds to notice a dead
/// session, the longest wait between repairs, and room for slow paths.
const CALM_MS: u64 = 40_000;

#[derive(Debug)]
pub(super) enum Event {
    /// A daemon has something to do by itself.
    Wake(usize),
    /// A frame arrives at the other end.
    Frame { wire: u64, from: usize, frame: Frame },
    /// What a partition held back goes on.
    Release { wire: u64, from: usize },
    /// One end learns that the session is over.
    Hangup { wire: u64, end: usize },
    /// A daemon compares its sessions with its plan; the second number is its incarnation.
    Dial(usize, u32),
    /// An API server changes.
    Write(usize),
    /// Something breaks.
    Fault,
    /// A partition heals.
    Heal(usize, usize),
    /// A daemon comes back.
    Return(usize),
    /// Is everybody equal yet?
    Compare,
}

pub(super) struct World {
    scenario: Scenario,
    now: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    rng: fastrand::Rng,
    sources: Vec<Source>,
    nodes: Vec<Node>,
    network: Network,
    outcome: Outcome,
    /// What each cluster's records finally are; made when the writes have ended.
    truths: Option<Vec<Engine>>,
}

impl World {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut rng = fastrand::Rng::with_seed(scenario.seed);
        let cluster = |i: usize| ClusterId::parse(&format!("c-{i}")).expect("a label");
        let sources: Vec<_> = (0..scenario.clusters).map(|i| Source::new(cluster(i), rng.u64(1..1_000))).collect();
        let mut nodes = Vec::new();
        for (i, source) in sources.iter().enumerate() {
            for n in 0..rng.usize(1..=scenario.daemons) {
                nodes.push(Node::new(i, DaemonId::new(&format!("c-{i}-agent-{n}")), source.cluster.clone()));
            }
        }
        Self {
            now: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            rng,
            nodes,
            network: Network::new(scenario.faults.delays),
            outcome: Outcome::default(),
            sources,
            truths: None,
            scenario: scenario.clone(),
        }
    }

    fn schedule(&mut self, after: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + after, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    pub(super) fn run(mut self) -> Result<Outcome, Violation> {
        for i in 0..self.sources.len() {
            for _ in 0..self.scenario.services {
                self.sources[i].random_write(0, self.scenario.services, &mut self.rng);
            }
            self.schedule(1, Event::Write(i));
        }
        for n in 0..self.nodes.len() {
            let at = self.rng.u64(0..500);
            self.schedule(at, Event::Return(n));
        }
        self.schedule(2_000, Event::Fault);
        loop {
            let Reverse((at, sequence)) = self.queue.pop().expect("wakes and comparisons go on until the run ends");
            self.now = at;
            self.outcome.events += 1;
            let event = self.events.remove(&sequence).expect("each entry of the queue has its event");
            if self.truths.is_none() && at >= self.scenario.turmoil_ms {
                self.calm_down();
            }
            if matches!(event, Event::Compare) {
                match self.apart() {
                    None => return self.finish(),
                    Some((n, why)) if self.now > self.scenario.turmoil_ms + CALM_MS => {
                        return Err(self.violation(n, format!("never becomes equal: {why}")));
                    }
                    Some(_) => self.schedule(100, Event::Compare),
                }
            } else {
                self.handle(event)?;
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Wake(n) if self.nodes[n].wake_at == self.now => self.attend(n),
            Event::Frame { wire, from, frame } => self.arrive(wire, from, frame),
            Event::Release { wire, from } => self.release(wire, from),
            Event::Hangup { wire, end } => self.hangup(wire, end),
            Event::Dial(n, incarnation) => self.dial(n, incarnation),
            Event::Write(c) => self.write(c),
            Event::Fault => self.fault(),
            Event::Return(n) => self.come_back(n),
            Event::Heal(a, b) => {
                self.heal(a, b);
                Ok(())
            }
            Event::Compare | Event::Wake(_) => Ok(()),
        }
    }

    fn violation(&self, node: usize, what: String) -> Violation {
        Violation { seed: self.scenario.seed, at_ms: self.now, daemon: self.nodes[node].id.to_string(), what }
    }

    fn upheld(&self, node: usize, outcome: Result<(), String>) -> Result<(), Violation> {
        outcome.map_err(|what| self.violation(node, what))
    }

    fn trace(&mut self, parts: [u64; 3]) {
        for part in parts {
            self.outcome.trace = (self.outcome.trace ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(7);
        }
    }

    fn come_back(&mut self, n: usize) -> Result<(), Violation> {
        if self.nodes[n].engine.is_some() {
            return Ok(());
        }
        self.nodes[n].start(self.now, &self.sources, &mut self.rng);
        self.schedule(1, Event::Dial(n, self.nodes[n].incarnation));
        self.attend(n)
    }

    /// Lets a daemon do what is due: inputs, sending, publishing.
    fn attend(&mut self, n: usize) -> Result<(), Violation> {
        let outcome = self.nodes[n].take_inputs(self.now, &self.sources);
        self.upheld(n, outcome)?;
        self.settle(n)
    }

    /// After anything that happened to a daemon: closings, frames, a snapshot, the next wake.
    fn settle(&mut self, n: usize) -> Result<(), Violation> {
        let Some(engine) = &mut self.nodes[n].engine else { return Ok(()) };
        engine.tick(self.now);
        for (id, _) in engine.take_closed() {
            self.close(id);
        }
        self.pump(n);
        let outcome = self.nodes[n].publish(&self.sources);
        self.upheld(n, outcome)?;
        self.plan_wake(n);
        Ok(())
    }

    fn plan_wake(&mut self, n: usize) {
        let node = &self.nodes[n];
        let Some(engine) = &node.engine else { return };
        let sends = self.network.of(n).into_iter().filter_map(|(wire, end)| {
            let roomy = self.network.wires.get(&wire).is_some_and(|w| w.room(end));
            roomy.then(|| engine.next_send(super::network::session(wire, end))).flatten()
        });
        let watch = node.watches.next(&self.sources[node.cluster]);
        let at = sends.chain(watch).chain([engine.next_tick()]).min().unwrap_or(self.now);
        let at = at.max(self.now + 1);
        if at != node.wake_at {
            self.nodes[n].wake_at = at;
            self.schedule(at - self.now, Event::Wake(n));
        }
    }

    fn write(&mut self, c: usize) -> Result<(), Violation> {
        if self.truths.is_some() {
            return Ok(());
        }
        let before = self.sources[c].revision;
        self.sources[c].random_write(self.now, self.scenario.services, &mut self.rng);
        self.outcome.writes += self.sources[c].revision - before;
        let next = self.rng.u64(1..=2 * self.scenario.write_ms);
        self.schedule(next, Event::Write(c));
        for n in 0..self.nodes.len() {
            if self.nodes[n].cluster == c {
                self.plan_wake(n);
            }
        }
        Ok(())
    }

    /// Writes and faults end, everything broken is mended, and the truth is fixed.
    fn calm_down(&mut self) {
        self.network.slow = false;
        for a in 0..self.sources.len() {
            for b in 0..a {
                self.heal(a, b);
            }
        }
        for n in 0..self.nodes.len() {
            self.nodes[n].watches.prompt();
            self.schedule(1, Event::Return(n));
            self.plan_wake(n);
        }
        let truths = self.sources.iter().map(|s| {
            let mut truth = engine_of(&DaemonId::new("truth"), 0, s.truth());
            truth.publish();
            truth
        });
        self.truths = Some(truths.collect());
        self.schedule(100, Event::Compare);
    }

    /// A daemon that does not hold the truth, and why.
    fn apart(&self) -> Option<(usize, String)> {
        let truths = self.truths.as_deref().unwrap_or_default();
        self.nodes.iter().enumerate().find_map(|(n, node)| match &node.engine {
            None => Some((n, "is not running".to_owned())),
            Some(engine) => differs(engine, &node.snapshot, &self.sources, truths).map(|why| (n, why)),
        })
    }

    fn finish(mut self) -> Result<Outcome, Violation> {
        self.outcome.converged_ms = self.now - self.scenario.turmoil_ms;
        for n in 0..self.nodes.len() {
            let Some(engine) = &mut self.nodes[n].engine else { continue };
            let holds = engine.tallies_hold();
            let report = engine.report(self.now);
            for cluster in report.peers.iter().chain([&report.own]) {
                self.outcome.refused += cluster.counts.refused_total();
                self.outcome.repairs += cluster.counts.repairs;
            }
            if !holds {
                return Err(self.violation(n, "the tallies have drifted from the records".to_owned()));
            }
        }
        if self.outcome.refused > 0 && self.outcome.lies == 0 {
            return Err(self.violation(0, "records were refused though nobody lied".to_owned()));
        }
        Ok(self.outcome)
    }
}

/// An empty catalog of the cluster a node belongs to.
pub(super) fn empty(cluster: &ClusterId) -> Catalog {
    Catalog::new(cluster.clone())
}
