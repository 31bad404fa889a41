//! The admin port: `/livez`, `/readyz`, `/status`, `/metrics`. Read only.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use strait_catalog::Published;
use strait_gossip::SyncHandle;
use strait_identity::IdentityState;
use strait_proxy::Proxy;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::SourceView;
use crate::args::AgentArgs;
use crate::readiness::{self, Readiness};

pub mod gauges;
pub(crate) mod port;
pub mod status;

/// What the admin port shows.
pub struct AdminState {
    /// How the daemon was started.
    pub args: AgentArgs,
    /// Zero of the daemon's clock.
    pub origin: Instant,
    /// Readiness.
    pub readiness: Readiness,
    /// The snapshots.
    pub published: Published,
    /// Sessions with other daemons.
    pub sync: SyncHandle,
    /// The data plane.
    pub proxy: Arc<Proxy>,
    /// The certificate.
    pub identity: watch::Receiver<IdentityState>,
    /// The source.
    pub source: SourceView,
    /// The process's metrics.
    pub metrics: PrometheusHandle,
}

/// Binds the port and serves it until stopped.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(state: AdminState, tasks: &TaskTracker, stop: &CancellationToken) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(state.args.admin_listen).await?;
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(state));
    port::serve(listener, router, tasks, stop);
    Ok(())
}

async fn readyz(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    match state.readiness.state() {
        readiness::State::Ready => (StatusCode::OK, "ok\n".to_owned()),
        readiness::State::Waiting(awaited) => {
            let awaited: Vec<_> = awaited.into_iter().collect();
            (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", awaited.join(", ")))
        }
        readiness::State::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()),
    }
}

async fn status(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    axum::Json(status::of(&state))
}

async fn metrics(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    gauges::refresh(&state);
    let text = state.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
