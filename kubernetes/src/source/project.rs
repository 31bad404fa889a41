//! From one Kubernetes object to what the catalog holds of it. Pure functions, one file a kind.
//!
//! `project_*` take the object itself and return its record, at the version given; `read_*` are the same from the
//! object's JSON, for the watches.

mod cluster;
mod export;
mod gateway;
mod import;
mod peer;
mod policy;
mod service;
mod slice;

use k8s_openapi::serde::de::DeserializeOwned;
use kube::core::ObjectMeta;
use strait_catalog::{Key, NameError, Record, ServiceKey, Value, Version};

use super::SourceConfig;
use super::error::Unfit;

pub use cluster::project_cluster;
pub use export::project_export;
pub use gateway::project_gateway;
pub use import::{project_import, read_listeners};
pub use peer::project_peer;
pub use policy::project_policy;
pub use service::project_service;
pub use slice::project_slice;

pub(super) use cluster::read_cluster;
pub(super) use export::read_export;
pub(super) use gateway::read_gateway;
pub(super) use policy::read_policy;
pub(super) use service::read_service;
pub(super) use slice::read_slice;

/// A record without its version, which the caller knows.
pub(super) type Fact = (Key, Value);

/// How a kind's JSON becomes a fact: `Ok(None)` for an object that is of no interest.
pub(super) type Read = fn(&SourceConfig, &str) -> Result<Option<Fact>, Unfit>;

pub(super) fn parse<K: DeserializeOwned>(json: &str) -> Result<K, Unfit> {
    serde_json::from_str(json).map_err(|error| Unfit::Unreadable(error.to_string()))
}

fn record(fact: Option<Fact>, version: Version) -> Option<Record> {
    fact.map(|(key, value)| Record::live(key, version, value))
}

fn service_key(metadata: &ObjectMeta) -> Result<ServiceKey, NameError> {
    ServiceKey::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// An annotation that is set to `true`.
fn is_true(metadata: &ObjectMeta, annotation: &str) -> bool {
    metadata.annotations.as_ref().and_then(|all| all.get(annotation)).is_some_and(|text| text == "true")
}

/// A label's text, empty when it is not there.
fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> &'a str {
    metadata.labels.as_ref().and_then(|all| all.get(name)).map(String::as_str).unwrap_or_default()
}
