//! The pods: HTTP servers on loopback addresses of their own that say who they are.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::wait;

/// The header in which a pod names its cluster.
pub const CLUSTER: &str = "x-pod-cluster";
/// What the body of every answer begins with.
pub const GREETING: &str = "pod of";

/// One running pod. Dropping it closes its sockets at once, as the kernel of a killed process does.
#[derive(Debug)]
pub struct Pod {
    stop: CancellationToken,
    thinking: Arc<AtomicU64>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Pod {
    pub async fn start(cluster: &'static str, at: SocketAddr) -> Self {
        // A pod that was dropped a moment ago may still hold the address.
        let listener = wait::until(&format!("pod of {cluster} at {at}"), async || listen(at).ok()).await;
        let pod = Self { stop: CancellationToken::new(), thinking: Arc::default() };
        let (stop, thinking) = (pod.stop.clone(), pod.thinking.clone());
        tokio::spawn(pod.stop.clone().run_until_cancelled_owned(accept(listener, cluster, stop, thinking)));
        pod
    }

    /// How many slow requests it has begun.
    pub fn thinking(&self) -> u64 {
        self.thinking.load(Ordering::Relaxed)
    }
}

fn listen(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(1024)
}

async fn accept(listener: TcpListener, cluster: &'static str, stop: CancellationToken, thinking: Arc<AtomicU64>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // A killed process's kernel resets.
        if stream.set_nodelay(true).and_then(|()| stream.set_zero_linger()).is_ok() {
            let thinking = thinking.clone();
            tokio::spawn(stop.clone().run_until_cancelled_owned(serve(stream, cluster, thinking)));
        }
    }
}

async fn serve(stream: TcpStream, cluster: &'static str, thinking: Arc<AtomicU64>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let thinking = thinking.clone();
        async move {
            if let Some(delay) = wanted_delay(request.uri().path()) {
                thinking.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(delay).await;
            }
            let body = Full::new(Bytes::from(format!("{GREETING} {cluster}\n")));
            Ok::<_, Infallible>(Response::builder().header(CLUSTER, cluster).body(body).unwrap())
        }
    });
    // A client that leaves is no news.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

/// `/slow/<milliseconds>` takes that long.
fn wanted_delay(path: &str) -> Option<Duration> {
    path.strip_prefix("/slow/").and_then(|ms| ms.parse().ok()).map(Duration::from_millis)
}
