//! What a cluster says of itself, as others need it.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use kube::api::ListParams;
use kube::{Api, Client};
use strait_catalog::{ClusterId, NameError};

use crate::api::{CLUSTER_CONFIG_MAP, SYSTEM_NAMESPACE};
use crate::controller::naming::{CA_BUNDLE_CONFIG_MAP, GATEWAY_SERVICE};

/// The port of the gateway's Service.
const GATEWAY_PORT: i32 = 15443;
/// How many node addresses bootstrap a connection; the cluster tells the rest once it is connected.
const BOOTSTRAP_NODES: usize = 8;

/// Why a cluster's facts are not complete.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// Strait is not there.
    #[error(
        "context {context}: ConfigMap strait-system/strait-cluster does not exist; install Strait first (kubectl --context {context} apply -k deploy/clusters/…)"
    )]
    NotInstalled {
        /// The context.
        context: String,
    },
    /// The id is missing or no label.
    #[error("context {context}: `id` in ConfigMap strait-system/strait-cluster: {source}")]
    Id {
        /// The context.
        context: String,
        /// What is wrong.
        source: NameError,
    },
    /// The controller has not made the CA yet.
    #[error(
        "cluster {id} (context {context}) has no CA yet: ConfigMap strait-system/strait-ca-bundle is empty; is strait-controller running there?"
    )]
    NoAuthority {
        /// The cluster.
        id: ClusterId,
        /// The context.
        context: String,
    },
    /// Nothing leads in.
    #[error(
        "cluster {id} (context {context}) has no gateway address: Service strait-gateway has neither a load balancer nor a node port on a ready node; name one with --gateway {id}=HOST:PORT"
    )]
    NoGateway {
        /// The cluster.
        id: ClusterId,
        /// The context.
        context: String,
    },
    /// The API server refused.
    #[error("context {context}: {object}: {source}")]
    Api {
        /// The context.
        context: String,
        /// What was read.
        object: &'static str,
        /// What it said.
        source: Box<kube::Error>,
    },
}

/// Which of a node's addresses other clusters reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressKind {
    /// `InternalIP`: the clusters' networks are connected.
    #[default]
    Internal,
    /// `ExternalIP`: over the Internet.
    External,
}

/// One cluster as others need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The kubeconfig context it was read through.
    pub context: String,
    /// Its id.
    pub id: ClusterId,
    /// Its trust domain.
    pub trust_domain: String,
    /// Its pod networks.
    pub pod_cidrs: Vec<String>,
    /// Where its gateways are reached.
    pub gateways: Vec<String>,
    /// The certificates of its CA, PEM.
    pub ca_bundle: String,
}

fn api(context: &str, object: &'static str) -> impl FnOnce(kube::Error) -> FactsError {
    let context = context.to_owned();
    move |source| FactsError::Api { context, object, source: Box::new(source) }
}

async fn cluster_map(client: &Client, context: &str) -> Result<(ClusterId, ConfigMap), FactsError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let map = maps.get_opt(CLUSTER_CONFIG_MAP).await.map_err(api(context, "ConfigMap strait-system/strait-cluster"))?;
    let map = map.ok_or_else(|| FactsError::NotInstalled { context: context.into() })?;
    let id =
        ClusterId::parse(&value(&map, "id")).map_err(|source| FactsError::Id { context: context.into(), source })?;
    Ok((id, map))
}

fn value(map: &ConfigMap, key: &str) -> String {
    map.data.as_ref().and_then(|d| d.get(key)).map(|v| v.trim().to_owned()).unwrap_or_default()
}

/// The id alone. A context's name is never taken for it.
///
/// # Errors
/// [`FactsError`], naming the context.
pub async fn read_id(client: &Client, context: &str) -> Result<ClusterId, FactsError> {
    Ok(cluster_map(client, context).await?.0)
}

/// Reads the facts; `named` are gateway addresses that the operator gave, which then count alone.
///
/// # Errors
/// [`FactsError`], naming the cluster and what is missing.
pub async fn read(
    client: &Client,
    context: &str,
    named: impl Fn(&ClusterId) -> Vec<String>,
    kind: AddressKind,
) -> Result<ClusterFacts, FactsError> {
    let (id, map) = cluster_map(client, context).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let bundle =
        maps.get_opt(CA_BUNDLE_CONFIG_MAP).await.map_err(api(context, "ConfigMap strait-system/strait-ca-bundle"))?;
    let ca_bundle = bundle.map(|m| value(&m, "ca.crt")).unwrap_or_default();
    if ca_bundle.is_empty() {
        return Err(FactsError::NoAuthority { id, context: context.into() });
    }
    let mut gateways = named(&id);
    if gateways.is_empty() {
        gateways = addresses(client, context, kind).await?;
    }
    if gateways.is_empty() {
        return Err(FactsError::NoGateway { id, context: context.into() });
    }
    let pod_cidrs =
        value(&map, "podCIDRs").split(',').map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect();
    Ok(ClusterFacts {
        context: context.into(),
        trust_domain: value(&map, "trustDomain"),
        pod_cidrs,
        gateways,
        ca_bundle: format!("{ca_bundle}\n"),
        id,
    })
}

