//! What ServiceImports and this cluster's ServiceExports say of themselves.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use strait_catalog::{Backend, ServiceKey};

use super::World;
use super::intent::Intent;
use super::objects::{Import, carried};
use super::steer::{PLAIN_NAME, Verdict};
use crate::api::{
    ClusterStatus, EXPORT_CONFLICT, EXPORT_READY, EXPORT_VALID, IMPORT_READY, PLAIN_NAME_ANNOTATION, ServiceExport,
    ServiceExportStatus, ServiceImportStatus, export_reason, import_reason,
};
use crate::controller::action::Action;
use crate::controller::conditions::{Stated, same, written};
use crate::controller::observed::OwnMarks as _;

/// The status of an import, once the object exists and if it is news.
pub(super) fn of_import(world: World<'_>, service: &ServiceKey, import: &Import) -> Option<Action> {
    let held = world.observed.imports.get(service).filter(|i| i.managed())?;
    let before = held.status.clone().unwrap_or_default();
    let clusters: Vec<ClusterStatus> =
        import.resolved.clusters.iter().map(|c| ClusterStatus { cluster: c.to_string() }).collect();
    let conditions = written(&before.conditions, &[import_ready(import)], held.metadata.generation, world.now.unix_s);
    if before.clusters == clusters && same(&before.conditions, &conditions) {
        return None;
    }
    let status = ServiceImportStatus { clusters, conditions, ..ServiceImportStatus::default() };
    Some(Action::ImportStatus(service.clone(), Box::new(status)))
}

fn import_ready(import: &Import) -> Stated {
    if import.lingering {
        return Stated::no(
            IMPORT_READY,
            "Lingering",
            "no cluster exports it any more; it stays until its plain name has left all caches",
        );
    }
    if let Some(trouble) = &import.trouble {
        return Stated::no(IMPORT_READY, "ListenersExhausted", trouble.clone());
    }
    if import.addresses.is_empty() && !import.resolved.headless {
        return Stated::no(IMPORT_READY, import_reason::PENDING, "waiting for the address of its derived Service");
    }
    let lost: Vec<String> = import
        .resolved
        .ports
        .iter()
        .filter(|p| !import.resolved.headless && !carried(p.protocol()))
        .map(|p| format!("{}/{}", p.port, p.protocol().as_str()))
        .collect();
    let message = if lost.is_empty() { String::new() } else { format!("not carried: {} (TCP is)", lost.join(", ")) };
    Stated::yes(IMPORT_READY, import_reason::READY, message)
}

/// The status of every ServiceExport of this cluster that has news.
pub(super) fn of_exports(
    world: World<'_>,
    intents: &BTreeMap<ServiceKey, Intent>,
    imports: &BTreeMap<&ServiceKey, Import>,
) -> Vec<Action> {
    let leaving = |export: &ServiceExport| export.metadata.deletion_timestamp.is_some();
    let all = world.observed.exports.iter().filter(|(_, e)| !leaving(e));
    all.filter_map(|(service, export)| {
        let stated = export_states(world, service, export, intents.get(service), imports.get(service));
        let held: &[Condition] = export.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        let conditions = written(held, &stated, export.metadata.generation, world.now.unix_s);
        (!same(held, &conditions))
            .then(|| Action::ExportStatus(service.clone(), Box::new(ServiceExportStatus { conditions })))
    })
    .collect()
}

fn export_states(
    world: World<'_>,
    service: &ServiceKey,
    export: &ServiceExport,
    intent: Option<&Intent>,
    import: Option<&Import>,
) -> Vec<Stated> {
    let view = world.snapshot.service(service);
    let own = view.and_then(|v| v.backends.get(&world.snapshot.local));
    let valid = valid(service, own);
    let mut stated = vec![ready(world, service, &valid, own, intent), conflict(&valid, import), valid];
    let asked = export.metadata.annotations.as_ref().and_then(|a| a.get(PLAIN_NAME_ANNOTATION));
    if asked.is_some_and(|value| value == "true") {
        stated.push(plain_name(world, service, import));
    }
    stated
}

fn valid(service: &ServiceKey, own: Option<&Backend>) -> Stated {
    match own.and_then(|b| b.service.as_ref()) {
        None => Stated::no(EXPORT_VALID, export_reason::NO_SERVICE, format!("there is no Service {service}")),
        Some(s) if s.external_name => Stated::no(
            EXPORT_VALID,
            export_reason::INVALID_SERVICE_TYPE,
            "a Service of type ExternalName cannot be exported",
        ),
        Some(_) => Stated::yes(EXPORT_VALID, export_reason::VALID, ""),
    }
}

fn ready(
    world: World<'_>,
    service: &ServiceKey,
    valid: &Stated,
    own: Option<&Backend>,
    intent: Option<&Intent>,
) -> Stated {
    if !valid.holds {
        return Stated::no(EXPORT_READY, export_reason::FAILED, valid.message.clone());
    }
    if let Some(Intent::Blocked(why)) = intent {
        return Stated::no(EXPORT_READY, export_reason::FAILED, why.clone());
    }
    let imported = world.observed.imports.get(service).is_some_and(|i| i.managed());
    if own.is_some_and(Backend::exported) && imported {
        Stated::yes(EXPORT_READY, export_reason::EXPORTED, "")
    } else {
        Stated::no(EXPORT_READY, export_reason::PENDING, "being exported")
    }
}

fn conflict(valid: &Stated, import: Option<&Import>) -> Stated {
    let found = import.filter(|_| valid.holds).map(|i| i.resolved.conflicts.as_slice()).unwrap_or_default();
    if found.is_empty() {
        return Stated::no(EXPORT_CONFLICT, export_reason::NO_CONFLICTS, "");
    }
    let reasons: Vec<_> = found.iter().map(|c| c.reason).collect();
    let messages: Vec<_> = found.iter().map(|c| c.message.as_str()).collect();
    Stated::yes(EXPORT_CONFLICT, &reasons.join(","), messages.join("; "))
}

fn plain_name(world: World<'_>, service: &ServiceKey, import: Option<&Import>) -> Stated {
    let name = format!("{}.{}", service.name(), service.namespace());
    match import.map(|i| (&i.verdict, i.name_stands)) {
        None => Stated::no(PLAIN_NAME, "Pending", "the service is not imported here yet"),
        Some((Verdict::NotAsked, _)) => Stated::no(
            PLAIN_NAME,
            "OlderExportDecides",
            "an older export of the service does not ask for its plain name",
        ),
        Some((Verdict::Pending(why), _)) => Stated::no(PLAIN_NAME, "Pending", *why),
        Some((Verdict::Refused(reason, why), _)) => Stated::no(PLAIN_NAME, reason, why.clone()),
        Some((Verdict::Steer, stands)) => {
            let written = world
                .observed
                .names
                .as_ref()
                .is_some_and(|text| crate::coredns::names::contains(text, service, &world.settings.cluster_domain));
            if stands && written {
                Stated::yes(PLAIN_NAME, "Steered", format!("{name} leads to all exporting clusters"))
            } else {
                Stated::no(PLAIN_NAME, "Pending", "the rewrite is being written")
            }
        }
    }
}
