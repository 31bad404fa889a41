//! What is sent to whom, and what heals.

use strait_catalog::Audience;

use super::*;
use crate::frame::{CHUNK, MAX_FRAME};

#[test]
fn two_clusters_become_equal_at_once_and_then_only_heads_pass() {
    let mut bench = pair();
    assert_eq!((bench.ready(0, "east"), bench.ready(1, "west")), (Some(5), Some(3)));
    let first_push = bench.passed.iter().find(|p| matches!(p.3.body, Some(Body::Push(_)))).unwrap().0;
    assert_eq!(first_push, 0, "an empty side pulls everything without waiting");
    bench.passed.clear();
    bench.pass(10_000);
    let heads_only = bench.passed.iter().all(|(.., f)| matches!(f.body, Some(Body::Heads(_))));
    assert!(heads_only && (18..=26).contains(&bench.passed.len()), "{}", bench.passed.len());
}

#[test]
fn changes_are_gathered_for_50_ms_and_a_service_that_empties_goes_at_once() {
    let mut bench = pair();
    bench.pass(1_000);
    bench.passed.clear();
    let began = bench.now;
    for i in 0..30_u32 {
        bench.engines[0].input(bench.now, Input::Records(vec![slice("west", "1", 20 + u64::from(i), 4 + i % 2)]));
    }
    bench.pass(200);
    let pushes: Vec<_> = bench.passed.iter().filter(|p| matches!(p.3.body, Some(Body::Push(_)))).collect();
    assert_eq!(pushes.len(), 1, "one frame for thirty changes");
    // A head that falls due takes the changes along early.
    assert!(pushes[0].0 <= began + COALESCE_MS);
    assert_eq!(bench.pushes()[0].2.records.len(), 1, "the newest version alone");
    bench.passed.clear();
    let began = bench.now;
    bench.engines[0].input(began, Input::Records(vec![slice("west", "1", 99, 0)]));
    assert!(bench.engines[0].urgent());
    bench.exchange();
    assert_eq!(bench.pushes().len(), 1, "within the same moment");
    assert!(bench.engines[1].urgent());
    assert_eq!(bench.ready(1, "west"), Some(0));
}

#[test]
fn nothing_is_relayed_between_clusters() {
    let mut bench = Bench::new([
        engine("west", "w", false, &["east", "eu"]),
        engine("east", "e", false, &["west", "eu"]),
        engine("eu", "u", false, &["west", "east"]),
    ]);
    for (i, name) in ["west", "east", "eu"].into_iter().enumerate() {
        list(&mut bench.engines[i], 0, 10, &service_records(name, 10, 3));
    }
    bench.connect(0, 1);
    bench.connect(1, 2);
    bench.pass(5_000);
    assert_eq!((bench.ready(1, "west"), bench.ready(1, "eu")), (Some(3), Some(3)));
    assert_eq!((bench.ready(0, "eu"), bench.ready(2, "west")), (None, None));
    for (from, _, push) in bench.pushes() {
        assert_eq!(push.cluster, bench.engines[from].catalog().local().as_str());
    }
    for engine in &mut bench.engines {
        let report = engine.report(5_000);
        assert!(report.peers.iter().all(|p| p.counts.refused_total() == 0));
    }
}

/// Three daemons and a leaf in one cluster, one daemon in the other, joined in a line.
fn chain() -> Bench {
    let mut bench = Bench::new([
        engine("east", "e", false, &["west"]),
        engine("west", "w1", false, &["east"]),
        engine("west", "w2", false, &["east"]),
        engine("west", "w3", false, &["east"]),
        engine("west", "controller", true, &["east"]),
    ]);
    list(&mut bench.engines[0], 0, 90, &service_records("east", 90, 5));
    for i in 1..4 {
        list(&mut bench.engines[i], 0, 10, &service_records("west", 10, 3));
    }
    for (a, b) in [(1, 0), (1, 2), (3, 2), (4, 2)] {
        bench.connect(a, b);
    }
    bench.pass(3_000);
    bench
}