async fn addresses(client: &Client, context: &str, kind: AddressKind) -> Result<Vec<String>, FactsError> {
    let services: Api<Service> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let object = "Service strait-system/strait-gateway";
    let Some(service) = services.get_opt(GATEWAY_SERVICE).await.map_err(api(context, object))? else {
        return Ok(Vec::new());
    };
    let balanced = balancers(&service);
    if !balanced.is_empty() {
        return Ok(balanced);
    }
    let Some(port) = node_port(&service) else { return Ok(Vec::new()) };
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await.map_err(api(context, "Nodes"))?;
    Ok(node_addresses(&nodes.items, kind, port))
}

/// The addresses of the load balancer, if there is one.
fn balancers(service: &Service) -> Vec<String> {
    let ingress = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()?.ingress.as_ref());
    let port = gateway_port(service).map_or(GATEWAY_PORT, |p| p.port);
    let host = |i: &k8s_openapi::api::core::v1::LoadBalancerIngress| i.ip.clone().or_else(|| i.hostname.clone());
    ingress.into_iter().flatten().filter_map(host).map(|h| host_port(&h, port)).collect()
}

fn gateway_port(service: &Service) -> Option<&k8s_openapi::api::core::v1::ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    ports.iter().find(|p| p.name.as_deref() == Some("gateway")).or_else(|| ports.first())
}

fn node_port(service: &Service) -> Option<i32> {
    gateway_port(service)?.node_port.filter(|p| *p > 0)
}

/// Addresses of ready nodes, sorted by name; the wished kind, else the other.
fn node_addresses(nodes: &[Node], kind: AddressKind, port: i32) -> Vec<String> {
    let ready = |node: &&Node| {
        let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
        conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
    };
    let address = |node: &Node| {
        let all = node.status.as_ref()?.addresses.as_ref()?;
        let of = |wanted: &str| all.iter().find(|a| a.type_ == wanted).map(|a| a.address.clone());
        match kind {
            AddressKind::Internal => of("InternalIP").or_else(|| of("ExternalIP")),
            AddressKind::External => of("ExternalIP").or_else(|| of("InternalIP")),
        }
    };
    let mut nodes: Vec<&Node> = nodes.iter().filter(ready).collect();
    nodes.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    nodes.into_iter().filter_map(address).map(|a| host_port(&a, port)).take(BOOTSTRAP_NODES).collect()
}

fn host_port(host: &str, port: i32) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, ready: &str, addresses: &[(&str, &str)]) -> Node {
        let addresses: Vec<_> = addresses.iter().map(|(t, a)| json!({"type": t, "address": a})).collect();
        serde_json::from_value(json!({"metadata": {"name": name}, "status": {
            "conditions": [{"type": "Ready", "status": ready}], "addresses": addresses}}))
        .unwrap()
    }

    #[test]
    fn ready_nodes_bootstrap_by_the_wished_address() {
        let nodes = [
            node("b", "True", &[("InternalIP", "10.0.0.2"), ("ExternalIP", "192.0.2.2")]),
            node("a", "True", &[("InternalIP", "10.0.0.1")]),
            node("c", "False", &[("InternalIP", "10.0.0.3")]),
            node("d", "True", &[("InternalIP", "fd00::4")]),
        ];
        assert_eq!(
            node_addresses(&nodes, AddressKind::Internal, 31443),
            ["10.0.0.1:31443", "10.0.0.2:31443", "[fd00::4]:31443"]
        );
        assert_eq!(node_addresses(&nodes, AddressKind::External, 1)[1], "192.0.2.2:1");
    }

    #[test]
    fn a_load_balancer_comes_first_with_the_services_port() {
        let service: Service = serde_json::from_value(json!({
            "spec": {"ports": [{"name": "gateway", "port": 15443, "nodePort": 31443}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "lb.example.org"}]}},
        }))
        .unwrap();
        assert_eq!(balancers(&service), ["192.0.2.7:15443", "lb.example.org:15443"]);
        assert_eq!(node_port(&service), Some(31443));
        assert!(balancers(&Service::default()).is_empty());
    }
}
