//! The task that keeps routes and shares current.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use strait_catalog::Published;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::checking::{Checking, Looks};
use super::latency::LatencyWatch;
use super::overload::{Flow, Overload};
use super::settings::Settings;
use super::spill::{ClusterInput, Shares, Spill};
use super::status::ReturnStatus;
use super::usual::Usual;
use crate::admission::Urgency;
use crate::health::{ClusterNumber, Registry};
use crate::route::{
    Builder, ChooseGateways, Class, ClusterRoute, Place, RouteKey, RouteTable, ServiceRoute, TRICKLE, Totals,
};

/// Between two recomputations when nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// Between two that events ask for.
const EVENT_GAP: Duration = Duration::from_millis(10);
/// A service without traffic or change is looked at this often all the same, in milliseconds.
const QUIET_MS: u64 = 1_000;
/// Between two sweeps of unused slots, in milliseconds.
const SWEEP_MS: u64 = 60_000;
/// In a panic, requests beyond this multiple of what the capacity can hold are shed, the least urgent earlier and the most
/// urgent later.
const SHED_FACTOR: f64 = 1.2;

/// Builds routes from snapshots and recomputes shares every 100 ms, on each new snapshot and on each ejection.
///
/// Runs on the control runtime; workers only read what it publishes.
pub struct Balancer {
    published: Published,
    registry: Arc<Registry>,
    clock: Box<dyn Fn() -> u64 + Send>,
    builder: Builder,
    table: Arc<ArcSwap<RouteTable>>,
    services: HashMap<RouteKey, Service>,
    settings: Settings,
    checking: Option<Checking>,
    number: Option<u64>,
    swept_ms: u64,
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").field("services", &self.services.len()).finish_non_exhaustive()
    }
}

/// What is remembered of one route between ticks, whichever snapshot it comes from.
#[derive(Debug, Default)]
struct Service {
    spill: Spill,
    latency: LatencyWatch,
    /// Of each cluster, and of what other clusters ask this one.
    usual: HashMap<ClusterNumber, Usual>,
    inbound: Usual,
    looks: Looks,
    overload: Overload,
    /// Requests that had ended by the last tick; more mean traffic.
    ended: u64,
    ticked_ms: u64,
    settled: bool,
    steady: bool,
    panicked: bool,
    limited: bool,
}

impl Balancer {
    /// A balancer over what is published. `clock` gives milliseconds on the daemon's monotonic clock, the same that
    /// workers pass to slots and that the catalog's ages are told on.
    #[must_use]
    pub fn new(published: Published, registry: Arc<Registry>, clock: impl Fn() -> u64 + Send + 'static) -> Self {
        Self {
            published,
            builder: Builder::new(registry.clone()),
            registry,
            clock: Box::new(clock),
            table: Arc::default(),
            services: HashMap::new(),
            settings: Settings::default(),
            checking: None,
            number: None,
            swept_ms: 0,
        }
    }

    /// Sets how long the way back takes after a first failover; after several within ten minutes up to ten times that.
    #[must_use]
    pub fn returning_within(mut self, ramp: Duration) -> Self {
        let ramp_ms = u64::try_from(ramp.as_millis()).unwrap_or(u64::MAX).max(1);
        self.settings = Settings { ramp_ms, ramp_max_ms: ramp_ms.saturating_mul(10), ..self.settings };
        self
    }

    /// Replaces the choice among a cluster's gateways, so that routes name those to which links are kept.
    #[must_use]
    pub fn choosing(mut self, choose: ChooseGateways) -> Self {
        self.builder.choose_gateways(choose);
        self
    }

    /// Has pods checked that could not be reached or that are not asked, so that no request has to find out.
    #[must_use]
    pub(crate) fn checking(mut self, checking: Checking) -> Self {
        self.checking = Some(checking);
        self
    }

    /// Where the routes are published, for workers (`arc_swap::Cache`) and status.
    #[must_use]
    pub fn table(&self) -> Arc<ArcSwap<RouteTable>> {
        self.table.clone()
    }

