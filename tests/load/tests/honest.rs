//! The generator against servers that misbehave on purpose: it must show what a user would have seen.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strait_load::generator::{self, Connections, Plan};
use strait_load::sample::{Kind, Sample};
use strait_load::sink;
use strait_load::summary::{self, Summary, Window};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

const OK: &str = "HTTP/1.1 200 OK\r\nx-strait-served-by: us-west\r\ncontent-length: 12\r\n\r\nModel Server";

/// Reads one request; `None` when the client has gone.
async fn request(stream: &mut TcpStream) -> Option<()> {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        seen.push(byte[0]);
    }
    Some(())
}

/// Serves `answer(n)` to the n-th request, kept alive; an empty answer closes the connection instead.
async fn serve<F>(answer: F) -> u16
where
    F: Fn(usize) -> (Instant, &'static str) + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (answer, count) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
            tokio::spawn(async move {
                while request(&mut stream).await.is_some() {
                    let (at, text) = answer(count.fetch_add(1, Ordering::SeqCst));
                    sleep_until(at).await;
                    if text.is_empty() || stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn plan(port: u16, rate: u32, requests: u32, connections: Connections) -> Plan {
    Plan {
        targets: vec![format!("http://127.0.0.1:{port}/").parse().unwrap()],
        rate,
        duration: Duration::from_secs(1) * requests / rate,
        timeout: Duration::from_secs(20),
        connections,
        expect: Some("Model Server".to_owned()),
        server_header: strait_load::connection::SERVED_BY,
        body_names_server: false,
    }
}

async fn samples(name: &str, plan: Plan) -> Vec<Sample> {
    let path: PathBuf = std::env::temp_dir().join(format!("strait-load-{name}-{}", std::process::id()));
    let (sender, writer) = sink::open(&path).await.unwrap();
    generator::run(plan, sender, CancellationToken::new()).await;
    let written = writer.await.unwrap().unwrap();
    let (samples, unread) = summary::read(&path, Window::ALL).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((samples.len() as u64, unread), (written, 0), "every sample is a line of the file");
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_of_a_second_is_a_second_of_slow_requests() {
    for connections in [Connections::New, Connections::KeepAlive] {
        // From the 30th request on nothing is answered for a second; then all of it at once.
        let stall = Arc::new(std::sync::OnceLock::new());
        let shared = Arc::clone(&stall);
        let port = serve(move |n| {
            let until =
                if n < 30 { Instant::now() } else { *shared.get_or_init(|| Instant::now() + Duration::from_secs(1)) };
            (until, OK)
        })
        .await;
        let samples = samples("stall", plan(port, 100, 200, connections)).await;
        let slow = samples.iter().filter(|s| s.latency_us >= 100_000).count();
        assert_eq!((samples.len(), Summary::of(&samples).failed()), (200, 0));
        // A client that waits for an answer before its next request would show one (or, kept alive, 40) of them.
        assert!(slow >= 88, "{connections:?}: {slow} slow requests of the 100 that were due in the stall");
        assert!(samples.iter().any(|s| s.latency_us >= 950_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_a_refused_request() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let samples = samples("refused", plan(port, 200, 20, Connections::New)).await;
    assert_eq!(Summary::of(&samples).failures[&Kind::Refused], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_body_and_another_status_are_failures() {
    let wrong = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHello";
    let busy =
        "HTTP/1.1 503 Service Unavailable\r\nx-strait-error: no-endpoint\r\ncontent-length: 12\r\n\r\nModel Server";
    let port = serve(move |n| (Instant::now(), [OK, wrong, busy][n % 3])).await;
    let s = Summary::of(&samples("wrong", plan(port, 200, 30, Connections::New)).await);
    assert_eq!((s.served_by["us-west"], s.failures[&Kind::Body], s.failures[&Kind::Status]), (10, 10, 10));
    assert_eq!(s.statuses["503 no-endpoint"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_breaks_under_a_request_is_one_failure_and_no_second_try() {
    let served = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&served);
    let port = serve(move |n| {
        seen.fetch_add(1, Ordering::SeqCst);
        (Instant::now(), if n == 50 { "" } else { OK })
    })
    .await;
    let samples = samples("broken", plan(port, 200, 60, Connections::KeepAlive)).await;
    let failed: Vec<_> = samples.iter().filter(|s| !s.is_ok()).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].kept && matches!(failed[0].kind, Kind::Closed | Kind::Reset), "{failed:?}");
    assert_eq!(served.load(Ordering::SeqCst), 60, "the server saw each request once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_its_server_closed_is_replaced_before_use() {
    let goodbye = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 12\r\n\r\nModel Server";
    let port = serve(move |n| (Instant::now(), if n.is_multiple_of(7) { goodbye } else { OK })).await;
    let samples = samples("goodbye", plan(port, 200, 100, Connections::KeepAlive)).await;
    assert_eq!(Summary::of(&samples).failed(), 0);
    assert!(samples.iter().any(|s| s.kept) && samples.iter().filter(|s| !s.kept).count() > generator::KEPT);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_fails_at_the_limit_counted_from_when_the_request_was_due() {
    let port = serve(|_| (Instant::now() + Duration::from_secs(60), OK)).await;
    let limit = Duration::from_secs(3);
    let plan = Plan { timeout: limit, ..plan(port, 100, 10, Connections::New) };
    let samples = samples("silence", plan).await;
    assert_eq!(samples.len(), 10);
    assert!(samples.iter().all(|s| s.kind == Kind::AnswerTimeout && s.latency_us >= 3_000_000), "{samples:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_nobody_knows_is_a_failure_of_the_name() {
    let plan =
        Plan { targets: vec!["http://no-such-name.invalid/".parse().unwrap()], ..plan(1, 100, 5, Connections::New) };
    let samples = samples("name", plan).await;
    assert!(samples.iter().all(|s| s.kind == Kind::Dns), "{samples:?}");
}
