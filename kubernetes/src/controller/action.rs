//! What a pass wants written.

use std::fmt;

use strait_catalog::ServiceKey;

use super::observed::{DerivedPort, ObjectKey};
use crate::api::{ServiceExportStatus, ServiceImport, ServiceImportStatus, TrafficPolicyStatus};

/// One write to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Replaces the snippet of plain names that CoreDNS imports.
    WriteNames(String),
    /// Creates or corrects a derived Service.
    ApplyDerived {
        /// Its name.
        name: String,
        /// The imported service.
        service: ServiceKey,
        /// All its ports.
        ports: Vec<DerivedPort>,
        /// `trafficDistribution: PreferSameNode`.
        same_node: bool,
    },
    /// Creates or corrects a ServiceImport.
    ApplyImport(Box<ServiceImport>),
    /// Writes a ServiceImport's status.
    ImportStatus(ServiceKey, Box<ServiceImportStatus>),
    /// Writes the status of one of this cluster's ServiceExports.
    ExportStatus(ServiceKey, Box<ServiceExportStatus>),
    /// Writes the status of a TrafficPolicy.
    PolicyStatus(ObjectKey, Box<TrafficPolicyStatus>),
    /// Deletes a ServiceImport, if it is still that one.
    DeleteImport(ServiceKey, String),
    /// Deletes a derived Service, if it is still that one.
    DeleteDerived {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
        /// The service it stood for.
        service: Option<ServiceKey>,
    },
}

impl Action {
    /// What is done, for metrics: a bounded set of words.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::WriteNames(_) => "write_names",
            Self::ApplyDerived { .. } => "apply_derived_service",
            Self::ApplyImport(_) => "apply_import",
            Self::ImportStatus(..) => "import_status",
            Self::ExportStatus(..) => "export_status",
            Self::PolicyStatus(..) => "policy_status",
            Self::DeleteImport(..) => "delete_import",
            Self::DeleteDerived { .. } => "delete_derived_service",
        }
    }
}

impl fmt::Display for Action {
    /// The object, for log lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteNames(text) => {
                write!(
                    f,
                    "write ConfigMap kube-system/coredns-strait ({} plain names)",
                    text.matches("name exact ").count()
                )
            }
            Self::ApplyDerived { name, service, .. } => write!(f, "apply Service strait-system/{name} for {service}"),
            Self::ApplyImport(import) => {
                let meta = &import.metadata;
                let part = |p: &Option<String>| p.clone().unwrap_or_default();
                write!(f, "apply ServiceImport {}/{}", part(&meta.namespace), part(&meta.name))
            }
            Self::ImportStatus(service, _) => write!(f, "write status of ServiceImport {service}"),
            Self::ExportStatus(service, _) => write!(f, "write status of ServiceExport {service}"),
            Self::PolicyStatus(policy, _) => {
                write!(f, "write status of TrafficPolicy {}/{}", policy.namespace, policy.name)
            }
            Self::DeleteImport(service, _) => write!(f, "delete ServiceImport {service}"),
            Self::DeleteDerived { name, service: Some(service), .. } => {
                write!(f, "delete Service strait-system/{name} of {service}")
            }
            Self::DeleteDerived { name, .. } => write!(f, "delete Service strait-system/{name}"),
        }
    }
}
