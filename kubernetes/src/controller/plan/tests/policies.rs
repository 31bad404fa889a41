//! What TrafficPolicies say of themselves.

use serde_json::{Value as Json, json};
use strait_catalog::{Key, Record, Value, Version};

use super::bench::*;
use super::*;
use crate::api::{TrafficPolicy, TrafficPolicyStatus};
use crate::controller::observed::ObjectKey;

fn at(name: &str) -> ObjectKey {
    ObjectKey { namespace: "ml".into(), name: name.into() }
}

/// A policy as its author wrote it; the own source reads it when `seen`.
fn write(bench: &mut Bench, name: &str, created: i64, spec: Json, seen: bool) {
    let mut policy: TrafficPolicy = serde_json::from_value(json!({"metadata": {"namespace": "ml", "name": name,
        "generation": created}, "spec": spec}))
    .unwrap();
    let time = jiff::Timestamp::from_second(created).unwrap();
    policy.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time));
    if seen {
        let service = policy.spec.target("ml").unwrap();
        let value = Value::Policy(policy.spec.record(created).unwrap());
        bench.source_reads(|version: Version| {
            Record::live(Key::of_policy(&id("us-west"), &service, name), version, value)
        });
    }
    bench.observed.policies.insert(at(name), policy);
}

fn status(bench: &Bench, name: &str) -> TrafficPolicyStatus {
    bench.observed.policies[&at(name)].status.clone().unwrap_or_default()
}

/// `Accepted` and `InForce`, by their reasons, a `-` before those that do not hold.
fn reasons(bench: &Bench, name: &str) -> [String; 2] {
    let status = status(bench, name);
    ["Accepted", "InForce"].map(|type_| {
        let found = status.conditions.iter().find(|c| c.type_ == type_).unwrap();
        assert_eq!(found.observed_generation, bench.observed.policies[&at(name)].metadata.generation);
        format!("{}{}", if found.status == "True" { "" } else { "-" }, found.reason)
    })
}

fn spec() -> Json {
    json!({"targetRef": {"name": "model"}, "mode": "Ordered", "clusters": [{"cluster": "us-east"}, {"cluster": "ap-south"}],
        "failback": {"ramp": "1m"}})
}

#[test]
fn a_policy_in_force_says_what_is_in_force() {
    let mut bench = Bench::new();
    bench.export("us-west", "ml/model", 1, &[("http", 80)]);
    bench.export("us-east", "ml/model", 2, &[("http", 80)]);
    write(&mut bench, "p", 5, spec(), false);
    bench.settle();
    assert_eq!(reasons(&bench, "p"), ["Accepted", "-Pending"], "the own source has not read it");
    write(&mut bench, "p", 5, spec(), true);
    bench.import_is_read("ml/model");
    bench.settle();
    assert_eq!(reasons(&bench, "p"), ["Accepted", "InForce"]);
    let told = status(&bench, "p").in_force.unwrap();
    assert_eq!(
        (told.clusters.len(), told.missing, told.settings),
        (2, vec!["ap-south".into()], vec!["ramp=1m".into()])
    );
    assert!(bench.pass().actions.is_empty(), "and says it once");
    let mut edited = spec();
    edited["failback"]["ramp"] = json!("2m");
    let before = bench.observed.policies[&at("p")].status.clone();
    write(&mut bench, "p", 5, edited, false);
    bench.observed.policies.get_mut(&at("p")).unwrap().status = before;
    bench.settle();
    assert_eq!(reasons(&bench, "p"), ["Accepted", "-Pending"], "what is in force is not what stands there");
    assert_eq!(status(&bench, "p").in_force, None);
}

#[test]
fn of_two_policies_for_one_service_the_older_counts_and_the_other_says_so() {
    let mut bench = Bench::new();
    bench.export("us-west", "ml/model", 1, &[("http", 80)]);
    bench.settle();
    bench.import_is_read("ml/model");
    write(&mut bench, "a", 9, spec(), true);
    write(&mut bench, "z", 5, spec(), true);
    bench.settle();
    assert_eq!(reasons(&bench, "z"), ["Accepted", "InForce"]);
    assert_eq!(reasons(&bench, "a"), ["-Conflicted", "-NotAccepted"]);
    assert!(status(&bench, "a").conditions[0].message.contains("TrafficPolicy ml/z"), "{:?}", status(&bench, "a"));
    bench.observed.policies.remove(&at("z"));
    bench.source_reads(|version| Record::tombstone(Key::of_policy(&id("us-west"), &key("ml/model"), "z"), version));
    bench.settle();
    assert_eq!(reasons(&bench, "a"), ["Accepted", "InForce"]);
}

#[test]
fn a_policy_without_its_service_or_with_a_fault_says_so() {
    let mut bench = Bench::new();
    write(&mut bench, "p", 5, spec(), true);
    write(&mut bench, "broken", 4, json!({"targetRef": {"name": "model"}, "timeouts": {"request": "soon"}}), false);
    bench.settle();
    assert_eq!(reasons(&bench, "p"), ["-TargetNotFound", "-NotAccepted"], "a broken one takes no other's place");
    assert_eq!(reasons(&bench, "broken"), ["-Invalid", "-NotAccepted"]);
    assert!(status(&bench, "broken").conditions[0].message.contains("timeouts.request"));
    bench.local_service("ml/model", |_| ());
    bench.settle();
    assert_eq!(reasons(&bench, "p"), ["Accepted", "-Pending"], "it is there, and goes through nobody's hands");
}
