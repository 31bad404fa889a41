//! Leaving: what the controller made is taken back in an order in which nobody's requests fail.
//!
//! The controller is stopped first, or it would make everything again; then names go back to the local Services;
//! then, when no cache remembers them, the objects they led to.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use strait_catalog::ClusterId;

use crate::api::{ClusterPeer, ClusterProperty, MCS_GROUP, SYSTEM_NAMESPACE, ServiceExport, ServiceImport};
use crate::controller::naming::{
    CONTROLLER, DERIVED_NAME, FIELD_MANAGER, KUBE_SYSTEM, MANAGED_BY, NAMES_CONFIG_MAP, NAMES_KEY,
};
use crate::coredns::names;

/// Why a cluster could not leave.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The API server refused.
    #[error("{object}: {source}")]
    Api {
        /// What was read or written.
        object: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The controller's pods do not end.
    #[error("{pods} pods of Deployment strait-controller still run after {} s; what they made would come back", .after.as_secs())]
    StillRunning {
        /// How many.
        pods: usize,
        /// After how long.
        after: Duration,
    },
}

fn api(object: impl Into<String>) -> impl FnOnce(kube::Error) -> LeaveError {
    let object = object.into();
    |source| LeaveError::Api { object, source: Box::new(source) }
}

/// Scales the controller to nothing and waits until its pods are gone. Applying the installation again undoes it.
///
/// # Errors
/// [`LeaveError`] when the pods do not end within `patience`.
pub async fn stop_controller(client: &Client, patience: Duration) -> Result<(), LeaveError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let object = "Deployment strait-system/strait-controller";
    if deployments.get_opt(CONTROLLER).await.map_err(api(object))?.is_none() {
        return Ok(());
    }
    let none = json!({"spec": {"replicas": 0}});
    deployments.patch(CONTROLLER, &PatchParams::default(), &Patch::Merge(&none)).await.map_err(api(object))?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let ours = ListParams::default().labels("app.kubernetes.io/name=strait,app.kubernetes.io/component=controller");
    let end = tokio::time::Instant::now() + patience;
    loop {
        let left = pods.list(&ours).await.map_err(api("Pods of strait-controller"))?.items.len();
        if left == 0 {
            return Ok(());
        }
        if tokio::time::Instant::now() >= end {
            return Err(LeaveError::StillRunning { pods: left, after: patience });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Empties the snippet of plain names: they lead to the local Services again. Returns how many there were.
///
/// # Errors
/// [`LeaveError::Api`].
pub async fn silence_names(client: &Client) -> Result<usize, LeaveError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), KUBE_SYSTEM);
    let object = "ConfigMap kube-system/coredns-strait";
    let Some(map) = maps.get_opt(NAMES_CONFIG_MAP).await.map_err(api(object))? else { return Ok(0) };
    let text = map.data.unwrap_or_default().remove(NAMES_KEY).unwrap_or_default();
    let count = text.matches("name exact ").count();
    if count > 0 {
        let empty = json!({"data": {NAMES_KEY: names::render([], "cluster.local")}});
        maps.patch(NAMES_CONFIG_MAP, &PatchParams::default(), &Patch::Merge(&empty)).await.map_err(api(object))?;
    }
    Ok(count)
}

/// What the controller made and `kubectl delete -k` would not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// ServiceImports, `namespace/name`.
    pub imports: Vec<(String, String)>,
    /// Derived Services.
    pub derived: Vec<String>,
    /// ClusterPeers.
    pub peers: Vec<String>,
    /// ClusterProperties.
    pub properties: Vec<String>,
}

impl Leftovers {
    /// One line each, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let imports = self.imports.iter().map(|(namespace, name)| format!("ServiceImport {namespace}/{name}"));
        let derived = self.derived.iter().map(|name| format!("Service strait-system/{name}"));
        let peers = self.peers.iter().map(|name| format!("ClusterPeer {name}"));
        let properties = self.properties.iter().map(|name| format!("ClusterProperty {name}"));
        imports.chain(derived).chain(peers).chain(properties).collect()
    }
}

/// A kind that is not served has no objects.
fn or_none<T>(found: Result<Vec<T>, kube::Error>) -> Result<Vec<T>, kube::Error> {
    match found {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        other => other,
    }
}

