//! The gateway port: who is let in, and to what.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use strait_identity::{Alpn, Identity};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{Got, read};
use crate::pod::Pod;
use crate::site::{Site, until};

pub async fn gateway() -> (Site, Site, Pod) {
    let (mut west, east) = (Site::new("us-west"), Site::new("us-east"));
    west.export();
    west.slice(1);
    west.meet(&east);
    let pod = Pod::start(west.pod(0), "pod-0").await;
    west.start().await;
    east.meet(&west);
    until("the gateway is open", || std::net::TcpStream::connect(west.gateway()).is_ok()).await;
    (west, east, pod)
}

async fn tls(to: &Site, with: &Identity, alpn: &[Alpn]) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(to.gateway()).await?;
    let config = with.client_config(&to.id, alpn).unwrap();
    TlsConnector::from(config).connect(Identity::server_name(&to.id), tcp).await
}

async fn ask(to: &Site, with: &Identity, fields: &[(&str, &str)]) -> Result<Got, String> {
    ask_for("/head", to, with, fields).await
}

pub async fn ask_for(path: &str, to: &Site, with: &Identity, fields: &[(&str, &str)]) -> Result<Got, String> {
    let stream = tls(to, with, &[Alpn::Http2]).await.map_err(|e| e.to_string())?;
    let (mut sender, conn) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(conn);
    let mut request = Request::get(format!("http://model.ml{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    read(sender.send_request(request).await.map_err(|e| e.to_string())?).await
}

pub const GOOD: [(&str, &str); 3] = [("x-strait-service", "ml/model"), ("x-strait-port", "80"), ("x-strait-hop", "1")];

const TUNNEL: (&str, &str) = ("x-strait-tunnel", "tcp");

#[tokio::test]
async fn requests_are_authorised() {
    let (west, east, pod) = gateway().await;
    let got = ask(&west, &east.identity, &GOOD).await.unwrap();
    assert_eq!(got.status, 200);
    assert!(got.headers["x-strait-load"].to_str().unwrap().starts_with("ready=1,"), "{got:?}");
    assert!(!got.headers.contains_key("x-strait-error"), "a pod's word is not the gateway's");
    assert!(got.body.contains("host: model.ml\n") && got.body.contains("via: 2.0 us-west.strait\n"), "{}", got.body);
    assert!(!got.body.contains("x-strait"), "{}", got.body);
    let reached = pod.count();

    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);
    let cases: [Case<'_>; 9] = [
        ("another service", &[("x-strait-service", "ml/other"), GOOD[1], GOOD[2]], 403, "not-exported"),
        ("another port", &[GOOD[0], ("x-strait-port", "81"), GOOD[2]], 403, "not-exported"),
        ("no service", &[GOOD[1], GOOD[2]], 403, "not-exported"),
        ("no hop", &[GOOD[0], GOOD[1]], 508, "hop"),
        ("a second hop", &[GOOD[0], GOOD[1], ("x-strait-hop", "2")], 508, "hop"),
        (
            "a tunnel to another service",
            &[("x-strait-service", "ml/other"), GOOD[1], GOOD[2], TUNNEL],
            403,
            "not-exported",
        ),
        ("a tunnel's second hop", &[GOOD[0], GOOD[1], ("x-strait-hop", "2"), TUNNEL], 508, "hop"),
        ("another tunnel", &[GOOD[0], GOOD[1], GOOD[2], ("x-strait-tunnel", "udp")], 405, "bad-request"),
        ("two hops", &[GOOD[0], GOOD[1], GOOD[2], ("x-strait-hop", "1")], 508, "hop"),
    ];
    for (what, fields, status, word) in cases {
        let got = ask(&west, &east.identity, fields).await.unwrap();
        assert_eq!((got.status.as_u16(), got.headers["x-strait-error"].to_str().unwrap()), (status, word), "{what}");
        assert_eq!(got.headers["x-strait-reached"], "0", "{what}");
    }
    assert_eq!(pod.count(), reached);
    west.stop().await;
}

#[tokio::test]
async fn dead_pods_are_told_as_not_reached() {
    let (west, east, pod) = gateway().await;
    drop(pod);
    let got = ask(&west, &east.identity, &GOOD).await.unwrap();
    assert_eq!((got.status.as_u16(), &got.headers["x-strait-reached"]), (503, &"0".parse().unwrap()), "{got:?}");
    west.stop().await;
}

#[tokio::test]
async fn strangers_are_not_let_in() {
    let (west, east, pod) = gateway().await;
    // The right name under another CA, and a cluster that is no peer.
    let (false_east, unknown) = (Site::new("us-east"), Site::new("eu-west"));
    for stranger in [&false_east, &unknown] {
        stranger.meet(&west);
        let error = ask(&west, &stranger.identity, &GOOD).await.unwrap_err();
        assert!(!error.is_empty());
    }
    assert_eq!(pod.count(), 0);
    assert_eq!(ask(&west, &east.identity, &GOOD).await.unwrap().status, 200);
    west.stop().await;
}

#[tokio::test]
async fn a_peer_that_is_removed_is_refused_on_its_open_connection() {
    let (west, east, _pod) = gateway().await;
    let stream = tls(&west, &east.identity, &[Alpn::Http2]).await.unwrap();
    let (mut sender, conn) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(conn);
    let request = || {
        let with = GOOD.iter().fold(Request::get("http://model.ml/"), |r, (name, value)| r.header(*name, *value));
        with.body(Empty::<Bytes>::new()).unwrap()
    };
    assert_eq!(read(sender.send_request(request()).await.unwrap()).await.unwrap().status, 200);
    west.identity.trust().replace_peers([]);
    let got = read(sender.send_request(request()).await.unwrap()).await.unwrap();
    assert_eq!((got.status.as_u16(), got.headers["x-strait-error"].as_bytes()), (403, &b"not-trusted"[..]));
    west.stop().await;
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    let (west, east, _pod) = gateway().await;
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], b"\x16\x03\x01\xff\xff", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""]
    {
        let mut raw = TcpStream::connect(west.gateway()).await.unwrap();
        raw.write_all(garbage).await.unwrap();
        raw.shutdown().await.unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(10), raw.read_to_end(&mut Vec::new())).await.unwrap();
    }
    assert_eq!(ask(&west, &east.identity, &GOOD).await.unwrap().status, 200);
    west.stop().await;
}