#[test]
fn a_change_passes_through_siblings_without_an_echo() {
    let mut bench = chain();
    for i in 1..5 {
        assert_eq!(bench.ready(i, "east"), Some(5), "daemon {i}");
    }
    assert_eq!(bench.ready(4, "west"), Some(3), "the leaf hears of its own cluster from its daemons");
    bench.pass(2_000);
    bench.passed.clear();
    bench.engines[0].input(bench.now, Input::Records(vec![slice("east", "1", 95, 2)]));
    bench.pass(3_000);
    let pushes: Vec<_> = bench.pushes().iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(pushes, [(0, 1), (1, 2), (2, 3), (2, 4)], "each hop once");
    for i in 1..5 {
        assert_eq!(bench.ready(i, "east"), Some(2));
    }
}

#[test]
fn own_changes_are_not_pushed_to_siblings_that_watch_themselves() {
    let mut bench = chain();
    bench.pass(2_000);
    bench.passed.clear();
    for i in 1..4 {
        bench.engines[i].input(bench.now, Input::Records(vec![slice("west", "1", 11, 2)]));
    }
    bench.pass(2_000);
    let pushes: Vec<_> = bench.pushes().iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(pushes, [(1, 0), (2, 4)], "to the other cluster and to the leaf alone");
}

#[test]
fn a_sibling_whose_watch_hangs_catches_up_by_comparison() {
    let mut bench = chain();
    for i in 1..3 {
        let changes = vec![
            slice("west", "2", 11, 4),
            Record::tombstone(Key::of_slice(&cluster("west"), &service(), "1"), Version::new(0, 12)),
        ];
        bench.engines[i].input(bench.now, Input::Records(changes));
    }
    bench.pass(1_000);
    assert_eq!(bench.ready(3, "west"), Some(3), "it is given a moment");
    bench.pass(5_000);
    assert_eq!(bench.ready(3, "west"), Some(4));
}

#[test]
fn a_leaf_publishes_nothing_and_is_not_believed() {
    let mut bench = chain();
    bench.engines[4].input(bench.now, Input::Records(vec![slice("west", "1", 50, 9)]));
    bench.pass(6_000);
    assert_eq!(bench.ready(4, "west"), Some(9));
    assert_eq!(bench.ready(2, "west"), Some(3));
    let from_leaf = bench.passed.iter().filter(|p| p.1 == 4);
    for (.., frame) in from_leaf {
        assert!(!matches!(&frame.body, Some(Body::Push(_))));
        assert!(!matches!(&frame.body, Some(Body::Heads(h)) if !h.heads.is_empty()));
    }
    let forged = Push { cluster: "east".into(), records: Vec::new() };
    let id = SessionId(3 * 2 + 1);
    bench.engines[2].frame(bench.now, id, Body::Push(Push { records: vec![Default::default()], ..forged }).into());
    assert_eq!(bench.engines[2].report(bench.now).own.counts.refused["leaf"], 1);
}

#[test]
fn a_daemon_that_has_not_seen_everything_offers_nothing() {
    let mut bench = Bench::new([engine("west", "w", false, &["east"]), engine("east", "e", false, &["west"])]);
    list(&mut bench.engines[1], 0, 90, &[]);
    bench.connect(0, 1);
    let records = service_records("west", 10, 3);
    for kind in &KINDS[..3] {
        let records = records.iter().filter(|r| r.key().kind == *kind).cloned().collect();
        bench.engines[0].input(0, Input::Relist { kind: *kind, revision: 10, records });
    }
    bench.pass(3_000);
    assert_eq!(bench.ready(1, "west"), None);
    assert_eq!(bench.engines[1].catalog().live_count(&cluster("west")), 0);
    bench.engines[0].input(bench.now, Input::Relist { kind: KINDS[3], revision: 10, records: Vec::new() });
    bench.exchange();
    assert_eq!(bench.ready(1, "west"), Some(3), "as soon as the last list is in");
}

