//! ClusterPeer → Peer.

use strait_catalog::{ClusterId, Peer};

use crate::api::ClusterPeer;
use crate::source::Unfit;

/// What a ClusterPeer tells of another cluster; `None` when it speaks of this cluster itself.
///
/// # Errors
/// [`Unfit`] when its `clusterID` is not a DNS label.
pub fn project_peer(local: &ClusterId, peer: &ClusterPeer) -> Result<Option<Peer>, Unfit> {
    let cluster = ClusterId::parse(&peer.spec.cluster_id)?;
    if cluster == *local {
        return Ok(None);
    }
    Ok(Some(Peer {
        cluster,
        gateways: peer.spec.gateways.clone(),
        ca_bundle: peer.spec.ca_bundle.clone(),
        pod_cidrs: peer.spec.pod_cidrs.clone(),
        namespaces: peer.spec.namespaces.clone(),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn projected(id: &str) -> Result<Option<Peer>, Unfit> {
        let object = json!({"apiVersion": "strait.dev/v1alpha1", "kind": "ClusterPeer", "metadata": {"name": id}, "spec": {
            "clusterID": id, "gateways": ["10.77.0.12:31443"], "caBundle": "PEM", "podCIDRs": ["10.12.0.0/16"],
            "namespaces": ["ml-production"],
        }});
        project_peer(&ClusterId::parse("us-west").unwrap(), &serde_json::from_value(object).unwrap())
    }

    #[test]
    fn every_field_arrives() {
        let peer = projected("us-east").unwrap().unwrap();
        assert_eq!(peer.cluster.as_str(), "us-east");
        assert_eq!(peer.gateways, ["10.77.0.12:31443"]);
        assert_eq!((peer.ca_bundle.as_str(), peer.pod_cidrs.len(), peer.namespaces.len()), ("PEM", 1, 1));
    }

    #[test]
    fn oneself_is_no_peer_and_a_bad_id_is_refused() {
        assert_eq!(projected("us-west"), Ok(None));
        assert!(matches!(projected("US_EAST"), Err(Unfit::Name(_))));
    }
}
