//! The daemon: the one place where the parts meet, in the order in which they depend on each other.
//!
//! ```text
//! identity ─► source ─► gossip (owns the catalog) ─► snapshots ─► dns, proxy ─► admin
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use strait_catalog::{Catalog, Published};
use strait_dns::{DnsConfig, DnsHandle, DnsServer};
use strait_gossip::{DaemonId, SyncConfig, SyncHandle, SyncParts};
use strait_identity::{Identity, IdentityFiles, IdentityState, IdentityWatcher, PeerBundle, PeerRole, Shown, SpiffeId};
use strait_proxy::{Proxy, ProxyConfig};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminState};
use crate::args::AgentArgs;
use crate::readiness::Readiness;

pub(crate) mod members;
mod source;

pub use source::SourceView;

/// How often the identity files are looked at.
const IDENTITY_POLL: Duration = Duration::from_secs(2);
/// Inputs waiting for the control task; a full channel delays the source, which loses nothing by it.
const INPUTS: usize = 256;
/// How long goodbyes to other daemons may take; a path that swallows them takes all of it.
const GOODBYE: Duration = Duration::from_millis(1_500);

/// A running daemon.
pub struct Agent {
    args: AgentArgs,
    published: Published,
    readiness: Readiness,
    proxy: Arc<Proxy>,
    dns: DnsHandle,
    sync: SyncHandle,
    tasks: TaskTracker,
    /// The sync sessions and what ends them: some live on the proxy's threads, so they say goodbye before those end.
    sync_tasks: TaskTracker,
    sync_stop: CancellationToken,
    stop: CancellationToken,
}

impl Agent {
    /// Binds everything, then serves.
    ///
    /// # Errors
    /// When an address cannot be bound, or the source file is not good at the start.
    pub async fn start(args: AgentArgs, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let (tasks, stop, readiness) = (TaskTracker::new(), CancellationToken::new(), Readiness::default());
        let (origin, sync_tasks, sync_stop) = (Instant::now(), TaskTracker::new(), stop.child_token());
        let published = Published::new(args.cluster.clone());
        let (identity, identity_state) = identity(&args, &tasks, &stop).await;

        let (inputs, received) = mpsc::channel(INPUTS);
        let source = source::start(&args, inputs, &tasks, &stop).await?;
        let sync = strait_gossip::start(
            sync_config(&args, origin, &identity, &source),
            SyncParts {
                catalog: Catalog::new(args.cluster.clone()),
                published: published.clone(),
                identity: identity.clone(),
                inputs: received,
                members: members::follow(&published, args.gateway_listen.port(), &tasks, &stop),
            },
            &sync_tasks,
            sync_stop.clone(),
        );
        let dns = DnsServer::start(dns_config(&args, &published), &tasks, stop.clone())
            .with_context(|| format!("DNS on {:?} (--dns-listen)", args.dns_listen))?;
        let proxy = Arc::new(start_proxy(&args, origin, &published, &identity, &sync)?);
        first_sync(&readiness, &published, &proxy, &tasks, &stop);

        let state = AdminState {
            args: args.clone(),
            origin,
            readiness: readiness.clone(),
            published: published.clone(),
            sync: sync.clone(),
            proxy: proxy.clone(),
            identity: identity_state,
            source,
            metrics,
        };
        admin::serve(state, &tasks, &stop)
            .await
            .with_context(|| format!("admin on {} (--admin-listen)", args.admin_listen))?;
        tracing::info!(cluster = %args.cluster, node = args.node, version = env!("CARGO_PKG_VERSION"), "serving");
        Ok(Self { args, published, readiness, proxy, dns, sync, tasks, sync_tasks, sync_stop, stop })
    }

    /// The snapshots it publishes.
    #[must_use]
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Its readiness.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Where DNS really listens.
    #[must_use]
    pub fn dns(&self) -> &DnsHandle {
        &self.dns
    }

    /// True once the distance to every other cluster that serves something here has been measured, which takes an
    /// open link: the first request that spills then pays for no handshake.
    #[must_use]
    pub fn links_warm(&self) -> bool {
        self.round_trips_ms().iter().all(Option::is_some)
    }

    /// The round trips to the other clusters that serve something here, in milliseconds, as they were measured when the
    /// newest link to each was made.
    #[must_use]
    pub fn round_trips_ms(&self) -> Vec<Option<f64>> {
        let services = self.proxy.view().services;
        services.iter().flat_map(|s| &s.clusters).filter(|c| !c.local).map(|c| c.rtt_ms).collect()
    }

