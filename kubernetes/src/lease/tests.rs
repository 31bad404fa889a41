use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;

use super::*;

fn spec(holder: &str, renewed_s: i64) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.into()),
        lease_duration_seconds: Some(6),
        renew_time: Some(MicroTime(Timestamp::from_second(renewed_s).unwrap())),
        ..LeaseSpec::default()
    }
}

#[test]
fn a_lease_is_taken_only_after_it_was_seen_unchanged_for_its_whole_life() {
    let start = Instant::now();
    let at = |s: u64| start + Duration::from_secs(s);
    let mut seen = Seen::default();
    // Its renewal time is long past by our clock, which counts for nothing.
    assert_eq!(seen.step(&spec("other", 1), "me", at(0)), Step::Wait);
    assert_eq!(seen.step(&spec("other", 1), "me", at(5)), Step::Wait);
    assert_eq!(seen.step(&spec("other", 2), "me", at(6)), Step::Wait, "renewed");
    assert_eq!(seen.step(&spec("other", 2), "me", at(11)), Step::Wait);
    assert_eq!(seen.step(&spec("third", 2), "me", at(12)), Step::Wait, "another holder");
    assert_eq!(seen.step(&spec("third", 2), "me", at(18)), Step::Take);
}

#[test]
fn ones_own_is_renewed_and_a_free_one_taken_at_once() {
    let now = Instant::now();
    assert_eq!(Seen::default().step(&spec("me", 1), "me", now), Step::Renew);
    assert_eq!(Seen::default().step(&spec("", 1), "me", now), Step::Take);
    assert_eq!(Seen::default().step(&LeaseSpec::default(), "me", now), Step::Take);
}

#[test]
fn a_longer_lease_of_another_version_is_respected() {
    let start = Instant::now();
    let mut seen = Seen::default();
    let long = LeaseSpec { lease_duration_seconds: Some(15), ..spec("other", 1) };
    assert_eq!(seen.step(&long, "me", start), Step::Wait);
    assert_eq!(seen.step(&long, "me", start + Duration::from_secs(14)), Step::Wait);
    assert_eq!(seen.step(&long, "me", start + Duration::from_secs(15)), Step::Take);
}

/// One Lease, as an API server keeps it; requests of candidates that are cut off are never answered.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lease: Option<Lease>,
    revision: u64,
    cut: BTreeSet<&'static str>,
    /// Only answers to writes are lost: they take effect all the same.
    answers_only: bool,
}

impl Server {
    fn client(&self, who: &'static str) -> Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let this = this.clone();
            async move {
                let (cut, answers_only) = {
                    let kept = this.0.lock().unwrap();
                    (kept.cut.contains(who), kept.answers_only)
                };
                if cut && !answers_only {
                    std::future::pending::<()>().await;
                }
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (code, json) = this.answer(&parts.method, &body);
                if cut && parts.method != http::Method::GET {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(
                    Response::builder().status(code).body(Body::from(json.to_string().into_bytes())).unwrap(),
                )
            }
        });
        Client::new(service, "strait-system")
    }

    fn answer(&self, method: &http::Method, body: &[u8]) -> (u16, serde_json::Value) {
        let mut kept = self.0.lock().unwrap();
        let refused = |code: u16, reason: &str| {
            (
                code,
                serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}),
            )
        };
        if *method == http::Method::GET {
            return kept.lease.as_ref().map_or_else(|| refused(404, "NotFound"), |l| (200, serde_json::json!(l)));
        }
        let mut lease: Lease = serde_json::from_slice(body).unwrap();
        let held = kept.lease.as_ref().and_then(|l| l.metadata.resource_version.clone());
        match (held.is_some(), *method == http::Method::POST) {
            (true, true) => return refused(409, "AlreadyExists"),
            (true, false) if held != lease.metadata.resource_version => return refused(409, "Conflict"),
            _ => {}
        }
        kept.revision += 1;
        lease.metadata.resource_version = Some(kept.revision.to_string());
        kept.lease = Some(lease.clone());
        (200, serde_json::json!(lease))
    }

    fn cut(&self, who: &'static str, answers_only: bool) {
        let mut kept = self.0.lock().unwrap();
        kept.cut.insert(who);
        kept.answers_only = answers_only;
    }

    fn heal(&self, who: &'static str) {
        self.0.lock().unwrap().cut.remove(who);
    }
}

