//! Several clusters export one service: what the import says, and what they disagree on.
//!
//! The rules are KEP-1645's: the oldest export decides, ports are united, and every disagreement is a condition on
//! all of them. Timestamps have whole seconds, so the cluster's id breaks ties.

use std::collections::{BTreeMap, BTreeSet};

use strait_catalog::{Backend, ClusterId, ExportRecord, Protocol, ServicePort, ServiceRecord, SessionAffinity};

use crate::api::export_reason as reason;

/// One cluster that exports the service.
#[derive(Clone, Copy, Debug)]
pub struct Exporter<'a> {
    /// The cluster.
    pub cluster: &'a ClusterId,
    /// Its export.
    pub export: &'a ExportRecord,
    /// Its Service.
    pub service: &'a ServiceRecord,
}

impl<'a> Exporter<'a> {
    /// The exporter of a backend; `None` when there is no export of a Service that can be exported.
    #[must_use]
    pub fn of(cluster: &'a ClusterId, backend: &'a Backend) -> Option<Self> {
        let service = backend.service.as_ref().filter(|s| !s.external_name)?;
        Some(Self { cluster, export: backend.export.as_ref()?, service })
    }
}

/// One property on which the exporting clusters differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Upstream's reason.
    pub reason: &'static str,
    /// Who differs from whom, for people.
    pub message: String,
}

/// What an import of the service says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The exporting clusters, sorted by id.
    pub clusters: Vec<ClusterId>,
    /// Headless by the oldest export.
    pub headless: bool,
    /// The union of all ports, the oldest export's first.
    pub ports: Vec<ServicePort>,
    /// The oldest export's.
    pub session_affinity: Option<SessionAffinity>,
    /// The oldest export's; empty when unset.
    pub internal_traffic_policy: String,
    /// The oldest export's; empty when unset.
    pub traffic_distribution: String,
    /// The oldest export's `exportedLabels`.
    pub labels: BTreeMap<String, String>,
    /// The oldest export's `exportedAnnotations`.
    pub annotations: BTreeMap<String, String>,
    /// The oldest export wants the plain name steered.
    pub plain_name: bool,
    /// All disagreements, at most one of each reason.
    pub conflicts: Vec<Conflict>,
}

/// Merges the exports; `None` when there is none.
#[must_use]
pub fn resolve(exporters: &[Exporter<'_>]) -> Option<Resolved> {
    let mut by_age = exporters.to_vec();
    by_age.sort_by(|a, b| (a.export.created_unix_s, a.cluster).cmp(&(b.export.created_unix_s, b.cluster)));
    let oldest = *by_age.first()?;
    let mut clusters: Vec<_> = by_age.iter().map(|e| e.cluster.clone()).collect();
    clusters.sort_unstable();
    let ports = union(&by_age);
    Some(Resolved {
        clusters,
        headless: oldest.service.headless,
        session_affinity: oldest.service.session_affinity,
        internal_traffic_policy: oldest.service.internal_traffic_policy.clone(),
        traffic_distribution: oldest.service.traffic_distribution.clone(),
        labels: oldest.export.labels.clone(),
        annotations: oldest.export.annotations.clone(),
        plain_name: oldest.export.plain_name,
        conflicts: conflicts(&by_age, &ports),
        ports,
    })
}

/// The number, if it is one that a port can have.
pub(crate) fn number(port: &ServicePort) -> Option<u16> {
    u16::try_from(port.port).ok().filter(|n| *n != 0)
}

/// Ports are the same one when they have the same name, or the same protocol and number.
fn same_port(a: &ServicePort, b: &ServicePort) -> bool {
    (!a.name.is_empty() && a.name == b.name) || (a.protocol, a.port) == (b.protocol, b.port)
}

fn union(by_age: &[Exporter<'_>]) -> Vec<ServicePort> {
    let mut all: Vec<ServicePort> = Vec::new();
    for port in by_age.iter().flat_map(|e| &e.service.ports) {
        if number(port).is_some() && !all.iter().any(|known| same_port(known, port)) {
            all.push(port.clone());
        }
    }
    name_all(&mut all);
    all
}

/// An import with several ports needs a name for each: a lone unnamed port of one cluster gets one when united.
fn name_all(ports: &mut [ServicePort]) {
    if ports.len() < 2 {
        return;
    }
    let taken: BTreeSet<String> = ports.iter().map(|p| p.name.clone()).collect();
    for port in ports.iter_mut().filter(|p| p.name.is_empty()) {
        let name = format!("{}-{}", port.protocol().as_str().to_ascii_lowercase(), port.port);
        port.name = if taken.contains(&name) { format!("{name}-x") } else { name };
    }
}

fn port_set(service: &ServiceRecord) -> BTreeSet<(String, Protocol, u32, String)> {
    let port = |p: &ServicePort| (p.name.clone(), p.protocol(), p.port, p.app_protocol.clone());
    service.ports.iter().map(port).collect()
}

fn conflicts(by_age: &[Exporter<'_>], ports: &[ServicePort]) -> Vec<Conflict> {
    let mut found = Vec::new();
    let mut compare = |reason, what: &str, differs: &dyn Fn(&Exporter<'_>, &Exporter<'_>) -> bool| {
        let (oldest, others) = (&by_age[0], &by_age[1..]);
        let differing: Vec<&str> = others.iter().filter(|e| differs(oldest, e)).map(|e| e.cluster.as_str()).collect();
        if !differing.is_empty() {
            let message = format!(
                "{what} of {} differs from that of {}, whose export is oldest",
                differing.join(", "),
                oldest.cluster
            );
            found.push(Conflict { reason, message });
        }
    };
    compare(reason::PORT_CONFLICT, "the port list", &|a, b| port_set(a.service) != port_set(b.service));
    compare(reason::TYPE_CONFLICT, "the type (headless or not)", &|a, b| a.service.headless != b.service.headless);
    compare(reason::SESSION_AFFINITY_CONFLICT, "sessionAffinity", &|a, b| {
        a.service.session_affinity.is_some() != b.service.session_affinity.is_some()
    });
    compare(
        reason::SESSION_AFFINITY_CONFIG_CONFLICT,
        "sessionAffinityConfig",
        &|a, b| matches!((a.service.session_affinity, b.service.session_affinity), (Some(x), Some(y)) if x != y),
    );
    compare(reason::LABELS_CONFLICT, "exportedLabels", &|a, b| a.export.labels != b.export.labels);
    compare(reason::ANNOTATIONS_CONFLICT, "exportedAnnotations", &|a, b| a.export.annotations != b.export.annotations);
    compare(reason::INTERNAL_TRAFFIC_POLICY_CONFLICT, "internalTrafficPolicy", &|a, b| {
        a.service.internal_traffic_policy != b.service.internal_traffic_policy
    });
    compare(reason::TRAFFIC_DISTRIBUTION_CONFLICT, "trafficDistribution", &|a, b| {
        a.service.traffic_distribution != b.service.traffic_distribution
    });
    // Families matter only where they leave a cluster no family in common with the oldest.
    compare(reason::IP_FAMILY_CONFLICT, "ipFamilies", &|a, b| {
        let (x, y) = (&a.service.ip_families, &b.service.ip_families);
        !x.is_empty() && !y.is_empty() && !x.iter().any(|family| y.contains(family))
    });
    if let Some(first) = found.first_mut().filter(|c| c.reason == reason::PORT_CONFLICT) {
        let all: Vec<_> = ports.iter().map(|p| format!("{}/{}", p.port, p.protocol().as_str())).collect();
        first.message = format!("{}; the import has {}", first.message, all.join(", "));
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
