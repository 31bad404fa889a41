//! Clusters that find each other, and what the admin port says of it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::daemon::Daemon;
use crate::pods::CLUSTER;
use crate::process::{Process, skip};
use crate::web;
use crate::world::{SERVICE, World};

async fn joined(net: u8, names: &[&'static str]) -> (World, Vec<Daemon>) {
    let mut world = World::new(net, names);
    let daemons = world.start_all().await;
    for daemon in &daemons {
        let answer = web::get(daemon.site.listener(), "/").await.unwrap();
        assert_eq!((answer.status, answer.header(CLUSTER)), (200, daemon.site.name), "served at home");
        assert_eq!(answer.header("x-strait-served-by"), daemon.site.name);
    }
    (world, daemons)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_converge_and_serve_at_home() {
    let (_world, daemons) = joined(80, &["us-west", "us-east"]).await;
    for (path, status, body) in [("/livez", 200, "ok"), ("/readyz", 200, "ok"), ("/nothing", 404, "")] {
        let answer = web::get(daemons[0].site.admin(), path).await.unwrap();
        assert_eq!((answer.status, answer.body.trim()), (status, body), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_clusters_converge_and_status_tells_people() {
    let (_world, daemons) = joined(81, &["us-west", "us-east", "eu-west"]).await;
    let west = &daemons[0];
    west.shows("both peers connected", |s| s.peers.starts_with("2 of 2 connected")).await;

    let arguments = ["status".to_owned(), format!("--admin={}", west.site.admin())];
    let mut asked = Process::strait("strait status", &arguments, &[]);
    assert!(asked.ended().await.success(), "{:?}", asked.log.all());
    let shown = asked.out.all();
    let has = |texts: &[&str]| shown.iter().any(|l| texts.iter().all(|t| l.contains(t)));
    assert!(has(&["in us-west on us-west-1", "ready"]), "{shown:#?}");
    assert!(has(&["identity: ready", "cluster/us-west"]), "{shown:#?}");
    assert!(has(&["us-west", "own"]), "the own cluster: {shown:#?}");
    assert!(has(&[SERVICE, &west.site.listener().to_string()]), "the service: {shown:#?}");
    for cluster in ["us-west", "us-east", "eu-west"] {
        assert!(has(&[cluster, "2 of 2", "ready"]), "who serves what, {cluster}: {shown:#?}");
    }
    for other in ["us-east", "eu-west"] {
        assert!(has(&[other, " s ", "1.00"]), "age and weight of {other}: {shown:#?}");
    }
    assert!(has(&["us-west", "100.0 %"]), "shares: {shown:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_what_prometheus_reads() {
    let (_world, daemons) = joined(82, &["us-west", "us-east"]).await;
    let text = daemons[0].metrics().await;
    assert!(!text.contains("quantile="), "summaries of several daemons cannot be added up");
    let names = parse(&text);
    for name in [
        "strait_build_info",
        "strait_ready",
        "strait_file_source_failing",
        "strait_snapshot_number",
        "strait_certificate_expiry_timestamp_seconds",
        "strait_sync_records",
        "strait_sync_age_seconds",
    ] {
        assert!(names.contains(name), "{name} is missing from {names:?}");
    }
    assert_eq!(daemons[0].metric("strait_ready").await, Some(1.0));
    assert_eq!(daemons[0].metric("strait_file_source_failing").await, Some(0.0));
    promtool(&text);
}

/// Reads the text format; returns the names of all families.
fn parse(text: &str) -> BTreeSet<String> {
    let (mut typed, mut helped, mut series) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines().filter(|l| !l.is_empty()) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", name, kind] => {
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(typed.insert(name.to_owned()), "two TYPEs: {line}");
            }
            ["#", "HELP", name, _] => drop(helped.insert(name.to_owned())),
            _ => {
                let (left, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
                assert!(value.parse::<f64>().is_ok(), "no number: {line}");
                assert!(series.insert(left.to_owned()), "twice: {line}");
                let name = left.split('{').next().unwrap();
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
                assert!(typed.contains(family) || typed.contains(name), "no TYPE: {line}");
            }
        }
    }
    let unexplained: Vec<_> = typed.difference(&helped).collect();
    assert!(unexplained.is_empty(), "no HELP: {unexplained:?}");
    typed
}

fn promtool(text: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut tool) = command.spawn() else {
        skip("promtool is not installed (Debian package prometheus): /metrics is not linted");
        return;
    };
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let lines = [said.stdout, said.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    assert!(said.status.success() && lines.is_empty(), "promtool check metrics: {lines}");
}
