use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;

fn folder() -> TempDir {
    TempDir::with_prefix("strait-file-source-").unwrap()
}

fn cluster() -> ClusterId {
    ClusterId::parse("us-west").unwrap()
}

const GOOD: &str = "
services:
- namespace: ml-production
  name: model-server
  ips: [10.1.2.3]
  ports: [{port: 80, targetPort: 5678, listen: '127.0.0.1:8080'}]
  endpoints: [{address: 10.11.0.1}, {address: 10.11.0.2, ready: false}]
";

const POLICY: &str = "
policies:
- namespace: ml-production
  name: p
  spec:
    targetRef: {name: model-server}
    mode: Spread
    clusters: [{cluster: us-west, weight: 3}, {cluster: us-east}]
    timeouts: {request: 5s}
";

#[test]
fn a_service_and_its_policy_become_records_and_an_import() {
    let folder = folder();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, format!("{GOOD}{POLICY}")).unwrap();
    let mut catalog = strait_catalog::Catalog::new(cluster());
    for input in Follower::start(&path, &cluster()).unwrap().1 {
        match input {
            Input::Relist { kind, revision, records } => drop(catalog.relist(kind, revision, records, 0)),
            Input::Imports(imports) => catalog.set_imports(imports),
            Input::Peers(peers) => catalog.set_peers(peers),
            Input::Records(_) | Input::Import(..) | Input::Epoch(_) => panic!("a file is a complete list"),
        }
    }
    let snapshot = catalog.publish().unwrap();
    let key = strait_catalog::ServiceKey::parse("ml-production/model-server").unwrap();
    let view = snapshot.service(&key).unwrap();
    let backend = &view.backends[&cluster()];
    assert!(backend.exported());
    assert_eq!((backend.ready, backend.total), (1, 2));
    assert_eq!(backend.target(&backend.endpoints[0], 80, strait_catalog::Protocol::Tcp), Some(5678));
    assert_eq!(view.import.as_ref().unwrap().ports[0].listener, Some("127.0.0.1:8080".parse().unwrap()));
    let policy = view.policy.as_ref().unwrap();
    assert_eq!((&*policy.name, policy.record.mode().as_str()), ("p", "Spread"));
    assert_eq!((policy.record.clusters[0].weight, policy.record.request_ms), (Some(3), Some(5_000)));
}

#[test]
fn wrong_entries_are_named() {
    let folder = folder();
    let path = folder.path().join("a.yaml");
    for (text, expected) in [
        ("", "empty"),
        ("services: [", "a.yaml"),
        ("services: [{namespace: A, name: b, ports: [{port: 80}]}]", "service A/b"),
        ("services: [{namespace: a, name: b, ports: []}]", "no ports"),
        ("services: [{namespace: a, name: b, ports: [{port: 0}]}]", "port is 0"),
        ("services: [{namespace: a, name: b, ports: [{port: 80}, {port: 81}]}]", "each needs its own"),
        ("services: [{namespace: a, name: b, ports: [{port: 99999}]}]", "a.yaml"),
        ("servces: []", "servces"),
        ("peers: [{cluster: X, gateways: [], caBundle: ''}]", "peer \"X\""),
        ("peers: [{cluster: x, gateways: [here], caBundle: ''}]", "gateway \"here\""),
        ("podCIDRs: ['10.0.0.0']", "podCIDRs: \"10.0.0.0\""),
        (
            "policies: [{namespace: a, name: p, spec: {targetRef: {name: b}, mode: Fastest}}]",
            "policy a/p: spec: unknown variant `Fastest`",
        ),
        ("policies: [{namespace: a, name: p, spec: {mode: Nearest}}]", "missing field `targetRef`"),
        (
            "policies: [{namespace: a, name: p, spec: {targetRef: {name: b}, spill: {factor: 2}}}]",
            "no field spec.spill.factor",
        ),
        (
            "policies: [{namespace: a, name: p, spec: {targetRef: {name: b}, mode: Ordered}}]",
            "spec.clusters \"\": mode Ordered needs",
        ),
        (
            "policies: [{namespace: a, name: p, spec: {targetRef: {name: b}, timeouts: {request: fast}}}]",
            "spec.timeouts.request \"fast\"",
        ),
        ("policies: [{namespace: a, name: p, spec: {targetRef: {name: b, kind: Pod}}}]", "spec.targetRef \"/Pod\""),
        (
            "policies: [{namespace: a, name: p, spec: {targetRef: {name: b}}}, {namespace: a, name: q, spec: {targetRef: {name: b}}}]",
            "policy a/q: service a/b has policy \"p\" already",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Follower::start(&path, &cluster()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_counter_rises_with_the_content_and_survives_a_restart() {
    let folder = folder();
    let path = folder.path().join("a.yaml");
    let mut first = Revisions::default();
    assert_eq!(first.number(&path, None, "a").unwrap(), 1);
    assert_eq!(first.number(&path, None, "a").unwrap(), 1);
    assert_eq!(first.number(&path, None, "b").unwrap(), 2);
    let mut second = Revisions::default();
    assert_eq!(second.number(&path, None, "b").unwrap(), 2, "the same content keeps its number");
    assert_eq!(second.number(&path, None, "c").unwrap(), 3);
}

#[test]
fn a_stated_revision_must_rise() {
    let path = PathBuf::from("x.yaml");
    let mut revisions = Revisions::default();
    assert_eq!(revisions.number(&path, Some(5), "a").unwrap(), 5);
    assert_eq!(revisions.number(&path, Some(5), "a").unwrap(), 5);
    assert!(revisions.number(&path, Some(5), "b").unwrap_err().to_string().contains("did not rise above 5"));
    assert_eq!(revisions.number(&path, Some(6), "b").unwrap(), 6);
}

#[tokio::test]
async fn a_half_written_file_keeps_the_last_good_state() {
    let folder = folder();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, GOOD).unwrap();
    let (follower, _) = Follower::start(&path, &cluster()).unwrap();
    let (sender, mut inputs) = mpsc::channel(64);
    let (status, stop) = (FileStatus::default(), CancellationToken::new());
    let task = tokio::spawn(follower.run(sender, status.clone(), stop.clone()));
    tokio::time::sleep(POLL).await;
    let good_half = format!("{}\n", GOOD.trim_end().rsplit_once('\n').unwrap().0);
    for (half, reason) in [(&GOOD[..40], "no end"), (&*good_half, "the beginning of the last good content")] {
        std::fs::write(&path, half).unwrap();
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        while !status.error().is_some_and(|e| e.contains(reason)) {
            assert!(tokio::time::Instant::now() < limit, "not noticed: {half}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(inputs.try_recv().is_err(), "nothing of a broken file is taken");
    }
    std::fs::write(&path, format!("{GOOD}region: us-west\n")).unwrap();
    let first = tokio::time::timeout(Duration::from_secs(20), inputs.recv()).await.unwrap();
    assert!(matches!(first, Some(Input::Peers(_))));
    assert_eq!(status.error(), None);
    stop.cancel();
    task.await.unwrap();
}
