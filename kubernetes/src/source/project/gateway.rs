//! Node → Gateway record.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Node;
use strait_catalog::{ClusterId, GatewayRecord, Key, Record, Value, Version};

use super::{Fact, label, parse, record};
use crate::source::{SourceConfig, Unfit};

/// The zone of a node.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// In the order in which they are preferred: clusters usually meet in a private network.
const ADDRESS_TYPES: [&str; 2] = ["InternalIP", "ExternalIP"];

/// The record of a Node: where its agent's gateway is reached from other clusters, its zone, and whether it is ready.
/// The address is empty when the node has none or `port` is not given; such a gateway is known by zone only.
///
/// The port is not the Node's own, so after it was changed in ConfigMap `strait-cluster` siblings may hold either
/// until the kubelet writes the Node again, at the latest five minutes later.
///
/// # Errors
/// [`Unfit`] when the Node has no name.
pub fn project_gateway(
    cluster: &ClusterId,
    version: Version,
    node: &Node,
    port: Option<u16>,
) -> Result<Option<Record>, Unfit> {
    Ok(record(Some(fact(cluster, node, port)?), version))
}

pub(in crate::source) fn read_gateway(config: &SourceConfig, json: &str) -> Result<Option<Fact>, Unfit> {
    fact(&config.cluster, &parse(json)?, config.gateway_port).map(Some)
}

fn fact(cluster: &ClusterId, node: &Node, port: Option<u16>) -> Result<Fact, Unfit> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(Unfit::field("metadata.name", name, "the node's name"));
    }
    let value = GatewayRecord {
        address: address(node).zip(port).map(|(ip, port)| SocketAddr::new(ip, port).to_string()).unwrap_or_default(),
        zone: label(&node.metadata, ZONE_LABEL).to_owned(),
        ready: ready(node),
    };
    Ok((Key::of_gateway(cluster, name), Value::Gateway(value)))
}

fn address(node: &Node) -> Option<IpAddr> {
    let all = node.status.as_ref()?.addresses.as_ref()?;
    let of_type = |wanted: &&str| all.iter().filter(move |a| a.type_ == *wanted).find_map(|a| a.address.parse().ok());
    ADDRESS_TYPES.iter().find_map(of_type)
}

fn ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn projected(status: &Json, port: Option<u16>) -> GatewayRecord {
        let node = serde_json::from_value(json!({
            "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "us-west-1a"}}, "status": status,
        }));
        let cluster = ClusterId::parse("us-west").unwrap();
        let record = project_gateway(&cluster, Version::new(0, 3), &node.unwrap(), port).unwrap().unwrap();
        assert_eq!(record.key().to_string(), "Gateway us-west:n1");
        let Some(Value::Gateway(value)) = record.value() else { panic!("a Gateway record") };
        assert_eq!(value.zone, "us-west-1a");
        value.clone()
    }

    #[test]
    fn the_internal_address_comes_first() {
        for (addresses, port, expected) in [
            (
                json!([{"type": "ExternalIP", "address": "198.51.100.7"}, {"type": "InternalIP", "address": "10.77.0.11"}]),
                Some(31_443),
                "10.77.0.11:31443",
            ),
            (
                json!([{"type": "Hostname", "address": "n1"}, {"type": "ExternalIP", "address": "198.51.100.7"}]),
                Some(31_443),
                "198.51.100.7:31443",
            ),
            (json!([{"type": "InternalIP", "address": "fd00::7"}]), Some(31_443), "[fd00::7]:31443"),
            (json!([{"type": "InternalIP", "address": "not an address"}]), Some(31_443), ""),
            (json!([{"type": "InternalIP", "address": "10.77.0.11"}]), None, ""),
            (json!([]), Some(31_443), ""),
        ] {
            assert_eq!(projected(&json!({"addresses": addresses}), port).address, expected, "{addresses}");
        }
        assert_eq!(projected(&Json::Null, Some(1)).address, "");
    }

    #[test]
    fn ready_is_said_or_not() {
        for (status, expected) in [("True", true), ("False", false), ("Unknown", false)] {
            let conditions = json!({"conditions": [
                {"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": status},
            ]});
            assert_eq!(projected(&conditions, None).ready, expected, "{status}");
        }
        assert!(!projected(&Json::Null, None).ready);
    }
}
