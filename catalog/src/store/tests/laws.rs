//! Merging, projection, relists and absence.

use super::*;

fn merged<'a>(records: impl IntoIterator<Item = &'a Record>) -> Catalog {
    let mut catalog = Catalog::new(own());
    for record in records {
        catalog.apply(record.clone(), Authority::Sibling, 0);
    }
    catalog
}

proptest! {
    #[test]
    fn merging_is_idempotent_commutative_and_associative(
        records in proptest::collection::vec(any_record(&["own", "x"]), 0..30),
        order in any::<u64>(),
    ) {
        let once = contents(&merged(&records));
        let mut shuffled: Vec<&Record> = records.iter().collect();
        // A deterministic shuffle: sorted by a hash that depends on the drawn number.
        shuffled.sort_by_key(|r| r.digest().rotate_left((order % 64) as u32) ^ order);
        prop_assert_eq!(&contents(&merged(shuffled.clone())), &once, "in another order");
        prop_assert_eq!(&contents(&merged(shuffled.iter().chain(&shuffled).copied())), &once, "twice");
        // Two halves merged apart and then together.
        let half = records.len() / 2;
        let (left, right) = (contents(&merged(&records[..half])), contents(&merged(&records[half..])));
        prop_assert_eq!(&contents(&merged(right.iter().chain(&left))), &once, "in groups");
    }

    #[test]
    fn versions_never_fall(records in proptest::collection::vec(any_record(&["x"]), 0..30)) {
        let mut catalog = Catalog::new(own());
        for record in records {
            let before = catalog.get(record.key()).map(|r| (r.version(), r.is_tombstone()));
            let applied = catalog.apply(record.clone(), Authority::Owner, 0);
            let after = catalog.get(record.key()).map(|r| (r.version(), r.is_tombstone()));
            prop_assert!(before <= after);
            if applied == Applied::Changed {
                prop_assert_eq!(catalog.get(record.key()), Some(&record));
            }
        }
    }

    #[test]
    fn projecting_twice_changes_nothing(records in proptest::collection::vec(any_record(&["x"]), 0..30)) {
        let x = cluster("x");
        let owner = merged(&records);
        let shown: Vec<Record> = owner.view(&x, Audience::Remote).collect();
        let receiver = merged(&shown);
        prop_assert_eq!(seen(&receiver, &x, Audience::Remote), seen(&owner, &x, Audience::Remote));
        for record in &shown {
            prop_assert!(record.key().kind != Kind::POLICY, "policies stay at home");
            if let Some(Value::Slice(slice)) = record.value() {
                prop_assert!(slice.headless || slice.endpoints.is_empty(), "addresses stay at home");
            }
        }
    }

    #[test]
    fn siblings_whose_watches_lag_end_equal(
        log in proptest::collection::vec((any_key(&["own"]), proptest::option::weighted(0.7, 0..4_u32)), 1..30),
        seen_by_a in 0..30_usize,
        seen_by_b in 0..30_usize,
        listed in any::<bool>(),
    ) {
        let records: Vec<Record> = (1..)
            .zip(&log)
            .map(|(revision, (key, content))| content.map_or_else(|| dead(key, revision), |c| live(key, revision, c)))
            .collect();
        let (mut a, mut b) = (Catalog::new(own()), Catalog::new(own()));
        a.observe(records[..seen_by_a.min(records.len())].to_vec(), 0);
        let upto = &records[..seen_by_b.min(records.len())];
        if listed {
            list(&mut b, upto);
        } else {
            b.observe(upto.to_vec(), 0);
        }
        // Both tell each other everything, at any stage.
        for record in contents(&a) {
            b.apply(record, Authority::Sibling, 0);
        }
        for record in contents(&b) {
            a.apply(record, Authority::Sibling, 0);
        }
        prop_assert_eq!(seen(&a, &own(), Audience::Sibling), seen(&b, &own(), Audience::Sibling));
        // And when both watches have caught up, they hold what the API server does.
        a.observe(records.clone(), 0);
        list(&mut b, &records);
        let mut truth = Catalog::new(own());
        truth.observe(records, 0);
        prop_assert_eq!(seen(&a, &own(), Audience::Sibling), seen(&truth, &own(), Audience::Sibling));
        prop_assert_eq!(seen(&b, &own(), Audience::Sibling), seen(&truth, &own(), Audience::Sibling));
    }
}

