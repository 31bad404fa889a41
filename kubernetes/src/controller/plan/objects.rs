//! The objects of one import as they should stand, and the actions that bring them there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ClientIPConfig, SessionAffinityConfig};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use strait_catalog::{Protocol, ServiceKey};

use super::intent::{Intent, remembered_as};
use super::steer::{Verdict, steering_before, verdict};
use super::{Memory, World};
use crate::api::{
    ImportedPort, LINGERING_ANNOTATION, LISTENERS_ANNOTATION, SYSTEM_NAMESPACE, ServiceImport, ServiceImportSpec,
    ServiceImportType,
};
use crate::controller::action::Action;
use crate::controller::naming::{
    EXPORTED_DIGEST, MANAGED_BY, OWN_PREFIX, STEERED_ANNOTATION, derived_name, digest, port_key,
};
use crate::controller::observed::{DerivedPort, DerivedService, OwnMarks as _, Steering};
use crate::controller::ports::Owner;
use crate::controller::resolve::{Resolved, number};
use crate::coredns::names;

/// One import as it should stand.
#[derive(Clone, Debug)]
pub(super) struct Import {
    /// What it says.
    pub(super) resolved: Resolved,
    /// The last export is gone.
    pub(super) lingering: bool,
    /// Its addresses here, as far as they are known.
    pub(super) addresses: Vec<IpAddr>,
    families: Vec<String>,
    derived_name: String,
    derived_ports: Vec<DerivedPort>,
    steering: Steering,
    /// What became of the wish for a plain name.
    pub(super) verdict: Verdict,
    /// The rewrite of its plain name belongs into the snippet now.
    pub(super) name_stands: bool,
    /// What stands in the way.
    pub(super) trouble: Option<String>,
}

/// The import of an intent; `None` where nothing should stand.
pub(super) fn import(world: World<'_>, memory: &mut Memory, service: &ServiceKey, intent: &Intent) -> Option<Import> {
    let held = world.observed.imports.get(service).filter(|i| i.managed());
    let (resolved, lingering) = match intent {
        Intent::Import(resolved) => ((**resolved).clone(), false),
        Intent::Linger => {
            let last = remembered_as(held?);
            (
                Resolved {
                    clusters: Vec::new(),
                    plain_name: false,
                    labels: BTreeMap::new(),
                    annotations: BTreeMap::new(),
                    ..last
                },
                true,
            )
        }
        Intent::Remove | Intent::Blocked(_) => return None,
    };
    let name = derived_name(service);
    let standing = world.observed.derived.get(&name).filter(|d| !d.leaving && !resolved.headless);
    let (derived_ports, missing) = listeners(memory, service, &resolved);
    let verdict = if lingering { Verdict::NotAsked } else { verdict(world, memory, service, &resolved) };
    let steered_before = steering_before(world, service);
    let steering = steering(world, service, steered_before, verdict == Verdict::Steer);
    Some(Import {
        lingering,
        addresses: standing.map(|d| d.addresses.clone()).unwrap_or_default(),
        families: standing.map(|d| d.families.clone()).unwrap_or_default(),
        derived_name: name,
        trouble: (missing > 0)
            .then(|| format!("no listener is free for {missing} of its ports (20000-29999 are in use or at rest)")),
        derived_ports,
        name_stands: verdict == Verdict::Steer && steered_before == Steering::Steered,
        steering,
        verdict,
        resolved,
    })
}

/// The derived Service's ports, and how many found no free listener.
fn listeners(memory: &mut Memory, service: &ServiceKey, resolved: &Resolved) -> (Vec<DerivedPort>, usize) {
    if resolved.headless {
        return (Vec::new(), 0);
    }
    let (mut ports, mut missing) = (Vec::new(), 0);
    for p in &resolved.ports {
        let Some(port) = number(p) else { continue };
        let protocol = p.protocol();
        match memory.pool.take(&Owner { service: service.clone(), port, protocol }) {
            Some(listener) => {
                ports.push(DerivedPort { port, protocol, listener, app_protocol: p.app_protocol.clone() })
            }
            None => missing += 1,
        }
    }
    ports.sort_unstable();
    (ports, missing)
}

