//! h2spec, all of it, against every listener that speaks HTTP/2.
//!
//! It checks frames and not statuses. On the gateway port its requests lack the private fields, so they end in 508; what
//! reads and answers the frames is the same. The gateway wants a client's certificate, which h2spec cannot show: a relay
//! of this test does the TLS and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use strait_identity::{Alpn, Identity};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::go;
use crate::pod::Pod;
use crate::site::{Site, until};

/// Cases of h2spec 2.6.0, the strict ones included: with fewer the run was cut short.
const CASES: usize = 147;
/// Seconds after which a case that waits for silence has waited for long enough.
const WAIT: &str = "1";
const LONG_WAIT: &str = "5";

/// A pod's name, long enough to be sent in several small frames.
const NAME: &str = "a pod whose name is long enough to be sent in several small frames";

#[tokio::test]
async fn a_listener_for_http_passes_h2spec() {
    outbound("http").await;
}

#[tokio::test]
async fn a_listener_that_finds_out_what_is_spoken_passes_h2spec() {
    outbound("").await;
}

#[tokio::test]
async fn a_listener_whose_pods_speak_h2c_passes_h2spec() {
    outbound("kubernetes.io/h2c").await;
}

async fn outbound(app_protocol: &str) {
    let Some(h2spec) = go::h2spec() else { return };
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import(app_protocol);
    let _pod = if app_protocol.ends_with("h2c") {
        Pod::start_h2c(site.pod(0), NAME).await
    } else {
        Pod::start(site.pod(0), NAME).await
    };
    site.start().await;
    passes(&h2spec, site.door()).await;
    site.stop().await;
}

#[tokio::test]
async fn the_gateway_passes_h2spec() {
    let Some(h2spec) = go::h2spec() else { return };
    let (mut west, east) = (Site::new("us-west"), Site::new("us-east"));
    west.export();
    west.slice(1);
    west.meet(&east);
    west.start().await;
    east.meet(&west);
    until("the gateway is open", || std::net::TcpStream::connect(west.gateway()).is_ok()).await;
    let listener = TcpListener::bind(west.relay()).await.unwrap();
    let at = listener.local_addr().unwrap();
    let config = east.identity.client_config(&west.id, &[Alpn::Http2]).unwrap();
    let (gateway, name) = (west.gateway(), Identity::server_name(&west.id));
    let relay = tokio::spawn(async move {
        loop {
            let (mut plain, _) = listener.accept().await.unwrap();
            let (connector, name) = (TlsConnector::from(config.clone()), name.clone());
            tokio::spawn(async move {
                let tcp = TcpStream::connect(gateway).await.unwrap();
                let mut tls = connector.connect(name, tcp).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut plain, &mut tls).await;
            });
        }
    });
    passes(&h2spec, at).await;
    relay.abort();
    west.stop().await;
}

/// Runs every case; none fails.
async fn passes(h2spec: &Path, at: SocketAddr) {
    let h2spec = h2spec.to_owned();
    let judged = tokio::task::spawn_blocking(move || {
        let said = run(&h2spec, at, WAIT, None);
        let mut verdicts = verdicts(&said.report);
        assert_eq!(verdicts.len(), CASES, "{}", said.printed);
        // On a busy machine a case may have been out of patience: alone, and with more of it, it tells.
        for (id, passed) in verdicts.iter_mut().filter(|(_, passed)| !**passed) {
            *passed = run(&h2spec, at, LONG_WAIT, Some(id)).passed;
        }
        (verdicts, said.printed)
    });
    let (verdicts, printed) = judged.await.unwrap();
    let failed: Vec<&str> = verdicts.iter().filter(|(_, passed)| !**passed).map(|(id, _)| &**id).collect();
    assert!(failed.is_empty(), "{failed:?} failed: {printed}");
}

/// What came of a run.
struct Said {
    passed: bool,
    report: String,
    printed: String,
}

/// Runs all cases, or one.
fn run(h2spec: &Path, at: SocketAddr, wait: &str, case: Option<&str>) -> Said {
    let report = std::env::temp_dir().join(format!("strait-h2spec-{}-{at}.xml", std::process::id()));
    let out = Command::new(h2spec)
        .args(["--strict", "--timeout", wait, "--host", &at.ip().to_string(), "--port", &at.port().to_string()])
        .arg("--junit-report")
        .arg(&report)
        .args(case)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    let written = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report, {error}: {printed}"));
    let _ = std::fs::remove_file(&report);
    Said { passed: out.status.success() && written.contains("<testcase "), report: written, printed }
}

/// Each case by `section/number`, and whether it passed. One that was skipped or met an error did not.
fn verdicts(xml: &str) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    for case in xml.split("<testcase ").skip(1) {
        let case = case.split_once("</testcase>").map_or(case, |(inside, _)| inside);
        let section = case.split_once("package=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(s, _)| s);
        let number = numbers.entry(section).or_default();
        *number += 1;
        let passed = !["<failure", "<skipped", "<error"].iter().any(|tag| case.contains(tag));
        found.insert(format!("{section}/{number}"), passed);
    }
    found
}

#[test]
fn reports_are_read() {
    let xml = r#"<testsuite><testcase package="http2/6.1" classname="a"></testcase>
        <testcase package="http2/6.1" classname="b"><failure>x</failure></testcase>
        <testcase package="hpack/2" classname="c"><skipped></skipped></testcase></testsuite>"#;
    let read: Vec<_> = verdicts(xml).into_iter().collect();
    let expected = [("hpack/2/1", false), ("http2/6.1/1", true), ("http2/6.1/2", false)];
    assert_eq!(read, expected.map(|(id, passed)| (id.to_owned(), passed)));
}