/// Lists every kind as it stands after those changes.
fn list(catalog: &mut Catalog, log: &[Record]) {
    let mut alive: BTreeMap<Key, Record> = BTreeMap::new();
    for record in log {
        alive.remove(record.key());
        if !record.is_tombstone() {
            alive.insert(record.key().clone(), record.clone());
        }
    }
    let revision = log.len() as u64;
    for kind in Kind::KNOWN {
        let of_kind = alive.values().filter(|r| r.key().kind == kind).cloned().collect();
        catalog.relist(kind, revision, of_kind, 0);
    }
}

#[test]
fn at_equal_versions_a_tombstone_wins_and_then_the_owner() {
    let key = slice_key(&cluster("x"), "a/s", "1");
    for authority in [Authority::Owner, Authority::Sibling] {
        let mut catalog = Catalog::new(own());
        catalog.apply(live(&key, 5, 1), authority, 0);
        assert_eq!(catalog.apply(dead(&key, 5), authority, 0), Applied::Changed);
        assert_eq!(catalog.apply(live(&key, 5, 1), authority, 0), Applied::Older);
        assert!(catalog.get(&key).unwrap().is_tombstone());
    }
    let (one, two) = (live(&key, 5, 1), live(&key, 5, 3));
    for (first, second) in [(&one, &two), (&two, &one)] {
        let mut catalog = Catalog::new(own());
        catalog.apply(first.clone(), Authority::Owner, 0);
        assert_eq!(catalog.apply(second.clone(), Authority::Owner, 0), Applied::Changed, "the owner's last word");
        assert_eq!(catalog.get(&key), Some(second));
    }
}

/// Sends what a change brings with it, as a session does.
fn send(from: &Catalog, to: &mut Catalog, changed: &[Key]) {
    for key in changed.iter().flat_map(|k| from.related(k)) {
        if let Some(record) = from.seen_by(&key, Audience::Remote) {
            to.apply(record, Authority::Owner, 0);
        }
    }
}

#[test]
fn unexport_and_reexport_with_an_unchanged_slice_converge() {
    let x = cluster("x");
    let (mut owner, mut other) = (Catalog::new(x.clone()), Catalog::new(own()));
    other.set_peers(vec![rebuild::peer("x", &[])]);
    let (svc, export) = (Key::of_service(&x, Kind::SERVICE, &service("a/s")), export_key(&x, "a/s"));
    let slice = slice_key(&x, "a/s", "1");
    let mut tell = |owner: &mut Catalog, records: Vec<Record>| {
        let changed = owner.observe(records, 0);
        send(owner, &mut other, &changed);
        assert_eq!(seen(owner, &x, Audience::Remote), seen(&other, &x, Audience::Remote));
        other.publish();
        let view = other.snapshot().service(&service("a/s")).cloned();
        view.and_then(|v| v.backends.get(&x).filter(|b| b.exported()).map(|b| b.ready))
    };
    assert_eq!(tell(&mut owner, vec![live(&slice, 1, 3), live(&svc, 2, 0)]), None, "not exported, not told");
    assert_eq!(tell(&mut owner, vec![live(&export, 3, 0)]), Some(3));
    assert_eq!(tell(&mut owner, vec![dead(&export, 4)]), None);
    assert_eq!(tell(&mut owner, vec![live(&export, 5, 0)]), Some(3), "with the slice as it was");
    // While it is hidden one slice takes the other's place.
    assert_eq!(tell(&mut owner, vec![dead(&export, 6)]), None);
    let second = slice_key(&x, "a/s", "2");
    assert_eq!(tell(&mut owner, vec![live(&second, 7, 1), dead(&slice, 8)]), None);
    assert_eq!(tell(&mut owner, vec![live(&export, 9, 0)]), Some(1), "the new one alone");
}

#[test]
fn names_that_were_never_exported_stay_at_home() {
    let (mut catalog, key) = (Catalog::new(own()), slice_key(&own(), "a/s", "1"));
    catalog.observe(vec![live(&key, 1, 3)], 0);
    assert!(catalog.seen_by(&key, Audience::Remote).is_none());
    catalog.observe(vec![dead(&key, 2)], 0);
    assert!(catalog.seen_by(&key, Audience::Remote).is_none(), "nor their deletion");
    assert!(catalog.seen_by(&key, Audience::Sibling).unwrap().is_tombstone());
}

