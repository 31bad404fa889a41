//! The controller's admin port: `/livez`, `/readyz`, `/status`, `/metrics`. Read only.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use strait_kubernetes::controller::ControllerStatus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::port;

#[derive(Clone)]
struct Shown {
    status: watch::Receiver<ControllerStatus>,
    metrics: PrometheusHandle,
}

/// Binds the port and serves it until stopped.
///
/// # Errors
/// When the address cannot be bound.
pub(super) async fn serve(
    address: SocketAddr,
    status: watch::Receiver<ControllerStatus>,
    metrics: PrometheusHandle,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/status", get(|State(s): State<Shown>| async move { axum::Json(s.status.borrow().clone()) }))
        .route("/metrics", get(render))
        .with_state(Shown { status, metrics });
    port::serve(listener, router, tasks, stop);
    Ok(())
}

/// A standby is ready too: it can take over.
async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    let status = shown.status.borrow().clone();
    if status.observing {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let waiting: Vec<String> = status.troubles.into_iter().collect();
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", waiting.join("\n")))
    }
}

async fn render(State(shown): State<Shown>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shown.metrics.render())
}