#[test]
fn a_flipped_bit_and_a_lost_record_heal() {
    let mut bench = pair();
    let key = Key::of_slice(&cluster("east"), &service(), "1");
    // Behind the engine's back: other bytes under the same version, a record that never was, and one that is lost.
    let mut damaged = bench.engines.remove(0).into_catalog();
    damaged.apply(slice("east", "1", 90, 99), Authority::Owner, 0);
    damaged.apply(slice("east", "ghost", 80, 7), Authority::Owner, 0);
    damaged.apply(
        Record::tombstone(Key::of_service(&cluster("east"), Kind::SERVICE, &service()), Version::new(0, 1)),
        Authority::Owner,
        0,
    );
    let config = bench.engines[0].config.clone();
    bench.engines.insert(0, Engine::new(EngineConfig { daemon: DaemonId::new("w"), ..config }, damaged));
    bench.wires.clear();
    bench.connect(0, 1);
    assert_eq!(bench.ready(0, "east"), Some(106));
    bench.pass(2_500);
    assert_eq!(bench.ready(0, "east"), Some(5));
    let held = bench.engines[0].catalog().get(&key).unwrap().clone();
    assert_eq!(Some(held), bench.engines[1].catalog().seen_by(&key, Audience::Remote));
}

#[test]
fn deletions_that_were_missed_are_told_even_when_the_tombstone_is_forgotten() {
    let mut bench = pair();
    bench.disconnect(0, 1);
    let key = Key::of_slice(&cluster("east"), &service(), "1");
    bench.engines[1].input(
        bench.now,
        Input::Records(vec![slice("east", "2", 95, 1), Record::tombstone(key.clone(), Version::new(0, 96))]),
    );
    // A day and a bit later nobody remembers the deletion.
    bench.now += 25 * 3600 * 1000;
    bench.pass(10_000);
    assert!(bench.engines[1].catalog().get(&key).is_none());
    bench.wires.clear();
    bench.connect(0, 1);
    bench.pass(2_500);
    assert_eq!(bench.ready(0, "east"), Some(1));
    assert!(bench.engines[0].catalog().get(&key).unwrap().is_tombstone());
}

#[test]
fn unknown_kinds_reach_the_siblings_byte_for_byte() {
    let mut bench = chain();
    let key = Key { cluster: cluster("east"), kind: Kind(77), name: "later".into() };
    let bytes = bytes::Bytes::from_static(b"\xff\x00 of another time");
    let (record, error) = Record::received(key.clone(), Version::new(0, 99), bytes.clone());
    assert!(error.is_none());
    bench.engines[0].input(bench.now, Input::Records(vec![record]));
    bench.pass(1_000);
    for i in 0..5 {
        assert_eq!(bench.engines[i].catalog().get(&key).unwrap().wire(), &bytes, "daemon {i}");
    }
}

#[test]
fn a_large_catalog_passes_in_chunks_and_heads_overtake_it() {
    let mut bench = Bench::new([engine("west", "w", false, &["east"]), engine("east", "e", false, &["west"])]);
    let many: Vec<Record> = (0..20_000).map(|i| gateway("west", &format!("node-{i:05}"), 10)).collect();
    list(&mut bench.engines[0], 0, 10, &many);
    list(&mut bench.engines[1], 0, 90, &[]);
    bench.connect(0, 1);
    // One frame each way and step: a slow link.
    let (mut sent, mut heads_between) = (0, 0);
    for step in 0..2_000 {
        bench.now = step * 100;
        bench.engines.iter_mut().for_each(|e| e.tick(step * 100));
        for (from, to, id) in [(0, 1, 0), (1, 0, 1)] {
            let Some(frame) = bench.engines[from].poll_send(bench.now, SessionId(id)) else { continue };
            assert!(prost::Message::encoded_len(&frame) < CHUNK + 4_096);
            let unsent = !bench.engines[0].links[&SessionId(0)].dirty.is_empty();
            match &frame.body {
                Some(Body::Push(_)) => sent += 1,
                Some(Body::Heads(h)) if from == 0 && unsent => {
                    assert!(!h.heads[0].settled);
                    heads_between += 1;
                }
                _ => {}
            }
            bench.engines[to].frame(bench.now, SessionId(1 - id), frame);
        }
    }
    assert!(sent >= 10 && heads_between >= 1, "{sent} chunks, {heads_between} heads between");
    assert_eq!(bench.engines[1].catalog().live_count(&cluster("west")), 20_000);
    assert_eq!(bench.engines[0].fingerprint(&cluster("west")), bench.engines[1].fingerprint(&cluster("west")));
}