    /// Runs until cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut snapshots = self.published.subscribe();
        let wake = self.registry.wake().clone();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut source_alive = true;
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => false,
                changed = snapshots.changed(), if source_alive => { source_alive = changed.is_ok(); true }
                () = wake.notified() => true,
            };
            let began = Instant::now();
            self.step(event);
            if event {
                // What happens within the gap is taken together, and a storm of events costs a tenth of a core at most.
                let gap = EVENT_GAP.max(began.elapsed() * 10);
                tokio::select! { () = stop.cancelled() => return, () = sleep(gap) => {} }
            }
        }
    }

    /// One recomputation, now. With `event` every service is looked at, else those that have traffic or that change.
    pub fn step(&mut self, event: bool) {
        let now_ms = (self.clock)();
        self.take_snapshot(now_ms);
        let (snapshot, checking) = (self.published.load(), self.checking.as_ref());
        for (key, route) in &self.builder.table().routes {
            // Every route got its state when it was made.
            if let Some(service) = self.services.get_mut(key)
                && (event || service.wants(route, now_ms))
            {
                if let Some(checking) = checking {
                    let busy = ended(route) != service.ended;
                    checking.look(route, &snapshot, &mut service.looks, busy, now_ms);
                }
                service.tick(route, checking, now_ms);
            }
        }
        if now_ms.saturating_sub(self.swept_ms) >= SWEEP_MS {
            self.swept_ms = now_ms;
            self.registry.sweep(now_ms);
        }
    }

    /// Rebuilds what a new snapshot changed. Routes get their shares before workers see them.
    fn take_snapshot(&mut self, now_ms: u64) {
        let snapshot = self.published.load();
        if self.number == Some(snapshot.number) && !self.builder.due(&snapshot, now_ms) {
            return;
        }
        self.number = Some(snapshot.number);
        let changes = self.builder.apply(&snapshot, now_ms);
        if changes.is_empty() {
            return;
        }
        for key in &changes.gone {
            self.services.remove(key);
        }
        for route in &changes.made {
            let service = self.services.entry(route.key.clone()).or_default();
            service.spill.follow(route.policy.settings(self.settings), route.ranking.clone());
            service.tick(route, None, now_ms);
        }
        self.table.store(Arc::new(self.builder.table().clone()));
    }
}

impl Service {
    fn wants(&self, route: &ServiceRoute, now_ms: u64) -> bool {
        !self.settled || ended(route) != self.ended || now_ms.saturating_sub(self.ticked_ms) >= QUIET_MS
    }

    fn tick(&mut self, route: &ServiceRoute, checking: Option<&Checking>, now_ms: u64) {
        if let Some(local) = route.local() {
            self.latency.step(now_ms, local.place.latencies(), self.steady);
        }
        self.learn(route, now_ms);
        // Gateways are shared by all services, and one good way in is enough: a panic changes the weights of pods only.
        let refreshed = |c: &ClusterRoute| c.targets.refresh(now_ms, c.local && self.panicked);
        let mut totals: Vec<Totals> = route.clusters.iter().map(refreshed).collect();
        if let (Some(checking), Some(local), Some(own)) = (checking, route.local(), totals.first_mut())
            && own.due.is_some_and(|at| checking.probation(&local.targets.candidates[at as usize], now_ms))
        {
            own.due = None;
        }
        let settings = *self.spill.settings();
        let measured = |(c, t): (&ClusterRoute, &Totals)| input(c, t, &settings, self.latency.slow(), now_ms);
        let inputs: Vec<ClusterInput> = route.clusters.iter().zip(&totals).map(measured).collect();
        let demand = f64::from(route.in_flight()) / settings.endpoint_in_flight;
        let shares = self.spill.tick(now_ms, &inputs, demand);

        if shares.panic != self.panicked
            && let Some(local) = route.local()
        {
            local.targets.refresh(now_ms, shares.panic);
        }
        publish(route, &inputs, &totals, &shares, &settings);
        self.limit(route, now_ms);
        self.tell_panic(route, shares.panic);
        self.steady = shares.steady;
        self.settled = !shares.moving && !totals.iter().any(|t| t.unsettled) && !shares.panic;
        self.ended = ended(route);
        self.ticked_ms = now_ms;
    }

    /// Keeps what is usual of each place current.
    fn learn(&mut self, route: &ServiceRoute, now_ms: u64) {
        self.usual.retain(|number, _| route.clusters.iter().any(|c| c.number == *number));
        for cluster in &route.clusters {
            self.usual.entry(cluster.number).or_default().learn(&cluster.place, now_ms);
        }
        self.inbound.learn(&route.inbound, now_ms);
    }

