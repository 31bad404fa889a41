use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Export {
        cluster: usize,
        service: usize,
        created: i64,
        ports: Vec<u32>,
        plain: bool,
        headless: bool,
    },
    Unexport {
        cluster: usize,
        service: usize,
    },
    Wait(u64),
    Restart,
    LoseAgents(bool),
    /// Only some of a pass's writes arrive.
    Partly(usize),
}

const CLUSTERS: [&str; 3] = ["us-west", "us-east", "eu-west"];

fn step() -> impl Strategy<Value = Step> {
    let ports = proptest::collection::btree_set(80..84_u32, 1..3).prop_map(|p| p.into_iter().collect());
    prop_oneof![
        4 => (0..3_usize, 0..4_usize, 0..3_i64, ports, any::<bool>(), proptest::bool::weighted(0.1))
            .prop_map(|(cluster, service, created, ports, plain, headless)| Step::Export { cluster, service, created, ports, plain, headless }),
        3 => (0..3_usize, 0..4_usize).prop_map(|(cluster, service)| Step::Unexport { cluster, service }),
        3 => (1..120_u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(Step::LoseAgents),
        2 => (0..4_usize).prop_map(Step::Partly),
    ]
}

fn act(bench: &mut Bench, step: Step) {
    match step {
        Step::Export { cluster, service, created, ports, plain, headless } => {
            let ports: Vec<(String, u32)> = ports.into_iter().map(|p| (format!("p{p}"), p)).collect();
            let ports: Vec<(&str, u32)> = ports.iter().map(|(n, p)| (n.as_str(), *p)).collect();
            bench.export_with(CLUSTERS[cluster], &format!("ml/s{service}"), created, &ports, |s, e| {
                s.headless = headless;
                e.plain_name = plain;
            });
        }
        Step::Unexport { cluster, service } => bench.unexport(CLUSTERS[cluster], &format!("ml/s{service}")),
        Step::Wait(seconds) => bench.advance(seconds),
        Step::Restart => {
            bench.memory = Memory::default();
            bench.hear_all();
        }
        Step::LoseAgents(lost) => {
            for ready in bench.observed.ready.values_mut() {
                *ready = if lost { 0 } else { 2 };
            }
        }
        Step::Partly(arrive) => {
            let mut plan = bench.pass();
            plan.actions.truncate(arrive);
            bench.apply(plan);
        }
    }
}

/// What must hold at every moment, whatever arrived of the last writes.
fn invariants(bench: &Bench, before: &Observed) -> Result<(), TestCaseError> {
    let mut numbers = BTreeSet::new();
    for (name, derived) in &bench.observed.derived {
        for port in &derived.ports {
            prop_assert!(numbers.insert(port.listener), "listener {} leads to two services", port.listener);
            let same =
                |p: &&crate::controller::observed::DerivedPort| (p.port, p.protocol) == (port.port, port.protocol);
            if let Some(had) = before.derived.get(name).and_then(|d| d.ports.iter().find(same)) {
                prop_assert_eq!(had.listener, port.listener, "a listener moved while in use");
            }
        }
    }
    let text = bench.observed.names.as_ref().unwrap();
    for i in 0..4 {
        let service = key(&format!("ml/s{i}"));
        if names::contains(text, &service, "cluster.local") {
            let import = bench.observed.imports.get(&service);
            prop_assert!(
                import.is_some_and(|i| i.steering() == Steering::Steered),
                "{service} is steered without a mark"
            );
            prop_assert!(
                bench.observed.derived.contains_key(&derived_name(&service)),
                "{service} is steered into nothing"
            );
        }
    }
    for (service, import) in &bench.observed.imports {
        if !import.spec.ips.is_empty() {
            let derived = bench.observed.derived.get(&derived_name(service));
            prop_assert!(derived.is_some(), "{service} has an address that leads nowhere");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn order_holds_at_every_moment_and_it_always_comes_to_rest(steps in proptest::collection::vec(step(), 1..40)) {
        let mut bench = Bench::new();
        for step in steps {
            let before = bench.observed.clone();
            act(&mut bench, step);
            invariants(&bench, &before)?;
            // Write by write, as an API server sees it.
            for _ in 0..20 {
                let plan = bench.pass();
                if plan.actions.is_empty() {
                    break;
                }
                for action in plan.actions {
                    let before = bench.observed.clone();
                    bench.apply(Plan { actions: vec![action], ..Plan::default() });
                    invariants(&bench, &before)?;
                }
            }
            prop_assert_eq!(bench.pass().actions, vec![]);
        }
        // Everything taken back, and time enough: nothing is left.
        for cluster in 0..3 {
            for service in 0..4 {
                act(&mut bench, Step::Unexport { cluster, service });
            }
        }
        for _ in 0..4 {
            bench.settle();
            bench.advance(200);
        }
        bench.settle();
        prop_assert!(bench.observed.imports.is_empty() && bench.observed.derived.is_empty());
        prop_assert!(!bench.observed.names.as_ref().unwrap().contains("rewrite"));
    }
}
