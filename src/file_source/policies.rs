//! Policies in the file: what stands under `spec` is a TrafficPolicy's spec, with the same checks.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use strait_catalog::{ClusterId, Key, Record, ServiceKey, Value, Version};
use strait_kubernetes::api::TrafficPolicySpec;

use super::document::{Document, PolicyEntry};
use super::records::Wrong;

/// The records of all policies. A file has no times of creation, so it may hold one policy a service.
pub(super) fn policies(document: &Document, cluster: &ClusterId, version: Version) -> Result<Vec<Record>, Wrong> {
    let mut held: BTreeMap<ServiceKey, &str> = BTreeMap::new();
    let mut records = Vec::with_capacity(document.policies.len());
    for entry in &document.policies {
        let wrong = |reason: String| (format!("policy {}/{}", entry.namespace, entry.name), reason);
        let (service, value) = read(entry).map_err(wrong)?;
        if let Some(other) = held.insert(service.clone(), &entry.name) {
            return Err(wrong(format!("service {service} has policy {other:?} already")));
        }
        records.push(Record::live(Key::of_policy(cluster, &service, &entry.name), version, value));
    }
    Ok(records)
}

fn read(entry: &PolicyEntry) -> Result<(ServiceKey, Value), String> {
    if entry.name.is_empty() || entry.name.contains('/') {
        return Err("expected a name without slashes".into());
    }
    let spec: TrafficPolicySpec = serde_json::from_value(entry.spec.clone()).map_err(|e| format!("spec: {e}"))?;
    let understood = serde_json::to_value(&spec).map_err(|e| e.to_string())?;
    if let Some(field) = unknown(&entry.spec, &understood, "spec") {
        return Err(format!("there is no field {field}"));
    }
    let service = spec.target(&entry.namespace).map_err(|fault| format!("spec.{fault}"))?;
    let record = spec.record(0).map_err(|fault| format!("spec.{fault}"))?;
    Ok((service, Value::Policy(record)))
}

/// The path of the first field that was given and not understood. An API server prunes such fields; in a file one is
/// likely misspelt.
fn unknown(given: &Json, understood: &Json, path: &str) -> Option<String> {
    match (given, understood) {
        (Json::Object(given), Json::Object(understood)) => given.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            let nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            match understood.get(name) {
                Some(held) => unknown(value, held, &path),
                None => (!nothing).then_some(path),
            }
        }),
        (Json::Array(given), Json::Array(understood)) => {
            given.iter().zip(understood).find_map(|(given, understood)| unknown(given, understood, path))
        }
        _ => None,
    }
}