    /// How much the own endpoints may have in flight, and whether picks have to look for room.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "requests; below what is in flight")]
    fn limit(&mut self, route: &ServiceRoute, now_ms: u64) {
        let own = route.local().map(|local| &local.place);
        let sum = |of: fn(&Place) -> u64| own.map_or(0, |place| of(place)) + of(&route.inbound);
        let flow = Flow {
            held: f64::from(route.held()),
            served: sum(Place::served),
            left: sum(Place::left),
            ready: f64::from(route.local().map_or(0, |local| local.ready)),
        };
        let limit = self.overload.step(now_ms, flow);
        if limit.is_some() != self.limited {
            self.limited = limit.is_some();
            let (service, port) = (&route.key.service, route.key.port);
            match limit {
                Some(limit) => {
                    tracing::warn!(%service, port, limit, "clients leave before they are answered: overloaded")
                }
                None => tracing::info!(%service, port, "no longer overloaded"),
            }
        }
        route.room.store(limit.map_or(u32::MAX, |limit| limit as u32), Ordering::Relaxed);
        let busy = || route.clusters.iter().any(|c| !c.local && c.place.busy(Urgency::LEAST, now_ms));
        route.pressed.store(limit.is_some() || busy(), Ordering::Relaxed);
    }

    fn tell_panic(&mut self, route: &ServiceRoute, panic: bool) {
        if panic != self.panicked {
            self.panicked = panic;
            let (service, port) = (&route.key.service, route.key.port);
            if panic {
                tracing::warn!(%service, port, "less than half of all clusters' capacity is left");
            } else {
                tracing::info!(%service, port, "enough capacity again");
            }
        }
    }
}

fn ended(route: &ServiceRoute) -> u64 {
    route.clusters.iter().map(|c| c.place.served() + c.place.failed()).sum::<u64>()
        + route.inbound.served()
        + route.inbound.failed()
}

/// What the spill needs to know of a cluster.
fn input(cluster: &ClusterRoute, totals: &Totals, settings: &Settings, slow: bool, now_ms: u64) -> ClusterInput {
    let base = ClusterInput {
        cluster: cluster.number,
        local: cluster.local,
        healthy: totals.healthy,
        expected: totals.expected,
        load: None,
        rtt_ms: cluster.link.rtt().map(|rtt| rtt.as_secs_f64() * 1_000.0),
        weight: 1.0,
        answers: cluster.place.answers(now_ms),
        slow: cluster.local && slow,
    };
    if cluster.local {
        return base;
    }
    let ready = f64::from(cluster.ready);
    let able = cluster.class == Class::Ready && !cluster.place.empty(now_ms);
    let healthy_part = f64::from(cluster.place.healthy_part(cluster.ready, now_ms));
    ClusterInput {
        // One good address is enough: gateways are ways in, not capacity.
        healthy: if able { ready * healthy_part * totals.best } else { 0.0 },
        expected: ready,
        load: cluster.place.reported_load(now_ms).map(|n| f64::from(n) / settings.endpoint_in_flight),
        weight: cluster.freshness.weight(now_ms),
        ..base
    }
}

/// Writes thresholds, order, and wishes for single requests into the route.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "capacities; clamped")]
fn publish(route: &ServiceRoute, inputs: &[ClusterInput], totals: &[Totals], shares: &Shares, settings: &Settings) {
    route.shares.publish(shares.shares(), shares.order());
    route.panic.store(shares.panic, Ordering::Relaxed);
    let whole: f64 = shares.reference().iter().sum();
    let limit = (SHED_FACTOR * whole * settings.endpoint_in_flight).clamp(1.0, f64::from(u32::MAX - 1));
    route.shed_above.store(if shares.panic { limit as u32 } else { u32::MAX }, Ordering::Relaxed);

    let own = route.local().map_or(0.0, |_| shares.shares()[0]);
    let coming_back = (own < shares.target - 0.005).then_some(ReturnStatus {
        target: shares.target,
        hold: shares.hold,
        failovers: shares.failovers,
    });
    if route.coming_back.load().as_deref() != coming_back.as_ref() {
        route.coming_back.store(coming_back.map(Arc::new));
    }
    let measured = inputs.iter().zip(totals).zip(shares.reference());
    for (at, (cluster, ((input, totals), reference))) in route.clusters.iter().zip(measured).enumerate() {
        cluster.place.set_capacity(input.healthy as f32, *reference as f32);
        // A request is a costly probe of a way that is not needed now.
        let wanted = cluster.local || own < 1.0;
        match totals.due {
            Some(due) if wanted => route.want(at, due + 1),
            _ if cluster.local && shares.trickle => route.want(at, TRICKLE),
            _ => {}
        }
    }
}
