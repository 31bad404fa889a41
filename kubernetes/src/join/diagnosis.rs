//! Whether peers are connected, and what precisely is missing when they are not.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::api::{ClusterPeer, SYSTEM_NAMESPACE};
use crate::controller::naming::{AGENT, CONTROLLER, GATEWAY_SERVICE};

/// One ClusterPeer as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// The other cluster.
    pub cluster: String,
    /// The agents hear it.
    pub connected: bool,
    /// How many agents have a session to it.
    pub agents: i32,
    /// Age in seconds of what is known of it.
    pub age_seconds: Option<i64>,
    /// Why it is not connected; empty when it is.
    pub why: String,
}

/// The state of every ClusterPeer of a cluster.
///
/// # Errors
/// The API server's.
pub async fn states(client: &Client) -> Result<Vec<PeerState>, kube::Error> {
    let api: Api<ClusterPeer> = Api::all(client.clone());
    Ok(api.list(&ListParams::default()).await?.items.iter().map(state).collect())
}

fn state(peer: &ClusterPeer) -> PeerState {
    let cluster = peer.spec.cluster_id.clone();
    let nobody = "no controller has looked at it yet".to_owned();
    let Some(status) = &peer.status else {
        return PeerState { cluster, connected: false, agents: 0, age_seconds: None, why: nobody };
    };
    let condition = status.conditions.iter().find(|c| c.type_ == "Connected");
    // A status of before the last change of the spec says nothing about the peer as it is now.
    let current = condition.is_some_and(|c| c.observed_generation == peer.metadata.generation);
    let connected = status.connected && current;
    let why = match condition {
        _ if connected => String::new(),
        Some(c) if current => c.message.clone(),
        _ => nobody,
    };
    PeerState { cluster, connected, agents: status.agents, age_seconds: status.age_seconds, why }
}

/// What a cluster lacks to be connected, one line each; empty when nothing is found.
pub async fn missing(client: &Client) -> Vec<String> {
    let mut found = Vec::new();
    let told = |object: &str, error: &kube::Error| format!("{object}: {error}");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    match deployments.get_opt(CONTROLLER).await {
        Ok(deployment) => found.extend(controller_trouble(deployment.as_ref())),
        Err(error) => found.push(told("Deployment strait-controller", &error)),
    }
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    match sets.get_opt(AGENT).await {
        Ok(set) => found.extend(agent_trouble(set.as_ref())),
        Err(error) => found.push(told("DaemonSet strait-agent", &error)),
    }
    let services: Api<Service> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    match services.get_opt(GATEWAY_SERVICE).await {
        Ok(None) => found.push("Service strait-gateway does not exist".into()),
        Ok(Some(_)) => {}
        Err(error) => found.push(told("Service strait-gateway", &error)),
    }
    found
}

fn controller_trouble(deployment: Option<&Deployment>) -> Option<String> {
    let Some(deployment) = deployment else { return Some("Deployment strait-controller does not exist".into()) };
    let wanted = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let ready = deployment.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
    match (wanted, ready) {
        (0, _) => {
            Some("Deployment strait-controller is scaled to 0 (after a leave? apply the installation again)".into())
        }
        (_, 0) => Some("no pod of Deployment strait-controller is ready".into()),
        _ => None,
    }
}

fn agent_trouble(set: Option<&DaemonSet>) -> Option<String> {
    let Some(set) = set else { return Some("DaemonSet strait-agent does not exist".into()) };
    let status = set.status.clone().unwrap_or_default();
    let (ready, wanted) = (status.number_ready, status.desired_number_scheduled);
    (ready < wanted || wanted == 0).then(|| format!("DaemonSet strait-agent: {ready} of {wanted} pods are ready"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn peer(status: serde_json::Value) -> ClusterPeer {
        serde_json::from_value(json!({
            "apiVersion": "strait.dev/v1alpha1", "kind": "ClusterPeer",
            "metadata": {"name": "us-east", "generation": 2}, "spec": {"clusterID": "us-east"}, "status": status,
        }))
        .unwrap()
    }

    fn condition(generation: i64, message: &str) -> serde_json::Value {
        json!({"type": "Connected", "status": "True", "reason": "x", "message": message,
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn a_status_of_an_older_spec_does_not_count() {
        let good = json!({"connected": true, "agents": 2, "ageSeconds": 1, "conditions": [condition(2, "")]});
        let read = state(&peer(good));
        assert_eq!((read.connected, read.agents, read.why.as_str()), (true, 2, ""));
        let stale = json!({"connected": true, "agents": 2, "conditions": [condition(1, "")]});
        let read = state(&peer(stale));
        assert!(!read.connected);
        assert_eq!(read.why, "no controller has looked at it yet");
        let silent = json!({"connected": false, "conditions": [condition(2, "no agent has heard of it yet")]});
        assert_eq!(state(&peer(silent)).why, "no agent has heard of it yet");
        assert!(!state(&peer(serde_json::Value::Null)).connected);
    }

    #[test]
    fn what_does_not_run_is_named() {
        let deployment = |replicas: i32, ready: i32| -> Deployment {
            serde_json::from_value(json!({"spec": {"replicas": replicas, "selector": {}, "template": {}}, "status": {"readyReplicas": ready}})).unwrap()
        };
        assert!(controller_trouble(None).unwrap().contains("does not exist"));
        assert!(controller_trouble(Some(&deployment(0, 0))).unwrap().contains("scaled to 0"));
        assert!(controller_trouble(Some(&deployment(2, 0))).unwrap().contains("no pod"));
        assert_eq!(controller_trouble(Some(&deployment(2, 1))), None);
        let set: DaemonSet = serde_json::from_value(json!({"status": {"numberReady": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberMisscheduled": 0}})).unwrap();
        assert_eq!(agent_trouble(Some(&set)).unwrap(), "DaemonSet strait-agent: 1 of 2 pods are ready");
    }
}
