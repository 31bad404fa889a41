//! What should become of each service: imported, lingering after its last export, or gone.

use std::collections::{BTreeMap, BTreeSet};

use strait_catalog::{ClusterId, Protocol, ServiceKey, ServicePort, ServiceView, SessionAffinity};

use super::{Memory, World, stands};
use crate::api::{ServiceImport, ServiceImportType};
use crate::controller::naming::{MANAGED_BY, OWN_PREFIX};
use crate::controller::observed::{OwnMarks as _, Steering};
use crate::controller::ports::Owner;
use crate::controller::resolve::{Exporter, Resolved, number, resolve};

/// What should become of one service here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// Imported as resolved.
    Import(Box<Resolved>),
    /// No export is left, but its plain name may stand in caches: all stays, towards the local Service.
    Linger,
    /// Nothing of it should stand.
    Remove,
    /// Something else made an object of that name: hands off.
    Blocked(String),
}

impl Intent {
    /// Who needs a listener.
    pub(super) fn owners(&self, world: World<'_>, service: &ServiceKey) -> Vec<Owner> {
        let owner = |(port, protocol)| Owner { service: service.clone(), port, protocol };
        match self {
            Self::Import(resolved) if !resolved.headless => {
                resolved.ports.iter().filter_map(|p| Some(owner((number(p)?, p.protocol())))).collect()
            }
            Self::Linger => {
                let import = world.observed.imports.get(service);
                import.map(|i| i.listeners().into_iter().map(|(key, _)| owner(key)).collect()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

/// The intent for every service that anybody exports or that has left something here.
pub(super) fn intents(world: World<'_>, unsettled: &BTreeSet<ClusterId>) -> BTreeMap<ServiceKey, Intent> {
    let exported = world.snapshot.services().filter(|(_, view)| view.exporters().next().is_some()).map(|(k, _)| k);
    let standing = world.observed.imports.iter().filter(|(_, i)| i.managed()).map(|(k, _)| k);
    let derived = world.observed.derived.values().filter_map(|d| d.service.as_ref());
    let all: BTreeSet<&ServiceKey> = exported.chain(standing).chain(derived).collect();
    all.into_iter().map(|service| (service.clone(), intent(world, unsettled, service))).collect()
}

fn intent(world: World<'_>, unsettled: &BTreeSet<ClusterId>, service: &ServiceKey) -> Intent {
    if !world.observed.namespaces.contains(service.namespace()) {
        return Intent::Remove;
    }
    let import = world.observed.imports.get(service);
    let view = world.snapshot.service(service);
    let resolved = resolved(view.map(AsRef::as_ref), import.filter(|i| i.managed()), unsettled);
    match (resolved, import) {
        (Some(_), Some(import)) if !import.managed() => {
            Intent::Blocked("a ServiceImport of that name exists which Strait did not make".into())
        }
        (Some(resolved), _) => blocked_by_derived(world, service).unwrap_or_else(|| Intent::Import(Box::new(resolved))),
        (None, Some(import)) if import.managed() && remembered(import, world.now.unix_s) => Intent::Linger,
        (None, _) => Intent::Remove,
    }
}

/// Two services whose derived Services would have one name: the first one keeps it.
fn blocked_by_derived(world: World<'_>, service: &ServiceKey) -> Option<Intent> {
    let name = crate::controller::naming::derived_name(service);
    let other = world.observed.derived.get(&name)?;
    (other.service.as_ref() != Some(service))
        .then(|| Intent::Blocked(format!("Service {name} stands for another import")))
}

/// Resolvers may remember the plain name.
fn remembered(import: &ServiceImport, unix_s: i64) -> bool {
    match import.steering() {
        Steering::None => false,
        Steering::Steered => true,
        Steering::Until(end) => unix_s < end,
    }
}

/// What the exports say, joined with what the import remembers of clusters that were not heard yet.
fn resolved(
    view: Option<&ServiceView>,
    import: Option<&ServiceImport>,
    unsettled: &BTreeSet<ClusterId>,
) -> Option<Resolved> {
    let exporters: Vec<_> = view
        .into_iter()
        .flat_map(|v| &v.backends)
        .filter_map(|(cluster, backend)| Exporter::of(cluster, backend))
        .collect();
    let known = resolve(&exporters);
    let Some(import) = import else { return known };
    let silent: Vec<ClusterId> =
        clusters_of(import).filter(|id| unsettled.contains(id) && !exporters.iter().any(|e| e.cluster == id)).collect();
    if silent.is_empty() {
        return known;
    }
    let memory = remembered_as(import);
    Some(match known {
        None => Resolved { clusters: silent, ..memory },
        Some(mut known) => {
            known.clusters.extend(silent);
            known.clusters.sort_unstable();
            known.headless = memory.headless;
            let same = |a: &ServicePort, b: &ServicePort| a.port == b.port && a.protocol == b.protocol;
            let extra = memory.ports.into_iter().filter(|m| !known.ports.iter().any(|k| same(k, m)));
            let extra: Vec<_> = extra.collect();
            known.ports.extend(extra);
            known
        }
    })
}

/// The clusters that export it, as its status says.
pub(super) fn clusters_of(import: &ServiceImport) -> impl Iterator<Item = ClusterId> {
    let clusters = import.status.iter().flat_map(|s| &s.clusters);
    clusters.filter_map(|c| ClusterId::parse(&c.cluster).ok())
}

/// The resolution that would have made this import.
pub(super) fn remembered_as(import: &ServiceImport) -> Resolved {
    let spec = &import.spec;
    let exported = |map: &Option<BTreeMap<String, String>>| {
        let foreign = |(key, _): &(&String, &String)| !key.starts_with(OWN_PREFIX) && *key != MANAGED_BY.0;
        map.iter().flatten().filter(foreign).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let timeout = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
    Resolved {
        clusters: clusters_of(import).collect(),
        headless: spec.type_ == ServiceImportType::Headless,
        ports: spec
            .ports
            .iter()
            .filter_map(|p| {
                Some(ServicePort {
                    name: p.name.clone().unwrap_or_default(),
                    protocol: Protocol::parse(p.protocol.as_deref())? as i32,
                    port: u32::try_from(p.port).ok()?,
                    app_protocol: p.app_protocol.clone().unwrap_or_default(),
                })
            })
            .collect(),
        session_affinity: (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| SessionAffinity {
            timeout_seconds: timeout.and_then(|t| u32::try_from(t).ok()).unwrap_or(10_800),
        }),
        internal_traffic_policy: spec.internal_traffic_policy.clone().unwrap_or_default(),
        traffic_distribution: spec.traffic_distribution.clone().unwrap_or_default(),
        labels: exported(&import.metadata.labels),
        annotations: exported(&import.metadata.annotations),
        plain_name: import.steering() == Steering::Steered,
        conflicts: Vec::new(),
    }
}

/// Losing more than half of all imports at once is rarely meant: it is believed when it lasts. True while waiting.
pub(super) fn brake(world: World<'_>, memory: &mut Memory, intents: &mut BTreeMap<ServiceKey, Intent>) -> bool {
    let here = |service: &ServiceKey| world.observed.namespaces.contains(service.namespace());
    let all = intents.keys().filter(|s| stands(world, s) && here(s)).count();
    let leaving: Vec<ServiceKey> = intents
        .iter()
        .filter(|(s, i)| matches!(i, Intent::Linger | Intent::Remove) && stands(world, s) && here(s))
        .map(|(s, _)| s.clone())
        .collect();
    if leaving.len() <= 3 || leaving.len() * 2 <= all {
        memory.shrinking = None;
        return false;
    }
    let since = *memory.shrinking.get_or_insert(world.now.mono);
    if world.now.mono.saturating_sub(since) >= world.settings.brake {
        return false;
    }
    for service in leaving {
        if let Some(import) = world.observed.imports.get(&service) {
            intents.insert(service, Intent::Import(Box::new(remembered_as(import))));
        }
    }
    true
}
