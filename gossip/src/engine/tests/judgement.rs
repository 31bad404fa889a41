//! Ages, isolation, limits and sessions that end.

use super::*;
use crate::frame::{Hello, WireRecord};

fn age(bench: &mut Bench, at: usize, of: &str) -> Option<u64> {
    let now = bench.now;
    let report = bench.engines[at].report(now);
    report.peers.iter().find(|p| p.cluster == cluster(of)).unwrap().age_ms
}

#[test]
fn ages_grow_in_silence_and_travel_with_residence_added() {
    let mut bench = Bench::new([
        engine("east", "e", false, &["west"]),
        engine("west", "w1", false, &["east"]),
        engine("west", "w2", false, &["east"]),
    ]);
    for (i, name) in ["east", "west", "west"].into_iter().enumerate() {
        list(&mut bench.engines[i], 0, 10, &service_records(name, 10, 3));
    }
    bench.connect(1, 0);
    bench.connect(2, 1);
    bench.pass(5_000);
    assert!(age(&mut bench, 1, "east").unwrap() <= 1_200);
    assert!(age(&mut bench, 2, "east").unwrap() <= 2_400);
    // A source that falls silent makes its cluster old everywhere, though sessions stand.
    for seconds in 1..=15 {
        bench.engines[0].set_source_age(seconds * 1_000);
        bench.pass(1_000);
    }
    let (near, far) = (age(&mut bench, 1, "east").unwrap(), age(&mut bench, 2, "east").unwrap());
    assert!((14_000..18_000).contains(&near) && (14_000..19_000).contains(&far), "{near} {far}");
    bench.engines[0].set_source_age(0);
    bench.pass(3_000);
    assert!(age(&mut bench, 2, "east").unwrap() <= 2_400, "and young again");
    bench.disconnect(1, 0);
    bench.pass(20_000);
    let (near, far) = (age(&mut bench, 1, "east").unwrap(), age(&mut bench, 2, "east").unwrap());
    assert!(near >= 20_000 && far >= near, "{near} {far}");
}

#[test]
fn a_head_that_runs_ahead_of_the_records_makes_nothing_fresh() {
    let mut bench = pair();
    let before = age(&mut bench, 0, "east").unwrap();
    let head = crate::frame::Head {
        cluster: "east".into(),
        epoch: 0,
        revision: 5_000,
        hash: 1,
        count: 9,
        age_ms: Some(0),
        settled: false,
    };
    bench.now += 4_000;
    let heads = Heads { heads: vec![head], receipts: Vec::new() };
    bench.engines[0].frame(bench.now, SessionId(0), Body::Heads(heads).into());
    assert!(age(&mut bench, 0, "east").unwrap() >= before + 4_000);
    let report = bench.engines[0].report(bench.now);
    assert_eq!(report.peers[0].lag_revisions, 5_000 - 90);
}

#[test]
fn losing_most_peers_at_once_means_being_cut_off() {
    let names = ["p1", "p2", "p3", "p4", "p5"];
    let mut engines = vec![engine("own", "me", false, &names)];
    engines.extend(names.iter().map(|n| engine(n, "d", false, &["own"])));
    let mut bench = Bench::new(engines);
    list(&mut bench.engines[0], 0, 10, &[]);
    for i in 1..=5 {
        list(&mut bench.engines[i], 0, 10, &service_records(names[i - 1], 10, 1));
        bench.connect(0, i);
    }
    bench.pass(3_000);
    // Two of five: they are gone.
    bench.disconnect(0, 1);
    bench.disconnect(0, 2);
    bench.pass(20_000);
    assert!(!bench.engines[0].isolated());
    let weight = |bench: &Bench, name: &str| {
        bench.engines[0].catalog().snapshot().cluster(&cluster(name)).unwrap().freshness.weight(bench.now)
    };
    bench.engines[0].publish();
    assert!(weight(&bench, "p1") < 1.0 && weight(&bench, "p3") >= 1.0);
    // All others within half a minute: it is us.
    bench.pass(20_000);
    for i in 3..=5 {
        bench.disconnect(0, i);
    }
    bench.pass(15_000);
    assert!(bench.engines[0].isolated());
    assert!(weight(&bench, "p4") > 0.95, "frozen");
    assert!(weight(&bench, "p1") < 0.5, "and what was gone before does not come back by that");
    // Three come back.
    bench.wires.clear();
    for i in 1..=3 {
        bench.connect(0, i);
    }
    bench.pass(3_000);
    assert!(!bench.engines[0].isolated());
    assert!(weight(&bench, "p4") < 1.0);
}

#[test]
fn a_session_without_frames_is_closed() {
    let mut bench = pair();
    for _ in 0..6 {
        bench.now += 1_000;
        bench.engines[0].tick(bench.now);
    }
    assert_eq!(bench.engines[0].take_closed(), [(SessionId(0), CloseReason::Silent)]);
    bench.engines[0].frame(bench.now, SessionId(0), Body::Heads(Heads::default()).into());
    assert!(bench.engines[0].poll_send(bench.now, SessionId(0)).is_none(), "it is over");
}

fn hello(cluster: &str, daemon: &str, protocols: (u32, u32)) -> Frame {
    Body::Hello(Hello {
        protocol_min: protocols.0,
        protocol_max: protocols.1,
        features: 0,
        cluster: cluster.into(),
        daemon: daemon.into(),
        leaf: false,
    })
    .into()
}

