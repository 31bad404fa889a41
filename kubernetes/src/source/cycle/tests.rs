//! Whole cycles against a scripted API server, on a paused clock.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use strait_catalog::{ClusterId, Kind};
use tokio::time::timeout;

use super::*;
use crate::source::follow::{Imports, Records};
use crate::source::{SourceConfig, project};

/// What the server does with one request.
enum Answer {
    /// An answer of that status and body.
    Is(u16, String),
    /// A watch: these lines, then its regular end.
    Lines(String),
    /// A watch: these lines, then silence for ever.
    Hangs(String),
    /// A watch: nothing for so many seconds, then its regular end.
    Lasts(u64),
    /// No answer at all.
    Silence,
}

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

fn body(text: String) -> Body {
    Full::new(Bytes::from(text)).boxed_unsync()
}

/// Sends one frame and never ends.
fn endless(text: String) -> Body {
    let (mut sender, channel) = http_body_util::channel::Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        let _ = sender.send_data(Bytes::from(text)).await;
        std::future::pending::<()>().await;
    });
    channel.boxed_unsync()
}

/// Ends after so many seconds.
fn ending(seconds: u64) -> Body {
    let (sender, channel) = http_body_util::channel::Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        sleep(Duration::from_secs(seconds)).await;
        drop(sender);
    });
    channel.boxed_unsync()
}

/// A client of a server that answers as scripted: `script(nth, path and query)`. Returns the log of requests too.
fn scripted(script: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> (Client, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let (script, requests) = (Arc::new(script), log.clone());
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let uri = request.uri().to_string();
        let nth = {
            let mut log = requests.lock().unwrap();
            log.push(uri.clone());
            log.len() - 1
        };
        let script = script.clone();
        async move {
            let response =
                |status, body| Ok::<_, std::io::Error>(http::Response::builder().status(status).body(body).unwrap());
            match script(nth, &uri) {
                Answer::Is(status, text) => response(status, body(text)),
                Answer::Lines(text) => response(200, body(text)),
                Answer::Hangs(text) => response(200, endless(text)),
                Answer::Lasts(seconds) => response(200, ending(seconds)),
                Answer::Silence => std::future::pending().await,
            }
        }
    });
    (Client::new(service, "default"), log)
}

