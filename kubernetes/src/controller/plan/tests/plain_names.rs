use super::*;

const MODEL: &str = "ml/model";

fn steered(bench: &Bench) -> bool {
    names::contains(bench.observed.names.as_ref().unwrap(), &key(MODEL), "cluster.local")
}

fn plain(bench: &mut Bench, cluster: &str, created: i64) {
    bench.export_with(cluster, MODEL, created, &[("http", 80)], |_, e| e.plain_name = true);
}

fn condition(bench: &Bench) -> (String, String) {
    let (_, status, reason) = bench.export_condition(MODEL, steer::PLAIN_NAME);
    (status, reason)
}

/// Until its name is steered.
fn up() -> Bench {
    let mut bench = Bench::new();
    plain(&mut bench, "us-west", 10);
    bench.settle();
    bench.advance(3);
    bench.settle();
    assert!(steered(&bench));
    bench
}

#[test]
fn a_name_waits_for_ready_agents_and_is_marked_before_it_is_written() {
    let mut bench = Bench::new();
    bench.agents = 0;
    plain(&mut bench, "us-west", 10);
    bench.settle();
    bench.advance(60);
    bench.settle();
    assert!(!steered(&bench), "no agent is ready");
    assert_eq!(condition(&bench), ("False".into(), "Pending".into()));
    bench.observed.ready.insert(derived_name(&key(MODEL)), 2);
    bench.settle();
    assert!(!steered(&bench), "agents may still be binding");
    bench.advance(3);
    let first = bench.pass();
    assert!(first.actions.iter().all(|a| !matches!(a, Action::WriteNames(_))), "the mark comes first");
    bench.apply(first);
    assert_eq!(bench.observed.imports[&key(MODEL)].steering(), Steering::Steered);
    bench.settle();
    assert!(steered(&bench));
    assert_eq!(condition(&bench), ("True".into(), "Steered".into()));
    let text = bench.observed.names.clone().unwrap();
    assert!(text.contains(&format!(
        "model.ml.svc.cluster.local {}.strait-system.svc.cluster.local",
        derived_name(&key(MODEL))
    )));
}

#[test]
fn on_unexport_the_name_goes_first_and_everything_else_lingers() {
    let mut bench = up();
    let listeners = bench.observed.imports[&key(MODEL)].listeners();
    bench.unexport("us-west", MODEL);
    let first = bench.pass();
    assert_eq!(first.actions[0].verb(), "write_names");
    bench.apply(first);
    assert!(!steered(&bench));
    bench.settle();
    let import = &bench.observed.imports[&key(MODEL)];
    assert!(import.lingering());
    assert_eq!(import.listeners(), listeners);
    assert!(!import.spec.ips.is_empty());
    let end = bench.now.unix_s + 180;
    assert_eq!(import.steering(), Steering::Until(end));
    bench.advance(179);
    bench.settle();
    assert_eq!((bench.observed.imports.len(), bench.observed.derived.len()), (1, 1));
    bench.advance(1);
    bench.settle();
    assert_eq!((bench.observed.imports.len(), bench.observed.derived.len()), (0, 0));
}

#[test]
fn a_lingering_import_survives_a_new_controller_and_ends_on_time() {
    let mut bench = up();
    bench.unexport("us-west", MODEL);
    bench.settle();
    bench.advance(100);
    bench.memory = Memory::default();
    bench.hear_all();
    bench.settle();
    assert!(bench.observed.imports[&key(MODEL)].lingering());
    bench.advance(80);
    bench.settle();
    assert!(bench.observed.imports.is_empty());
}

#[test]
fn a_service_exported_again_while_it_lingers_is_as_before() {
    let mut bench = up();
    let before = bench.observed.imports[&key(MODEL)].clone();
    bench.unexport("us-west", MODEL);
    bench.settle();
    bench.advance(30);
    plain(&mut bench, "us-west", 40);
    bench.settle();
    let after = &bench.observed.imports[&key(MODEL)];
    assert!(!after.lingering());
    assert_eq!((after.listeners(), &after.spec.ips), (before.listeners(), &before.spec.ips));
    assert!(steered(&bench), "agents never left");
}

#[test]
fn an_import_deleted_by_hand_comes_back_and_its_name_never_goes() {
    for forgotten in [false, true] {
        let mut bench = up();
        let before = bench.observed.imports.remove(&key(MODEL)).unwrap();
        if forgotten {
            // The controller died as well.
            bench.memory = Memory::default();
            bench.hear_all();
        }
        for _ in 0..8 {
            let pass = bench.pass();
            assert!(pass.actions.iter().all(|a| !matches!(a, Action::WriteNames(_))), "{:?}", pass.actions);
            bench.apply(pass);
            bench.advance(1);
        }
        let after = &bench.observed.imports[&key(MODEL)];
        assert_eq!((after.listeners(), &after.spec.ips), (before.listeners(), &before.spec.ips));
        assert_eq!(after.steering(), Steering::Steered);
    }
}

