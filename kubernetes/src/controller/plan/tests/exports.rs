use super::*;

fn said(bench: &Bench, type_: &str) -> (String, String) {
    let (_, status, reason) = bench.export_condition("ml/model", type_);
    (status, reason)
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.into(), reason.into())
}

#[test]
fn a_good_export_is_valid_ready_and_without_conflict() {
    let mut bench = Bench::new();
    bench.export("us-west", "ml/model", 10, &[("http", 80)]);
    bench.settle();
    assert_eq!(said(&bench, "Valid"), pair("True", "Valid"));
    assert_eq!(said(&bench, "Ready"), pair("True", "Exported"));
    assert_eq!(said(&bench, "Conflict"), pair("False", "NoConflicts"));
}

#[test]
fn an_export_without_a_service_is_not_valid_and_makes_no_import() {
    let mut bench = Bench::new();
    bench.export("us-west", "ml/model", 10, &[("http", 80)]);
    bench.delete_service("us-west", "ml/model");
    bench.settle();
    assert_eq!(said(&bench, "Valid"), pair("False", "NoService"));
    assert_eq!(said(&bench, "Ready").0, "False");
    assert!(bench.observed.imports.is_empty());
}

#[test]
fn an_external_name_cannot_be_exported() {
    let mut bench = Bench::new();
    bench.export_with("us-west", "ml/model", 10, &[], |s, _| s.external_name = true);
    bench.settle();
    assert_eq!(said(&bench, "Valid"), pair("False", "InvalidServiceType"));
    assert!(bench.observed.imports.is_empty());
}

#[test]
fn a_conflict_stands_on_the_winners_export_too_and_goes_with_its_cause() {
    for (own, other) in [(10, 20), (20, 10)] {
        let mut bench = Bench::new();
        bench.export("us-west", "ml/model", own, &[("http", 80)]);
        bench.export("us-east", "ml/model", other, &[("http", 8080)]);
        bench.settle();
        assert_eq!(said(&bench, "Conflict"), pair("True", "PortConflict"));
        let port = bench.observed.imports[&key("ml/model")].spec.ports[0].port;
        assert_eq!(port, if own < other { 80 } else { 8080 }, "the oldest wins");
        bench.unexport("us-east", "ml/model");
        bench.settle();
        assert_eq!(said(&bench, "Conflict"), pair("False", "NoConflicts"));
    }
}

#[test]
fn several_conflicts_are_joined_by_commas() {
    let mut bench = Bench::new();
    bench.export("us-west", "ml/model", 10, &[("http", 80)]);
    bench.export_with("us-east", "ml/model", 20, &[("http", 81)], |s, _| s.headless = true);
    bench.settle();
    assert_eq!(said(&bench, "Conflict"), pair("True", "PortConflict,TypeConflict"));
}
