//! Starting the chosen source, and what it says of itself.

use std::collections::BTreeSet;

use anyhow::Context as _;
use strait_catalog::{Input, Kind};
use strait_kubernetes::source::SourceStatus;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::{AgentArgs, Source};
use crate::file_source::{FileStatus, Follower};

/// What the source says of itself.
#[derive(Clone, Debug)]
pub enum SourceView {
    /// A file.
    File(FileStatus),
    /// The API server.
    Kubernetes(SourceStatus),
}

impl SourceView {
    /// The kinds whose first full list makes the catalog synced.
    #[must_use]
    pub fn expected(&self) -> BTreeSet<Kind> {
        match self {
            Self::File(_) | Self::Kubernetes(_) => {
                [Kind::CLUSTER, Kind::SERVICE, Kind::EXPORT, Kind::SLICE, Kind::GATEWAY].into()
            }
        }
    }

    /// How old its knowledge is: 0 while the file is good or the watches live.
    #[must_use]
    pub fn age_ms(&self) -> u64 {
        match self {
            Self::File(_) => 0,
            Self::Kubernetes(status) => {
                status.broken_for().map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
            }
        }
    }

    /// For `/status`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::File(status) => serde_json::json!({ "kind": "file", "error": status.error() }),
            Self::Kubernetes(status) => serde_json::json!({ "kind": "kubernetes", "watches": status.report() }),
        }
    }
}

/// Starts the source. A file must be good at the start; an API server may appear later.
pub(crate) async fn start(
    args: &AgentArgs,
    inputs: mpsc::Sender<Input>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<SourceView> {
    match &args.source {
        Source::File(path) => {
            let (follower, first) = Follower::start(path, &args.cluster)?;
            for input in first {
                inputs.send(input).await.context("nobody takes the file's content")?;
            }
            let status = FileStatus::default();
            tasks.spawn(follower.run(inputs, status.clone(), stop.clone()));
            Ok(SourceView::File(status))
        }
        Source::Kubernetes => kubernetes(args, inputs, tasks, stop).await,
    }
}

async fn kubernetes(
    args: &AgentArgs,
    inputs: mpsc::Sender<Input>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<SourceView> {
    strait_kubernetes::describe_metrics();
    let client = strait_kubernetes::client_for(None).await.context("no API server to watch")?;
    let config = strait_kubernetes::source::SourceConfig {
        cluster: args.cluster.clone(),
        epoch: 0,
        gateway_port: Some(args.gateway_port),
        bind: args.listener_address,
        server: format!("the API server of {}", args.cluster),
    };
    let status = SourceStatus::new();
    tasks.spawn(strait_kubernetes::source::run(client, config, inputs, status.clone(), stop.clone()));
    Ok(SourceView::Kubernetes(status))
}
