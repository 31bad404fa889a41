//! Serving an admin port so that strangers cannot wear it out: it listens on the pod's address, where anyone may knock.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Open connections; probes, scrapers and people need a handful. Further ones wait.
const CONNECTIONS: usize = 256;
/// For a request's head, and between two requests of one connection.
const HEAD: Duration = Duration::from_secs(5);
/// One connection in all, so that a client that does not read its answer goes too.
const LIFE: Duration = Duration::from_secs(60);
/// What is still being answered when the end comes.
const LAST: Duration = Duration::from_secs(1);
/// After an error of `accept`, such as no more file descriptors.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Serves until stopped.
pub(crate) fn serve(listener: TcpListener, router: Router, tasks: &TaskTracker, stop: &CancellationToken) {
    tasks.spawn(accept(listener, router, tasks.clone(), stop.clone()));
}

async fn accept(listener: TcpListener, router: Router, tasks: TaskTracker, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let next = async || {
        let seat = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        (listener.accept().await, seat)
    };
    while let Some((accepted, seat)) = stop.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, _)) => drop(tasks.spawn(converse(stream, router.clone(), stop.clone(), seat))),
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept; is the limit of open files reached?");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, router: Router, stop: CancellationToken, _seat: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = sleep(LIFE) => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // Whoever is not done by now has stopped reading or writing.
    let _ = timeout(LAST, connection).await;
}
