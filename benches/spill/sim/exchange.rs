//! A request's way through one daemon: attempts one after another, as `exchange.rs` and `retry.rs` of the proxy make
//! them. A request that crosses clusters has two exchanges: its own daemon's, and the gateway's.

use strait_proxy::Urgency;
use strait_proxy::balance::{Attempted, TargetRef, pick, pick_local_only};
use strait_proxy::health::Outcome;
use strait_proxy::route::{InFlight, RelayedError};

use super::World;
use super::agent::whose;
use super::event::{End, Event, Lost};
use super::plan::Policy;
use super::pods::{Behaviour, Job};

/// Attempts that touch nothing and follow each other without a pause.
const MAX_CHEAP: u32 = 4;
/// Attempts that may reach a pod.
const MAX_SENT: u32 = 3;
/// Pause before a further attempt of a request that is held, and how long it is held.
const PAUSE_US: u64 = 60_000;
const HOLD_US: u64 = 1_000_000;
/// How often a replay looks for room in the budget, and how long.
const LOOK_FOR_ROOM_US: u64 = 10_000;
const FOR_ROOM_US: u64 = 500_000;
/// From a daemon to a pod of its cluster and back, in microseconds.
const AT_HOME_US: u64 = 500;

/// Whether the attempt under way, or waited for, repeats one that a pod may have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replay {
    No,
    /// It waits for room in the budget.
    Wanted,
    /// It has its room.
    Counted,
}

/// One exchange.
pub(super) struct Exchange {
    pub(super) agent: usize,
    /// The asking daemon's attempt, for a gateway's exchange; `None` for a client's request.
    asked_by: Option<Job>,
    begun_us: u64,
    tried: Attempted,
    cheap: u32,
    sent: u32,
    /// Number of the attempt under way: what comes back for an earlier one is late.
    attempt: u32,
    attempt_us: u64,
    flight: Option<InFlight>,
    held_since_us: Option<u64>,
    /// What the client is told when nothing else comes.
    lost: Lost,
    room_since_us: Option<u64>,
    replay: Replay,
    /// The gateway's exchange for the attempt under way.
    child: Option<u64>,
    /// The cluster that the attempt under way went to.
    to: usize,
}

impl World {
    /// A request reaches a daemon: of a client, or of another daemon's attempt.
    pub(super) fn begin(&mut self, agent: usize, asked_by: Option<Job>) {
        self.last_exchange += 1;
        let id = self.last_exchange;
        let cluster = self.agents[agent].cluster;
        let exchange = Exchange {
            agent,
            asked_by,
            begun_us: self.now_us,
            tried: Attempted::none(),
            cheap: 0,
            sent: 0,
            attempt: 0,
            attempt_us: 0,
            flight: None,
            held_since_us: None,
            lost: Lost::NoEndpoints,
            room_since_us: None,
            replay: Replay::No,
            child: None,
            to: cluster,
        };
        self.exchanges.insert(id, exchange);
        self.agents[agent].under_way += 1;
        if let Some((asking, _)) = asked_by {
            if let Some(asking) = self.exchanges.get_mut(&asking) {
                asking.child = Some(id);
            }
        } else {
            self.events.plan(self.now_us + self.patience_us, Event::Leave(id));
        }
        let route = self.agents[agent].route();
        let usual = Urgency::USUAL;
        let shed = if asked_by.is_some() { route.shed_inbound(usual) } else { route.shed(usual, self.now_us / 1_000) };
        if shed {
            self.finish(id, Err(Lost::Overloaded));
        } else {
            self.attempt(id);
        }
    }

