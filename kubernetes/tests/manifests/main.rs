//! The manifests that a person applies: what they promise, and that the programs' names for things are theirs.
//!
//! The files are read as they stand. With a `kubectl` (`KUBEBUILDER_ASSETS`, `strait/bin` of the user's cache, or the path)
//! the overlays are built too; without one that test says SKIP, and fails where `CI` is set.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use strait_kubernetes::controller::naming;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn read(file: &str) -> Vec<Value> {
    documents(&std::fs::read_to_string(deploy().join(file)).unwrap())
}

fn find<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is = |v: &&Value| v["kind"] == kind && v["metadata"]["name"] == name;
    all.iter().find(is).unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn base() -> Vec<Value> {
    let files =
        ["namespace", "identity", "services", "agent", "controller", "agent-rbac", "controller-rbac", "coredns-rbac"];
    files.iter().flat_map(|f| read(&format!("base/{f}.yaml"))).collect()
}

fn pod<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    &find(all, kind, name)["spec"]["template"]["spec"]
}

#[test]
fn both_workloads_are_restricted_and_unprivileged() {
    let all = base();
    for (kind, name) in [("DaemonSet", naming::AGENT), ("Deployment", naming::CONTROLLER)] {
        let pod = pod(&all, kind, name);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["runAsUser"], 65532);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert!(pod["hostNetwork"].is_null() && pod["hostPID"].is_null());
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        assert!(container["ports"].as_array().unwrap().iter().all(|p| p["hostPort"].is_null()));
        for volume in pod["volumes"].as_array().unwrap_or(&Vec::new()) {
            assert!(volume["hostPath"].is_null(), "{name}: hostPath");
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert!(!container[probe].is_null(), "{name} has no {probe}");
        }
    }
}

