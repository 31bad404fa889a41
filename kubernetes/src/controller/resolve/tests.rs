use proptest::prelude::*;

use super::*;

fn id(name: &str) -> ClusterId {
    ClusterId::parse(name).unwrap()
}

fn port(name: &str, protocol: Protocol, port: u32) -> ServicePort {
    ServicePort { name: name.into(), protocol: protocol as i32, port, app_protocol: String::new() }
}

struct Side(ClusterId, ExportRecord, ServiceRecord);

fn side(cluster: &str, created: i64, ports: Vec<ServicePort>) -> Side {
    let export = ExportRecord { created_unix_s: created, ..ExportRecord::default() };
    Side(id(cluster), export, ServiceRecord { ports, ..ServiceRecord::default() })
}

fn merge(sides: &[Side]) -> Resolved {
    let exporters: Vec<_> = sides.iter().map(|s| Exporter { cluster: &s.0, export: &s.1, service: &s.2 }).collect();
    resolve(&exporters).unwrap()
}

fn reasons(resolved: &Resolved) -> Vec<&'static str> {
    resolved.conflicts.iter().map(|c| c.reason).collect()
}

#[test]
fn nothing_exported_is_nothing() {
    assert_eq!(resolve(&[]), None);
}

#[test]
fn ports_are_united_and_any_difference_is_a_conflict() {
    let tcp = port("tcp", Protocol::Tcp, 42);
    let udp = port("udp", Protocol::Udp, 42);
    let sctp = port("stcp", Protocol::Sctp, 142);
    let merged = merge(&[side("a", 1, vec![tcp.clone(), udp.clone()]), side("b", 2, vec![tcp.clone(), sctp.clone()])]);
    assert_eq!(merged.ports, [tcp.clone(), udp.clone(), sctp]);
    assert_eq!(reasons(&merged), [reason::PORT_CONFLICT]);
    assert!(merged.conflicts[0].message.contains("of b differs from that of a"), "{}", merged.conflicts[0].message);
    let same = merge(&[side("a", 1, vec![tcp.clone(), udp.clone()]), side("b", 2, vec![udp, tcp])]);
    assert_eq!(reasons(&same), [""; 0], "order is not a difference");
}

#[test]
fn the_oldest_decides_a_port_of_the_same_name_or_number() {
    let old = port("http", Protocol::Tcp, 80);
    for newer in [port("http", Protocol::Tcp, 8080), port("web", Protocol::Tcp, 80)] {
        let merged = merge(&[side("a", 20, vec![newer]), side("b", 10, vec![old.clone()])]);
        assert_eq!(merged.ports, std::slice::from_ref(&old));
        assert_eq!(reasons(&merged), [reason::PORT_CONFLICT]);
    }
}

#[test]
fn an_unnamed_port_is_named_when_it_meets_another() {
    let merged =
        merge(&[side("a", 1, vec![port("", Protocol::Tcp, 80)]), side("b", 2, vec![port("x", Protocol::Tcp, 81)])]);
    let names: Vec<_> = merged.ports.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["tcp-80", "x"]);
}

#[test]
fn equal_ages_are_decided_by_cluster_id() {
    let mut a = side("a", 5, vec![]);
    let b = side("b", 5, vec![]);
    a.2.headless = true;
    assert!(merge(&[b, a]).headless);
}

#[test]
fn each_property_is_the_oldests_and_its_difference_has_its_reason() {
    let affinity = |s| Some(SessionAffinity { timeout_seconds: s });
    type Edit = fn(&mut Side);
    let cases: [(&str, Edit); 7] = [
        (reason::TYPE_CONFLICT, |s| s.2.headless = true),
        (reason::LABELS_CONFLICT, |s| s.1.labels = [("k".to_owned(), "v".to_owned())].into()),
        (reason::ANNOTATIONS_CONFLICT, |s| s.1.annotations = [("k".to_owned(), "v".to_owned())].into()),
        (reason::INTERNAL_TRAFFIC_POLICY_CONFLICT, |s| s.2.internal_traffic_policy = "Local".into()),
        (reason::TRAFFIC_DISTRIBUTION_CONFLICT, |s| s.2.traffic_distribution = "PreferClose".into()),
        (reason::SESSION_AFFINITY_CONFLICT, |s| {
            s.2.session_affinity = Some(SessionAffinity { timeout_seconds: 10 });
        }),
        (reason::IP_FAMILY_CONFLICT, |s| s.2.ip_families = vec!["IPv6".into()]),
    ];
    for (expected, edit) in cases {
        let mut old = side("a", 1, vec![]);
        let mut new = side("b", 2, vec![]);
        old.2.ip_families = vec!["IPv4".into()];
        new.2.ip_families = vec!["IPv4".into(), "IPv6".into()];
        edit(&mut new);
        let merged = merge(&[new, old]);
        assert_eq!(reasons(&merged), [expected]);
        assert!(!merged.headless && merged.labels.is_empty() && merged.internal_traffic_policy.is_empty());
    }
    let (mut old, mut new) = (side("a", 1, vec![]), side("b", 2, vec![]));
    (old.2.session_affinity, new.2.session_affinity) = (affinity(10), affinity(20));
    let merged = merge(&[new, old]);
    assert_eq!(reasons(&merged), [reason::SESSION_AFFINITY_CONFIG_CONFLICT]);
    assert_eq!(merged.session_affinity, affinity(10));
}

fn any_port() -> impl Strategy<Value = ServicePort> {
    ("[abc]?", 0..3_i32, 1..5_u32).prop_map(|(name, protocol, port)| ServicePort {
        name,
        protocol,
        port,
        app_protocol: String::new(),
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_never_matters(
        sides in proptest::collection::vec((0..4_i64, proptest::collection::vec(any_port(), 0..4), any::<bool>()), 1..5),
        turn in 0..5_usize,
    ) {
        let build = |order: &[usize]| {
            let all: Vec<_> = order.iter().map(|i| {
                let (created, ports, headless) = &sides[*i];
                let mut s = side(&format!("c{i}"), *created, ports.clone());
                s.2.headless = *headless;
                s
            }).collect();
            merge(&all)
        };
        let straight: Vec<usize> = (0..sides.len()).collect();
        let mut turned = straight.clone();
        turned.rotate_left(turn % sides.len());
        turned.reverse();
        prop_assert_eq!(build(&straight), build(&turned));
    }

    #[test]
    fn united_ports_have_unique_names_and_numbers(
        sides in proptest::collection::vec(proptest::collection::vec(any_port(), 0..5), 1..4),
    ) {
        let all: Vec<_> = sides.iter().enumerate().map(|(i, p)| side(&format!("c{i}"), 0, p.clone())).collect();
        let merged = merge(&all);
        let numbers: BTreeSet<_> = merged.ports.iter().map(|p| (p.protocol, p.port)).collect();
        prop_assert_eq!(numbers.len(), merged.ports.len());
        let names: BTreeSet<_> = merged.ports.iter().map(|p| &p.name).collect();
        prop_assert_eq!(names.len(), merged.ports.len());
    }
}
