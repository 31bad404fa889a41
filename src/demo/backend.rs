//! The pods: HTTP servers on loopback addresses of their own that say who they are.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The header in which a pod names its cluster: what the demo counts is what pods say, not what the proxy says.
pub const CLUSTER_HEADER: &str = "x-model-cluster";

/// One running pod. Dropping it closes its sockets at once, as a killed process does.
#[derive(Debug)]
pub struct Pod {
    stop: CancellationToken,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Pod {
    /// Starts a pod.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(cluster: &'static str, at: SocketAddr, tasks: &TaskTracker) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        let listener = socket.listen(1024)?;
        let stop = CancellationToken::new();
        tasks.spawn(serve(listener, cluster, at, tasks.clone(), stop.clone()));
        Ok(Self { stop })
    }
}

async fn serve(
    listener: TcpListener,
    cluster: &'static str,
    at: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let body = Bytes::from(format!("Model Server {} {cluster}\n", at.ip()));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        // A killed process's kernel resets; an orderly end would be kinder than reality.
        if stream.set_nodelay(true).and_then(|()| stream.set_zero_linger()).is_err() {
            continue;
        }
        let (body, stop) = (body.clone(), stop.clone());
        tasks.spawn(async move {
            let answer = service_fn(move |_| {
                let answer = Response::builder()
                    .status(StatusCode::OK)
                    .header("content-type", "text/plain")
                    .header(CLUSTER_HEADER, cluster)
                    .body(Full::new(body.clone()))
                    .expect("a constant answer is well formed");
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
            // A client that leaves is no news.
            let _ = stop.run_until_cancelled(connection).await;
        });
    }
}
