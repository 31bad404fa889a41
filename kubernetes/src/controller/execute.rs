//! Writing what a pass wants: server-side apply, one object at a time, only while leading.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Error};
use serde_json::{Value, json};
use strait_catalog::ServiceKey;
use tokio::time::timeout;

use super::action::Action;
use super::naming::{
    AGENT_SELECTOR, DERIVED_NAME, DERIVED_NAMESPACE, FIELD_MANAGER, KUBE_SYSTEM, MANAGED_BY, NAMES_CONFIG_MAP,
    NAMES_KEY,
};
use super::observed::DerivedPort;
use crate::api::{
    ClusterPeer, ClusterPeerStatus, MCS_GROUP, SYSTEM_NAMESPACE, ServiceExport, ServiceImport, TrafficPolicy,
};
use crate::lease::Leadership;

/// The longest one write may take.
const WRITE: Duration = Duration::from_secs(5);

/// How a write ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Written.
    Done,
    /// The object was gone or replaced meanwhile; the next pass sees what stands.
    Moot,
    /// Not written, since another controller leads or is about to.
    NotLeading,
    /// Refused or unanswered.
    Failed(String),
}

impl Outcome {
    /// For metrics: a bounded set of words.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Moot => "moot",
            Self::NotLeading => "not_leading",
            Self::Failed(_) => "failed",
        }
    }
}

/// The writer of one cluster's API server.
#[derive(Clone)]
pub(super) struct Writer {
    client: Client,
    leadership: Leadership,
}

impl Writer {
    pub(super) fn new(client: Client, leadership: Leadership) -> Self {
        Self { client, leadership }
    }

    pub(super) async fn write(&self, action: &Action) -> Outcome {
        self.within_lease(self.act(action)).await
    }

    pub(super) async fn write_peer(&self, name: &str, status: &ClusterPeerStatus) -> Outcome {
        let api: Api<ClusterPeer> = Api::all(self.client.clone());
        let body = json!({
            "apiVersion": "strait.dev/v1alpha1", "kind": "ClusterPeer",
            "metadata": {"name": name}, "status": status,
        });
        self.within_lease(async { api.patch_status(name, &applying(), &Patch::Apply(&body)).await.map(drop) }).await
    }

    /// A write that would outlive the lease is given up: a successor may be writing by then.
    async fn within_lease(&self, write: impl Future<Output = Result<(), Error>>) -> Outcome {
        let Some(left) = self.leadership.left() else { return Outcome::NotLeading };
        match timeout(left.min(WRITE), write).await {
            Err(_) if self.leadership.held() => Outcome::Failed("no answer in time".into()),
            Err(_) => Outcome::NotLeading,
            Ok(Ok(())) => Outcome::Done,
            Ok(Err(Error::Api(status))) if matches!(status.code, 404 | 409) => Outcome::Moot,
            Ok(Err(error)) => Outcome::Failed(error.to_string()),
        }
    }

    async fn act(&self, action: &Action) -> Result<(), Error> {
        match action {
            Action::WriteNames(text) => self.names(text).await,
            Action::ApplyDerived { name, service, ports, same_node } => {
                let body = derived(name, service, ports, *same_node);
                self.services().patch(name, &applying(), &Patch::Apply(&body)).await.map(drop)
            }
            Action::ApplyImport(import) => {
                let name = import.metadata.name.as_deref().unwrap_or_default();
                let api: Api<ServiceImport> =
                    Api::namespaced(self.client.clone(), import.metadata.namespace.as_deref().unwrap_or_default());
                api.patch(name, &applying(), &Patch::Apply(import)).await.map(drop)
            }
            Action::ImportStatus(service, status) => {
                let api: Api<ServiceImport> = Api::namespaced(self.client.clone(), service.namespace());
                let body = mcs_status("ServiceImport", service, json!(status));
                api.patch_status(service.name(), &applying(), &Patch::Apply(&body)).await.map(drop)
            }
            Action::ExportStatus(service, status) => {
                let api: Api<ServiceExport> = Api::namespaced(self.client.clone(), service.namespace());
                let body = mcs_status("ServiceExport", service, json!(status));
                api.patch_status(service.name(), &applying(), &Patch::Apply(&body)).await.map(drop)
            }
            Action::PolicyStatus(policy, status) => {
                let api: Api<TrafficPolicy> = Api::namespaced(self.client.clone(), &policy.namespace);
                let body = json!({
                    "apiVersion": "strait.dev/v1alpha1", "kind": "TrafficPolicy",
                    "metadata": {"name": policy.name, "namespace": policy.namespace}, "status": status,
                });
                api.patch_status(&policy.name, &applying(), &Patch::Apply(&body)).await.map(drop)
            }
            Action::DeleteImport(service, uid) => {
                let api: Api<ServiceImport> = Api::namespaced(self.client.clone(), service.namespace());
                api.delete(service.name(), &exactly(uid)).await.map(drop)
            }
            Action::DeleteDerived { name, uid, .. } => self.services().delete(name, &exactly(uid)).await.map(drop),
        }
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), SYSTEM_NAMESPACE)
    }

    /// A merge, not an apply: it must not create the object.
    async fn names(&self, text: &str) -> Result<(), Error> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), KUBE_SYSTEM);
        let body = json!({"data": {NAMES_KEY: text}});
        let manager = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        api.patch(NAMES_CONFIG_MAP, &manager, &Patch::Merge(&body)).await.map(drop)
    }
}

