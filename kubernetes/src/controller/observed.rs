//! What the controller sees of its own API server, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use strait_catalog::{Protocol, ServiceKey};

use super::naming::{DERIVED_NAME, DERIVED_NAMESPACE, MANAGED_BY, STEERED_ANNOTATION, parse_port_key};
use super::ports::Owner;
use crate::api::{LINGERING_ANNOTATION, LISTENERS_ANNOTATION, ServiceExport, ServiceImport, TrafficPolicy};

/// Everything that a pass looks at beside the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Namespaces that are not being deleted.
    pub namespaces: BTreeSet<String>,
    /// The uid of Strait's own namespace, the owner of what is made outside it.
    pub system_uid: Option<String>,
    /// This cluster's ServiceExports.
    pub exports: BTreeMap<ServiceKey, ServiceExport>,
    /// This cluster's TrafficPolicies; none where the API server does not serve them.
    pub policies: BTreeMap<ObjectKey, TrafficPolicy>,
    /// All ServiceImports of this cluster.
    pub imports: BTreeMap<ServiceKey, ServiceImport>,
    /// The derived Services, by name.
    pub derived: BTreeMap<String, DerivedService>,
    /// Ready endpoints of each Service in Strait's namespace.
    pub ready: BTreeMap<String, usize>,
    /// The snippet of plain names that CoreDNS imports; `None` when its ConfigMap does not exist.
    pub names: Option<String>,
}

/// Namespace and name of an object that is named more freely than a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One port of a derived Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DerivedPort {
    /// The imported service's port number.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where the agents listen for it.
    pub listener: u16,
    /// `appProtocol`, empty when unset.
    pub app_protocol: String,
}

/// A derived Service as it stands in the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DerivedService {
    /// The object's uid.
    pub uid: String,
    /// The imported service it stands for; `None` when its labels do not say.
    pub service: Option<ServiceKey>,
    /// Its ports, sorted.
    pub ports: Vec<DerivedPort>,
    /// Its addresses, in the order of its families.
    pub addresses: Vec<IpAddr>,
    /// `IPv4`, `IPv6`.
    pub families: Vec<String>,
    /// `trafficDistribution`, empty when unset.
    pub distribution: String,
    /// It selects the agents and nothing else.
    pub selects_agents: bool,
    /// It is being deleted.
    pub leaving: bool,
}

impl DerivedService {
    /// Reads a Service of Strait's namespace; `None` for one that is not derived.
    #[must_use]
    pub fn read(service: &Service) -> Option<(String, Self)> {
        let labels = service.metadata.labels.as_ref()?;
        if labels.get(MANAGED_BY.0).map(String::as_str) != Some(MANAGED_BY.1) {
            return None;
        }
        let (namespace, name) = (labels.get(DERIVED_NAMESPACE)?, labels.get(DERIVED_NAME)?);
        let spec = service.spec.as_ref()?;
        let mut ports: Vec<DerivedPort> = spec.ports.iter().flatten().filter_map(derived_port).collect();
        ports.sort_unstable();
        let selects = |(key, value): (&str, &str)| {
            spec.selector.as_ref().and_then(|s| s.get(key)).map(String::as_str) == Some(value)
        };
        Some((
            service.metadata.name.clone()?,
            Self {
                uid: service.metadata.uid.clone().unwrap_or_default(),
                service: ServiceKey::new(namespace, name).ok(),
                ports,
                addresses: spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse().ok()).collect(),
                families: spec.ip_families.clone().unwrap_or_default(),
                distribution: spec.traffic_distribution.clone().unwrap_or_default(),
                selects_agents: super::naming::AGENT_SELECTOR.into_iter().all(selects),
                leaving: service.metadata.deletion_timestamp.is_some(),
            },
        ))
    }
}

fn derived_port(port: &k8s_openapi::api::core::v1::ServicePort) -> Option<DerivedPort> {
    let listener = match port.target_port.as_ref()? {
        IntOrString::Int(number) => u16::try_from(*number).ok()?,
        IntOrString::String(_) => return None,
    };
    Some(DerivedPort {
        port: u16::try_from(port.port).ok()?,
        protocol: Protocol::parse(port.protocol.as_deref())?,
        listener,
        app_protocol: port.app_protocol.clone().unwrap_or_default(),
    })
}

/// What a plain name's rewrite has been through, as written on the ServiceImport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// Never, or long ago.
    None,
    /// The rewrite stands or is about to.
    Steered,
    /// The rewrite is gone; resolvers may remember it up to then, in seconds since 1970.
    Until(i64),
}

impl Steering {
    pub(super) fn annotation(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Steered => Some("true".into()),
            Self::Until(end) => Some(format!("until {end}")),
        }
    }
}

/// What the controller wrote on a ServiceImport.
pub(super) trait OwnMarks {
    fn managed(&self) -> bool;
    fn annotation(&self, name: &str) -> Option<&str>;
    fn steering(&self) -> Steering;
    fn lingering(&self) -> bool;
    fn listeners(&self) -> Vec<((u16, Protocol), u16)>;
}

impl OwnMarks for ServiceImport {
    /// True when this controller made it.
    fn managed(&self) -> bool {
        let label = self.metadata.labels.as_ref().and_then(|l| l.get(MANAGED_BY.0));
        label.map(String::as_str) == Some(MANAGED_BY.1)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }

    fn steering(&self) -> Steering {
        match self.annotation(STEERED_ANNOTATION) {
            None => Steering::None,
            Some(text) => {
                text.strip_prefix("until ").and_then(|end| end.parse().ok()).map_or(Steering::Steered, Steering::Until)
            }
        }
    }

    fn lingering(&self) -> bool {
        self.annotation(LINGERING_ANNOTATION) == Some("true")
    }

    /// The listeners written on it; unreadable entries are left out, and so allocated anew.
    fn listeners(&self) -> Vec<((u16, Protocol), u16)> {
        let text = self.annotation(LISTENERS_ANNOTATION).unwrap_or("{}");
        let written: BTreeMap<String, u16> = serde_json::from_str(text).unwrap_or_default();
        written.iter().filter_map(|(key, number)| Some((parse_port_key(key)?, *number))).collect()
    }
}

impl Observed {
    /// Every listener number written anywhere: ServiceImports first, then derived Services.
    pub(super) fn written(&self) -> Vec<(Owner, u16)> {
        let imports = self.imports.iter().filter(|(_, i)| i.managed()).flat_map(|(service, import)| {
            import
                .listeners()
                .into_iter()
                .map(|((port, protocol), number)| (Owner { service: service.clone(), port, protocol }, number))
        });
        let derived = self.derived.values().flat_map(|d| {
            d.service.iter().flat_map(|service| {
                d.ports
                    .iter()
                    .map(|p| (Owner { service: service.clone(), port: p.port, protocol: p.protocol }, p.listener))
            })
        });
        imports.chain(derived).collect()
    }
}