#[test]
fn an_upgrade_of_the_agents_drops_nothing() {
    let all = base();
    let agent = find(&all, "DaemonSet", naming::AGENT);
    assert_eq!(agent["spec"]["updateStrategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
    let pod = pod(&all, "DaemonSet", naming::AGENT);
    assert_eq!(pod["dnsPolicy"], "Default", "its own names must not come through the DNS that it serves");
    // The drain delay (10 s) and the time for requests in flight (20 s) fit in.
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > 30);
    let identity = pod["volumes"].as_array().unwrap().iter().find(|v| v["name"] == "identity").unwrap();
    assert_eq!(identity["secret"]["optional"], true, "an agent runs before certificates exist");
}

#[test]
fn the_names_are_those_the_programs_use() {
    let all = base();
    for secret in [naming::CA_SECRET, strait_kubernetes::api::IDENTITY_SECRET] {
        assert!(find(&all, "Secret", secret)["data"].is_null());
    }
    find(&all, "ConfigMap", naming::CA_BUNDLE_CONFIG_MAP);
    let labels = &find(&all, "DaemonSet", naming::AGENT)["spec"]["template"]["metadata"]["labels"];
    for (key, value) in naming::AGENT_SELECTOR {
        assert_eq!(labels[key], value, "derived Services select the agents");
    }
    let gateway = find(&all, "Service", naming::GATEWAY_SERVICE);
    assert_eq!(gateway["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(gateway["spec"]["ports"][0]["port"], 15443);
    let dns = find(&all, "Service", naming::DNS_SERVICE);
    let protocols: Vec<_> = dns["spec"]["ports"].as_array().unwrap().iter().map(|p| p["protocol"].clone()).collect();
    assert_eq!(protocols, [json!("UDP"), json!("TCP")]);
    for object in all.iter().filter(|o| !o["kind"].as_str().unwrap().starts_with("Cluster") && o["kind"] != "Namespace")
    {
        let namespace = object["metadata"]["namespace"].as_str().unwrap();
        assert!(namespace == "strait-system" || object["metadata"]["name"] == "strait-controller-names", "{object}");
    }
}

fn rules<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a [Value] {
    find(all, kind, name)["rules"].as_array().unwrap()
}

fn has(list: &Value, any: &[&str]) -> bool {
    list.as_array().unwrap().iter().any(|v| any.contains(&v.as_str().unwrap()))
}

const WRITING: [&str; 7] = ["create", "update", "patch", "delete", "deletecollection", "bind", "*"];

#[test]
fn the_agent_can_write_nothing_and_read_no_secret() {
    let all = base();
    for kind in ["ClusterRole", "Role"] {
        for rule in rules(&all, kind, naming::AGENT) {
            assert!(!has(&rule["verbs"], &WRITING), "{rule}");
            assert!(!has(&rule["resources"], &["secrets", "*"]), "{rule}");
        }
    }
}

#[test]
fn the_controller_writes_its_own_and_one_object_beside_coredns() {
    let all = base();
    for rule in rules(&all, "ClusterRole", naming::CONTROLLER) {
        assert!(!has(&rule["resources"], &["secrets", "configmaps", "*"]), "{rule}");
        if has(&rule["verbs"], &WRITING) {
            let own = ["multicluster.x-k8s.io", "about.k8s.io", "strait.dev"];
            assert!(has(&rule["apiGroups"], &own), "{rule}");
        }
    }
    for rule in rules(&all, "Role", naming::CONTROLLER) {
        if has(&rule["resources"], &["secrets"]) {
            assert_eq!(rule["resourceNames"], json!(["strait-ca", "strait-identity"]));
            assert!(!has(&rule["verbs"], &["create", "list", "watch", "delete", "*"]), "{rule}");
        }
    }
    let names = rules(&all, "Role", "strait-controller-names");
    assert_eq!(names.len(), 1);
    assert_eq!(
        (&names[0]["resources"], &names[0]["resourceNames"]),
        (&json!(["configmaps"]), &json!([naming::NAMES_CONFIG_MAP]))
    );
    assert!(!has(&names[0]["verbs"], &["create", "delete", "*"]));
}

#[test]
fn each_cluster_says_who_it_is_and_nothing_else_differs() {
    let mut ids = std::collections::BTreeSet::new();
    for cluster in ["us-west", "us-east", "eu-west"] {
        let map = read(&format!("clusters/{cluster}/cluster.yaml")).remove(0);
        assert_eq!(map["metadata"]["name"], strait_kubernetes::api::CLUSTER_CONFIG_MAP);
        for key in ["id", "region", "podCIDRs", "trustDomain", "gatewayPort"] {
            assert!(map["data"][key].is_string(), "{cluster}: {key}");
        }
        assert_eq!(map["data"]["id"], cluster);
        ids.insert(map["data"]["id"].as_str().unwrap().to_owned());
        let overlay =
            |c: &str| std::fs::read_to_string(deploy().join(format!("clusters/{c}/kustomization.yaml"))).unwrap();
        assert_eq!(overlay(cluster).replace(cluster, "X"), overlay("us-west").replace("us-west", "X"));
    }
    assert_eq!(ids.len(), 3);
}

#[test]
fn upstreams_definitions_serve_both_versions_and_say_their_revision() {
    for plural in ["serviceexports", "serviceimports"] {
        let crd = read(&format!("mcs/multicluster.x-k8s.io_{plural}.yaml")).remove(0);
        assert_eq!(crd["metadata"]["labels"]["multicluster.x-k8s.io/release-version"], "v0.5.0");
        assert_eq!(crd["metadata"]["labels"]["multicluster.x-k8s.io/crd-schema-revision"], "0");
        versions(&crd);
    }
    versions(&read("mcs/about.k8s.io_clusterproperties.yaml").remove(0));
}

fn versions(crd: &Value) {
    let all: Vec<_> = crd["spec"]["versions"].as_array().unwrap().iter().collect();
    let said: Vec<_> = all.iter().map(|v| (v["name"].clone(), v["served"].clone(), v["storage"].clone())).collect();
    let expected = [(json!("v1alpha1"), json!(true), json!(false)), (json!("v1beta1"), json!(true), json!(true))];
    assert_eq!(said, expected);
}

#[test]
fn the_sample_asks_for_its_plain_name() {
    let all = read("samples/model-server.yaml");
    let export = find(&all, "ServiceExport", "model-server");
    assert_eq!(export["metadata"]["annotations"][strait_kubernetes::api::PLAIN_NAME_ANNOTATION], "true");
    let container = &pod(&all, "Deployment", "model-server")["containers"][0];
    assert_eq!(container["args"], json!(["-text=Model Server", "-listen=:5678"]));
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    let service = find(&all, "Service", "model-server");
    assert_eq!(service["spec"]["ports"][0]["port"], 80);
}

fn kubectl() -> Option<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(|dir| PathBuf::from(dir).join("kubectl"));
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let built = cache.map(|cache| cache.join("strait/bin/kubectl"));
    assets
        .into_iter()
        .chain(built)
        .chain([PathBuf::from("kubectl")])
        .find(|path| Command::new(path).args(["version", "--client"]).output().is_ok_and(|o| o.status.success()))
}

fn build(kubectl: &Path, overlay: &str) -> Vec<Value> {
    let out = Command::new(kubectl).arg("kustomize").arg(deploy().join(overlay)).output().unwrap();
    assert!(out.status.success(), "{overlay}: {}", String::from_utf8_lossy(&out.stderr));
    documents(&String::from_utf8(out.stdout).unwrap())
}

#[test]
fn the_overlays_build() {
    let Some(kubectl) = kubectl() else {
        let reason = "there is no kubectl in KUBEBUILDER_ASSETS, the cache or the path, so no overlay was built";
        assert!(!in_ci(), "{reason}");
        let _ = writeln!(std::io::stderr(), "SKIP: {reason}");
        return;
    };
    assert_eq!(build(&kubectl, "mcs").len(), 3);
    build(&kubectl, "base");
    for (cluster, replicas) in [("us-west", 20), ("us-east", 15), ("eu-west", 10)] {
        let all = build(&kubectl, &format!("clusters/{cluster}"));
        for (kind, name) in [("DaemonSet", naming::AGENT), ("Deployment", naming::CONTROLLER)] {
            assert_eq!(pod(&all, kind, name)["containers"][0]["image"], "strait:dev");
        }
        let gateway = find(&all, "Service", naming::GATEWAY_SERVICE);
        assert_eq!(
            (&gateway["spec"]["type"], &gateway["spec"]["ports"][0]["nodePort"]),
            (&json!("NodePort"), &json!(31443))
        );
        assert_eq!(gateway["spec"]["externalTrafficPolicy"], "Local");
        // A custom resource beside its definition would race with it.
        let kinds = ["ClusterPeer", "ServiceImport", "ServiceExport", "ClusterProperty"];
        assert!(all.iter().all(|o| !kinds.contains(&o["kind"].as_str().unwrap())));
        let names = find(&all, "Role", "strait-controller-names");
        assert_eq!(names["metadata"]["namespace"], "kube-system");
        let sample = build(&kubectl, &format!("sample-fleet/{cluster}"));
        assert_eq!(find(&sample, "Deployment", "model-server")["spec"]["replicas"], replicas);
    }
}

/// Whether this runs for a merge gate, where nothing may be left out.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|v| !v.is_empty() && v != "false" && v != "0")
}

#[test]
fn the_sample_policy_can_be_followed() {
    let [sample] = &read("samples/traffic-policy.yaml")[..] else { panic!("one object") };
    let policy: strait_kubernetes::api::TrafficPolicy = serde_json::from_value(sample.clone()).unwrap();
    assert_eq!(policy.spec.target("ml-production").unwrap().to_string(), "ml-production/model-server");
    policy.spec.record(0).unwrap();
    assert_eq!(serde_json::to_value(&policy.spec).unwrap(), sample["spec"], "every field of it is known");
}
