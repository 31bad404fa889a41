//! A running server on loopback: real sockets, both transports.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use strait_catalog::{ClusterId, Published};
use strait_dns::{DnsConfig, DnsServer, TcpLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::{query, services, snapshot, texts, with_edns, zone};

/// Far beyond what anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    published: Published,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

fn start(udp_sockets: usize, tcp: TcpLimits) -> Running {
    let published = Published::new(ClusterId::parse("us-west").unwrap());
    published.publish(snapshot(services(), true));
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let config = DnsConfig { udp_sockets, tcp, ..DnsConfig::new(listen, zone(), published.clone()) };
    let handle = DnsServer::start(config, &tracker, cancel.clone()).unwrap();
    Running { address: handle.local_addrs[0], published, tracker, cancel }
}

impl Running {
    async fn udp(&self, message: &Message) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address).await.unwrap();
        socket.send(&message.to_vec().unwrap()).await.unwrap();
        let mut buffer = [0; 4096];
        let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.tracker.close();
        timeout(PATIENCE, self.tracker.wait()).await.unwrap();
    }
}

async fn send(stream: &mut TcpStream, message: &[u8]) {
    let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Message {
    let read = async {
        let mut message = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut message).await.unwrap();
        message
    };
    Message::from_vec(&timeout(PATIENCE, read).await.unwrap()).unwrap()
}

/// Waits until the server closes the connection.
async fn closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(PATIENCE, stream.read_u8()).await, Ok(Err(_)))
}

const MODEL: &str = "model-server.ml-production.svc.clusterset.local.";

#[tokio::test]
async fn both_transports_answer_on_one_port() {
    let server = start(3, TcpLimits::default());
    let expected = ["model-server.ml-production.svc.clusterset.local. 30 IN A 10.96.0.10"];
    for _ in 0..20 {
        // A new port each time, so that the kernel spreads the questions over the sockets.
        assert_eq!(texts(&server.udp(&query(MODEL, RecordType::A)).await.answers), expected);
    }
    let mut stream = server.connect().await;
    send(&mut stream, &query(MODEL, RecordType::A).to_vec().unwrap()).await;
    assert_eq!(texts(&receive(&mut stream).await.answers), expected);
    server.stop().await;
}

#[tokio::test]
async fn a_truncated_answer_is_whole_over_tcp() {
    let server = start(1, TcpLimits::default());
    let message = with_edns(query("wide.default.svc.clusterset.local.", RecordType::SRV), 1232);
    let short = server.udp(&message).await;
    assert!(short.metadata.truncation && short.answers.is_empty() && short.edns.is_some());
    let mut stream = server.connect().await;
    send(&mut stream, &message.to_vec().unwrap()).await;
    let whole = receive(&mut stream).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 60);
    server.stop().await;
}

#[tokio::test]
async fn questions_sent_at_once_are_all_answered_in_order() {
    let server = start(1, TcpLimits::default());
    let mut stream = server.connect().await;
    for id in 0..50u16 {
        let mut message = query(MODEL, RecordType::AAAA);
        message.metadata.id = id;
        send(&mut stream, &message.to_vec().unwrap()).await;
    }
    for id in 0..50u16 {
        assert_eq!(receive(&mut stream).await.metadata.id, id);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_new_snapshot_is_answered_at_once() {
    let server = start(1, TcpLimits::default());
    let before = server.udp(&query("new.default.svc.clusterset.local.", RecordType::A)).await;
    assert_eq!(before.metadata.response_code, ResponseCode::NXDomain);
    let mut more = services();
    let new = strait_catalog::ServiceKey::parse("default/new").unwrap();
    more.push((new, crate::world::import(&["10.96.0.99"], Vec::new())));
    server.published.publish(snapshot(more, true));
    let after = server.udp(&query("new.default.svc.clusterset.local.", RecordType::A)).await;
    assert_eq!(texts(&after.answers), ["new.default.svc.clusterset.local. 30 IN A 10.96.0.99"]);
    server.stop().await;
}

#[tokio::test]
async fn nonsense_does_not_disturb_the_next_question() {
    let server = start(1, TcpLimits::default());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for nonsense in [&[][..], &[0xff; 5], &[0xff; 600], &[0; 5000]] {
        socket.send_to(nonsense, server.address).await.unwrap();
    }
    assert_eq!(server.udp(&query(MODEL, RecordType::A)).await.answers.len(), 1);

    let mut broken = server.connect().await;
    send(&mut broken, b"short").await;
    assert!(closed(&mut broken).await, "what is no message ends the connection");
    let mut huge = server.connect().await;
    huge.write_all(&[0xff, 0xff]).await.unwrap();
    assert!(closed(&mut huge).await, "so does a question of 65,535 octets");
    let mut malformed = server.connect().await;
    send(&mut malformed, &[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0]).await;
    assert_eq!(receive(&mut malformed).await.metadata.response_code, ResponseCode::FormErr);
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_idle_ones_too() {
    let server = start(1, TcpLimits { connections: 2, per_source: 2, idle: Duration::from_millis(300) });
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for stream in [&mut first, &mut second] {
        send(stream, &query(MODEL, RecordType::A).to_vec().unwrap()).await;
        receive(stream).await;
    }
    let mut third = server.connect().await;
    assert!(closed(&mut third).await);
    assert!(closed(&mut first).await && closed(&mut second).await, "idle");
    // Their places are free again, as soon as their tasks have ended.
    let answered = async {
        loop {
            let mut stream = server.connect().await;
            send(&mut stream, &query(MODEL, RecordType::A).to_vec().unwrap()).await;
            if let Ok(length) = stream.read_u16().await {
                return length;
            }
        }
    };
    assert!(timeout(PATIENCE, answered).await.unwrap() > 12);
    server.stop().await;
}

#[tokio::test]
async fn stopping_ends_open_connections_and_frees_the_port() {
    let server = start(2, TcpLimits::default());
    let mut idle = server.connect().await;
    send(&mut idle, &query(MODEL, RecordType::A).to_vec().unwrap()).await;
    receive(&mut idle).await;
    let address = server.address;
    server.stop().await;
    assert!(closed(&mut idle).await);
    UdpSocket::bind(address).await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let published = Published::new(ClusterId::parse("us-west").unwrap());
    let config = DnsConfig::new(vec![address], zone(), published);
    let error = DnsServer::start(config, &TaskTracker::new(), CancellationToken::new()).unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