#[test]
fn sessions_begin_with_one_fitting_hello() {
    type Case = (&'static str, Vec<Frame>, Option<fn(&CloseReason) -> bool>);
    let sessions: [Case; 7] = [
        ("east", vec![hello("east", "e", (1, 9))], None),
        ("east", vec![Body::Heads(Heads::default()).into()], Some(|r| *r == CloseReason::NoHello)),
        ("east", vec![hello("east", "e", (1, 1)), hello("east", "e", (1, 1))], Some(|r| *r == CloseReason::NoHello)),
        ("east", vec![hello("eu", "e", (1, 1))], Some(|r| matches!(r, CloseReason::WrongCluster { .. }))),
        ("east", vec![hello("east", "e", (2, 3))], Some(|r| matches!(r, CloseReason::Protocol { min: 2, max: 3 }))),
        ("west", vec![hello("west", "w", (1, 1))], Some(|r| *r == CloseReason::Myself)),
        ("eu", vec![], Some(|r| *r == CloseReason::NotAPeer)),
    ];
    for (n, (from, frames, expected)) in sessions.into_iter().enumerate() {
        let mut engine = engine("west", "w", false, &["east"]);
        let peer = PeerInfo { cluster: cluster(from), direction: Direction::Accepted };
        engine.session_up(0, SessionId(0), peer);
        for frame in frames {
            engine.frame(0, SessionId(0), frame);
        }
        match (engine.take_closed().as_slice(), expected) {
            ([], None) => {}
            ([(_, reason)], Some(fits)) => assert!(fits(reason), "case {n}: {reason}"),
            (closed, _) => panic!("case {n}: {closed:?}"),
        }
    }
}

#[test]
fn a_peer_that_is_removed_is_disconnected_and_forgotten() {
    let mut bench = pair();
    bench.engines[0].input(bench.now, Input::Peers(Vec::new()));
    assert_eq!(bench.engines[0].take_closed(), [(SessionId(0), CloseReason::NotAPeer)]);
    assert_eq!(bench.engines[0].catalog().live_count(&cluster("east")), 0);
    assert!(bench.engines[0].tallies_hold());
    // And is welcome again.
    bench.engines[0].input(bench.now, Input::Peers(vec![peer("east")]));
    bench.disconnect(0, 1);
    bench.wires.clear();
    bench.connect(0, 1);
    bench.pass(1_500);
    assert_eq!(bench.ready(0, "east"), Some(5));
}

fn raw(name: &str, bytes: usize) -> WireRecord {
    WireRecord { kind: 4, name: name.into(), epoch: 0, revision: 7, deleted: false, value: vec![0x0a; bytes].into() }
}

#[test]
fn limits_refuse_the_surplus_and_keep_the_rest() {
    let config = EngineConfig {
        daemon: DaemonId::new("w"),
        leaf: false,
        expected: KINDS.into(),
        imports_expected: false,
        seed: 1,
        limits: Limits { records: 3, record_bytes: 64, name_bytes: 16 },
    };
    let mut engine = Engine::new(config, Catalog::new(cluster("west")));
    engine.input(0, Input::Peers(vec![peer("east")]));
    engine.session_up(0, SessionId(0), PeerInfo { cluster: cluster("east"), direction: Direction::Accepted });
    engine.frame(0, SessionId(0), hello("east", "e", (1, 1)));
    let good = |name: &str| WireRecord { value: gateway("east", name, 7).wire().clone(), ..raw(name, 0) };
    let records = vec![
        good("n1"),
        raw("large", 65),
        raw("a name that is far too long", 1),
        raw("unreadable", 3),
        good("n2"),
        good("n3"),
        WireRecord { revision: 8, ..good("n1") },
    ];
    let push = Push { cluster: "east".into(), records };
    engine.frame(0, SessionId(0), Body::Push(push).into());
    let report = &engine.report(0).peers[0];
    assert_eq!(report.records, 3);
    assert_eq!(report.quarantined, 1);
    let refused: Vec<_> = report.counts.refused.iter().map(|(r, n)| (*r, *n)).collect();
    assert_eq!(refused, [("cap", 1), ("misnamed", 1), ("too-large", 1)]);
    assert_eq!(engine.catalog().highest(&cluster("east")), Version::new(0, 8), "what is held may still change");
    // A deletion makes room.
    let dead = WireRecord { deleted: true, revision: 9, value: Default::default(), ..good("n2") };
    let push = Push { cluster: "east".into(), records: vec![dead, good("n3")] };
    engine.frame(0, SessionId(0), Body::Push(push).into());
    assert_eq!(engine.report(0).peers[0].records, 3);
}

#[test]
fn an_api_server_that_forgot_shows_as_lag_of_its_own_cluster() {
    let mut bench = pair();
    // The daemon of east starts again over an API server restored from a backup, and nobody raised the epoch.
    let mut restored = engine("east", "e", false, &["west"]);
    list(&mut restored, bench.now, 60, &service_records("east", 60, 1));
    bench.engines[1] = restored;
    bench.wires.clear();
    bench.engines[0].session_down(SessionId(0));
    bench.connect(0, 1);
    bench.pass(5_000);
    assert_eq!(bench.ready(0, "east"), Some(5), "older versions never win");
    let report = bench.engines[1].report(bench.now);
    assert_eq!(report.own.lag_revisions, 30);
}
