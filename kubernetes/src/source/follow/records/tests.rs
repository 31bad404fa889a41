//! A model of an API server, two siblings with watches of their own pace, and what must hold between them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use strait_catalog::{Audience, Authority, Catalog, ClusterId, Value};

use super::*;
use crate::source::project;

const KINDS: [Kind; 3] = [Kind::SERVICE, Kind::EXPORT, Kind::SLICE];

fn cluster() -> ClusterId {
    ClusterId::parse("us-west").unwrap()
}

fn follower(kind: Kind) -> Records {
    let config = SourceConfig {
        cluster: cluster(),
        epoch: 0,
        gateway_port: None,
        bind: "0.0.0.0".parse().unwrap(),
        server: "https://127.0.0.1".into(),
    };
    let read: Read = match kind {
        Kind::SERVICE => project::read_service,
        Kind::EXPORT => project::read_export,
        _ => project::read_slice,
    };
    Records::new(kind, config, read)
}

fn name(number: u8) -> ObjectName {
    ObjectName { namespace: "ml".into(), name: format!("s{number}").as_str().into() }
}

/// The JSON of an object: `shape` decides which service a slice belongs to and whether it is of use at all.
fn json(kind: Kind, number: u8, shape: u8, born: u64) -> String {
    let labels = match (kind, shape % 4) {
        (Kind::SLICE, 0) => r#"{"kubernetes.io/service-name":"s0"}"#.to_owned(),
        (Kind::SLICE, 1) => "{}".to_owned(),
        (Kind::SLICE, _) => format!(r#"{{"kubernetes.io/service-name":"s{number}"}}"#),
        _ => "{}".to_owned(),
    };
    let meta = format!(r#""metadata":{{"namespace":"ml","name":"s{number}","uid":"u{born}","labels":{labels}}}"#);
    match kind {
        Kind::SERVICE => format!(r#"{{{meta},"spec":{{"ports":[{{"port":{}}}]}}}}"#, 80 + u16::from(shape)),
        Kind::EXPORT => format!(r#"{{{meta},"spec":{{"exportedLabels":{{"shape":"{shape}"}}}}}}"#),
        _ => format!(r#"{{{meta},"addressType":"IPv4","endpoints":[{{"addresses":["10.11.0.{shape}"]}}]}}"#),
    }
}

#[derive(Clone)]
struct Object {
    revision: u64,
    born: u64,
    json: String,
}

/// An API server: what lives, and every event there was.
#[derive(Default)]
struct Server {
    revision: u64,
    live: BTreeMap<(Kind, ObjectName), Object>,
    log: Vec<(u64, Kind, ObjectName, Option<String>)>,
}

impl Server {
    fn put(&mut self, kind: Kind, number: u8, shape: u8) {
        self.revision += 1;
        let at = (kind, name(number));
        let born = self.live.get(&at).map_or(self.revision, |object| object.born);
        let json = json(kind, number, shape, born);
        self.log.push((self.revision, kind, name(number), Some(json.clone())));
        self.live.insert(at, Object { revision: self.revision, born, json });
    }

    fn delete(&mut self, kind: Kind, number: u8) {
        if self.live.remove(&(kind, name(number))).is_some() {
            self.revision += 1;
            self.log.push((self.revision, kind, name(number), None));
        }
    }
}

/// One daemon: its watches, how far each has come, and its catalog.
struct Sibling {
    catalog: Catalog,
    watches: BTreeMap<Kind, (Records, Option<u64>)>,
}

impl Sibling {
    fn new() -> Self {
        let watches = KINDS.into_iter().map(|kind| (kind, (follower(kind), None))).collect();
        Self { catalog: Catalog::new(cluster()), watches }
    }

    fn take(catalog: &mut Catalog, inputs: Vec<Input>) {
        for input in inputs {
            match input {
                Input::Epoch(epoch) => catalog.set_epoch(epoch),
                Input::Records(records) => drop(catalog.observe(records, 0)),
                Input::Relist { kind, revision, records } => drop(catalog.relist(kind, revision, records, 0)),
                other => panic!("records only, not {other:?}"),
            }
        }
    }

    fn relist(&mut self, server: &Server, kind: Kind) {
        let (follow, at) = self.watches.get_mut(&kind).unwrap();
        let seen = server.live.iter().filter(|((k, _), _)| *k == kind).map(|((_, name), object)| Sighting {
            name: name.clone(),
            revision: object.revision,
            fact: follow.read(&object.json).unwrap(),
        });
        let seen = seen.collect();
        let inputs = follow.listed(Version::new(0, server.revision), seen);
        *at = Some(server.revision);
        Self::take(&mut self.catalog, inputs);
        if self.watches.values().all(|(_, at)| at.is_some()) {
            self.catalog.mark_synced();
        }
    }

    /// Follows the log for at most `steps` events, all told as one batch.
    fn watch(&mut self, server: &Server, kind: Kind, steps: usize) {
        let (follow, at) = self.watches.get_mut(&kind).unwrap();
        let Some(from) = *at else { return self.relist(server, kind) };
        let events = server.log.iter().filter(|(revision, k, ..)| *k == kind && *revision > from).take(steps);
        let mut changes = Vec::new();
        for (revision, _, name, json) in events {
            *at = Some(*revision);
            changes.push(match json {
                Some(json) => {
                    let fact = follow.read(json).unwrap();
                    Change::Set(Sighting { name: name.clone(), revision: *revision, fact })
                }
                None => Change::Gone(name.clone(), *revision),
            });
        }
        let inputs = follow.changed(0, changes);
        Self::take(&mut self.catalog, inputs);
    }

    fn live(&self) -> BTreeSet<String> {
        let shown = |r: Record| format!("{} @{} {:?}", r.key(), r.version(), r.wire());
        self.catalog.view(&cluster(), Audience::Sibling).map(shown).collect()
    }
}

/// What a repair session between the two does: each tells what it holds, and learns what is newer, or gone.
fn repair(siblings: &mut [Sibling; 2]) {
    let [first, second] = siblings;
    for (from, to) in [(0, 1), (1, 0)] {
        let (from, to) = if from < to { (&mut *first, &mut *second) } else { (&mut *second, &mut *first) };
        let held: Vec<_> = from.catalog.view(&cluster(), Audience::Sibling).collect();
        for record in held {
            let answer = match to.catalog.get(record.key()) {
                Some(known) if known.version() >= record.version() => Some(known.clone()),
                Some(_) => None,
                None => to.catalog.absence(record.key(), record.version()),
            };
            match answer {
                Some(newer) => from.catalog.apply(newer, Authority::Sibling, 0),
                None => to.catalog.apply(record, Authority::Sibling, 0),
            };
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8, u8),
    Delete(u8, u8),
    Watch(bool, u8, usize),
    Relist(bool, u8),
    Repair,
}

fn step() -> impl Strategy<Value = Step> {
    let (kind, number) = (0..3_u8, 0..4_u8);
    prop_oneof![
        6 => (kind.clone(), number.clone(), 0..6_u8).prop_map(|(k, n, shape)| Step::Put(k, n, shape)),
        3 => (kind.clone(), number).prop_map(|(k, n)| Step::Delete(k, n)),
        4 => (any::<bool>(), kind.clone(), 1..5_usize).prop_map(|(who, k, steps)| Step::Watch(who, k, steps)),
        1 => (any::<bool>(), kind).prop_map(|(who, k)| Step::Relist(who, k)),
        1 => Just(Step::Repair),
    ]
}

fn drive(steps: &[Step]) -> (Server, [Sibling; 2]) {
    let mut server = Server::default();
    let mut siblings = [Sibling::new(), Sibling::new()];
    let kind = |index: u8| KINDS[usize::from(index)];
    for step in steps {
        match *step {
            Step::Put(k, number, shape) => server.put(kind(k), number, shape),
            Step::Delete(k, number) => server.delete(kind(k), number),
            Step::Watch(who, k, count) => siblings[usize::from(who)].watch(&server, kind(k), count),
            Step::Relist(who, k) => siblings[usize::from(who)].relist(&server, kind(k)),
            Step::Repair => repair(&mut siblings),
        }
    }
    for sibling in &mut siblings {
        KINDS.into_iter().for_each(|kind| {
            sibling.watch(&server, kind, usize::MAX);
            sibling.watch(&server, kind, usize::MAX);
        });
    }
    (server, siblings)
}

/// What a daemon should hold of a server.
fn expected(server: &Server) -> BTreeSet<String> {
    let read = |((kind, _), object): (&(Kind, ObjectName), &Object)| {
        let (key, value) = follower(*kind).read(&object.json).unwrap()?;
        let record = Record::live(key, Version::new(0, object.revision), value);
        Some(format!("{} @{} {:?}", record.key(), record.version(), record.wire()))
    };
    server.live.iter().filter_map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// However two siblings' watches lag, break and relist: once both have caught up they hold the same records at
    /// the same versions, and exactly those that the server holds. Where they told each other things meanwhile, one
    /// may have learnt of an object it never saw itself, and a last repair tells it of the object's end.
    #[test]
    fn siblings_end_equal(steps in prop::collection::vec(step(), 0..80)) {
        let (server, mut siblings) = drive(&steps);
        if steps.iter().any(|step| matches!(step, Step::Repair)) {
            repair(&mut siblings);
        }
        let expected = expected(&server);
        prop_assert_eq!(siblings[0].live(), expected.clone());
        prop_assert_eq!(siblings[1].live(), expected);
    }

    /// Export, unexport and export again around slices that never change: what other clusters may see is there,
    /// gone, and there again, whichever sibling they ask.
    #[test]
    fn an_unchanged_slice_returns_with_its_export(toggles in 1..12_u8, lags in prop::collection::vec(0..3_usize, 24)) {
        let mut server = Server::default();
        let mut siblings = [Sibling::new(), Sibling::new()];
        server.put(Kind::SERVICE, 1, 0);
        server.put(Kind::SLICE, 1, 2);
        for toggle in 0..toggles {
            if toggle % 2 == 0 { server.put(Kind::EXPORT, 1, 0) } else { server.delete(Kind::EXPORT, 1) }
            for (who, sibling) in siblings.iter_mut().enumerate() {
                let lag = lags[usize::from(toggle) * 2 + who];
                KINDS.into_iter().for_each(|kind| sibling.watch(&server, kind, lag));
            }
        }
        for sibling in &mut siblings {
            KINDS.into_iter().for_each(|kind| sibling.watch(&server, kind, usize::MAX));
            KINDS.into_iter().for_each(|kind| sibling.watch(&server, kind, usize::MAX));
            let remote: Vec<_> = sibling.catalog.view(&cluster(), Audience::Remote).map(|r| r.key().kind).collect();
            let expected = if toggles % 2 == 1 { KINDS.to_vec() } else { Vec::new() };
            let mut sorted = remote;
            sorted.sort_unstable();
            let mut wanted = expected;
            wanted.sort_unstable();
            prop_assert_eq!(sorted, wanted);
        }
    }
}

fn sighting(follow: &Records, number: u8, shape: u8, revision: u64) -> Sighting<Fact> {
    Sighting { name: name(number), revision, fact: follow.read(&json(follow.kind, number, shape, 1)).unwrap() }
}

#[test]
fn a_slice_that_changes_its_service_leaves_a_tombstone() {
    let mut follow = follower(Kind::SLICE);
    let first = sighting(&follow, 3, 2, 5);
    follow.listed(Version::new(0, 6), vec![first]);
    let moved = sighting(&follow, 3, 0, 7);
    let told = follow.changed(0, vec![Change::Set(moved)]);
    let [Input::Records(records)] = &told[..] else { panic!("{told:?}") };
    let shown: Vec<_> =
        records.iter().map(|r| (r.key().name.to_string(), r.is_tombstone(), r.version().revision)).collect();
    assert_eq!(shown, [("ml/s3/u1".to_owned(), true, 7), ("ml/s0/u1".to_owned(), false, 7)]);
    // And to none at all.
    let unlabelled = sighting(&follow, 3, 1, 8);
    let told = follow.changed(0, vec![Change::Set(unlabelled)]);
    let [Input::Records(records)] = &told[..] else { panic!("{told:?}") };
    assert!(records.len() == 1 && records[0].is_tombstone() && records[0].version().revision == 8);
    assert_eq!(follow.known().count(), 0);
}

#[test]
fn deletions_are_dated_with_the_event_and_unknown_ones_are_silent() {
    let mut follow = follower(Kind::SERVICE);
    let first = sighting(&follow, 1, 0, 5);
    follow.listed(Version::new(0, 6), vec![first]);
    let told = follow.changed(0, vec![Change::Gone(name(1), 9), Change::Gone(name(2), 9)]);
    let [Input::Records(records)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((records.len(), records[0].version(), records[0].is_tombstone()), (1, Version::new(0, 9), true));
}

/// After a restore, an object that the backup does not have is gone, although it was known at a higher revision.
#[test]
fn a_new_epoch_buries_what_a_restore_lost() {
    let mut catalog = Catalog::new(cluster());
    let mut follow = follower(Kind::SERVICE);
    let (kept, lost) = (sighting(&follow, 1, 0, 40), sighting(&follow, 2, 0, 41));
    Sibling::take(&mut catalog, follow.listed(Version::new(0, 50), vec![kept, lost]));
    assert_eq!(catalog.live_count(&cluster()), 2);
    let restored = sighting(&follow, 1, 3, 10);
    Sibling::take(&mut catalog, follow.listed(Version::new(1, 12), vec![restored]));
    assert_eq!(catalog.live_count(&cluster()), 1);
    let kept = catalog.view(&cluster(), Audience::Sibling).next().unwrap();
    assert_eq!(kept.version(), Version::new(1, 10));
    let Some(Value::Service(service)) = kept.value() else { panic!("a Service") };
    assert_eq!(service.ports[0].port, 83, "the restored content counts");
}
