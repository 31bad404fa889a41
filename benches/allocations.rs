//! How often the proxy allocates for one GET on a kept connection (goal: at most 8; a plain one takes the fast path, which has
//! none; one that says how long its body is goes the way of all other requests), and what it holds for a client's
//! connection that is idle (goal: at most 2,048 bytes; the kernel's own buffers are not counted).
//!
//! `cargo bench --bench allocations`
//!
//! Client and pod are plain threads with buffers of their own that allocate nothing, so what is counted while requests go
//! through is the proxy's, with the little that its other threads do meanwhile.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

mod counting;
mod one_pod;

/// Requests whose allocations are counted together, and how often.
const BATCH: u64 = 100;
const BATCHES: u32 = 200;
/// Allocations of a plain request, and of any other.
const MOST_PLAIN: u64 = 0;
const MOST: u64 = 8;
/// Connections that are left idle.
const IDLE: u32 = 500;
const GET: &[u8] =
    b"GET /v1/models HTTP/1.1\r\nhost: model-server.ml-production\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";
const OTHER: &[u8] =
    b"GET /v1/models HTTP/1.1\r\nhost: model-server.ml-production\r\nuser-agent: bench\r\ncontent-length: 0\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\nserver: bench\r\n\r\nModel Server\n";

/// Reads until the given bytes ended what came, with room for the longest head here.
fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let (mut buffer, mut have) = ([0_u8; 4_096], 0);
    while !buffer[..have].ends_with(end) {
        match stream.read(&mut buffer[have..]).expect("a readable connection") {
            0 => return,
            more => have += more,
        }
    }
}

/// A pod that answers every request with the same bytes.
fn pod() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("it is bound");
    let serve = |mut stream: TcpStream| {
        stream.set_nodelay(true).expect("an option every TCP socket has");
        while stream.peek(&mut [0]).is_ok_and(|n| n > 0) {
            read_until(&mut stream, b"\r\n\r\n");
            stream.write_all(ANSWER).expect("the proxy reads");
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Allocations of so many requests on one connection: the middle of many batches, since what the balancer's ticks allocate
/// meanwhile falls into a few of them.
fn allocations(listener: SocketAddr, request: &[u8]) -> u64 {
    let mut client = TcpStream::connect(listener).expect("the proxy listens");
    client.set_nodelay(true).expect("an option every TCP socket has");
    let mut gets = |count: u64| {
        for _ in 0..count {
            client.write_all(request).expect("the proxy reads");
            read_until(&mut client, b"Model Server\n");
        }
    };
    gets(1_000);
    let mut batches: Vec<u64> = (0..BATCHES).map(|_| counting::allocations(|| gets(BATCH))).collect();
    batches.sort_unstable();
    batches[batches.len() / 2]
}

fn main() {
    let (proxy, listener) = one_pod::proxy(pod());
    for (name, request, most) in [("plain_get  ", GET, MOST_PLAIN), ("other_get  ", OTHER, MOST)] {
        let counted = allocations(listener, request);
        println!("allocations/{name}      {}.{:02} a request", counted / BATCH, counted % BATCH);
        // A channel of the runtime's makes room for 32 messages at once: a request in a batch has a little more than its own.
        assert!(counted / BATCH <= most, "a proxied GET allocates {counted} times in {BATCH}, more than {most} each");
    }
    let mut idle = Vec::with_capacity(IDLE as usize);
    let held = counting::held(|| {
        idle.extend((0..IDLE).map(|_| asked_once(listener)));
        while proxy.view().parked < IDLE {
            std::thread::park_timeout(Duration::from_millis(100));
        }
    });
    println!("allocations/idle_connection {} bytes", held / i64::from(IDLE));
    one_pod::stop(proxy);
}

/// A connection that has had one answer.
fn asked_once(listener: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(listener).expect("the proxy listens");
    client.write_all(GET).expect("the proxy reads");
    read_until(&mut client, b"Model Server\n");
    client
}