fn list(revision: &str, next: &str, names: &[&str]) -> Answer {
    let items: Vec<_> = names.iter().map(|name| object(name, revision)).collect();
    let items = items.join(",");
    Answer::Is(
        200,
        format!(r#"{{"metadata":{{"resourceVersion":"{revision}","continue":"{next}"}},"items":[{items}]}}"#),
    )
}

fn object(name: &str, revision: &str) -> String {
    format!(r#"{{"metadata":{{"namespace":"ml","name":"{name}","resourceVersion":"{revision}"}},"spec":{{}}}}"#)
}

fn event(kind: &str, name: &str, revision: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", object(name, revision))
}

fn refusal(code: u16) -> Answer {
    let reason = if code == 404 { "NotFound" } else { "Expired" };
    let body = format!(r#"{{"kind":"Status","status":"Failure","code":{code},"reason":"{reason}","message":"no"}}"#);
    Answer::Is(code, body)
}

fn is_watch(uri: &str) -> bool {
    uri.contains("watch=true")
}

fn config() -> SourceConfig {
    SourceConfig {
        cluster: ClusterId::parse("us-west").unwrap(),
        epoch: 0,
        gateway_port: None,
        bind: "0.0.0.0".parse().unwrap(),
        server: "https://api".into(),
    }
}

/// A running cycle and what it tells.
struct Run {
    rx: mpsc::Receiver<Input>,
    status: SourceStatus,
    epoch: EpochCell,
}

impl Run {
    fn start<F: Follow>(watched: Watched, client: &Client, follow: F) -> Self {
        let (tx, rx) = mpsc::channel(64);
        let (status, epoch) = (SourceStatus::new(), EpochCell::new(0));
        epoch.settle();
        let cycle = Cycle::new(watched, client, "https://api", &tx, &status, &epoch);
        tokio::spawn(cycle.run(follow));
        Self { rx, status, epoch }
    }

    fn services(client: &Client) -> Self {
        Self::start(Watched::Service, client, Records::new(Kind::SERVICE, config(), project::read_service))
    }

    /// The next input but epochs.
    async fn next(&mut self) -> Input {
        loop {
            let input = timeout(Duration::from_secs(300), self.rx.recv()).await.expect("an input in time");
            match input.expect("a running cycle") {
                Input::Epoch(_) => {}
                input => return input,
            }
        }
    }

    /// The next list, as its revision and the names in it.
    async fn relist(&mut self) -> (u64, Vec<String>) {
        match self.next().await {
            Input::Relist { revision, records, .. } => {
                (revision, records.iter().map(|r| r.key().name.trim_start_matches("ml/").to_owned()).collect())
            }
            other => panic!("a list, not {other:?}"),
        }
    }

    /// The next batch of events, as names, revisions, and whether each lives.
    async fn events(&mut self) -> Vec<(String, u64, bool)> {
        let Input::Records(records) = self.next().await else { panic!("events") };
        let line = |r: &strait_catalog::Record| (r.key().name.to_string(), r.version().revision, !r.is_tombstone());
        records.iter().map(line).collect()
    }

    fn line(&self, kind: &str) -> crate::source::KindReport {
        self.status.report().into_iter().find(|line| line.kind == kind).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn pages_become_one_list_and_the_watch_starts_at_its_revision() {
    let (client, log) = scripted(|_, uri| match uri {
        _ if is_watch(uri) => Answer::Hangs(event("MODIFIED", "a", "12") + &event("DELETED", "b", "13")),
        _ if uri.contains("continue=more") => list("10", "", &["c"]),
        _ => list("10", "more", &["a", "b"]),
    });
    let mut run = Run::services(&client);
    assert_eq!(run.relist().await, (10, vec!["a".into(), "b".into(), "c".into()]));
    assert_eq!(run.events().await, [("ml/a".into(), 12, true), ("ml/b".into(), 13, false)]);
    let line = run.line("Service");
    assert_eq!((line.state, line.objects, line.revision), (WatchState::Watching, 2, 13));
    let log = log.lock().unwrap();
    assert!(!log[0].contains("resourceVersion"), "a quorum read: {}", log[0]);
    assert!(log[0].contains("limit=500"), "{}", log[0]);
    assert!(log[2].contains("resourceVersion=10") && log[2].contains("allowWatchBookmarks=true"), "{}", log[2]);
}

#[tokio::test(start_paused = true)]
async fn a_half_dead_watch_is_left_in_time_and_resumed_where_it_stopped() {
    let (client, log) = scripted(|nth, uri| match nth {
        0 => list("10", "", &["a"]),
        1 => Answer::Hangs(
            event("ADDED", "b", "11")
                + "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"20\"}}}\n",
        ),
        _ if uri.ends_with("limit=1") => list("20", "", &["a"]),
        _ if uri.contains("resourceVersion=20") => Answer::Hangs(event("ADDED", "c", "21")),
        _ => panic!("unexpected {uri}"),
    });
    let mut run = Run::services(&client);
    run.relist().await;
    assert_eq!(run.events().await.len(), 1);
    let silent_since = Instant::now();
    assert_eq!(run.events().await, [("ml/c".into(), 21, true)]);
    let noticed = silent_since.elapsed();
    assert!(noticed <= Duration::from_secs(66), "{noticed:?}");
    assert!(noticed >= Duration::from_secs(30), "{noticed:?}");
    let asked = &log.lock().unwrap()[1];
    let seconds: u64 = asked.split("timeoutSeconds=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
    assert!((30..=60).contains(&seconds), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_revision_is_listed_again() {
    for as_event in [false, true] {
        let (client, _) = scripted(move |nth, _| match nth {
            0 => list("10", "", &["a", "b", "c"]),
            1 if as_event => Answer::Lines(
                "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}}\n".into(),
            ),
            1 => refusal(410),
            2 => list("30", "", &["a", "c"]),
            _ => Answer::Hangs(String::new()),
        });
        let mut run = Run::services(&client);
        assert_eq!(run.relist().await.0, 10);
        assert_eq!(run.relist().await, (30, vec!["a".into(), "c".into()]), "as event: {as_event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_great_loss_is_read_twice() {
    let (client, log) = scripted(|nth, _| match nth {
        0 => list("10", "", &["a", "b", "c"]),
        1 => refusal(410),
        2 => list("30", "", &["a"]), // not believed
        3 => list("31", "", &["a", "b"]),
        4 => refusal(410),
        5 => list("40", "", &[]),
        6 => list("41", "", &[]), // confirmed
        _ => Answer::Hangs(String::new()),
    });
    let mut run = Run::services(&client);
    assert_eq!(run.relist().await.0, 10);
    assert_eq!(run.relist().await, (31, vec!["a".into(), "b".into()]));
    assert_eq!(run.relist().await, (41, Vec::new()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(log.lock().unwrap().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn revisions_that_go_back_wait_for_a_new_epoch() {
    let (client, _) = scripted(|nth, uri| match (nth, uri) {
        (0, _) => list("100", "", &["a"]),
        (1, _) => refusal(410),
        (_, uri) if is_watch(uri) => Answer::Hangs(String::new()),
        _ => list("7", "", &["a"]),
    });
    let mut run = Run::services(&client);
    assert_eq!(run.relist().await.0, 100);
    sleep(Duration::from_secs(60)).await;
    assert!(run.rx.try_recv().is_err(), "nothing of the restored server is told yet");
    let line = run.line("Service");
    assert_eq!(line.state, WatchState::Broken);
    assert!(line.error.contains("is at 0.7, below 0.100") && line.error.contains("strait-epoch"), "{}", line.error);
    run.epoch.raise(1);
    let Input::Relist { revision: 7, records, .. } = run.next().await else { panic!("the restored list") };
    assert_eq!(records[0].version(), Version::new(1, 7));
    assert_eq!(run.line("Service").state, WatchState::Watching);
}

/// While a list waits for a slow receiver the epoch rises: the list is not told any more.
#[tokio::test(start_paused = true)]
async fn a_list_of_the_life_before_is_never_told_late() {
    let (client, _) =
        scripted(|_, uri| if is_watch(uri) { Answer::Hangs(String::new()) } else { list("10", "", &["a"]) });
    let (tx, mut rx) = mpsc::channel(2);
    let epoch = EpochCell::new(0);
    epoch.settle();
    for _ in 0..2 {
        tx.send(Input::Peers(Vec::new())).await.unwrap();
    }
    let cycle = Cycle::new(Watched::Service, &client, "https://api", &tx, &SourceStatus::new(), &epoch);
    tokio::spawn(cycle.run(Records::new(Kind::SERVICE, config(), project::read_service)));
    sleep(Duration::from_secs(5)).await;
    epoch.raise(1);
    let mut told = Vec::new();
    while told.len() < 4 {
        told.push(timeout(Duration::from_secs(60), rx.recv()).await.unwrap().unwrap());
    }
    assert_eq!(told[2], Input::Epoch(1));
    let Input::Relist { records, .. } = &told[3] else { panic!("a list, not {:?}", told[3]) };
    assert_eq!(records[0].version(), Version::new(1, 10));
}

/// A restored server takes a watch from a revision it has not reached, and stays silent.
#[tokio::test(start_paused = true)]
async fn a_server_that_fell_behind_is_noticed_after_a_cut() {
    let (client, _) = scripted(|nth, uri| match nth {
        0 => list("90", "", &["a"]),
        1 => Answer::Lines(event("ADDED", "b", "100")),
        _ if is_watch(uri) => Answer::Hangs(String::new()),
        _ => list("7", "", &["a"]),
    });
    let mut run = Run::services(&client);
    assert_eq!(run.relist().await.0, 90);
    assert_eq!(run.events().await.len(), 1);
    let noticed = async {
        while !run.line("Service").error.contains("is at 0.7, below 0.100") {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), noticed).await.expect("noticed");
    run.epoch.raise(1);
    assert_eq!(run.relist().await, (7, vec!["a".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_ends_a_standing_watch() {
    let (client, _) =
        scripted(|_, uri| if is_watch(uri) { Answer::Hangs(String::new()) } else { list("10", "", &["a"]) });
    let mut run = Run::services(&client);
    run.relist().await;
    run.epoch.raise(4);
    let Input::Relist { records, .. } = run.next().await else { panic!("a list") };
    assert_eq!(records[0].version(), Version::new(4, 10));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_is_empty_until_it_is() {
    let (client, log) = scripted(|nth, uri| match uri {
        _ if uri.starts_with("/api/v1/services") => list("50", "", &["kubernetes"]),
        _ if nth < 9 => refusal(404),
        _ if uri.contains("v1beta1") => refusal(404),
        _ if is_watch(uri) => Answer::Hangs(String::new()),
        _ => list("60", "", &["a"]),
    });
    let follow = Records::new(Kind::EXPORT, config(), project::read_export);
    let mut run = Run::start(Watched::ServiceExport, &client, follow);
    assert_eq!(run.relist().await, (50, Vec::new()), "an empty list, dated with the server's revision");
    sleep(Duration::from_millis(1)).await;
    let line = run.line("ServiceExport");
    assert_eq!((line.state, line.synced, line.error.as_str()), (WatchState::Absent, true, ""));
    assert_eq!(run.relist().await, (60, vec!["a".into()]), "once its CRD is there, in the older version");
    assert!(log.lock().unwrap().last().unwrap().contains("/v1alpha1/"));
    assert_eq!(log.lock().unwrap().iter().filter(|uri| uri.starts_with("/api/v1/services")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_read_is_empty_and_what_is_known_is_kept() {
    let policy =
        r#"{"metadata":{"namespace":"ml","name":"p","resourceVersion":"60"},"spec":{"targetRef":{"name":"m"}}}"#;
    let listed = format!(r#"{{"metadata":{{"resourceVersion":"60"}},"items":[{policy}]}}"#);
    let (client, _) = scripted(move |nth, uri| match nth {
        _ if uri.starts_with("/api/v1/services") => list("50", "", &[]),
        0..4 => refusal(403),
        4 => Answer::Is(200, listed.clone()),
        5 => refusal(410),
        _ => refusal(403),
    });
    let follow = Records::new(Kind::POLICY, config(), project::read_policy);
    let mut run = Run::start(Watched::TrafficPolicy, &client, follow);
    assert_eq!(run.relist().await, (50, Vec::new()), "a role from before the kind does not hold an agent back");
    sleep(Duration::from_millis(1)).await;
    assert_eq!((run.line("TrafficPolicy").state, run.line("TrafficPolicy").synced), (WatchState::Absent, true));
    assert_eq!(run.relist().await, (60, vec!["m/p".into()]));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(run.line("TrafficPolicy").state, WatchState::Broken);
    assert!(run.rx.try_recv().is_err(), "a right that is taken away takes no policy away");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_vanishes_is_asked_for_twice() {
    let present = |nth: usize, again: usize| nth == 0 || nth >= again;
    for (again, survives) in [(4, true), (100, false)] {
        let (client, _) = scripted(move |nth, uri| match uri {
            _ if uri.starts_with("/api/v1/services") => list("50", "", &[]),
            _ if is_watch(uri) && present(nth, again) => Answer::Hangs(String::new()),
            _ if present(nth, again) => list("10", "", &["a"]),
            _ => refusal(404),
        });
        let mut run = Run::start(Watched::ServiceImport, &client, Imports::new("0.0.0.0".parse().unwrap()));
        let Input::Imports(first) = run.next().await else { panic!("imports") };
        assert_eq!(first.len(), 1);
        // Request 1 is the watch, 2 and 3 are the lists of both versions.
        let Input::Imports(second) = run.next().await else { panic!("imports") };
        assert_eq!(second.len(), usize::from(survives), "served again from request {again}");
    }
}

#[tokio::test(start_paused = true)]
async fn revisions_that_are_no_integers_are_refused_by_name() {
    let (client, _) = scripted(|nth, _| match nth % 2 {
        0 => Answer::Is(200, format!(r#"{{"metadata":{{"resourceVersion":"10"}},"items":[{}]}}"#, object("a", "x7"))),
        _ => list("v10", "", &[]),
    });
    let mut run = Run::services(&client);
    for expected in [
        r#"Service ml/a of https://api has resourceVersion "x7", not an integer"#,
        r#"/api/v1/services of https://api has resourceVersion "v10", not an integer"#,
    ] {
        let seen = async {
            while !run.line("Service").error.contains(expected) {
                sleep(Duration::from_millis(50)).await
            }
        };
        timeout(Duration::from_secs(60), seen).await.expect(expected);
    }
    assert!(run.rx.try_recv().is_err());
    assert!(!run.line("Service").synced);
}

#[tokio::test(start_paused = true)]
async fn one_object_that_does_not_read_stands_alone() {
    let bad = r#"{"metadata":{"namespace":"ml","name":"bad","resourceVersion":"9"},"spec":{"ports":"none"}}"#;
    let (client, _) = scripted(move |nth, _| match nth {
        0 => Answer::Is(
            200,
            format!(r#"{{"metadata":{{"resourceVersion":"10"}},"items":[{bad},{}]}}"#, object("good", "8")),
        ),
        _ => Answer::Hangs(format!("{{\"type\":\"ADDED\",\"object\":{bad}}}\n") + &event("ADDED", "other", "12")),
    });
    let mut run = Run::services(&client);
    assert_eq!(run.relist().await, (10, vec!["good".into()]));
    assert_eq!(run.events().await, [("ml/other".into(), 12, true)]);
}

#[tokio::test(start_paused = true)]
async fn trouble_keeps_what_is_known_and_backs_off() {
    let (client, log) = scripted(|nth, _| match nth {
        0 => list("10", "", &["a"]),
        1 => Answer::Lines(event("ADDED", "b", "11")), // cut, as when the server shuts down
        2..=21 => Answer::Is(500, "<html>".into()),
        22 => list("30", "", &["a", "b"]),
        _ => Answer::Hangs(String::new()),
    });
    let mut run = Run::services(&client);
    run.relist().await;
    assert_eq!(run.events().await.len(), 1);
    let began = Instant::now();
    assert_eq!(run.relist().await.0, 30, "after some refusals in a row a list is tried");
    assert!(began.elapsed() > Duration::from_secs(20), "{:?}", began.elapsed());
    let log = log.lock().unwrap();
    let kinds: Vec<_> = log[1..6].iter().map(|uri| (is_watch(uri), uri.ends_with("limit=1"))).collect();
    assert_eq!(kinds, [(true, false), (false, true), (false, true), (false, true), (false, false)]);
}

/// The revision is asked for in doubt only: an undisturbed agent sends nothing but one watch after another.
#[tokio::test(start_paused = true)]
async fn a_watch_whose_time_is_up_is_followed_by_the_next_at_once() {
    let (client, log) = scripted(|nth, uri| match nth {
        0 => list("10", "", &["a"]),
        1..=4 => {
            Answer::Lasts(uri.split("timeoutSeconds=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap())
        }
        _ => Answer::Hangs(event("ADDED", "b", "11")),
    });
    let mut run = Run::services(&client);
    run.relist().await;
    let began = Instant::now();
    assert_eq!(run.events().await.len(), 1);
    assert!((120..=241).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(log.lock().unwrap()[1..].iter().all(|uri| is_watch(uri) && uri.contains("resourceVersion=10")));
    assert_eq!(run.status.broken_for(), None);
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_waited_for_without_end() {
    let (client, _) = scripted(|nth, _| match nth {
        0 => Answer::Silence,
        1 => list("10", "", &["a"]),
        2 => Answer::Silence,
        3 => list("11", "", &["a"]),
        _ => Answer::Hangs(event("ADDED", "b", "11")),
    });
    let mut run = Run::services(&client);
    let began = Instant::now();
    assert_eq!(run.relist().await.0, 10);
    assert!(began.elapsed() < Duration::from_secs(32), "a list: {:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(run.events().await.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(17), "a watch: {:?}", began.elapsed());
}