    /// Returns when the task that owns the catalog has ended although nobody asked it to.
    pub async fn broken(&self) {
        let mut status = self.sync.watch();
        while status.changed().await.is_ok() {}
    }

    /// Leaves: every listener keeps accepting for the drain delay while others learn of it, then requests in flight
    /// get the drain timeout. `abort` cuts both short.
    pub async fn leave(self, abort: &CancellationToken) {
        self.readiness.drain();
        self.proxy.drain();
        let _ = abort.run_until_cancelled(tokio::time::sleep(self.args.drain_delay)).await;
        let patience = if abort.is_cancelled() { Duration::ZERO } else { self.args.drain_timeout };
        self.sync_stop.cancel();
        self.sync_tasks.close();
        let _ = abort.run_until_cancelled(tokio::time::timeout(GOODBYE, self.sync_tasks.wait())).await;
        self.proxy.stop(patience).await;
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "tasks did not end in time");
        }
    }
}

/// A certificate that is there is in use before the first session is dialled.
async fn identity(
    args: &AgentArgs,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> (Identity, watch::Receiver<IdentityState>) {
    let id = SpiffeId { trust_domain: args.trust_domain.clone(), cluster: args.cluster.clone() };
    let identity = Identity::new(id);
    let mut watcher = IdentityWatcher::new(identity.clone(), IdentityFiles::in_directory(&args.identity_dir));
    let state = watcher.state();
    watcher.poll().await;
    tasks.spawn(watcher.run(IDENTITY_POLL, stop.clone()));
    (identity, state)
}

fn sync_config(args: &AgentArgs, origin: Instant, identity: &Identity, source: &SourceView) -> SyncConfig {
    let name = args.pod_ip.map_or_else(|| args.node.clone(), |ip| ip.to_string());
    let (trust, age) = (identity.clone(), source.clone());
    SyncConfig {
        expected: source.expected(),
        imports_expected: true,
        origin,
        source_age_ms: Box::new(move || age.age_ms()),
        on_peers: Box::new(move |peers| {
            let change = trust.trust().replace_peers(peers.iter().map(PeerBundle::from));
            for rejected in &change.rejected {
                tracing::warn!("{rejected}");
            }
            for (a, b) in &change.shared {
                tracing::warn!(%a, %b, "two clusters share a root certificate; each can pose as the other");
            }
        }),
        ..SyncConfig::new(DaemonId::new(&name))
    }
}

fn dns_config(args: &AgentArgs, published: &Published) -> DnsConfig {
    DnsConfig::new(args.dns_listen.clone(), args.dns_zone.clone(), published.clone())
}

fn start_proxy(
    args: &AgentArgs,
    origin: Instant,
    published: &Published,
    identity: &Identity,
    sync: &SyncHandle,
) -> anyhow::Result<Proxy> {
    let (sync, judge) = (sync.clone(), identity.clone());
    let on_sync = Arc::new(move |stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>, peer| {
        let address = stream.get_ref().0.peer_addr().ok();
        let shown = Shown::on(stream.get_ref().1, PeerRole::Client);
        sync.accept(stream, peer, address, judge.clone().distrusted(shown));
    });
    let mut config = ProxyConfig::new(published.clone(), identity.clone(), on_sync);
    config.gateways = vec![args.gateway_listen];
    config.workers = std::num::NonZeroUsize::new(args.workers);
    config.timeouts.request = args.request_timeout;
    config.timeouts.failback_ramp = args.failback_ramp;
    config.orca = args.orca;
    config.origin = origin;
    Ok(Proxy::start(config)?)
}

/// Ready once the first snapshot is complete and every import's listener is bound; later trouble shows as ages.
fn first_sync(
    readiness: &Readiness,
    published: &Published,
    proxy: &Arc<Proxy>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let (synced, bound) = (readiness.awaiting("first sync"), readiness.awaiting("listeners"));
    let (published, mut binding) = (published.clone(), proxy.bound());
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        let mut numbers = published.subscribe();
        while !published.load().synced {
            if numbers.changed().await.is_err() {
                return;
            }
        }
        let wanted = published.load().number;
        drop(synced);
        if binding.wait_for(|b| b.covers(wanted)).await.is_ok() {
            drop(bound);
        }
    }));
}