#[test]
fn a_list_buries_what_it_does_not_contain_and_nothing_newer() {
    let keys: Vec<Key> = (1..=4).map(|i| slice_key(&own(), "a/s", &i.to_string())).collect();
    let mut catalog = Catalog::new(own());
    catalog.observe(vec![live(&keys[0], 1, 1), live(&keys[1], 2, 1), live(&keys[2], 9, 1)], 0);
    let export = export_key(&own(), "a/s");
    catalog.observe(vec![live(&export, 3, 0)], 0);
    let changed = catalog.relist(Kind::SLICE, 5, vec![live(&keys[0], 1, 1), live(&keys[3], 4, 1)], 0);
    assert_eq!(changed, [keys[3].clone(), keys[1].clone()]);
    assert_eq!(catalog.get(&keys[1]), Some(&dead(&keys[1], 5)), "at the list's revision");
    assert!(!catalog.get(&keys[2]).unwrap().is_tombstone(), "newer than the list");
    assert!(!catalog.get(&export).unwrap().is_tombstone(), "of another kind");
    // An older list does not bring the dead back.
    catalog.relist(Kind::SLICE, 3, vec![live(&keys[1], 2, 1)], 0);
    assert!(catalog.get(&keys[1]).unwrap().is_tombstone());
}

#[test]
fn after_a_restore_a_list_of_a_new_epoch_buries_the_old_one() {
    let (old, new) = (slice_key(&own(), "a/s", "1"), slice_key(&own(), "a/s", "2"));
    let mut catalog = Catalog::new(own());
    catalog.observe(vec![live(&old, 900, 1)], 0);
    let restored = Record::live(new, Version::new(1, 40), value(&old, 1));
    catalog.relist(Kind::SLICE, 50, vec![restored], 0);
    assert_eq!(catalog.get(&old), Some(&Record::tombstone(old.clone(), Version::new(1, 50))));
    catalog.observe(vec![live(&old, 901, 1)], 0);
    assert!(catalog.get(&old).unwrap().is_tombstone(), "the old epoch has nothing more to say");
}

#[test]
fn an_empty_list_of_a_new_epoch_says_so() {
    let (old, other) = (slice_key(&own(), "a/s", "1"), export_key(&own(), "a/s"));
    let held = |catalog: &Catalog| catalog.get(&old).map(Record::is_tombstone);
    // A source that said its epoch is taken at its word, whatever siblings already know.
    let mut catalog = Catalog::new(own());
    catalog.set_epoch(0);
    catalog.apply(live(&old, 900, 1), Authority::Sibling, 0);
    catalog.apply(Record::live(other.clone(), Version::new(1, 7), value(&other, 0)), Authority::Sibling, 0);
    catalog.relist(Kind::SLICE, 800, Vec::new(), 0);
    assert_eq!(held(&catalog), Some(false), "a list of the old epoch, from before the object");
    catalog.set_epoch(1);
    catalog.relist(Kind::SLICE, 40, Vec::new(), 0);
    assert_eq!(catalog.get(&old), Some(&Record::tombstone(old.clone(), Version::new(1, 40))));
    catalog.mark_synced();
    let ghost = slice_key(&own(), "a/s", "ghost");
    assert!(catalog.absence(&ghost, Version::new(0, 5_000)).is_some(), "nothing of the old epoch is left");
}

#[test]
fn absence_is_claimed_up_to_what_was_seen_and_no_further() {
    let key = slice_key(&own(), "a/s", "1");
    let mut catalog = Catalog::new(own());
    catalog.relist(Kind::SLICE, 10, Vec::new(), 0);
    let at = |revision| Version::new(0, revision);
    assert_eq!(catalog.absence(&key, at(5)), None, "not before the first full lists");
    catalog.mark_synced();
    assert_eq!(catalog.absence(&key, at(10)), Some(dead(&key, 10)));
    assert_eq!(catalog.absence(&key, at(5)), Some(dead(&key, 10)), "as a list at 10 would say");
    assert_eq!(catalog.absence(&key, at(11)), None, "the peer may be ahead");
    assert_eq!(catalog.absence(&key, Version::new(1, 1)), None, "or in a newer epoch");
    assert_eq!(catalog.absence(&export_key(&own(), "a/s"), at(5)), None, "that kind was not listed");
    assert_eq!(catalog.absence(&slice_key(&cluster("x"), "a/s", "1"), at(5)), None, "not one's own to say");
    catalog.observe(vec![live(&key, 12, 1)], 0);
    assert_eq!(catalog.absence(&key, at(5)), None, "it is there");
}

