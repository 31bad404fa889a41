use super::*;

mod bench;
mod exports;
mod plain_names;
mod policies;
mod properties;

use bench::Bench;

use crate::api::{IMPORT_READY, LISTENERS_ANNOTATION, ServiceImportType, import_reason};
use crate::controller::naming::MANAGED_BY;
use crate::controller::observed::Steering;

fn key(text: &str) -> ServiceKey {
    ServiceKey::parse(text).unwrap()
}

#[test]
fn nothing_is_written_before_the_first_sync() {
    let mut bench = Bench::new();
    bench.export("us-east", "ml/model", 10, &[("http", 80)]);
    let mut unsynced = (*bench.snapshot).clone();
    unsynced.synced = false;
    bench.snapshot = std::sync::Arc::new(unsynced);
    assert_eq!(bench.pass().actions, []);
}

#[test]
fn an_export_elsewhere_becomes_an_import_with_an_address_and_listeners() {
    let mut bench = Bench::new();
    bench.export("us-east", "ml/model", 10, &[("http", 80), ("grpc", 9000)]);
    let first = bench.pass();
    let verbs: Vec<_> = first.actions.iter().map(Action::verb).collect();
    assert_eq!(verbs, ["apply_derived_service", "apply_import"], "listeners and Service first");
    bench.apply(first);
    bench.settle();
    let import = &bench.observed.imports[&key("ml/model")];
    let derived = &bench.observed.derived[&derived_name(&key("ml/model"))];
    assert_eq!(import.spec.ips, [derived.addresses[0].to_string()]);
    assert_eq!(import.spec.ip_families, ["IPv4"]);
    let listeners: BTreeMap<_, _> = import.listeners().into_iter().collect();
    let targets: BTreeMap<_, _> = derived.ports.iter().map(|p| ((p.port, p.protocol), p.listener)).collect();
    assert_eq!(listeners, targets);
    assert_eq!(listeners.len(), 2);
    let status = import.status.as_ref().unwrap();
    assert_eq!(status.clusters[0].cluster, "us-east");
    assert_eq!((status.conditions[0].type_.as_str(), status.conditions[0].status.as_str()), (IMPORT_READY, "True"));
    assert_eq!(bench.pass().actions, [], "a second pass has nothing to do");
}

#[test]
fn a_namespace_that_does_not_exist_gets_its_import_when_it_appears() {
    let mut bench = Bench::new();
    bench.observed.namespaces.remove("ml");
    bench.export("us-east", "ml/model", 10, &[("http", 80)]);
    bench.settle();
    assert!(bench.observed.imports.is_empty() && bench.observed.derived.is_empty());
    bench.observed.namespaces.insert("ml".into());
    bench.settle();
    assert!(bench.observed.imports.contains_key(&key("ml/model")));
    // And it goes with the namespace, the derived Service too.
    bench.observed.namespaces.remove("ml");
    bench.observed.imports.clear();
    bench.settle();
    assert!(bench.observed.derived.is_empty());
}

#[test]
fn the_last_unexport_removes_the_import_first_and_then_its_service() {
    let mut bench = Bench::new();
    bench.export("us-east", "ml/model", 10, &[("http", 80)]);
    bench.export("us-west", "ml/model", 20, &[("http", 80)]);
    bench.settle();
    bench.unexport("us-east", "ml/model");
    bench.settle();
    let import = &bench.observed.imports[&key("ml/model")];
    assert_eq!(import.status.as_ref().unwrap().clusters.len(), 1, "one exporter is left");
    bench.unexport("us-west", "ml/model");
    let first = bench.pass();
    assert_eq!(first.actions.iter().map(Action::verb).collect::<Vec<_>>(), ["delete_import"]);
    bench.apply(first);
    let second = bench.pass();
    assert_eq!(second.actions.iter().map(Action::verb).collect::<Vec<_>>(), ["delete_derived_service"]);
    bench.apply(second);
    assert_eq!(bench.pass().actions, []);
    assert_eq!(bench.memory.pool.in_use(), 0);
    assert_eq!(bench.memory.pool.resting(), 1);
}

#[test]
fn a_headless_service_has_no_address_and_no_listener() {
    let mut bench = Bench::new();
    bench.export_with("us-east", "ml/model", 10, &[("http", 80)], |s, _| s.headless = true);
    bench.settle();
    let import = &bench.observed.imports[&key("ml/model")];
    assert_eq!(import.spec.type_, ServiceImportType::Headless);
    assert!(import.spec.ips.is_empty() && import.listeners().is_empty() && bench.observed.derived.is_empty());
    assert_eq!(import.status.as_ref().unwrap().conditions[0].status, "True");
}