#[test]
fn a_bucket_that_is_too_large_still_fits_into_a_frame() {
    let mut bench = pair();
    let dead = |i: u64| {
        let uid = format!("{i:0>1000}");
        Record::tombstone(Key::of_slice(&cluster("west"), &service(), &uid), Version::new(0, 20 + i))
    };
    bench.engines[0].input(bench.now, Input::Records((0..1_000).map(dead).collect()));
    bench.pass(3_000);
    bench.disconnect(0, 1);
    bench.engines[0].input(bench.now, Input::Records(vec![slice("west", "1", 5_000, 8)]));
    bench.wires.clear();
    bench.passed.clear();
    bench.connect(0, 1);
    bench.pass(3_000);
    assert_eq!(bench.ready(1, "west"), Some(8));
    let longest = bench.passed.iter().map(|p| prost::Message::encoded_len(&p.3)).max().unwrap();
    assert!((CHUNK..MAX_FRAME).contains(&longest), "{longest}");
}

/// Takes one frame from a session and delivers it; says whether there was one.
fn step(bench: &mut Bench, from: usize, to: usize, id: u64) -> bool {
    let Some(frame) = bench.engines[from].poll_send(bench.now, SessionId(id)) else { return false };
    bench.engines[to].frame(bench.now, SessionId(id ^ 1), frame);
    true
}

#[test]
fn before_the_first_comparison_a_changed_service_goes_whole() {
    let mut bench = pair();
    bench.disconnect(0, 1);
    bench.engines[1].input(bench.now, Input::Records(vec![slice("east", "2", 95, 2)]));
    bench.wires.clear();
    bench.connect(0, 1);
    assert!(step(&mut bench, 0, 1, 0) && step(&mut bench, 1, 0, 1), "both say hello");
    // Slice 2 took over from slice 1 and the other side knows nothing of it yet.
    bench.engines[1].input(bench.now, Input::Records(vec![slice("east", "1", 96, 0)]));
    assert!(step(&mut bench, 1, 0, 1));
    assert_eq!(bench.ready(0, "east"), Some(2), "never zero");
    // Once the sets were found equal, a change goes alone.
    bench.pass(4_000);
    bench.passed.clear();
    bench.engines[1].input(bench.now, Input::Records(vec![slice("east", "2", 97, 3)]));
    bench.pass(100);
    assert_eq!(bench.pushes().iter().map(|(_, _, p)| p.records.len()).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_repair_between_siblings_sends_the_service_as_it_is_by_then() {
    let mut bench = Bench::new([engine("west", "w1", false, &[]), engine("west", "w2", false, &[])]);
    for engine in &mut bench.engines {
        list(engine, 0, 10, &service_records("west", 10, 3));
    }
    bench.connect(0, 1);
    bench.pass(1_000);
    // The second daemon's watch hangs from here on.
    bench.engines[0].input(bench.now, Input::Records(vec![slice("west", "1", 11, 1)]));
    let mut late = 0;
    while bench.engines[0].links[&SessionId(0)].dirty.is_empty() {
        assert!(bench.now < 20_000, "the difference is found");
        bench.now += 10;
        bench.engines.iter_mut().for_each(|e| e.tick(bench.now));
        late += 1;
        step(&mut bench, 0, 1, 0);
        step(&mut bench, 1, 0, 1);
    }
    assert!(late > 100, "patience first");
    // What was found lacking has changed again before it is sent, together with more.
    bench.engines[0].input(bench.now, Input::Records(vec![slice("west", "2", 12, 4), slice("west", "1", 13, 0)]));
    while step(&mut bench, 0, 1, 0) {}
    assert_eq!(bench.ready(1, "west"), Some(4), "never zero");
}
