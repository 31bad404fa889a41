//! The manifests under `deploy/` against each other and against the binary they start.
#![allow(missing_docs, clippy::unwrap_used)]

mod manifests;

use std::collections::BTreeSet;
use std::process::Command;

use manifests::{Document, all, at, root, strings};
use serde_json::Value;

fn strait(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_strait")).args(arguments).output().unwrap();
    assert!(out.status.success(), "strait {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn named<'a>(documents: &'a [Document], kind: &str, name: &str) -> &'a Document {
    let found = documents.iter().find(|d| d.kind() == kind && d.name() == name);
    found.unwrap_or_else(|| panic!("deploy/ has no {kind} {name}"))
}

#[test]
fn every_resource_of_a_kustomization_exists() {
    let mut seen = 0;
    for document in all().iter().filter(|d| matches!(d.kind(), "Kustomization" | "Component")) {
        let folder = document.file.parent().unwrap();
        for list in ["/resources", "/components"] {
            for name in strings(at(&document.value, list)) {
                assert!(folder.join(name).exists(), "{}: {name} does not exist", document.file.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 10);
}

#[test]
fn the_crds_are_what_the_binary_prints() {
    let file = std::fs::read_to_string(root().join("deploy/base/crds.yaml")).unwrap();
    let (applied, printed) = (manifests::parse(&file).unwrap(), manifests::parse(&strait(&["crds"])).unwrap());
    assert!(!printed.is_empty());
    assert_eq!(applied, printed, "deploy/base/crds.yaml must be the output of `strait crds`");
}

#[test]
fn every_variable_a_manifest_sets_is_one_the_binary_reads() {
    let documents = all();
    for (kind, name, subcommand) in
        [("DaemonSet", "strait-agent", "agent"), ("Deployment", "strait-controller", "controller")]
    {
        let help = strait(&[subcommand, "--help"]);
        let object = named(&documents, kind, name);
        let environment = at(&object.value, "/spec/template/spec/containers/0/env").as_array().unwrap();
        for variable in environment.iter().filter_map(|e| e["name"].as_str()).filter(|n| n.starts_with("STRAIT_")) {
            assert!(
                help.contains(&format!("[env: {variable}=")),
                "{name} sets {variable}, which `strait {subcommand}` does not know"
            );
        }
    }
}

#[test]
fn every_configmap_key_a_manifest_needs_is_given_for_every_cluster() {
    let documents = all();
    let mut wanted = BTreeSet::new();
    for document in &documents {
        manifests::visit(&document.value, &mut |value| {
            let reference = &value["configMapKeyRef"];
            if reference["name"] == "strait-cluster" && reference["optional"] != true {
                wanted.insert(reference["key"].as_str().unwrap().to_owned());
            }
        });
    }
    assert!(wanted.contains("id"), "{wanted:?}");
    let given: Vec<_> = documents.iter().filter(|d| d.kind() == "ConfigMap" && d.name() == "strait-cluster").collect();
    assert_eq!(given.len(), 3);
    for document in given {
        for key in &wanted {
            assert!(document.value["data"][key].is_string(), "{}: no {key}", document.file.display());
        }
    }
}

#[test]
fn the_agent_can_write_nothing_and_read_no_secret() {
    let reading = ["get", "list", "watch"];
    for role in all().iter().filter(|d| matches!(d.kind(), "Role" | "ClusterRole") && d.name() == "strait-agent") {
        for rule in at(&role.value, "/rules").as_array().unwrap() {
            assert!(strings(&rule["verbs"]).iter().all(|v| reading.contains(v)), "{}: {rule}", role.file.display());
            assert!(!strings(&rule["resources"]).contains(&"secrets"), "{}: {rule}", role.file.display());
        }
    }
}

#[test]
fn no_role_has_a_wildcard_and_secrets_are_named() {
    for role in all().iter().filter(|d| matches!(d.kind(), "Role" | "ClusterRole")) {
        for rule in at(&role.value, "/rules").as_array().into_iter().flatten() {
            for list in ["apiGroups", "resources", "verbs"] {
                assert!(!strings(&rule[list]).contains(&"*"), "{}: {rule}", role.file.display());
            }
            if strings(&rule["resources"]).contains(&"secrets") {
                assert!(!strings(&rule["resourceNames"]).is_empty(), "{}: every secret: {rule}", role.file.display());
            }
        }
    }
}

#[test]
fn an_upgrade_starts_the_new_agent_before_the_old_one_leaves() {
    let documents = all();
    let agent = named(&documents, "DaemonSet", "strait-agent");
    let update = at(&agent.value, "/spec/updateStrategy/rollingUpdate");
    assert_eq!((&update["maxSurge"], &update["maxUnavailable"]), (&Value::from(1), &Value::from(0)));
    let pod = at(&agent.value, "/spec/template/spec");
    assert_ne!(pod["hostNetwork"], true, "two agents of a node could not listen at the same time");
    let ports = at(pod, "/containers/0/ports").as_array().unwrap();
    assert!(ports.iter().all(|p| p["hostPort"].is_null()), "nor with a host port");
}

#[test]
fn no_service_drops_packets_while_the_local_agent_is_down() {
    for document in all().iter().filter(|d| d.kind() == "Service") {
        assert_ne!(document.value["spec"]["internalTrafficPolicy"], "Local", "{}", document.file.display());
    }
}

#[test]
fn the_ports_are_those_the_binary_listens_on() {
    let documents = all();
    let agent = named(&documents, "DaemonSet", "strait-agent");
    let help = strait(&["agent", "--help"]);
    for port in at(&agent.value, "/spec/template/spec/containers/0/ports").as_array().unwrap() {
        let number = port["containerPort"].as_u64().unwrap();
        assert!(
            help.contains(&format!(":{number}]")),
            "{} is {number}, which is no default of `strait agent`",
            port["name"]
        );
    }
}

#[test]
fn the_multi_cluster_api_is_served_in_both_versions_and_stored_in_the_newer() {
    let documents = all();
    for name in ["serviceexports.multicluster.x-k8s.io", "serviceimports.multicluster.x-k8s.io"] {
        let crd = named(&documents, "CustomResourceDefinition", name);
        let versions = at(&crd.value, "/spec/versions").as_array().unwrap();
        let served: BTreeSet<_> =
            versions.iter().filter(|v| v["served"] == true).filter_map(|v| v["name"].as_str()).collect();
        let stored: Vec<_> =
            versions.iter().filter(|v| v["storage"] == true).filter_map(|v| v["name"].as_str()).collect();
        assert!(served.contains("v1alpha1") && served.contains("v1beta1"), "{name}: {served:?}");
        assert_eq!(stored, ["v1beta1"], "{name}");
    }
}
