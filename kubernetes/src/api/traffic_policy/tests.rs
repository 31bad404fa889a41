use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::*;

fn schema() -> Value {
    let crd = serde_json::to_value(TrafficPolicy::crd()).unwrap();
    assert_eq!(
        (&crd["spec"]["scope"], &crd["spec"]["names"]["plural"]),
        (&json!("Namespaced"), &json!("trafficpolicies"))
    );
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["subresources"], json!({"status": {}}));
    let columns: Vec<_> =
        version["additionalPrinterColumns"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(columns, ["Service", "Mode", "Accepted", "InForce", "Age"]);
    version["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn the_schema_has_ranges_modes_and_defaults() {
    let schema = schema();
    let spec = &schema["properties"]["spec"];
    assert_eq!(spec["required"], json!(["targetRef"]));
    let mode = &spec["properties"]["mode"];
    assert_eq!(
        (&mode["default"], &mode["enum"]),
        (&json!("LocalFirst"), &json!(["LocalFirst", "Ordered", "Nearest", "Spread"]))
    );
    let target = &spec["properties"]["targetRef"]["properties"];
    assert_eq!((&target["kind"]["default"], &target["group"]["default"]), (&json!("Service"), &json!("")));
    let at =
        |path: &str| schema.pointer(&format!("/properties/spec/properties/{path}")).unwrap_or(&Value::Null).clone();
    assert_eq!(at("spill/properties/overprovisioningPercent/minimum"), json!(100.0));
    assert_eq!(at("clusters/maxItems"), json!(16));
    assert_eq!(at("failback/properties/ramp/pattern"), json!(duration::PATTERN));
    assert!(at("timeouts/x-kubernetes-validations/0/rule").is_string());
    assert_eq!(schema["x-kubernetes-validations"].as_array().unwrap().len(), 5);
}

#[test]
fn a_policy_reads_and_writes_alike_and_every_setting_arrives() {
    let text = json!({
        "apiVersion": "strait.dev/v1alpha1", "kind": "TrafficPolicy", "metadata": {"namespace": "ml", "name": "p"},
        "spec": {
            "targetRef": {"group": "", "kind": "Service", "name": "model"}, "mode": "Spread",
            "clusters": [{"cluster": "us-east", "weight": 3}, {"cluster": "us-west"}],
            "spill": {"overprovisioningPercent": 120, "panicThresholdPercent": 30},
            "failback": {"ramp": "1m", "rampMax": "5m", "hold": "10s"},
            "timeouts": {"request": "5s", "attempt": "500ms"},
            "retries": {"attempts": 2, "budgetPercent": 10},
            "outlier": {"consecutiveErrors": 3, "minSuccessPercent": 60, "baseEjection": "2s", "maxEjection": "30s"},
        },
    });
    let policy: TrafficPolicy = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), text);
    assert_eq!(policy.spec.target("ml").unwrap().to_string(), "ml/model");
    let record = policy.spec.record(7).unwrap();
    let cluster = |name: &str, weight| PolicyCluster { cluster: name.into(), weight };
    let want = PolicyRecord {
        created_unix_s: 7,
        mode: Mode::Spread.into(),
        clusters: vec![cluster("us-east", Some(3)), cluster("us-west", None)],
        overprovision_percent: Some(120),
        panic_percent: Some(30),
        ramp_ms: Some(60_000),
        ramp_max_ms: Some(300_000),
        hold_ms: Some(10_000),
        request_ms: Some(5_000),
        attempt_ms: Some(500),
        attempts: Some(2),
        budget_percent: Some(10),
        consecutive_errors: Some(3),
        min_success_percent: Some(60),
        base_ejection_ms: Some(2_000),
        max_ejection_ms: Some(30_000),
    };
    assert_eq!(record, want);
    let told = PolicyInForce::of(&record);
    assert_eq!((told.mode, told.clusters.len(), told.settings.len()), (PolicyMode::Spread, 2, 13));
    assert_eq!(told.settings[..3], ["overprovisioning=120%", "panicThreshold=30%", "ramp=1m"]);
}

#[test]
fn what_a_schema_would_refuse_is_refused_here_too() {
    for (spec, field) in [
        (json!({"targetRef": {"kind": "Deployment", "name": "x"}}), "targetRef"),
        (json!({"targetRef": {"name": "Not.A.Service"}}), "targetRef.name"),
        (json!({"targetRef": {"name": "x"}, "failback": {"ramp": "soon"}}), "failback.ramp"),
        (json!({"targetRef": {"name": "x"}, "mode": "Ordered"}), "clusters"),
        (json!({"targetRef": {"name": "x"}, "retries": {"attempts": 0}}), "retries.attempts"),
    ] {
        let spec: TrafficPolicySpec = serde_json::from_value(spec).unwrap();
        let fault = spec.target("ml").map(drop).and_then(|()| spec.record(0).map(drop)).unwrap_err();
        assert_eq!(fault.field, field);
    }
}
