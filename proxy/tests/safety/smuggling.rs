//! Requests that could be read in two ways, through the real proxy, to two backends with parsers of their own: one that
//! reads to the letter and notes every violation, and Go's net/http.
//!
//! Whatever is answered, these hold: a backend has read exactly the requests that its client was answered, in that order,
//! with the same method, target and body; what is hidden inside a request is never read as one; nothing is read after a
//! refusal on that connection; and the canaries that follow, on the same connection and on another that shares the
//! proxy's connections to the backend, get their own answers or none.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::frames::{self, DATA, END_STREAM, GOAWAY, RST_STREAM};
use crate::go;
use crate::pair::Pair;
use crate::site::{Site, until};
use answers::Heard;
use log::Log;
use strict::Strict;
use witness::Witness;

mod answers;
mod cases;
mod judge;
mod log;
mod strict;
mod two;
mod witness;

/// Cases under way at once: they share the proxy's connections to the backend.
const AT_ONCE: usize = 24;
/// Silence after which the client hangs up.
const PATIENCE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn no_desync_with_a_backend_that_reads_to_the_letter() {
    let (site, log) = site("http").await;
    let strict = Strict::start(site.pod(0), log.clone()).await;
    let wrong = wrong(&site, &log).await;
    let violations = strict.violations.lock().unwrap().clone();
    assert!(wrong.is_empty() && violations.is_empty(), "{}\n{}", wrong.join("\n"), violations.join("\n"));
    site.stop().await;
}

#[tokio::test]
async fn no_desync_with_go() {
    let Some(program) = go::witness() else { return };
    for speech in ["http", "kubernetes.io/h2c"] {
        let (site, log) = site(speech).await;
        let _witness = Witness::start(&program, site.pod(0), log.clone()).await;
        let wrong = wrong(&site, &log).await;
        assert!(wrong.is_empty(), "pods speak {speech}: {}", wrong.join("\n"));
        site.stop().await;
    }
}

#[tokio::test]
async fn no_desync_with_a_backend_behind_a_gateway() {
    let mut pair = Pair::speaking("http", 1, None, |config| config.workers = NonZeroUsize::new(1)).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let log = Log::default();
    let strict = Strict::start(pair.east.pod(0), log.clone()).await;
    let wrong = wrong(&pair.west, &log).await;
    let violations = strict.violations.lock().unwrap().clone();
    assert!(wrong.is_empty() && violations.is_empty(), "{}\n{}", wrong.join("\n"), violations.join("\n"));
    pair.stop().await;
}

/// One worker, so that all share its connections to the one pod.
async fn site(speech: &str) -> (Site, Log) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import(speech);
    site.start_with(|config| config.workers = NonZeroUsize::new(1)).await;
    (site, Log::default())
}

/// Tries every case, and says what is wrong.
async fn wrong(site: &Site, log: &Log) -> Vec<String> {
    let first = cases::all();
    let second = two::all(first.len());
    assert!(first.len() > 450 && second.len() > 80, "the rules make {} and {} cases", first.len(), second.len());
    let door = site.door();
    let heard = each(first.iter().map(|case| case.bytes.clone()), |at, bytes| one(at, bytes, door)).await;
    let begin = first.len();
    let streams =
        each(second.iter().map(|case| case.bytes.clone()), |at, bytes| two_streams(begin + at, bytes, door)).await;
    // A backend says what it read before it answers: when the last is heard of, all are.
    let last = answers::say(site.door(), &ask("last", 999), PATIENCE).await;
    until("the backend's last word is here", || log.of("/last-999-").len() == last.answers.len()).await;
    let read = |number: usize, but: &str| -> Vec<String> {
        log.of(&format!("-{number:03}-")).into_iter().filter(|line| !line.contains(but)).collect()
    };
    let mut wrong = Vec::new();
    for (number, (case, (own, other))) in first.iter().zip(heard).enumerate() {
        let lines = read(number, "/other-");
        let others = other.answers.iter().map(|a| a.body.clone()).collect::<Vec<_>>();
        let verdict = judge::one(number, case.verdict, &own, &lines);
        let strange = others != [log::line("GET", &format!("/other-{number:03}-"), b"")];
        if verdict.is_err() || strange {
            let (sent, why) = (String::from_utf8_lossy(&case.bytes), verdict.err());
            wrong.push(format!(
                "{}: {why:?}\n  sent {sent:?}\n  heard {own:?}\n  read {lines:?}\n  others heard {others:?}",
                case.name
            ));
        }
    }
    for ((at, case), answers) in second.iter().enumerate().zip(streams) {
        let number = first.len() + at;
        let lines = read(number, "/other-");
        if let Err(why) = judge::two(number, case.verdict, &answers, &lines) {
            let sent = String::from_utf8_lossy(&case.bytes);
            wrong.push(format!("h2, {}: {why}\n  sent {sent:?}\n  heard {answers:?}\n  read {lines:?}", case.name));
        }
    }
    wrong
}

/// Runs what is made of each case's bytes, some at once, and returns what came of them in their order.
async fn each<T, F>(cases: impl Iterator<Item = Vec<u8>>, run: impl Fn(usize, Vec<u8>) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (at, bytes) in cases.enumerate() {
        let (places, case) = (places.clone(), run(at, bytes));
        running.spawn(async move {
            let _place = places.acquire().await;
            (at, case.await)
        });
    }
    let mut done = running.join_all().await;
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, told)| told).collect()
}

fn ask(what: &str, number: usize) -> Vec<u8> {
    format!("GET /{what}-{number:03}- HTTP/1.1\r\nhost: model.ml\r\nconnection: close\r\n\r\n").into_bytes()
}

/// A case over HTTP/1.1 with its canary, and then another client.
async fn one(number: usize, mut bytes: Vec<u8>, door: SocketAddr) -> (Heard, Heard) {
    bytes.extend(ask("canary", number));
    let own = answers::say(door, &bytes, PATIENCE).await;
    (own, answers::say(door, &ask("other", number), PATIENCE).await)
}

/// A case over HTTP/2 on stream 1 with its canary on stream 3: what a pod answered to either.
async fn two_streams(number: usize, case: Vec<u8>, door: SocketAddr) -> Vec<String> {
    let bytes = [frames::preface(), case, two::canary(number)].concat();
    let mut tcp = TcpStream::connect(door).await.unwrap();
    let _ = frames::say(&mut tcp, &bytes).await;
    let (mut bodies, mut ended) = ([Vec::new(), Vec::new()], [false; 2]);
    while !(ended[0] && ended[1]) {
        let Ok(Some(frame)) = tokio::time::timeout(PATIENCE, frames::next(&mut tcp)).await else { break };
        let at = match frame.stream {
            1 => 0,
            3 => 1,
            _ if frame.kind == GOAWAY => break,
            _ => continue,
        };
        if frame.kind == DATA {
            bodies[at].extend(&frame.payload);
        }
        ended[at] |= frame.kind == RST_STREAM || (frame.kind <= 1 && frame.flags & END_STREAM != 0);
    }
    let texts = bodies.into_iter().map(|body| String::from_utf8_lossy(&body).trim_end().to_owned());
    texts.filter(|body| body.contains(" whole x")).collect()
}