/// The next mark of a plain name. It says "steered" before the rewrite is written and until the rewrite is seen to
/// be gone, so that whoever takes over knows that resolvers may remember the name.
fn steering(world: World<'_>, service: &ServiceKey, before: Steering, steer: bool) -> Steering {
    let linger = i64::try_from(world.settings.name_linger.as_secs()).unwrap_or(i64::MAX);
    let stands = || {
        world.observed.names.as_ref().is_some_and(|text| names::contains(text, service, &world.settings.cluster_domain))
    };
    match before {
        _ if steer => Steering::Steered,
        Steering::Steered if stands() => Steering::Steered,
        Steering::Steered => Steering::Until(world.now.unix_s.saturating_add(linger)),
        Steering::Until(end) if world.now.unix_s < end => before,
        Steering::Until(_) | Steering::None => Steering::None,
    }
}

impl Import {
    /// Its plain name waits for something that may be time alone.
    pub(super) fn waits(&self) -> bool {
        matches!(self.verdict, Verdict::Pending(_)) || matches!(self.steering, Steering::Until(_))
    }

    /// Creates or corrects the derived Service, if it is not as it should be.
    pub(super) fn derived_action(&self, world: World<'_>, service: &ServiceKey) -> Option<Action> {
        if self.resolved.headless || self.derived_ports.is_empty() {
            return None;
        }
        let distribution = if world.settings.same_node { "PreferSameNode" } else { "" };
        let fine = |d: &DerivedService| {
            d.ports == self.derived_ports && d.distribution == distribution && d.selects_agents && !d.leaving
        };
        let held = world.observed.derived.get(&self.derived_name);
        if held.is_some_and(fine) || held.is_some_and(|d| d.leaving) {
            return None;
        }
        Some(Action::ApplyDerived {
            name: self.derived_name.clone(),
            service: service.clone(),
            ports: self.derived_ports.clone(),
            same_node: world.settings.same_node,
        })
    }

    /// Creates or corrects the ServiceImport, if it is not as it should be.
    pub(super) fn import_action(&self, world: World<'_>, service: &ServiceKey) -> Option<Action> {
        let wanted = self.object(world, service);
        let held = world.observed.imports.get(service);
        if held.is_some_and(|h| h.metadata.deletion_timestamp.is_some() || is_as(h, &wanted)) {
            return None;
        }
        Some(Action::ApplyImport(Box::new(wanted)))
    }

    fn object(&self, world: World<'_>, service: &ServiceKey) -> ServiceImport {
        let mut import = ServiceImport::new(service.namespace(), service.name(), self.spec());
        import.metadata = ObjectMeta {
            labels: Some(self.labels()),
            annotations: Some(self.annotations()),
            owner_references: world.observed.system_uid.as_ref().map(|uid| vec![owner(uid)]),
            ..import.metadata
        };
        import
    }

