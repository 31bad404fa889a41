//! Service → Service record.

use k8s_openapi::api::core::v1 as core;
use strait_catalog::{
    ClusterId, Key, Kind, Protocol, Record, ServicePort, ServiceRecord, SessionAffinity, Value, Version,
};

use super::{Fact, parse, record, service_key};
use crate::source::{SourceConfig, Unfit};

/// `sessionAffinityConfig.clientIP.timeoutSeconds` when it is unset: three hours, as in Kubernetes.
const AFFINITY_DEFAULT_S: u32 = 10_800;

/// The record of a Service.
///
/// # Errors
/// [`Unfit`] when its name cannot stand in DNS.
pub fn project_service(
    cluster: &ClusterId,
    version: Version,
    service: &core::Service,
) -> Result<Option<Record>, Unfit> {
    Ok(record(Some(fact(cluster, service)?), version))
}

pub(in crate::source) fn read_service(config: &SourceConfig, json: &str) -> Result<Option<Fact>, Unfit> {
    fact(&config.cluster, &parse(json)?).map(Some)
}

fn fact(cluster: &ClusterId, service: &core::Service) -> Result<Fact, Unfit> {
    let key = Key::of_service(cluster, Kind::SERVICE, &service_key(&service.metadata)?);
    let empty = core::ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&empty);
    let value = ServiceRecord {
        ports: spec.ports.iter().flatten().filter_map(port).collect(),
        headless: spec.cluster_ip.as_deref() == Some("None"),
        session_affinity: affinity(spec),
        internal_traffic_policy: spec.internal_traffic_policy.clone().unwrap_or_default(),
        traffic_distribution: spec.traffic_distribution.clone().unwrap_or_default(),
        external_name: spec.type_.as_deref() == Some("ExternalName"),
        ip_families: spec.ip_families.clone().unwrap_or_default(),
    };
    Ok((key, Value::Service(value)))
}

/// A port of a protocol that is not known here cannot be served, so it is left out.
fn port(port: &core::ServicePort) -> Option<ServicePort> {
    Some(ServicePort {
        name: port.name.clone().unwrap_or_default(),
        protocol: Protocol::parse(port.protocol.as_deref())?.into(),
        port: u16::try_from(port.port).ok().filter(|n| *n != 0)?.into(),
        app_protocol: port.app_protocol.clone().unwrap_or_default(),
    })
}

fn affinity(spec: &core::ServiceSpec) -> Option<SessionAffinity> {
    let timeout = || spec.session_affinity_config.as_ref()?.client_ip.as_ref()?.timeout_seconds;
    (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| SessionAffinity {
        timeout_seconds: timeout().and_then(|s| u32::try_from(s).ok()).unwrap_or(AFFINITY_DEFAULT_S),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn projected(spec: Json) -> ServiceRecord {
        let object = serde_json::from_value(json!({"metadata": {"namespace": "ml", "name": "model"}, "spec": spec}));
        let cluster = ClusterId::parse("us-west").unwrap();
        let record = project_service(&cluster, Version::new(1, 7), &object.unwrap()).unwrap().unwrap();
        assert_eq!(record.key().to_string(), "Service us-west:ml/model");
        assert_eq!(record.version(), Version::new(1, 7));
        let Some(Value::Service(value)) = record.value() else { panic!("a Service record") };
        value.clone()
    }

    #[test]
    fn ports_keep_name_protocol_and_app_protocol() {
        let value = projected(json!({"clusterIP": "10.0.0.1", "ports": [
            {"name": "http", "port": 80, "targetPort": "web", "appProtocol": "kubernetes.io/h2c", "nodePort": 30080},
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "odd", "port": 1, "protocol": "QUIC"},
            {"name": "zero", "port": 0},
        ]}));
        let ports: Vec<_> = value.ports.iter().map(|p| (p.name.as_str(), p.protocol(), p.port)).collect();
        assert_eq!(ports, [("http", Protocol::Tcp, 80), ("dns", Protocol::Udp, 53)]);
        assert_eq!(value.ports[0].app_protocol, "kubernetes.io/h2c");
        assert!(!value.headless && !value.external_name && value.session_affinity.is_none());
    }

    #[test]
    fn kinds_of_service() {
        assert!(projected(json!({"clusterIP": "None"})).headless);
        assert!(projected(json!({"type": "ExternalName", "externalName": "x.example"})).external_name);
        for plain in ["NodePort", "LoadBalancer", "ClusterIP"] {
            let value = projected(json!({"type": plain, "clusterIP": "10.0.0.1"}));
            assert!(!value.headless && !value.external_name, "{plain}");
        }
        assert_eq!(projected(Json::Null), ServiceRecord::default());
    }

    #[test]
    fn policies_are_copied() {
        let value = projected(json!({
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
            "internalTrafficPolicy": "Cluster", "trafficDistribution": "PreferClose", "ipFamilies": ["IPv6", "IPv4"],
        }));
        assert_eq!(value.session_affinity, Some(SessionAffinity { timeout_seconds: 60 }));
        assert_eq!(
            (value.internal_traffic_policy.as_str(), value.traffic_distribution.as_str()),
            ("Cluster", "PreferClose")
        );
        assert_eq!(value.ip_families, ["IPv6", "IPv4"]);
        let default = projected(json!({"sessionAffinity": "ClientIP"})).session_affinity;
        assert_eq!(default, Some(SessionAffinity { timeout_seconds: 10_800 }));
        assert_eq!(projected(json!({"sessionAffinity": "None"})).session_affinity, None);
    }

    #[test]
    fn names_that_dns_cannot_hold_are_refused() {
        let object = serde_json::from_value(json!({"metadata": {"namespace": "ml", "name": "a.b"}})).unwrap();
        let refused = project_service(&ClusterId::parse("us-west").unwrap(), Version::default(), &object);
        assert!(refused.unwrap_err().to_string().contains("\"a.b\""));
    }
}
