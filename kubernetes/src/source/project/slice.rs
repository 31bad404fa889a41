//! EndpointSlice → Slice record.

use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1 as discovery;
use strait_catalog::{
    ClusterId, Key, Protocol, Record, ServiceKey, SliceEndpoint, SlicePort, SliceRecord, Value, Version, ZoneCounts,
};

use super::{Fact, label, parse, record};
use crate::source::{SourceConfig, Unfit};

/// Names the Service a slice belongs to. Imported slices carry another label and are never read.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Marks the slices of a headless Service, whatever the value.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// The record of an EndpointSlice; `None` when it belongs to no Service, or holds host names instead of addresses.
///
/// # Errors
/// [`Unfit`] when its names cannot stand in DNS or it has no uid.
pub fn project_slice(
    cluster: &ClusterId,
    version: Version,
    slice: &discovery::EndpointSlice,
) -> Result<Option<Record>, Unfit> {
    Ok(record(fact(cluster, slice)?, version))
}

pub(in crate::source) fn read_slice(config: &SourceConfig, json: &str) -> Result<Option<Fact>, Unfit> {
    fact(&config.cluster, &parse(json)?)
}

fn fact(cluster: &ClusterId, slice: &discovery::EndpointSlice) -> Result<Option<Fact>, Unfit> {
    let service = label(&slice.metadata, SERVICE_LABEL);
    if service.is_empty() || slice.address_type == "FQDN" {
        return Ok(None);
    }
    let service = ServiceKey::new(slice.metadata.namespace.as_deref().unwrap_or_default(), service)?;
    let uid = slice.metadata.uid.as_deref().unwrap_or_default();
    if uid.is_empty() || uid.contains('/') {
        return Err(Unfit::field("metadata.uid", uid, "the uid that the API server gives to every object"));
    }
    let endpoints: Vec<_> = slice.endpoints.iter().map(endpoint).collect();
    let value = SliceRecord {
        zones: count(&endpoints),
        endpoints,
        ports: slice.ports.iter().flatten().filter_map(port).collect(),
        headless: slice.metadata.labels.as_ref().is_some_and(|all| all.contains_key(HEADLESS_LABEL)),
    };
    Ok(Some((Key::of_slice(cluster, &service, uid), Value::Slice(value))))
}

/// Absent conditions count as the API says: ready true, serving as ready, terminating false.
fn endpoint(endpoint: &discovery::Endpoint) -> SliceEndpoint {
    let said = endpoint.conditions.as_ref();
    let ready = said.and_then(|c| c.ready).unwrap_or(true);
    SliceEndpoint {
        addresses: endpoint.addresses.clone(),
        hostname: endpoint.hostname.clone().unwrap_or_default(),
        zone: endpoint.zone.clone().unwrap_or_default(),
        node: endpoint.node_name.clone().unwrap_or_default(),
        ready,
        serving: said.and_then(|c| c.serving).unwrap_or(ready),
        terminating: said.and_then(|c| c.terminating).unwrap_or(false),
    }
}

/// A terminating endpoint is not counted as ready even where it says so (`publishNotReadyAddresses`).
fn count(endpoints: &[SliceEndpoint]) -> Vec<ZoneCounts> {
    let mut zones: BTreeMap<&str, ZoneCounts> = BTreeMap::new();
    for endpoint in endpoints {
        let zone = zones.entry(&endpoint.zone).or_default();
        zone.ready += u32::from(endpoint.ready && !endpoint.terminating);
        zone.serving += u32::from(endpoint.serving);
        zone.terminating += u32::from(endpoint.terminating);
        zone.total += 1;
    }
    zones.into_iter().map(|(zone, counts)| ZoneCounts { zone: zone.to_owned(), ..counts }).collect()
}

