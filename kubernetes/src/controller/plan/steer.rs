//! Plain names: whether `<service>.<namespace>` may lead to the derived Service, and since when it could.

use std::collections::BTreeMap;
use std::time::Duration;

use strait_catalog::{Protocol, ServiceKey};

use super::intent::Intent;
use super::{Memory, World};
use crate::controller::naming::{UNSTEERED_NAMESPACES, derived_name};
use crate::controller::observed::{OwnMarks as _, Steering};
use crate::controller::resolve::Resolved;
use crate::coredns::names;

/// Condition type on a ServiceExport that wishes for its plain name.
pub(super) const PLAIN_NAME: &str = "strait.dev/PlainName";

/// What becomes of a wished plain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is, or is about to be, steered.
    Steer,
    /// Nobody asked, or an older export decided otherwise.
    NotAsked,
    /// Not yet.
    Pending(&'static str),
    /// Not as things are: a reason in CamelCase, and a sentence.
    Refused(&'static str, String),
}

/// Keeps the timers: since when agents stand ready behind each import, and since when none does.
pub(super) fn note(world: World<'_>, memory: &mut Memory, intents: &BTreeMap<ServiceKey, Intent>) {
    let now = world.now.mono;
    memory.bound.retain(|s, _| intents.contains_key(s));
    memory.dark.retain(|s, _| intents.contains_key(s));
    for service in intents.keys() {
        let listening = world.observed.imports.get(service).is_some_and(|i| i.managed() && !i.listeners().is_empty());
        if listening && ready(world, service) {
            memory.bound.entry(service.clone()).or_insert(now);
            memory.dark.remove(service);
        } else {
            memory.bound.remove(service);
            memory.dark.entry(service.clone()).or_insert(now);
        }
    }
}

fn ready(world: World<'_>, service: &ServiceKey) -> bool {
    let name = derived_name(service);
    let has_address = world.observed.derived.get(&name).is_some_and(|d| !d.addresses.is_empty() && !d.leaving);
    has_address && world.observed.ready.get(&name).is_some_and(|n| *n > 0)
}

/// How the plain name stands: as the import says. Where somebody has deleted the import, the snippet tells that the name
/// was steered, as long as the derived Service that it leads to is there: a name that is taken back for the moment until
/// the import is written again may stay away for as long as CoreDNS takes to see its ConfigMap twice.
pub(super) fn steering_before(world: World<'_>, service: &ServiceKey) -> Steering {
    if let Some(import) = world.observed.imports.get(service).filter(|i| i.managed()) {
        return import.steering();
    }
    let leads =
        world.observed.derived.get(&derived_name(service)).is_some_and(|d| !d.addresses.is_empty() && !d.leaving);
    let written = world.observed.names.as_ref();
    if leads && written.is_some_and(|text| names::contains(text, service, &world.settings.cluster_domain)) {
        Steering::Steered
    } else {
        Steering::None
    }
}

/// Whether the plain name of an imported service leads to its derived Service.
pub(super) fn verdict(world: World<'_>, memory: &Memory, service: &ServiceKey, resolved: &Resolved) -> Verdict {
    if !resolved.plain_name {
        return Verdict::NotAsked;
    }
    if let Some((reason, message)) = refusal(world, service, resolved) {
        return Verdict::Refused(reason, message);
    }
    if world.observed.names.is_none() {
        let missing = "ConfigMap kube-system/coredns-strait does not exist (run: strait coredns install)";
        return Verdict::Refused("NotInstalled", missing.into());
    }
    let for_at_least = |since: Option<&Duration>, wait: Duration| {
        since.is_some_and(|since| world.now.mono.saturating_sub(*since) >= wait)
    };
    let steered = steering_before(world, service) == Steering::Steered;
    if steered && !for_at_least(memory.dark.get(service), world.settings.dark) {
        return Verdict::Steer;
    }
    if for_at_least(memory.bound.get(service), world.settings.bind_delay) {
        return Verdict::Steer;
    }
    Verdict::Pending("no agent is ready behind the derived Service yet")
}

/// Why a name must stay with the local Service: Strait would take something away from its users.
fn refusal(world: World<'_>, service: &ServiceKey, resolved: &Resolved) -> Option<(&'static str, String)> {
    if UNSTEERED_NAMESPACES.contains(&service.namespace()) {
        return Some(("ReservedNamespace", format!("names of namespace {} are never steered", service.namespace())));
    }
    if resolved.headless {
        return Some(("HeadlessService", "a headless service has no address to steer to".into()));
    }
    if let Some(port) = resolved.ports.iter().find(|p| p.protocol() != Protocol::Tcp) {
        return Some(("PortNotTcp", format!("port {}/{} cannot be proxied", port.port, port.protocol().as_str())));
    }
    let local = world.snapshot.service(service)?.backends.get(&world.snapshot.local)?.service.as_ref()?;
    if local.headless || local.external_name {
        return Some((
            "LocalServiceDiffers",
            "the Service of that name in this cluster is headless or an ExternalName".into(),
        ));
    }
    let exported = |port: u32, protocol| resolved.ports.iter().any(|p| (p.port, p.protocol()) == (port, protocol));
    let lost = local.ports.iter().find(|p| p.protocol() != Protocol::Tcp || !exported(p.port, p.protocol()))?;
    let (number, protocol) = (lost.port, lost.protocol().as_str());
    Some(("PortNotExported", format!("the Service here has port {number}/{protocol}, which no export offers over TCP")))
}