struct Two {
    server: Server,
    a: Leadership,
    b: Leadership,
    stops: [CancellationToken; 2],
}

impl Two {
    fn start() -> Self {
        let server = Server::default();
        let stops = [CancellationToken::new(), CancellationToken::new()];
        let candidate = |who| Candidate::new(server.client(who), "strait-system", "strait-controller", who);
        let (a, b) = (candidate("a"), candidate("b"));
        let leaderships = (a.leadership(), b.leadership());
        tokio::spawn(a.run(stops[0].clone()));
        tokio::spawn(b.run(stops[1].clone()));
        Self { server, a: leaderships.0, b: leaderships.1, stops }
    }

    /// Lets time pass in steps of 50 ms; both never lead at once. Returns when the condition held first.
    async fn until(&self, limit: Duration, holds: impl Fn(&Self) -> bool) -> Option<Duration> {
        let start = Instant::now();
        while start.elapsed() < limit {
            assert!(!(self.a.held() && self.b.held()), "two lead at once after {:?}", start.elapsed());
            if holds(self) {
                return Some(start.elapsed());
            }
            sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// Who leads is cut off, and the other one is to lead.
    async fn settled(&self) -> (&'static str, &Leadership, &Leadership) {
        let led = |t: &Self| t.a.held() || t.b.held();
        self.until(Duration::from_secs(5), led).await.unwrap();
        if self.a.held() { ("a", &self.a, &self.b) } else { ("b", &self.b, &self.a) }
    }
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_keeps_leading() {
    let two = Two::start();
    let (_, leader, other) = two.settled().await;
    let lost = two.until(Duration::from_secs(60), |_| !leader.held() || other.held()).await;
    assert_eq!(lost, None);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_the_other_begins() {
    for answers_only in [false, true] {
        let two = Two::start();
        let (name, leader, other) = two.settled().await;
        two.until(Duration::from_secs(9), |_| false).await;
        two.server.cut(name, answers_only);
        let stopped = two.until(Duration::from_secs(20), |_| !leader.held()).await.unwrap();
        assert!(stopped <= DURATION, "stopped after {stopped:?}");
        if answers_only {
            // Its renewals arrive, so the lease is not free; but it does not know and must not lead.
            assert_eq!(two.until(Duration::from_secs(20), |_| other.held() || leader.held()).await, None);
            two.server.heal(name);
            two.until(Duration::from_secs(5), |_| leader.held()).await.unwrap();
        } else {
            let begun = two.until(Duration::from_secs(20), |_| other.held()).await.unwrap();
            assert!(stopped + begun <= Duration::from_secs(11), "taken after {:?}", stopped + begun);
            two.server.heal(name);
            assert_eq!(two.until(Duration::from_secs(30), |_| leader.held()).await, None, "it waits its turn");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_gives_the_lease_back() {
    let two = Two::start();
    let (name, leader, other) = two.settled().await;
    two.until(Duration::from_secs(7), |_| false).await;
    two.stops[usize::from(name == "b")].cancel();
    let begun = two.until(Duration::from_secs(20), |_| other.held()).await.unwrap();
    assert!(begun <= RENEW + Duration::from_millis(500), "the other one began after {begun:?}");
    assert!(!leader.held());
}

#[tokio::test(start_paused = true)]
async fn when_both_are_cut_off_nobody_leads() {
    let two = Two::start();
    two.settled().await;
    two.server.cut("a", false);
    two.server.cut("b", false);
    two.until(Duration::from_secs(7), |t| !t.a.held() && !t.b.held()).await.unwrap();
    assert_eq!(two.until(Duration::from_secs(30), |t| t.a.held() || t.b.held()).await, None);
    two.server.heal("b");
    two.until(Duration::from_secs(10), |t| t.b.held()).await.unwrap();
}