#[test]
fn a_new_controller_takes_over_what_stands() {
    let mut bench = Bench::new();
    for i in 0..20 {
        bench.export("us-east", &format!("ml/model-{i}"), 10, &[("http", 80)]);
    }
    bench.settle();
    let before = bench.observed.clone();
    bench.memory = Memory::default();
    bench.hear_all();
    assert_eq!(bench.pass().actions, []);
    // The derived Services alone are enough to keep the numbers.
    for import in bench.observed.imports.values_mut() {
        import.metadata.annotations = None;
    }
    bench.memory = Memory::default();
    bench.hear_all();
    bench.settle();
    for (service, import) in &bench.observed.imports {
        assert_eq!(import.listeners(), before.imports[service].listeners());
    }
}

#[test]
fn silence_of_a_cluster_not_heard_yet_takes_nothing_away() {
    let mut bench = Bench::new();
    bench.export("us-east", "ml/model", 10, &[("http", 80), ("admin", 81)]);
    bench.export("us-west", "ml/model", 20, &[("http", 80)]);
    bench.settle();
    // A restart: only the own cluster is known, us-east is a peer that was not heard.
    bench.memory = Memory::default();
    bench.forget("us-east");
    bench.settle();
    let import = &bench.observed.imports[&key("ml/model")];
    assert_eq!(import.spec.ports.len(), 2, "ports that only us-east has stay");
    assert_eq!(import.status.as_ref().unwrap().clusters.len(), 2);
    bench.unexport("us-west", "ml/model");
    bench.settle();
    assert!(bench.observed.imports.contains_key(&key("ml/model")), "held for us-east");
    // Heard, and it turns out not to export it any more: believed after a moment.
    bench.hear("us-east");
    assert_eq!(bench.pass().actions, []);
    bench.advance(5);
    bench.settle();
    assert!(bench.observed.imports.is_empty());
}

/// The list of peers may come after the own cluster's objects.
#[test]
fn a_controller_that_does_not_know_its_peers_yet_deletes_nothing() {
    let mut bench = Bench::new();
    bench.export("us-east", "ml/model", 10, &[("http", 80)]);
    bench.settle();
    bench.memory = Memory::default();
    let peers = bench.forget_peer("us-east");
    let plan = bench.pass();
    assert_eq!((plan.actions, plan.waiting), (vec![], true));
    bench.advance(1);
    bench.know_peers(peers);
    bench.settle();
    assert!(bench.observed.imports.contains_key(&key("ml/model")), "a peer now, and not heard");
    // A cluster that is no peer any more when the first seconds are over has left.
    bench.forget_peer("us-east");
    bench.advance(8);
    bench.settle();
    assert!(bench.observed.imports.contains_key(&key("ml/model")));
    bench.advance(2);
    bench.settle();
    assert!(bench.observed.imports.is_empty());
}

#[test]
fn losing_most_imports_at_once_has_to_last() {
    let mut bench = Bench::new();
    for i in 0..10 {
        bench.export("us-east", &format!("ml/model-{i}"), 10, &[("http", 80)]);
    }
    bench.settle();
    for i in 0..9 {
        bench.unexport("us-east", &format!("ml/model-{i}"));
    }
    let plan = bench.pass();
    assert!(plan.actions.iter().all(|a| !matches!(a, Action::DeleteImport(..))), "{:?}", plan.actions);
    assert_eq!(plan.troubles.len(), 1);
    bench.apply(plan);
    bench.advance(29);
    bench.settle();
    assert_eq!(bench.observed.imports.len(), 10);
    bench.advance(2);
    bench.settle();
    assert_eq!(bench.observed.imports.len(), 1);
}

