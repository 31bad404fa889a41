//! What the proxy adds to one GET on a kept connection: the same request straight to the pod and through a running
//! proxy, over loopback, in one run. The difference counts, not either figure.
//!
//! `cargo bench --bench proxied_request`
//!
//! Client, proxy and pod each have a thread of their own, so on two CPUs they take turns. The last lines tell the CPU
//! time of the proxy's threads for each request, which does not depend on that.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

mod one_pod;

/// Requests in flight at once in the second measurement.
const TOGETHER: usize = 32;
const BODY: &[u8] = b"Model Server\n";

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A pod on a thread of its own that answers every request with the same few bytes, for as long as the process lives.
fn pod() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    listener.set_nonblocking(true).expect("an option every socket has");
    let address = listener.local_addr().expect("it is bound");
    let serve = async move {
        let listener = TcpListener::from_std(listener).expect("a runtime is here");
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("an option every TCP socket has");
            let answer =
                service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY)))) });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            tokio::task::spawn_local(async move {
                let _ = connection.await;
            });
        }
    };
    std::thread::Builder::new()
        .name("bench-pod".into())
        .spawn(move || runtime().block_on(tokio::task::LocalSet::new().run_until(serve)))
        .expect("a thread");
    address
}

struct Client {
    runtime: Runtime,
    senders: Vec<SendRequest<Empty<Bytes>>>,
}

impl Client {
    fn connect(to: SocketAddr, connections: usize) -> Self {
        let runtime = runtime();
        let senders = runtime.block_on(async {
            let mut senders = Vec::new();
            for _ in 0..connections {
                let stream = TcpStream::connect(to).await.expect("somebody listens");
                stream.set_nodelay(true).expect("an option every TCP socket has");
                let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
                let (sender, connection) = handshake.expect("HTTP/1.1 has no handshake to fail");
                tokio::spawn(connection);
                senders.push(sender);
            }
            senders
        });
        Self { runtime, senders }
    }

    /// One GET on each connection, all at once.
    fn round(&mut self) {
        let Self { runtime, senders } = self;
        runtime.block_on(async {
            let one = |sender: &mut SendRequest<Empty<Bytes>>| {
                let request = Request::get("/").header("host", "model-server.ml-production").body(Empty::new());
                sender.send_request(request.expect("a constant request is well formed"))
            };
            for sender in senders.iter_mut() {
                sender.ready().await.expect("the connection is kept");
            }
            let answers: Vec<_> = senders.iter_mut().map(one).collect();
            for answer in answers {
                let answer = answer.await.expect("an answer");
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.into_body().collect().await.expect("a whole body").to_bytes(), BODY);
            }
        });
    }
}

/// CPU time of this process's threads whose name starts so, by the scheduler's own count.
fn cpu_of(threads: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let read = |path: &Path, file: &str| std::fs::read_to_string(path.join(file)).unwrap_or_default();
    let nanoseconds = tasks
        .map(|task| task.path())
        .filter(|path| read(path, "comm").starts_with(threads))
        .filter_map(|path| read(&path, "schedstat").split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanoseconds)
}

fn bench(criterion: &mut Criterion) {
    let pod = pod();
    let (proxy, listener) = one_pod::proxy(pod);
    let mut group = criterion.benchmark_group("get");
    for connections in [1, TOGETHER] {
        group.throughput(Throughput::Elements(connections as u64));
        for (name, address) in [("direct", pod), ("proxied", listener)] {
            let mut client = Client::connect(address, connections);
            client.round();
            let (mut rounds, before) = (0_u32, cpu_of("proxy-"));
            group.bench_function(BenchmarkId::new(name, connections), |bencher| {
                bencher.iter(|| {
                    rounds += 1;
                    client.round();
                });
            });
            let spent = cpu_of("proxy-").saturating_sub(before).as_secs_f64() * 1e6;
            if name == "proxied" {
                let each = spent / (f64::from(rounds) * connections as f64);
                eprintln!("get/{name}/{connections}: {each:.1} µs CPU of the proxy's threads a request");
            }
        }
    }
    group.finish();
    one_pod::stop(proxy);
}

criterion_group!(benches, bench);
criterion_main!(benches);
