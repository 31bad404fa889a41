//! ServiceExport → Export record.

use strait_catalog::{ClusterId, ExportRecord, Key, Kind, Record, Value, Version};

use super::{Fact, is_true, parse, record, service_key};
use crate::api::{PLAIN_NAME_ANNOTATION, ServiceExport};
use crate::source::{SourceConfig, Unfit};

/// The record of a ServiceExport.
///
/// # Errors
/// [`Unfit`] when its name cannot stand in DNS.
pub fn project_export(cluster: &ClusterId, version: Version, export: &ServiceExport) -> Result<Option<Record>, Unfit> {
    Ok(record(Some(fact(cluster, export)?), version))
}

pub(in crate::source) fn read_export(config: &SourceConfig, json: &str) -> Result<Option<Fact>, Unfit> {
    fact(&config.cluster, &parse(json)?).map(Some)
}

fn fact(cluster: &ClusterId, export: &ServiceExport) -> Result<Fact, Unfit> {
    let key = Key::of_service(cluster, Kind::EXPORT, &service_key(&export.metadata)?);
    let value = ExportRecord {
        created_unix_s: export.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        labels: export.spec.exported_labels.clone(),
        annotations: export.spec.exported_annotations.clone(),
        plain_name: is_true(&export.metadata, PLAIN_NAME_ANNOTATION),
    };
    Ok((key, Value::Export(value)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn projected(object: Json) -> ExportRecord {
        let cluster = ClusterId::parse("us-west").unwrap();
        let object = serde_json::from_value(object).unwrap();
        let record = project_export(&cluster, Version::new(0, 3), &object).unwrap().unwrap();
        assert_eq!(record.key().to_string(), "Export us-west:ml/model");
        let Some(Value::Export(value)) = record.value() else { panic!("an Export record") };
        value.clone()
    }

    #[test]
    fn both_served_versions_read_alike() {
        for version in ["v1beta1", "v1alpha1"] {
            let value = projected(json!({
                "apiVersion": format!("multicluster.x-k8s.io/{version}"), "kind": "ServiceExport",
                "metadata": {"namespace": "ml", "name": "model", "creationTimestamp": "2026-01-02T03:04:05Z",
                    "annotations": {"strait.dev/plain-name": "true"}},
                "spec": {"exportedLabels": {"a": "b"}, "exportedAnnotations": {"c": "d"}},
                "status": {"conditions": [{"type": "Valid", "status": "True", "reason": "Valid", "message": "",
                    "lastTransitionTime": "2026-01-02T03:04:05Z"}]},
            }));
            assert_eq!(value.created_unix_s, 1_767_323_045);
            assert_eq!(value.labels.get("a").map(String::as_str), Some("b"));
            assert_eq!(value.annotations.get("c").map(String::as_str), Some("d"));
            assert!(value.plain_name);
        }
    }

    #[test]
    fn an_export_may_be_bare() {
        let value = projected(json!({"metadata": {"namespace": "ml", "name": "model",
            "annotations": {"strait.dev/plain-name": "yes"}}}));
        assert_eq!(value, ExportRecord::default(), "only \"true\" is true");
    }
}
