//! `strait controller`: one cluster's writer. It is a leaf of the same replication as the agents.
//!
//! ```text
//! own API server ─► source ─┐
//! this cluster's agents ────┴─► gossip (leaf) ─► snapshots ─► controller ─► own API server
//!        ▲ dialled with the certificate that the controller made
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use strait_catalog::{Catalog, ClusterId, Kind, Published};
use strait_gossip::{DaemonId, SyncConfig, SyncParts};
use strait_identity::{Identity, PeerBundle, SpiffeId, TrustDomain};
use strait_kubernetes::controller::{ControllerParts, PeerFacts, Settings};
use strait_kubernetes::source::{SourceConfig, SourceStatus};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::members;
use crate::args::duration;
use crate::shutdown::Shutdown;
use crate::telemetry;

mod admin;
mod facts;

/// Inputs waiting for the control task.
const INPUTS: usize = 256;
/// How long the last writes and the return of the lease may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// The controller's arguments.
#[derive(Clone, Debug, Args)]
pub struct ControllerArgs {
    /// This cluster's id within its set: one DNS label
    #[arg(long, env = "STRAIT_CLUSTER", value_parser = |t: &str| ClusterId::parse(t).map_err(|e| e.to_string()))]
    pub cluster: ClusterId,
    /// The trust domain of all clusters' certificates
    #[arg(long, env = "STRAIT_TRUST_DOMAIN", default_value = "strait.local", value_parser = |t: &str| TrustDomain::parse(t).map_err(|e| e.to_string()))]
    pub trust_domain: TrustDomain,
    /// This candidate's name for the lease
    #[arg(long, env = "STRAIT_POD_NAME")]
    pub name: String,
    /// The kubeconfig context to write to; without one, the cluster this pod runs in
    #[arg(long)]
    pub context: Option<String>,
    /// Where /livez, /readyz, /status and /metrics are served
    #[arg(long, env = "STRAIT_ADMIN_LISTEN", default_value = "0.0.0.0:15020")]
    pub admin_listen: SocketAddr,
    /// The port on which agents' gateways listen
    #[arg(long, env = "STRAIT_AGENT_GATEWAY_PORT", default_value_t = 15443)]
    pub agent_gateway_port: u16,
    /// The port on which agents serve /status
    #[arg(long, env = "STRAIT_AGENT_ADMIN_PORT", default_value_t = 15020)]
    pub agent_admin_port: u16,
    /// How long a plain name may stand in caches after its rewrite is gone
    #[arg(long, env = "STRAIT_NAME_LINGER", default_value = "180s", value_parser = duration)]
    pub name_linger: Duration,
    /// The cluster's DNS domain
    #[arg(long, env = "STRAIT_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
}

/// Runs the controller until SIGTERM.
///
/// # Errors
/// When there is no API server to be had, or the admin port cannot be bound.
pub async fn run(args: ControllerArgs) -> anyhow::Result<()> {
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(shutdown.clone().listen());
    let metrics = telemetry::metrics()?;
    strait_kubernetes::controller::describe_metrics();
    let upkeep = tokio::spawn(telemetry::upkeep(metrics.clone(), shutdown.abort.clone()));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    start(&args, metrics, &tasks, &stop).await?;
    shutdown.drain.cancelled().await;
    stop.cancel();
    tasks.close();
    let patience = shutdown.abort.run_until_cancelled(tokio::time::timeout(PATIENCE, tasks.wait())).await;
    if !matches!(patience, Some(Ok(()))) {
        tracing::warn!(tasks = tasks.len(), "tasks did not end in time");
    }
    shutdown.abort.cancel();
    upkeep.await?;
    signals.abort();
    tracing::info!("gone");
    Ok(())
}

async fn start(
    args: &ControllerArgs,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let client = strait_kubernetes::client_for(args.context.as_deref()).await?;
    let origin = Instant::now();
    let published = Published::new(args.cluster.clone());
    let identity = Identity::new(SpiffeId::new(args.trust_domain.clone(), args.cluster.clone()));
    let source = leaf(args, &client, &published, &identity, origin, tasks, stop);
    let settings = Settings {
        name_linger: args.name_linger,
        cluster_domain: args.cluster_domain.clone(),
        same_node: knows_same_node(&client).await,
        ..Settings::default()
    };
    let (facts_sender, facts) = watch::channel(BTreeMap::<ClusterId, PeerFacts>::new());
    let parts = ControllerParts {
        client,
        published: published.clone(),
        identity,
        holder: args.name.clone(),
        origin,
        facts,
        settings,
        source,
    };
    let status = strait_kubernetes::controller::start(parts, tasks, stop);
    facts::follow(published, args.agent_admin_port, status.clone(), facts_sender, tasks, stop);
    admin::serve(args.admin_listen, status, metrics, tasks, stop)
        .await
        .with_context(|| format!("admin on {} (--admin-listen)", args.admin_listen))?;
    tracing::info!(cluster = %args.cluster, name = args.name, version = env!("CARGO_PKG_VERSION"), "controlling");
    Ok(())
}

/// The source of the own cluster and the sessions to its agents, which know all others.
fn leaf(
    args: &ControllerArgs,
    client: &strait_kubernetes::Client,
    published: &Published,
    identity: &Identity,
    origin: Instant,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> SourceStatus {
    let (inputs, received) = mpsc::channel(INPUTS);
    let source = SourceConfig {
        cluster: args.cluster.clone(),
        epoch: 0,
        gateway_port: None,
        bind: std::net::Ipv4Addr::UNSPECIFIED.into(),
        server: format!("of {}", args.cluster),
    };
    let status = SourceStatus::new();
    tasks.spawn(strait_kubernetes::source::run(client.clone(), source, inputs, status.clone(), stop.clone()));
    let (trust, watches) = (identity.clone(), status.clone());
    let config = SyncConfig {
        leaf: true,
        expected: [Kind::CLUSTER, Kind::SERVICE, Kind::EXPORT, Kind::SLICE, Kind::GATEWAY].into(),
        origin,
        source_age_ms: Box::new(move || {
            watches.broken_for().map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
        }),
        on_peers: Box::new(move |peers| {
            for rejected in trust.trust().replace_peers(peers.iter().map(PeerBundle::from)).rejected {
                tracing::warn!("{rejected}");
            }
        }),
        ..SyncConfig::new(DaemonId::new(&args.name))
    };
    let parts = SyncParts {
        catalog: Catalog::new(args.cluster.clone()),
        published: published.clone(),
        identity: identity.clone(),
        inputs: received,
        members: members::follow(published, args.agent_gateway_port, tasks, stop),
    };
    let _ = strait_gossip::start(config, parts, tasks, stop.clone());
    status
}

/// `trafficDistribution: PreferSameNode` is stable from Kubernetes 1.35 on; older servers may refuse it.
async fn knows_same_node(client: &strait_kubernetes::Client) -> bool {
    let asked = tokio::time::timeout(Duration::from_secs(5), client.apiserver_version()).await;
    let Ok(Ok(version)) = asked else {
        tracing::warn!("the API server does not say its version; derived Services will prefer no node");
        return false;
    };
    let number =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or(0);
    (number(&version.major), number(&version.minor)) >= (1, 35)
}