/// A slice's port without a number means all ports, which nobody can dial.
fn port(port: &discovery::EndpointPort) -> Option<SlicePort> {
    Some(SlicePort {
        name: port.name.clone().unwrap_or_default(),
        protocol: Protocol::parse(port.protocol.as_deref())?.into(),
        port: u16::try_from(port.port?).ok().filter(|n| *n != 0)?.into(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn object(endpoints: &Json, labels: &Json) -> discovery::EndpointSlice {
        serde_json::from_value(json!({
            "addressType": "IPv4", "endpoints": endpoints,
            "metadata": {"namespace": "ml", "name": "model-x1", "uid": "u-1", "labels": labels},
            "ports": [{"name": "http", "port": 8080}, {"name": "any"}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        }))
        .unwrap()
    }

    fn projected(endpoints: &Json, labels: &Json) -> Option<SliceRecord> {
        let cluster = ClusterId::parse("us-west").unwrap();
        let record = project_slice(&cluster, Version::new(0, 3), &object(endpoints, labels)).unwrap()?;
        assert_eq!(record.key().to_string(), "Slice us-west:ml/model/u-1");
        let Some(Value::Slice(value)) = record.value() else { panic!("a Slice record") };
        Some(value.clone())
    }

    #[test]
    fn absent_conditions_have_their_defaults() {
        let owned = json!({"kubernetes.io/service-name": "model"});
        for (conditions, expected) in [
            (Json::Null, (true, true, false)),
            (json!({}), (true, true, false)),
            (json!({"ready": false}), (false, false, false)),
            (json!({"ready": false, "serving": true, "terminating": true}), (false, true, true)),
            (json!({"ready": true, "terminating": true}), (true, true, true)),
        ] {
            let value = projected(&json!([{"addresses": ["10.11.0.5"], "conditions": conditions}]), &owned).unwrap();
            let e = &value.endpoints[0];
            assert_eq!((e.ready, e.serving, e.terminating), expected, "{conditions}");
            assert_eq!(value.zones[0].ready, u32::from(expected.0 && !expected.2), "{conditions}");
        }
    }

    #[test]
    fn endpoints_are_counted_by_zone() {
        let endpoints = json!([
            {"addresses": ["10.11.0.5"], "zone": "b", "nodeName": "n1", "hostname": "model-0"},
            {"addresses": ["10.11.0.6"], "zone": "a", "conditions": {"ready": false}},
            {"addresses": ["10.11.0.7"], "zone": "b", "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["10.11.0.8"]},
        ]);
        let value = projected(&endpoints, &json!({"kubernetes.io/service-name": "model"})).unwrap();
        let zones: Vec<_> =
            value.zones.iter().map(|z| (z.zone.as_str(), z.ready, z.serving, z.terminating, z.total)).collect();
        assert_eq!(zones, [("", 1, 1, 0, 1), ("a", 0, 0, 0, 1), ("b", 1, 2, 1, 2)]);
        let ports: Vec<_> = value.ports.iter().map(|p| (p.name.as_str(), p.protocol(), p.port)).collect();
        assert_eq!(ports, [("http", Protocol::Tcp, 8080), ("dns", Protocol::Udp, 53)]);
        assert_eq!((value.endpoints[0].node.as_str(), value.endpoints[0].hostname.as_str()), ("n1", "model-0"));
        assert!(!value.headless);
    }

    #[test]
    fn labels_decide_what_a_slice_is() {
        let headless = json!({"kubernetes.io/service-name": "model", "service.kubernetes.io/headless": ""});
        assert!(projected(&json!([]), &headless).unwrap().headless);
        let imported = json!({"multicluster.kubernetes.io/service-name": "model"});
        assert_eq!(projected(&json!([]), &imported), None);
        let mut names = object(&json!([]), &json!({"kubernetes.io/service-name": "model"}));
        names.address_type = "FQDN".into();
        let cluster = ClusterId::parse("us-west").unwrap();
        assert_eq!(project_slice(&cluster, Version::default(), &names), Ok(None));
    }

    #[test]
    fn a_slice_without_uid_is_refused() {
        let mut slice = object(&json!([]), &json!({"kubernetes.io/service-name": "model"}));
        slice.metadata.uid = None;
        let cluster = ClusterId::parse("us-west").unwrap();
        assert!(matches!(project_slice(&cluster, Version::default(), &slice), Err(Unfit::Field { .. })));
    }
}