/// Writes one byte at a time.
struct Crumbs(TcpStream);

impl AsyncRead for Crumbs {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Crumbs {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &buf[..buf.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_client_hello_in_crumbs_is_no_garbage() {
    let (west, east, _pod) = gateway().await;
    let tcp = TcpStream::connect(west.gateway()).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let config = east.identity.client_config(&west.id, &[Alpn::Http2]).unwrap();
    let connector = TlsConnector::from(config);
    connector.connect(Identity::server_name(&west.id), Crumbs(tcp)).await.unwrap();
    west.stop().await;
}

#[tokio::test]
async fn sync_sessions_are_handed_over() {
    let (mut west, east, _pod) = gateway().await;
    let mut stream = tls(&west, &east.identity, &[Alpn::Sync]).await.unwrap();
    let _ = stream.write_all(b"hello").await;
    let cluster = west.synced.as_mut().unwrap().recv().await.unwrap();
    assert_eq!(cluster, east.id);
    west.stop().await;
}

#[tokio::test]
async fn without_a_certificate_the_gateway_is_closed_and_opens_with_it() {
    let mut site = Site::new("us-west");
    let waiting = Identity::new(site.identity.id().clone());
    site.identity = waiting;
    site.export();
    site.slice(1);
    site.import("");
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    site.start().await;
    assert!(TcpStream::connect(site.gateway()).await.is_err());
    assert!(!site.proxy().view().gateway_open);
    assert_eq!(crate::client::once(site.door(), crate::client::get("/")).await.unwrap().status, 200);
    site.certify();
    until("the gateway opens", || std::net::TcpStream::connect(site.gateway()).is_ok()).await;
    site.stop().await;
}

#[tokio::test]
async fn a_draining_gateway_answers_what_comes() {
    let (west, east, _pod) = gateway().await;
    let stream = tls(&west, &east.identity, &[Alpn::Http2]).await.unwrap();
    let (_sender, conn) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(conn);
    tokio::time::sleep(Duration::from_millis(50)).await;
    west.proxy().drain();
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("GOAWAY").unwrap().unwrap();
    for _ in 0..5 {
        assert_eq!(ask(&west, &east.identity, &GOOD).await.unwrap().status, 200, "those who come back are answered");
    }
    let view = west.proxy().view();
    assert_eq!(view.phase, "draining");
    west.stop().await;
}