fn applying() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

fn exactly(uid: &str) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.into()), ..Preconditions::default() };
    DeleteParams::background().preconditions(preconditions)
}

fn mcs_status(kind: &str, service: &ServiceKey, status: Value) -> Value {
    json!({
        "apiVersion": format!("{MCS_GROUP}/v1beta1"), "kind": kind,
        "metadata": {"name": service.name(), "namespace": service.namespace()}, "status": status,
    })
}

/// The derived Service: no node's packets are ever dropped for want of a local agent, so it has no
/// `internalTrafficPolicy: Local`; where `PreferSameNode` is known, a node's pods reach their own node's agent.
fn derived(name: &str, service: &ServiceKey, ports: &[DerivedPort], same_node: bool) -> Value {
    let port = |p: &DerivedPort| {
        let mut port = json!({
            "name": format!("{}-{}", p.protocol.as_str().to_ascii_lowercase(), p.port),
            "port": p.port, "protocol": p.protocol.as_str(), "targetPort": p.listener,
        });
        if !p.app_protocol.is_empty() {
            port["appProtocol"] = json!(p.app_protocol);
        }
        port
    };
    let mut body = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name, "namespace": SYSTEM_NAMESPACE,
            "labels": {
                MANAGED_BY.0: MANAGED_BY.1,
                DERIVED_NAMESPACE: service.namespace(), DERIVED_NAME: service.name(),
            },
        },
        "spec": {
            "type": "ClusterIP",
            "selector": AGENT_SELECTOR.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "ports": ports.iter().map(port).collect::<Vec<_>>(),
        },
    });
    if same_node {
        body["spec"]["trafficDistribution"] = json!("PreferSameNode");
    }
    body
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use strait_catalog::Protocol;

    use super::*;
    use crate::controller::observed::DerivedService;

    #[test]
    fn a_derived_service_reads_back_as_it_was_meant() {
        let service = ServiceKey::parse("ml/model").unwrap();
        let port =
            |port, listener| DerivedPort { port, protocol: Protocol::Tcp, listener, app_protocol: "http".into() };
        let ports = vec![port(80, 20_017), port(81, 20_018)];
        let body: Service = serde_json::from_value(derived("strait-x", &service, &ports, true)).unwrap();
        let (name, read) = DerivedService::read(&body).unwrap();
        assert_eq!(name, "strait-x");
        assert_eq!((read.service, read.ports), (Some(service.clone()), ports));
        assert_eq!(read.distribution, "PreferSameNode");
        assert!(read.selects_agents);
        let old: Service = serde_json::from_value(derived("strait-x", &service, &[], false)).unwrap();
        assert_eq!(DerivedService::read(&old).unwrap().1.distribution, "");
        assert_eq!(old.spec.unwrap().internal_traffic_policy, None);
    }

    #[test]
    fn the_gateway_is_no_derived_service() {
        assert!(DerivedService::read(&Service::default()).is_none());
    }
}