/// Lists what is left of Strait in a cluster.
///
/// # Errors
/// [`LeaveError::Api`].
pub async fn leftovers(client: &Client) -> Result<Leftovers, LeaveError> {
    let ours = ListParams::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
    let imports: Api<ServiceImport> = Api::all(client.clone());
    let services: Api<Service> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let peers: Api<ClusterPeer> = Api::all(client.clone());
    let properties: Api<ClusterProperty> = Api::all(client.clone());
    let imports = or_none(imports.list(&ours).await.map(|l| l.items)).map_err(api("ServiceImports"))?;
    let derived = services.list(&ours.clone().labels(DERIVED_NAME)).await.map_err(api("Services of strait-system"))?;
    let peers = or_none(peers.list(&ListParams::default()).await.map(|l| l.items)).map_err(api("ClusterPeers"))?;
    let properties = or_none(properties.list(&ours).await.map(|l| l.items)).map_err(api("ClusterProperties"))?;
    Ok(Leftovers {
        imports: imports.iter().map(|i| (i.namespace().unwrap_or_default(), i.name_any())).collect(),
        derived: derived.items.iter().map(ResourceExt::name_any).collect(),
        peers: peers.iter().map(ResourceExt::name_any).collect(),
        properties: properties.iter().map(ResourceExt::name_any).collect(),
    })
}

/// Deletes them: imports before the Services they lead to, peers last.
///
/// # Errors
/// [`LeaveError::Api`], naming the object.
pub async fn clean(client: &Client, found: &Leftovers) -> Result<(), LeaveError> {
    for (namespace, name) in &found.imports {
        let api: Api<ServiceImport> = Api::namespaced(client.clone(), namespace);
        delete(&api, name, format!("ServiceImport {namespace}/{name}")).await?;
    }
    let services: Api<Service> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    for name in &found.derived {
        delete(&services, name, format!("Service strait-system/{name}")).await?;
    }
    let properties: Api<ClusterProperty> = Api::all(client.clone());
    for name in &found.properties {
        delete(&properties, name, format!("ClusterProperty {name}")).await?;
    }
    let peers: Api<ClusterPeer> = Api::all(client.clone());
    for name in &found.peers {
        delete(&peers, name, format!("ClusterPeer {name}")).await?;
    }
    Ok(())
}

/// Takes the conditions back that the controller wrote on ServiceExports; the exports themselves are their owners'.
///
/// # Errors
/// [`LeaveError::Api`], naming the object.
pub async fn unmark_exports(client: &Client) -> Result<usize, LeaveError> {
    let all: Api<ServiceExport> = Api::all(client.clone());
    let found = or_none(all.list(&ListParams::default()).await.map(|l| l.items)).map_err(api("ServiceExports"))?;
    let marked: Vec<_> = found.iter().filter(|e| e.status.as_ref().is_some_and(|s| !s.conditions.is_empty())).collect();
    for export in &marked {
        let (namespace, name) = (export.namespace().unwrap_or_default(), export.name_any());
        let body = json!({
            "apiVersion": format!("{MCS_GROUP}/v1beta1"), "kind": "ServiceExport",
            "metadata": {"name": name, "namespace": namespace},
        });
        let exports: Api<ServiceExport> = Api::namespaced(client.clone(), &namespace);
        // Applying nothing as the controller takes away what it alone had applied.
        let nothing = PatchParams::apply(FIELD_MANAGER).force();
        match exports.patch_status(&name, &nothing, &Patch::Apply(&body)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(api(format!("ServiceExport {namespace}/{name}"))(error)),
        }
    }
    Ok(marked.len())
}

/// Deletes the ClusterPeer of a cluster that leaves; false when there was none.
///
/// # Errors
/// [`LeaveError::Api`].
pub async fn forget_peer(client: &Client, gone: &ClusterId, dry_run: bool) -> Result<bool, LeaveError> {
    let peers: Api<ClusterPeer> = Api::all(client.clone());
    let object = format!("ClusterPeer {gone}");
    if peers.get_opt(gone.as_str()).await.map_err(api(&object))?.is_none() {
        return Ok(false);
    }
    if !dry_run {
        delete(&peers, gone.as_str(), object).await?;
    }
    Ok(true)
}

async fn delete<K>(from: &Api<K>, name: &str, object: String) -> Result<(), LeaveError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match from.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(api(object)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_listed_by_name() {
        let found = Leftovers {
            imports: vec![("ml".into(), "model".into())],
            derived: vec!["strait-x".into()],
            peers: vec!["us-east".into()],
            properties: vec!["cluster.clusterset.k8s.io".into()],
        };
        assert_eq!(
            found.lines(),
            [
                "ServiceImport ml/model",
                "Service strait-system/strait-x",
                "ClusterPeer us-east",
                "ClusterProperty cluster.clusterset.k8s.io"
            ]
        );
        assert!(Leftovers::default().lines().is_empty());
    }
}
