//! The About API: the property by which other multi-cluster tools know this cluster.

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Error};
use serde_json::json;

use super::naming::{FIELD_MANAGER, MANAGED_BY};
use crate::api::{ABOUT_GROUP, CLUSTER_ID_PROPERTY, ClusterProperty, SYSTEM_NAMESPACE};

/// Declares the cluster's id. A property of another owner is left as it is and told when it differs; without the
/// kind there is nothing to declare.
pub(super) async fn declare(client: &Client, id: &str, system_uid: Option<&str>) {
    let api: Api<ClusterProperty> = Api::all(client.clone());
    let mut body = json!({
        "apiVersion": format!("{ABOUT_GROUP}/v1beta1"), "kind": "ClusterProperty",
        "metadata": {"name": CLUSTER_ID_PROPERTY, "labels": {MANAGED_BY.0: MANAGED_BY.1}},
        "spec": {"value": id},
    });
    if let Some(uid) = system_uid {
        let owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": SYSTEM_NAMESPACE, "uid": uid});
        body["metadata"]["ownerReferences"] = json!([owner]);
    }
    let (params, patch) = (PatchParams::apply(FIELD_MANAGER), Patch::Apply(&body));
    let applied = api.patch(CLUSTER_ID_PROPERTY, &params, &patch);
    match tokio::time::timeout(std::time::Duration::from_secs(5), applied).await {
        Ok(Ok(_)) => {}
        Ok(Err(Error::Api(status))) if status.code == 404 => {
            tracing::debug!("ClusterProperty is not served here (deploy/mcs is not installed)");
        }
        Ok(Err(Error::Api(status))) if status.code == 409 => {
            tracing::warn!(
                property = CLUSTER_ID_PROPERTY,
                id,
                "ClusterProperty belongs to another owner and says another id"
            );
        }
        Ok(Err(error)) => tracing::warn!(property = CLUSTER_ID_PROPERTY, %error, "cannot declare the ClusterProperty"),
        Err(_) => {
            tracing::warn!(property = CLUSTER_ID_PROPERTY, "cannot declare the ClusterProperty: no answer in time")
        }
    }
}
