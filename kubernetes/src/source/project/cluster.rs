//! ConfigMap `strait-cluster` → Cluster record.

use k8s_openapi::api::core::v1::ConfigMap;
use strait_catalog::{ClusterId, ClusterRecord, Key, Record, Value, Version, is_network};

use super::{Fact, parse, record};
use crate::api::CLUSTER_CONFIG_MAP;
use crate::source::{SourceConfig, Unfit};

/// The record of the cluster; `None` for any ConfigMap but `strait-cluster`. Pod networks are listed as they are
/// written, separated by commas; one that is no network is left out with a warning.
///
/// # Errors
/// [`Unfit`] when its `id` is not this cluster's: then agent and ConfigMap belong to different clusters.
pub fn project_cluster(cluster: &ClusterId, version: Version, map: &ConfigMap) -> Result<Option<Record>, Unfit> {
    Ok(record(fact(cluster, map)?, version))
}

pub(in crate::source) fn read_cluster(config: &SourceConfig, json: &str) -> Result<Option<Fact>, Unfit> {
    fact(&config.cluster, &parse(json)?)
}

fn fact(cluster: &ClusterId, map: &ConfigMap) -> Result<Option<Fact>, Unfit> {
    if map.metadata.name.as_deref() != Some(CLUSTER_CONFIG_MAP) {
        return Ok(None);
    }
    let text = |key: &str| map.data.as_ref().and_then(|data| data.get(key)).map(|t| t.trim()).unwrap_or_default();
    if text("id") != cluster.as_str() {
        return Err(Unfit::field(
            "data.id",
            text("id"),
            "the id this agent was started with; restart it after a change",
        ));
    }
    let (networks, refused): (Vec<_>, Vec<_>) = listed(text("podCIDRs")).partition(|text| is_network(text));
    if !refused.is_empty() {
        tracing::warn!(?refused, "ConfigMap strait-cluster: podCIDRs that are no networks admit nothing");
    }
    let mut zones: Vec<_> = listed(text("zones")).map(str::to_owned).collect();
    zones.sort_unstable();
    zones.dedup();
    let value = ClusterRecord {
        region: text("region").to_owned(),
        zones,
        // Without any that is right the wrong ones stay: an empty list would mean that none was declared.
        pod_cidrs: if networks.is_empty() { refused } else { networks }.into_iter().map(str::to_owned).collect(),
        ..ClusterRecord::default()
    };
    Ok(Some((Key::of_cluster(cluster), Value::Cluster(value))))
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn projected(name: &str, data: &Json) -> Result<Option<ClusterRecord>, Unfit> {
        let map = serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap();
        let record = project_cluster(&ClusterId::parse("us-west").unwrap(), Version::new(0, 3), &map)?;
        Ok(record.map(|record| {
            let Some(Value::Cluster(value)) = record.value() else { panic!("a Cluster record") };
            value.clone()
        }))
    }

    #[test]
    fn lists_are_split_and_checked() {
        let data = json!({"id": "us-west", "region": "us-west-2", "zones": "b, a,b",
            "podCIDRs": "10.11.0.0/16, fd00:11::/32 ,10.0.0.0/33,nonsense,"});
        let value = projected("strait-cluster", &data).unwrap().unwrap();
        assert_eq!(value.region, "us-west-2");
        assert_eq!(value.zones, ["a", "b"]);
        assert_eq!(value.pod_cidrs, ["10.11.0.0/16", "fd00:11::/32"]);
    }

    #[test]
    fn other_config_maps_are_of_no_interest() {
        assert_eq!(projected("kube-root-ca.crt", &json!({"ca.crt": "x"})), Ok(None));
        assert_eq!(projected("strait-epoch", &json!({"epoch": "2"})), Ok(None));
    }

    #[test]
    fn another_clusters_config_map_is_refused() {
        for data in [json!({"id": "us-east"}), json!({}), Json::Null] {
            let refused = projected("strait-cluster", &data).unwrap_err().to_string();
            assert!(refused.starts_with("data.id"), "{refused}");
        }
    }
}
