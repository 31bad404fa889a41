//! What TrafficPolicies say of themselves: whether they count, and what is in force.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use strait_catalog::{Policy, PolicyRecord, ServiceKey, ServiceView};

use super::World;
use crate::api::{
    POLICY_ACCEPTED, POLICY_IN_FORCE, PolicyInForce, TrafficPolicy, TrafficPolicyStatus, policy_reason as reason,
};
use crate::controller::action::Action;
use crate::controller::conditions::{Stated, same, written};
use crate::controller::observed::ObjectKey;

/// A policy that can be followed.
type Followed<'a> = (&'a ObjectKey, ServiceKey, PolicyRecord);

/// The status of every TrafficPolicy that has news.
pub(super) fn of_policies(world: World<'_>) -> Vec<Action> {
    let all: Vec<(&ObjectKey, &TrafficPolicy, Result<_, String>)> = world
        .observed
        .policies
        .iter()
        .filter(|(_, policy)| policy.metadata.deletion_timestamp.is_none())
        .map(|(key, policy)| (key, policy, followed(key, policy)))
        .collect();
    let good = || all.iter().filter_map(|(_, _, read)| read.as_ref().ok());
    let mut counts: BTreeMap<&ServiceKey, Policy> = BTreeMap::new();
    for (_, service, _) in good() {
        let rivals = good().filter(|(_, other, _)| other == service).map(|(key, _, record)| (&*key.name, record));
        counts.extend(Policy::in_force(rivals).map(|policy| (service, policy)));
    }
    all.iter().filter_map(|(key, policy, read)| news(world, key, policy, status(world, read, &counts))).collect()
}

fn followed<'a>(key: &'a ObjectKey, policy: &TrafficPolicy) -> Result<Followed<'a>, String> {
    let created = policy.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    let target = policy.spec.target(&key.namespace).map_err(|fault| fault.to_string())?;
    Ok((key, target, policy.spec.record(created).map_err(|fault| fault.to_string())?))
}

/// The two conditions, and what is in force by this policy.
fn status(
    world: World<'_>,
    read: &Result<Followed<'_>, String>,
    counts: &BTreeMap<&ServiceKey, Policy>,
) -> (Stated, Stated, Option<PolicyInForce>) {
    let view = read.as_ref().ok().and_then(|(_, service, _)| world.snapshot.service(service)).map(|view| &**view);
    let accepted = accepted(world, read, view, counts);
    let Ok((key, _, record)) = read else { return (accepted, not_accepted(), None) };
    if !accepted.holds {
        return (accepted, not_accepted(), None);
    }
    let held = view.and_then(|v| v.policy.as_ref());
    if held.is_none_or(|p| *p.name != *key.name || p.record != *record) {
        let why = "waiting for this cluster's own source to read it";
        return (accepted, Stated::no(POLICY_IN_FORCE, reason::PENDING, why), None);
    }
    if view.is_none_or(|v| v.import.is_none()) {
        let why = "the Service is not imported here, so its clients are not led through Strait";
        return (accepted, Stated::no(POLICY_IN_FORCE, reason::PENDING, why), None);
    }
    let mut told = PolicyInForce::of(record);
    let exports = |name: &String| view.is_some_and(|v| v.exporters().any(|(id, _)| id.as_str() == name.as_str()));
    told.missing = told.clusters.iter().filter(|name| !exports(name)).cloned().collect();
    let message =
        if told.missing.is_empty() { String::new() } else { format!("not exported by: {}", told.missing.join(", ")) };
    (accepted, Stated::yes(POLICY_IN_FORCE, reason::IN_FORCE, message), Some(told))
}

fn not_accepted() -> Stated {
    Stated::no(POLICY_IN_FORCE, reason::NOT_ACCEPTED, "it is not accepted")
}

fn accepted(
    world: World<'_>,
    read: &Result<Followed<'_>, String>,
    view: Option<&ServiceView>,
    counts: &BTreeMap<&ServiceKey, Policy>,
) -> Stated {
    let (key, service) = match read {
        Ok((key, service, _)) => (key, service),
        Err(fault) => return Stated::no(POLICY_ACCEPTED, reason::INVALID, fault.clone()),
    };
    if let Some(older) = counts.get(service).filter(|policy| *policy.name != *key.name) {
        let message = format!(
            "TrafficPolicy {}/{} is for Service {service} too, and counts as the older one",
            key.namespace, older.name
        );
        return Stated::no(POLICY_ACCEPTED, reason::CONFLICTED, message);
    }
    let own = view.and_then(|v| v.backends.get(&world.snapshot.local)).is_some_and(|b| b.service.is_some());
    if own || view.is_some_and(|v| v.import.is_some()) {
        Stated::yes(POLICY_ACCEPTED, reason::ACCEPTED, "")
    } else {
        let message = format!("there is no Service {service} in this cluster, and none is imported");
        Stated::no(POLICY_ACCEPTED, reason::TARGET_NOT_FOUND, message)
    }
}

fn news(
    world: World<'_>,
    key: &ObjectKey,
    policy: &TrafficPolicy,
    (accepted, in_force, told): (Stated, Stated, Option<PolicyInForce>),
) -> Option<Action> {
    let before = policy.status.clone().unwrap_or_default();
    let held: &[Condition] = &before.conditions;
    let conditions = written(held, &[accepted, in_force], policy.metadata.generation, world.now.unix_s);
    if before.in_force == told && same(held, &conditions) {
        return None;
    }
    Some(Action::PolicyStatus(key.clone(), Box::new(TrafficPolicyStatus { in_force: told, conditions })))
}
