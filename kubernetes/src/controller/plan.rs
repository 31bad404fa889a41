//! One pass of the controller as a pure function: what is known and what stands, in; what to write, out.
//!
//! ```text
//! snapshot (who exports) ─┐                 ┌─► intents ─► listeners ─► objects ─► statuses ─┐
//! observed (what stands) ─┼─► plan(…, now) ─┤                                                ├─► actions, in order
//! memory (ports, timers) ─┘                 └─► steering (plain names) ──────────────────────┘
//! ```
//!
//! A pass changes nothing by itself and assumes nothing of the last one's success: every step of a longer order
//! (listeners, then address, then name; name away, then the rest) waits until the step before it is *observed*.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strait_catalog::{ClusterId, ServiceKey, Snapshot};

use super::action::Action;
use super::naming::derived_name;
use super::observed::{Observed, OwnMarks as _};
use super::ports::{Clash, Owner, PortPool};
use crate::coredns::names;

mod intent;
mod objects;
mod policy;
mod status;
mod steer;

use intent::Intent;

/// How patient the controller is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long after its rewrite is gone a plain name may still stand in caches: ConfigMap sync, CoreDNS reload,
    /// resolver caches.
    pub name_linger: Duration,
    /// How long agents have to bind new listeners before a name leads to them.
    pub bind_delay: Duration,
    /// How long a cluster must have been heard before its silence about an export counts.
    pub settle: Duration,
    /// How long after a controller has begun its imports may name clusters of which it knows nothing, not even that they
    /// are peers, because that is still to be read.
    pub first_words: Duration,
    /// After how long without a single ready agent a name is given back to the local Service.
    pub dark: Duration,
    /// How long the loss of more than half of all imports must last before it is believed.
    pub brake: Duration,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// The API server knows `trafficDistribution: PreferSameNode` (Kubernetes 1.35 and later).
    pub same_node: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name_linger: Duration::from_secs(180),
            bind_delay: Duration::from_secs(3),
            settle: Duration::from_secs(3),
            first_words: Duration::from_secs(10),
            dark: Duration::from_secs(30),
            brake: Duration::from_secs(30),
            cluster_domain: "cluster.local".into(),
            same_node: true,
        }
    }
}

/// The time of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970, for what is written on objects.
    pub unix_s: i64,
    /// Monotonic, since the process began, for timers.
    pub mono: Duration,
}

/// What a pass looks at.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Who exports what.
    pub snapshot: &'a Snapshot,
    /// What stands in the own API server.
    pub observed: &'a Observed,
    /// How patient the controller is.
    pub settings: &'a Settings,
    /// When.
    pub now: Now,
}

/// What is carried from pass to pass. Lost with the process: everything in it is rebuilt from what is observed, or
/// is a delay that then starts again.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The listener numbers.
    pub pool: PortPool,
    /// When the first pass was.
    began: Option<Duration>,
    /// Since when each other cluster has been heard.
    heard: BTreeMap<ClusterId, Duration>,
    /// Since when each import's listeners have been written and agents behind it have been ready.
    bound: BTreeMap<ServiceKey, Duration>,
    /// Since when no agent has been ready behind an import.
    dark: BTreeMap<ServiceKey, Duration>,
    /// Since when more than half of the imports have lacked an exporter.
    shrinking: Option<Duration>,
}

impl Memory {
    /// What a standby does at each pass: it follows the listener numbers, so that it knows which rest.
    pub fn follow(&mut self, observed: &Observed, now: Duration) {
        let written = observed.written();
        let owners: BTreeSet<Owner> = written.iter().map(|(o, _)| o.clone()).collect();
        self.pool.release_unless(&owners, now);
        self.pool.adopt(written);
    }

    /// True while what was not read yet may only be late.
    fn is_new(&self, world: World<'_>) -> bool {
        self.began.is_none_or(|began| world.now.mono.saturating_sub(began) < world.settings.first_words)
    }
}

/// What a pass wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to write, in this order.
    pub actions: Vec<Action>,
    /// What stands in the way, one line each, for the log.
    pub troubles: BTreeSet<String>,
    /// Something waits for time alone: the next pass should be soon.
    pub waiting: bool,
}