#[test]
fn old_tombstones_are_forgotten_with_what_they_hid() {
    let x = cluster("x");
    let (svc, export) = (Key::of_service(&x, Kind::SERVICE, &service("a/s")), export_key(&x, "a/s"));
    let slice = slice_key(&x, "a/s", "1");
    let mut catalog = Catalog::new(own());
    for record in [live(&svc, 1, 0), live(&slice, 2, 3), live(&export, 3, 0), dead(&export, 4)] {
        catalog.apply(record, Authority::Owner, 1_000);
    }
    assert!(catalog.collect_tombstones(2_000).is_empty());
    let forgotten: BTreeSet<Key> = catalog.collect_tombstones(1_001 + 24 * 3600 * 1000).into_iter().collect();
    assert_eq!(forgotten, BTreeSet::from([svc, export, slice]));
    assert_eq!((catalog.live_count(&x), contents(&catalog).len()), (0, 0));
}

#[test]
fn tombstones_are_capped() {
    let mut catalog = Catalog::new(own());
    for i in 0..10_100_u64 {
        catalog.apply(dead(&slice_key(&cluster("x"), "a/s", &i.to_string()), 1), Authority::Owner, i);
    }
    assert_eq!(catalog.collect_tombstones(10_100).len(), 100);
    assert!(catalog.get(&slice_key(&cluster("x"), "a/s", "0")).is_none(), "the oldest go");
    assert!(catalog.get(&slice_key(&cluster("x"), "a/s", "10099")).is_some());
}

#[test]
fn all_parts_of_a_service_share_a_bucket() {
    let x = cluster("x");
    for name in SERVICES {
        let bucket = export_key(&x, name).bucket();
        assert_eq!(Key::of_service(&x, Kind::SERVICE, &service(name)).bucket(), bucket);
        assert_eq!(slice_key(&x, name, "1").bucket(), bucket);
        assert_eq!(slice_key(&x, name, "other").bucket(), bucket);
    }
    let buckets: BTreeSet<u8> = (0..200).map(|i| Key::of_gateway(&x, &format!("node-{i}")).bucket()).collect();
    assert!(buckets.len() > 100, "and the rest is spread");
}

#[test]
fn policies_are_the_own_clusters_alone_and_the_oldest_counts() {
    let (own, x) = (own(), cluster("x"));
    let policy = |of: &ClusterId, name: &str| Key::of_policy(of, &service("a/s"), name);
    let mut catalog = Catalog::new(own.clone());
    catalog.set_peers(vec![rebuild::peer("x", &[])]);
    catalog.set_import(service("a/s"), Some(Import::default()));
    let mut in_force = |records: Vec<Record>| {
        catalog.observe(records, 0);
        catalog.publish();
        let view = catalog.snapshot().service(&service("a/s")).unwrap().clone();
        let shown = catalog.view(&own, Audience::Sibling).count() + catalog.view(&x, Audience::Remote).count();
        assert_eq!(shown, 0, "no session carries a policy");
        view.policy.clone().map(|p| (p.name.to_string(), p.record.attempts))
    };
    assert_eq!(in_force(vec![live(&policy(&x, "0"), 1, 2)]), None, "another cluster's policy is none here");
    assert_eq!(in_force(vec![live(&policy(&own, "1"), 2, 3)]), Some(("1".into(), Some(3))));
    assert_eq!(in_force(vec![live(&policy(&own, "2"), 3, 2)]), Some(("2".into(), Some(2))), "it is older");
    assert_eq!(in_force(vec![dead(&policy(&own, "2"), 4)]), Some(("1".into(), Some(3))));
    assert_eq!(in_force(vec![dead(&policy(&own, "1"), 5)]), None);
}