#[test]
fn what_others_made_is_left_alone_and_told() {
    let mut bench = Bench::new();
    bench.export("us-west", "ml/model", 10, &[("http", 80)]);
    let mut foreign = crate::api::ServiceImport::new("ml", "model", crate::api::ServiceImportSpec::default());
    foreign.metadata.uid = Some("u".into());
    bench.observed.imports.insert(key("ml/model"), foreign.clone());
    bench.settle();
    assert_eq!(bench.observed.imports[&key("ml/model")], foreign);
    assert!(bench.observed.derived.is_empty());
    let (_, status, reason) = bench.export_condition("ml/model", "Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "Failed"));
    bench.unexport("us-west", "ml/model");
    bench.settle();
    assert_eq!(bench.observed.imports.len(), 1);
}

#[test]
fn exported_labels_arrive_and_leave_but_cannot_steer_strait() {
    let mut bench = Bench::new();
    let labels = |s: &mut strait_catalog::ExportRecord, pairs: &[(&str, &str)]| {
        s.labels = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    };
    bench.export_with("us-east", "ml/model", 10, &[("http", 80)], |_, e| {
        labels(e, &[("team", "ml"), (MANAGED_BY.0, "me")]);
        e.annotations =
            [(LISTENERS_ANNOTATION.to_owned(), "{}".to_owned()), ("note".to_owned(), "x".to_owned())].into();
    });
    bench.settle();
    let meta = bench.observed.imports[&key("ml/model")].metadata.clone();
    let held = meta.labels.unwrap();
    assert_eq!((held["team"].as_str(), held[MANAGED_BY.0].as_str()), ("ml", "strait"));
    assert_eq!(meta.annotations.as_ref().unwrap()["note"], "x");
    assert_ne!(meta.annotations.unwrap()[LISTENERS_ANNOTATION], "{}");
    bench.export_with("us-east", "ml/model", 10, &[("http", 80)], |_, e| labels(e, &[]));
    bench.settle();
    assert!(!bench.observed.imports[&key("ml/model")].metadata.labels.as_ref().unwrap().contains_key("team"));
}

#[test]
fn exhaustion_is_a_condition_and_takes_nothing_from_others() {
    let mut bench = Bench::new();
    bench.memory.pool = PortPool::new(20_000..=20_001, Duration::from_secs(600));
    bench.export("us-east", "ml/a", 10, &[("http", 80)]);
    bench.settle();
    let before = bench.observed.imports[&key("ml/a")].listeners();
    bench.export("us-east", "ml/b", 10, &[("http", 80), ("grpc", 81)]);
    bench.settle();
    assert_eq!(bench.observed.imports[&key("ml/a")].listeners(), before);
    let status = bench.observed.imports[&key("ml/b")].status.as_ref().unwrap();
    assert_eq!(
        (status.conditions[0].status.as_str(), status.conditions[0].reason.as_str()),
        ("False", "ListenersExhausted")
    );
    assert_eq!(bench.observed.derived[&derived_name(&key("ml/b"))].ports.len(), 1);
}

#[test]
fn drift_is_corrected_and_additions_of_others_are_not() {
    let mut bench = Bench::new();
    bench.export("us-east", "ml/model", 10, &[("http", 80)]);
    bench.settle();
    let import = bench.observed.imports.get_mut(&key("ml/model")).unwrap();
    import.metadata.annotations.as_mut().unwrap().insert("argocd".into(), "x".into());
    assert_eq!(bench.pass().actions, []);
    let import = bench.observed.imports.get_mut(&key("ml/model")).unwrap();
    import.spec.ports[0].port = 81;
    assert_eq!(bench.pass().actions.iter().map(Action::verb).collect::<Vec<_>>(), ["apply_import"]);
    bench.settle();
    bench.observed.derived.values_mut().next().unwrap().distribution = String::new();
    assert_eq!(bench.pass().actions.iter().map(Action::verb).collect::<Vec<_>>(), ["apply_derived_service"]);
}

#[test]
fn ports_that_no_proxy_carries_are_imported_and_said() {
    let mut bench = Bench::new();
    bench.export_with("us-east", "ml/model", 10, &[("http", 80), ("dns", 53)], |s, _| s.ports[1].protocol = 1);
    bench.settle();
    let import = &bench.observed.imports[&key("ml/model")];
    assert_eq!(import.spec.ports.len(), 2);
    let ready = &import.status.as_ref().unwrap().conditions[0];
    assert_eq!(ready.reason, import_reason::READY);
    assert!(ready.message.contains("53/UDP"), "{}", ready.message);
}

#[test]
fn the_mark_of_steering_is_read_back_as_written() {
    for mark in [Steering::Steered, Steering::Until(1_700_000_000)] {
        let mut import = crate::api::ServiceImport::new("a", "b", crate::api::ServiceImportSpec::default());
        let value = mark.annotation().unwrap();
        import.metadata.annotations = Some([(crate::controller::naming::STEERED_ANNOTATION.to_owned(), value)].into());
        assert_eq!(import.steering(), mark);
    }
}