/// One pass.
#[must_use]
pub fn plan(world: World<'_>, memory: &mut Memory) -> Plan {
    let mut plan = Plan::default();
    if !world.snapshot.synced {
        memory.follow(world.observed, world.now.mono);
        return plan;
    }
    let unsettled = unsettled(world, memory);
    let mut intents = intent::intents(world, &unsettled);
    if intent::brake(world, memory, &mut intents) {
        plan.troubles
            .insert("more than half of all imports lost their last export at once: waiting for it to last".into());
    }
    let clashes = settle_ports(world, memory, &intents);
    plan.troubles.extend(clashes.iter().map(ToString::to_string));
    plan.troubles.extend(intents.iter().filter_map(|(service, intent)| match intent {
        Intent::Blocked(why) => Some(format!("{service}: {why}")),
        _ => None,
    }));
    steer::note(world, memory, &intents);
    let passes: BTreeMap<&ServiceKey, objects::Import> = intents
        .iter()
        .filter_map(|(service, intent)| Some((service, objects::import(world, memory, service, intent)?)))
        .collect();
    plan.waiting = unsettled.iter().any(|id| memory.heard.contains_key(id))
        || memory.is_new(world)
        || memory.shrinking.is_some()
        || intents.values().any(|i| *i == Intent::Linger)
        || passes.values().any(objects::Import::waits);
    write(world, &intents, &passes, &mut plan);
    plan
}

/// The actions in their order: names that go, then derived Services, imports, statuses, and removals last.
fn write(
    world: World<'_>,
    intents: &BTreeMap<ServiceKey, Intent>,
    passes: &BTreeMap<&ServiceKey, objects::Import>,
    plan: &mut Plan,
) {
    let steered = passes.iter().filter(|(_, import)| import.name_stands);
    let text =
        names::render(steered.map(|(service, _)| (*service, derived_name(service))), &world.settings.cluster_domain);
    if world.observed.names.as_ref().is_some_and(|held| *held != text) {
        plan.actions.push(Action::WriteNames(text));
    }
    for (service, import) in passes {
        plan.troubles.extend(import.trouble.iter().map(|t| format!("{service}: {t}")));
        plan.actions.extend(import.derived_action(world, service));
        plan.actions.extend(import.import_action(world, service));
    }
    for (service, import) in passes {
        plan.actions.extend(status::of_import(world, service, import));
    }
    plan.actions.extend(status::of_exports(world, intents, passes));
    plan.actions.extend(policy::of_policies(world));
    plan.actions.extend(objects::removals(world, intents));
}

/// The clusters whose silence does not count yet: peers that were not heard for long enough by this process, and in its
/// first seconds whatever clusters its imports name.
fn unsettled(world: World<'_>, memory: &mut Memory) -> BTreeSet<ClusterId> {
    let now = world.now.mono;
    memory.began.get_or_insert(now);
    let peers: BTreeMap<&ClusterId, bool> =
        world.snapshot.clusters().filter(|c| !c.local).map(|c| (&c.id, c.freshness.age_ms(0).is_some())).collect();
    memory.heard.retain(|id, _| peers.get(id) == Some(&true));
    for id in peers.iter().filter(|(_, heard)| **heard).map(|(id, _)| *id) {
        memory.heard.entry(id.clone()).or_insert(now);
    }
    let settled =
        |id: &ClusterId| memory.heard.get(id).is_some_and(|since| now.saturating_sub(*since) >= world.settings.settle);
    let mut unsettled: BTreeSet<ClusterId> = peers.into_keys().filter(|id| !settled(id)).cloned().collect();
    if memory.is_new(world) {
        let named = world.observed.imports.values().filter(|i| i.managed()).flat_map(intent::clusters_of);
        unsettled.extend(named.filter(|id| *id != world.snapshot.local && !settled(id)));
    }
    unsettled
}

/// Adopts what is written, gives back what nobody needs, and takes a number for each wanted port.
fn settle_ports(world: World<'_>, memory: &mut Memory, intents: &BTreeMap<ServiceKey, Intent>) -> Vec<Clash> {
    let written = world.observed.written();
    let wanted: Vec<Owner> = intents.iter().flat_map(|(service, intent)| intent.owners(world, service)).collect();
    let kept: BTreeSet<Owner> = written.iter().map(|(o, _)| o).chain(&wanted).cloned().collect();
    memory.pool.release_unless(&kept, world.now.mono);
    let clashes = memory.pool.adopt(written);
    for owner in &wanted {
        memory.pool.take(owner);
    }
    clashes
}

/// True when the import stands, was made here, and is not on its way out.
fn stands(world: World<'_>, service: &ServiceKey) -> bool {
    world.observed.imports.get(service).is_some_and(|i| i.managed() && !i.lingering())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
