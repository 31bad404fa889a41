//! Logs and metrics of the process.

use std::io::IsTerminal as _;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, Logging};

/// Buckets for durations, in seconds: from a local pick to a client's patience. Explicit buckets, since summaries
/// of several pods cannot be added up.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What the client library says of each single attempt; our own watches tell the same once.
const QUIET: &str = "kube_client=off";

/// Starts logging to standard error, at the level `otherwise` when none was asked for.
pub fn logging(args: &Logging, otherwise: &str) {
    let otherwise = format!("{otherwise},{QUIET}");
    let filter = EnvFilter::new(args.log.as_deref().unwrap_or(&otherwise));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    // In tests another one may log already.
    let _ = match args.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// Installs the process's metrics recorder; every histogram has buckets.
///
/// # Errors
/// When a recorder is already installed.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets(SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Full(strait_proxy::LATENCY_METRIC.into()), &strait_proxy::LATENCY_BUCKETS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

#[allow(clippy::disallowed_macros)]
fn describe() {
    metrics::describe_gauge!("strait_build_info", "Always 1; the labels say what is running");
    metrics::gauge!("strait_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Keeps the recorder's histograms bounded until cancelled.
pub async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(5))).await.is_some() {
        handle.run_upkeep();
    }
}
