//! TrafficPolicy → Policy record.

use strait_catalog::{ClusterId, Key, Record, Value, Version};

use super::{Fact, parse, record};
use crate::api::TrafficPolicy;
use crate::source::{SourceConfig, Unfit};

/// The record of a TrafficPolicy.
///
/// # Errors
/// [`Unfit`] when it is for no Service, or a setting cannot be followed.
pub fn project_policy(cluster: &ClusterId, version: Version, policy: &TrafficPolicy) -> Result<Option<Record>, Unfit> {
    Ok(record(Some(fact(cluster, policy)?), version))
}

pub(in crate::source) fn read_policy(config: &SourceConfig, json: &str) -> Result<Option<Fact>, Unfit> {
    fact(&config.cluster, &parse(json)?).map(Some)
}

fn fact(cluster: &ClusterId, policy: &TrafficPolicy) -> Result<Fact, Unfit> {
    let meta = &policy.metadata;
    let service = policy.spec.target(meta.namespace.as_deref().unwrap_or_default())?;
    let created = meta.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    let key = Key::of_policy(cluster, &service, meta.name.as_deref().unwrap_or_default());
    Ok((key, Value::Policy(policy.spec.record(created)?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn projected(spec: serde_json::Value) -> Result<Option<Record>, Unfit> {
        let object = json!({"apiVersion": "strait.dev/v1alpha1", "kind": "TrafficPolicy", "spec": spec,
            "metadata": {"namespace": "ml", "name": "p.v2", "creationTimestamp": "2026-01-02T03:04:05Z"}});
        project_policy(
            &ClusterId::parse("us-west").unwrap(),
            Version::new(0, 3),
            &serde_json::from_value(object).unwrap(),
        )
    }

    #[test]
    fn a_policy_is_named_by_its_service() {
        let record = projected(json!({"targetRef": {"name": "model"}, "mode": "Nearest"})).unwrap().unwrap();
        assert_eq!(record.key().to_string(), "Policy us-west:ml/model/p.v2");
        assert_eq!(record.key().service().unwrap().to_string(), "ml/model");
        record.key().check().unwrap();
        let Some(Value::Policy(policy)) = record.value() else { panic!("a Policy record") };
        assert_eq!((policy.created_unix_s, policy.mode().as_str()), (1_767_323_045, "Nearest"));
    }

    #[test]
    fn one_that_cannot_be_followed_is_left_out_and_named() {
        let error = projected(json!({"targetRef": {"name": "model"}, "timeouts": {"request": "0s"}})).unwrap_err();
        assert_eq!(error.to_string(), "timeouts.request \"0\": expected 1ms to 1h");
    }
}