    fn spec(&self) -> ServiceImportSpec {
        let r = &self.resolved;
        let text = |s: &String| (!s.is_empty()).then(|| s.clone());
        ServiceImportSpec {
            ports: r
                .ports
                .iter()
                .map(|p| ImportedPort {
                    name: text(&p.name),
                    protocol: Some(p.protocol().as_str().into()),
                    app_protocol: text(&p.app_protocol),
                    port: i32::try_from(p.port).unwrap_or_default(),
                })
                .collect(),
            ips: self.addresses.iter().map(ToString::to_string).collect(),
            type_: if r.headless { ServiceImportType::Headless } else { ServiceImportType::ClusterSetIP },
            session_affinity: Some(if r.session_affinity.is_some() { "ClientIP" } else { "None" }.into()),
            session_affinity_config: r.session_affinity.map(|a| SessionAffinityConfig {
                client_ip: Some(ClientIPConfig { timeout_seconds: i32::try_from(a.timeout_seconds).ok() }),
            }),
            ip_families: self.families.clone(),
            internal_traffic_policy: text(&r.internal_traffic_policy),
            traffic_distribution: text(&r.traffic_distribution),
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = permitted(&self.resolved.labels);
        labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
        labels
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let exported = permitted(&self.resolved.annotations);
        let mut all = exported.clone();
        if !self.derived_ports.is_empty() {
            let listeners: BTreeMap<String, u16> =
                self.derived_ports.iter().map(|p| (port_key(p.port, p.protocol), p.listener)).collect();
            all.insert(LISTENERS_ANNOTATION.into(), serde_json::json!(listeners).to_string());
        }
        if self.lingering {
            all.insert(LINGERING_ANNOTATION.into(), "true".into());
        }
        if let Some(mark) = self.steering.annotation() {
            all.insert(STEERED_ANNOTATION.into(), mark);
        }
        let labels = permitted(&self.resolved.labels);
        if !(exported.is_empty() && labels.is_empty()) {
            let parts: Vec<&str> = labels.iter().chain(&exported).flat_map(|(k, v)| [k.as_str(), v.as_str()]).collect();
            let count = labels.len().to_string();
            all.insert(EXPORTED_DIGEST.into(), digest(&[&[count.as_str()], &parts[..]].concat()));
        }
        all
    }
}

/// What an export may put on the import: nothing that steers Strait or claims the object.
fn permitted(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let allowed = |key: &str| !key.starts_with(OWN_PREFIX) && key != MANAGED_BY.0;
    map.iter().filter(|(k, _)| allowed(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Whoever removes Strait's namespace removes the imports with it, wherever they stand.
fn owner(uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "Namespace".into(),
        name: SYSTEM_NAMESPACE.into(),
        uid: uid.into(),
        ..OwnerReference::default()
    }
}

/// True when the object already says what is wanted; what others added to it does not count.
fn is_as(held: &ServiceImport, wanted: &ServiceImport) -> bool {
    type Map = Option<BTreeMap<String, String>>;
    let own = |map: &Map| -> BTreeMap<String, String> {
        map.iter().flatten().filter(|(k, _)| k.starts_with(OWN_PREFIX)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let holds = |held: &Map, wanted: &Map| {
        wanted.iter().flatten().all(|(k, v)| held.as_ref().and_then(|h| h.get(k)) == Some(v))
    };
    let (a, b) = (&held.metadata, &wanted.metadata);
    let owned =
        b.owner_references.iter().flatten().all(|o| a.owner_references.iter().flatten().any(|h| h.uid == o.uid));
    held.spec == wanted.spec
        && own(&a.annotations) == own(&b.annotations)
        && holds(&a.annotations, &b.annotations)
        && holds(&a.labels, &b.labels)
        && owned
}

/// What has to go, imports before the derived Services they led to.
pub(super) fn removals(world: World<'_>, intents: &BTreeMap<ServiceKey, Intent>) -> Vec<Action> {
    let mut actions = Vec::new();
    for (service, intent) in intents {
        let import = world.observed.imports.get(service).filter(|i| i.managed());
        if let (Intent::Remove, Some(import)) = (intent, import) {
            let here = world.observed.namespaces.contains(service.namespace());
            if here && import.metadata.deletion_timestamp.is_none() {
                actions.push(Action::DeleteImport(service.clone(), import.metadata.uid.clone().unwrap_or_default()));
            }
        }
    }
    for (name, derived) in world.observed.derived.iter().filter(|(_, d)| !d.leaving) {
        if !needed(world, intents, name, derived) {
            let (name, uid, service) = (name.clone(), derived.uid.clone(), derived.service.clone());
            actions.push(Action::DeleteDerived { name, uid, service });
        }
    }
    actions
}

fn needed(world: World<'_>, intents: &BTreeMap<ServiceKey, Intent>, name: &str, derived: &DerivedService) -> bool {
    let Some(service) = derived.service.as_ref().filter(|s| derived_name(s) == name) else { return false };
    let import = world.observed.imports.get(service);
    let leads_here = import.is_some_and(|i| i.managed() && !i.spec.ips.is_empty());
    let wanted = match intents.get(service) {
        Some(Intent::Import(resolved)) => !resolved.headless,
        Some(Intent::Linger) => true,
        _ => false,
    };
    wanted || leads_here
}

/// The protocols that a proxy can carry.
pub(super) const fn carried(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp)
}