    /// The next attempt.
    pub(super) fn attempt(&mut self, id: u64) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let agent = &mut self.agents[exchange.agent];
        let (route, now_ms) = (agent.route(), self.now_us / 1_000);
        if exchange.replay == Replay::Wanted {
            if agent.replays >= (agent.under_way / 5).max(3) {
                let since = *exchange.room_since_us.get_or_insert(self.now_us);
                if self.now_us - since >= FOR_ROOM_US {
                    return self.finish(id, Err(Lost::Broken));
                }
                return self.events.plan(self.now_us + LOOK_FOR_ROOM_US, Event::Again(id));
            }
            agent.replays += 1;
            exchange.replay = Replay::Counted;
        }
        exchange.attempt += 1;
        exchange.attempt_us = self.now_us;
        exchange.child = None;
        let job = (id, exchange.attempt);
        if self.policy != Policy::Strait {
            let cluster = agent.cluster;
            let at = self.turn(cluster);
            return self.events.plan(self.now_us + AT_HOME_US / 2, Event::AtPod { job, cluster, pod: at });
        }
        let choice = if exchange.asked_by.is_some() {
            pick_local_only(&route, &mut agent.rng, now_ms, &exchange.tried)
        } else {
            pick(&route, &mut agent.rng, now_ms, &exchange.tried)
        };
        let Some(choice) = choice else {
            let lost = exchange.lost;
            return self.finish(id, Err(lost));
        };
        if choice.repeated && exchange.held_since_us.is_none() {
            return self.hold(id, Lost::ConnectFailed);
        }
        exchange.tried.note(&choice);
        exchange.flight = Some(choice.begin());
        match choice.target {
            TargetRef::Pod(address) => {
                let (cluster, pod) = whose(address);
                exchange.to = cluster;
                self.events.plan(self.now_us + AT_HOME_US / 2, Event::AtPod { job, cluster, pod });
            }
            TargetRef::Gateway { address, .. } => {
                let to = self.gateways[&**address];
                let (from, there) = (self.agents[exchange.agent].cluster, self.agents[to].cluster);
                exchange.to = there;
                let half = self.half_way_us(from, there);
                self.events.plan(self.now_us + half, Event::AtGateway { job, agent: to });
            }
        }
    }

    /// An attempt reaches a pod.
    pub(super) fn at_pod(&mut self, job: Job, cluster: usize, pod: usize) {
        let plan = self.pod;
        let there = &mut self.pods[cluster][pod];
        there.taken += 1;
        let end = match there.behaviour {
            Behaviour::Refuses => End::Refused,
            Behaviour::Errors => End::ServerError,
            Behaviour::Answers => {
                if there.take(job, plan) {
                    let (at, life) = (self.now_us + there.time_us(plan, &mut self.work_rng), there.life);
                    self.events.plan(at, Event::Served { job, cluster, pod, life });
                }
                return;
            }
        };
        self.events.plan(self.now_us + AT_HOME_US / 2, Event::Back { job, end });
    }

    /// A pod has done its work, and begins the next.
    pub(super) fn served(&mut self, job: Job, cluster: usize, pod: usize, life: u32) {
        let plan = self.pod;
        let there = &mut self.pods[cluster][pod];
        if there.life != life {
            return;
        }
        if let Some(next) = there.done(job) {
            let at = self.now_us + there.time_us(plan, &mut self.work_rng);
            self.events.plan(at, Event::Served { job: next, cluster, pod, life });
        }
        self.events.plan(self.now_us + AT_HOME_US / 2, Event::Back { job, end: End::Answered });
    }

    /// An attempt has ended: what it says is recorded, and what follows is decided.
    pub(super) fn back(&mut self, job: Job, end: End) {
        let (id, attempt) = job;
        let Some(exchange) = self.exchanges.get_mut(&id).filter(|e| e.attempt == attempt) else { return };
        let now_ms = self.now_us / 1_000;
        let latency = std::time::Duration::from_micros(self.now_us - exchange.attempt_us);
        if exchange.replay == Replay::Counted {
            self.agents[exchange.agent].replays -= 1;
        }
        (exchange.replay, exchange.room_since_us) = (Replay::No, None);
        if let Some(flight) = exchange.flight.take() {
            match end {
                End::Answered | End::Relayed(Ok(true), _) => flight.record(Outcome::Success { latency }, now_ms),
                End::ServerError | End::Relayed(Ok(false), _) => flight.record(Outcome::ServerError, now_ms),
                End::Refused => flight.record(Outcome::Refused, now_ms),
                End::Broken => flight.record(Outcome::Broken, now_ms),
                End::Relayed(Err(Lost::NoEndpoints), _) => flight.relayed(RelayedError::NoEndpoints, latency, now_ms),
                End::Relayed(Err(Lost::Overloaded), _) => flight.relayed(RelayedError::Overloaded, latency, now_ms),
                End::Relayed(Err(_), _) => flight.relayed(RelayedError::Failed, latency, now_ms),
            }
            if let End::Relayed(_, report) = end {
                flight.load(report, now_ms);
            }
        }
        let agent = exchange.agent;
        match end {
            End::Answered => self.finish(id, Ok(true)),
            End::ServerError => self.finish(id, Ok(false)),
            End::Relayed(Ok(good), _) => self.finish(id, Ok(good)),
            End::Refused => self.again(id, Lost::ConnectFailed),
            End::Relayed(Err(Lost::Broken), _) | End::Broken => self.replay(id),
            End::Relayed(Err(lost), _) => self.again(id, lost),
        }
        self.woken(agent);
    }

    /// Nothing was touched: another attempt at once, or after a pause.
    fn again(&mut self, id: u64, lost: Lost) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.cheap += 1;
        exchange.lost = lost;
        if exchange.cheap < MAX_CHEAP {
            self.attempt(id);
        } else {
            self.hold(id, lost);
        }
    }

    fn hold(&mut self, id: u64, lost: Lost) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let since = *exchange.held_since_us.get_or_insert(self.now_us);
        // A gateway does not hold: who asks can try other clusters.
        if exchange.asked_by.is_some() || self.now_us - since >= HOLD_US {
            return self.finish(id, Err(lost));
        }
        let pause = PAUSE_US / 2 + self.agents[exchange.agent].rng.u64(..PAUSE_US);
        self.events.plan(self.now_us + pause, Event::Again(id));
    }

    /// A pod may have seen it: a few more times, as far as the budget goes.
    fn replay(&mut self, id: u64) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.sent += 1;
        if exchange.sent >= MAX_SENT {
            return self.finish(id, Err(Lost::Broken));
        }
        exchange.replay = Replay::Wanted;
        self.attempt(id);
    }

    /// The client's patience is over, or the asking daemon's: counts against where the attempt went.
    pub(super) fn leave(&mut self, id: u64) {
        let Some(mut exchange) = self.exchanges.remove(&id) else { return };
        let (agent, now_ms) = (exchange.agent, self.now_us / 1_000);
        self.agents[agent].under_way -= 1;
        if exchange.replay == Replay::Counted {
            self.agents[agent].replays -= 1;
        }
        if let Some(flight) = exchange.flight.take() {
            flight.record(Outcome::Abandoned, now_ms);
        }
        if let Some(child) = exchange.child {
            let half = self.half_way_us(self.agents[agent].cluster, exchange.to);
            self.events.plan(self.now_us + half, Event::Leave(child));
        }
        if exchange.asked_by.is_none() {
            let waited_ms = (self.now_us - exchange.begun_us) as f64 / 1_000.0;
            self.tally.gave_up(self.agents[agent].cluster, waited_ms);
        }
        self.woken(agent);
    }

    /// The exchange is over: `Ok(true)` for a good answer, `Ok(false)` for a pod's error.
    fn finish(&mut self, id: u64, result: Result<bool, Lost>) {
        let Some(exchange) = self.exchanges.remove(&id) else { return };
        let agent = &mut self.agents[exchange.agent];
        agent.under_way -= 1;
        agent.replays -= u32::from(exchange.replay == Replay::Counted);
        let cluster = agent.cluster;
        if let Some(job) = exchange.asked_by {
            let report = self.agents[exchange.agent].route().load_report();
            let Some(asking) = self.exchanges.get(&job.0) else { return };
            let half = self.half_way_us(cluster, self.agents[asking.agent].cluster);
            self.events.plan(self.now_us + half, Event::Back { job, end: End::Relayed(result, report) });
            return;
        }
        let waited_ms = (self.now_us - exchange.begun_us) as f64 / 1_000.0;
        match result {
            Ok(good) => self.tally.answered(cluster, exchange.to, good, waited_ms),
            Err(lost) => self.tally.lost(cluster, lost, waited_ms),
        }
    }
}
