//! Junk on every port.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;
use rustls::ClientConnection;
use strait_catalog::ClusterId;
use strait_identity::{Alpn, Identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::load::Load;
use crate::names::{ask_tcp, ask_udp};
use crate::web;
use crate::world::World;

/// More than the code's own pages and caches come to, less than what any of this adds up to.
const GROWTH_KIB: u64 = 64 * 1024;

/// A good beginning of a handshake.
fn client_hello(world: &World) -> Vec<u8> {
    let (from, to) = (world.identity("us-east"), ClusterId::parse("us-west").unwrap());
    let config = from.client_config(&to, &[Alpn::Sync]).unwrap();
    let mut connection = ClientConnection::new(config, Identity::server_name(&to)).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

fn random(rng: &mut Rng, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

fn junk(world: &World, rng: &mut Rng) -> Vec<Vec<u8>> {
    let hello = client_hello(world);
    let many_fields: String = (0..20_000).map(|i| format!("x-{i}: y\r\n")).collect();
    let mut all = vec![
        Vec::new(),
        vec![0; 4096],
        hello.clone(),
        [&hello[..], &random(rng, 2048)].concat(),
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"GET /\r\n\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        b"CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        [&b"GET / HTTP/1.1\r\nhost: x\r\nx: "[..], &vec![b'a'; 2 << 20], b"\r\n\r\n"].concat(),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{many_fields}\r\n").into_bytes(),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(1 << 20)).into_bytes(),
        [&[0xff, 0xff][..], &random(rng, 70_000)].concat(),
        vec![0, 0, 0, 12],
        [&[0, 12][..], &[0xff; 12]].concat(),
    ];
    all.extend([1, 3, 5, 6, 20, 43, hello.len() - 1].map(|cut| hello[..cut].to_vec()));
    all.extend([1, 17, 300, 5_000, 100_000].map(|length| random(rng, length)));
    all
}

/// Sends it, listens for a moment, and leaves.
async fn throw(at: SocketAddr, bytes: Vec<u8>) {
    let Ok(mut stream) = TcpStream::connect(at).await else { return };
    // The other side may hang up in the middle, which is its right.
    let moment = Duration::from_millis(300);
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.write_all(&bytes)).await;
    let _ = tokio::time::timeout(moment, stream.read_to_end(&mut Vec::new())).await;
}

async fn throw_datagrams(at: SocketAddr, rng: &mut Rng) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for i in 0..400 {
        let mut bytes = random(rng, i % 600);
        // Half of them pass for a question with a header that makes sense.
        if i % 2 == 0 && bytes.len() > 12 {
            bytes[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        socket.send_to(&bytes, at).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_on_every_port_harms_nothing() {
    let mut world = World::new(96, &["us-west", "us-east"]);
    let daemons = world.start_all().await;
    let (west, site) = (&daemons[0], daemons[0].site);
    let load = Load::start(site.listener(), 40);
    load.served_by("us-west", 40).await;
    let (before_kib, before_lines) = (west.process.resident_kib(), west.process.log.all().len());

    let mut rng = Rng::with_seed(20_251_123);
    let ports = [site.listener(), site.gateway(), site.dns(), site.admin()];
    for bytes in junk(&world, &mut rng) {
        let mut thrown = JoinSet::new();
        for at in ports.into_iter().cycle().take(2 * ports.len()) {
            thrown.spawn(throw(at, bytes.clone()));
        }
        thrown.join_all().await;
    }
    // Some never say a word and never leave.
    let mut silent = Vec::new();
    for at in ports.into_iter().cycle().take(20 * ports.len()) {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    throw_datagrams(site.dns(), &mut rng).await;
    load.served_by("us-west", 40).await;
    let grown = west.process.resident_kib().saturating_sub(before_kib);
    assert!(grown < GROWTH_KIB, "memory grew by {grown} KiB from {before_kib}");
    load.end_without_failure().await;

    west.sees("us-east", 2).await;
    daemons[1].sees("us-west", 2).await;
    assert_eq!(web::get(site.admin(), "/readyz").await.unwrap().status, 200);
    let name = "web.shop.svc.clusterset.local";
    assert_eq!(ask_udp(site.dns(), name, 1).await.addresses, [site.address()]);
    assert_eq!(ask_tcp(site.dns(), name, 1).await.addresses, [site.address()]);
    world.scale("us-west", 0).await;
    west.sees("us-west", 0).await;
    assert_eq!(web::get(site.listener(), "/").await.unwrap().header("x-strait-served-by"), "us-east", "the gateway");

    let said = west.process.log.all();
    assert!(said.len() < before_lines + 40, "strangers fill the log: {:#?}", &said[before_lines..]);
    let refused = west.process.log.with(&["WARN", "a connection to the gateway port was refused"]);
    assert!(!refused.is_empty() && refused[0].contains("peer=127."), "who it was: {refused:#?}");
    assert!(refused[0].contains("is not TLS"), "and what: {refused:#?}");
    // Each port by name, once in a while.
    west.process.says(&["WARN", "a client sent what is no HTTP", "service=shop/web"]).await;
    west.process.says(&["a message on the DNS port is no DNS question", "client=127."]).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_stay_do_not_keep_a_daemon_from_leaving() {
    let world = World::new(97, &["us-west"]);
    let mut west = world.start_with("us-west", &["--drain-timeout=1s"]);
    let site = west.site;
    west.shows("that it is ready", |s| s.readiness == "ready").await;
    let mut held = Vec::new();
    for at in [site.listener(), site.gateway(), site.dns(), site.admin()] {
        for words in [&b""[..], b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"] {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(words).await.unwrap();
            held.push(stream);
        }
    }
    west.process.signal("TERM");
    assert!(west.process.ended().await.success(), "{:#?}", west.process.log.all());
    west.process.says_once(&["gone"]).await;
    assert!(west.process.log.with(&["did not end in time"]).is_empty(), "{:#?}", west.process.log.all());
}