#[test]
fn without_a_plain_name_nothing_lingers() {
    let mut bench = Bench::new();
    bench.export("us-west", MODEL, 10, &[("http", 80)]);
    bench.settle();
    bench.unexport("us-west", MODEL);
    bench.settle();
    assert!(bench.observed.imports.is_empty());
}

#[test]
fn taking_the_wish_back_unsteers_and_a_later_unexport_still_lingers() {
    let mut bench = up();
    bench.export("us-west", MODEL, 10, &[("http", 80)]);
    bench.settle();
    assert!(!steered(&bench));
    bench.advance(60);
    bench.unexport("us-west", MODEL);
    bench.settle();
    assert!(bench.observed.imports[&key(MODEL)].lingering());
    bench.advance(120);
    bench.settle();
    assert!(bench.observed.imports.is_empty());
}

#[test]
fn the_oldest_export_decides() {
    for (own, other, wish) in [(10, 20, true), (20, 10, false)] {
        let mut bench = Bench::new();
        plain(&mut bench, "us-west", own);
        bench.export("us-east", MODEL, other, &[("http", 80)]);
        bench.settle();
        bench.advance(10);
        bench.settle();
        assert_eq!(steered(&bench), wish);
        let reason = if wish { "Steered" } else { "OlderExportDecides" };
        assert_eq!(condition(&bench).1, reason);
    }
}

#[test]
fn names_that_would_lose_something_are_refused() {
    type Edit = fn(&mut strait_catalog::ServiceRecord);
    let cases: [(&str, Edit); 2] =
        [("HeadlessService", |s| s.headless = true), ("PortNotTcp", |s| s.ports[0].protocol = 1)];
    for (reason, edit) in cases {
        let mut bench = Bench::new();
        bench.export_with("us-west", MODEL, 10, &[("http", 80)], |s, e| {
            e.plain_name = true;
            edit(s);
        });
        bench.settle();
        bench.advance(10);
        bench.settle();
        assert!(!steered(&bench), "{reason}");
        assert_eq!(condition(&bench), ("False".into(), reason.into()));
    }
}

#[test]
fn a_local_service_with_more_ports_than_are_exported_keeps_its_name() {
    let mut bench = Bench::new();
    plain(&mut bench, "us-east", 10);
    let port = |number| strait_catalog::ServicePort { port: number, ..strait_catalog::ServicePort::default() };
    bench.local_service(MODEL, |s| s.ports = vec![port(80), port(9100)]);
    bench.settle();
    bench.advance(10);
    bench.settle();
    assert!(!steered(&bench));
    bench.local_service(MODEL, |s| s.ports = vec![port(80)]);
    bench.settle();
    assert!(steered(&bench));
    bench.local_service(MODEL, |s| s.headless = true);
    bench.settle();
    assert!(!steered(&bench));
}

#[test]
fn reserved_namespaces_are_never_steered() {
    for namespace in ["kube-system", "strait-system"] {
        let mut bench = Bench::new();
        let service = format!("{namespace}/model");
        bench.export_with("us-east", &service, 10, &[("http", 80)], |_, e| e.plain_name = true);
        bench.settle();
        bench.advance(10);
        bench.settle();
        assert!(!bench.observed.names.as_ref().unwrap().contains("rewrite"), "{namespace}");
    }
}

#[test]
fn without_the_config_map_nothing_is_written_and_the_export_says_so() {
    let mut bench = Bench::new();
    bench.observed.names = None;
    plain(&mut bench, "us-west", 10);
    bench.settle();
    bench.advance(10);
    bench.settle();
    assert_eq!(bench.observed.names, None);
    assert_eq!(condition(&bench), ("False".into(), "NotInstalled".into()));
    bench.observed.names = Some(String::new());
    bench.settle();
    assert!(steered(&bench));
}

#[test]
fn a_name_goes_back_to_the_local_service_when_no_agent_has_been_ready_for_long() {
    let mut bench = up();
    bench.observed.ready.insert(derived_name(&key(MODEL)), 0);
    bench.settle();
    bench.advance(29);
    bench.settle();
    assert!(steered(&bench), "a roll of the agents is no reason");
    bench.advance(1);
    bench.settle();
    assert!(!steered(&bench));
    bench.observed.ready.insert(derived_name(&key(MODEL)), 1);
    bench.settle();
    assert!(!steered(&bench));
    bench.advance(3);
    bench.settle();
    assert!(steered(&bench));
}
