//! The three clusters: pods, source files, certificates, relays and agents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use strait_catalog::ClusterId;
use strait_identity::{CertificateAuthority, SpiffeId, TrustDomain};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::Pod;
use super::layout::{self, NAMESPACE, POD_PORT, PORT, SERVICE, SITES, Site};
use super::relay::{Alarm, Mode, Relay};
use crate::agent::Agent;
use crate::args::{AgentArgs, Source};
use crate::file_source::{Document, EndpointEntry, PeerEntry, PortEntry, ServiceEntry};

/// Certificates of the demo live longer than anyone plays with it.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// A tenth of what the daemon takes otherwise, so that nobody waits half a minute for each return.
const FAILBACK_RAMP: Duration = Duration::from_secs(3);
/// How long the start may take before something is wrong.
const START: Duration = Duration::from_secs(30);

/// A running fleet.
pub struct Fleet {
    folder: PathBuf,
    bundles: BTreeMap<&'static str, String>,
    pods: BTreeMap<&'static str, Vec<Pod>>,
    relays: BTreeMap<(&'static str, &'static str), Relay>,
    agents: Vec<Agent>,
    /// Relays run on a thread of their own: what else the demo does must not make a path longer.
    network: Option<Runtime>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A runtime may not wait for its tasks within another one; they have ended, or nobody is left to miss them.
        if let Some(network) = self.network.take() {
            network.shutdown_background();
        }
    }
}

impl Fleet {
    /// Starts everything below `folder` and waits until every cluster serves and knows the others.
    ///
    /// # Errors
    /// When an address is taken or the clusters do not find each other.
    pub async fn start(folder: &Path, metrics: &PrometheusHandle) -> anyhow::Result<Self> {
        let mut fleet = Self {
            folder: folder.to_owned(),
            bundles: BTreeMap::new(),
            pods: BTreeMap::new(),
            relays: BTreeMap::new(),
            agents: Vec::new(),
            network: Some(network()?),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let alarm = Arc::new(Alarm::start().context("the relays' clock")?);
        for site in &SITES {
            fleet.certificates(site)?;
            fleet.start_relays(site, &alarm)?;
            fleet.start_pods(site.name)?;
        }
        for site in &SITES {
            fleet.write(site, site.pods)?;
            let agent = Agent::start(fleet.arguments(site)?, metrics.clone())
                .await
                .with_context(|| format!("agent of {} (is another demo running?)", site.name))?;
            fleet.agents.push(agent);
        }
        tokio::time::timeout(START, fleet.joined()).await.context("the clusters did not find each other")?;
        Ok(fleet)
    }

    fn certificates(&mut self, site: &Site) -> anyhow::Result<()> {
        let (cluster, now) = (ClusterId::parse(site.name)?, SystemTime::now());
        let authority = CertificateAuthority::generate(&cluster, LIFETIME, now)?;
        let id = SpiffeId::new(trust_domain(), cluster);
        let leaf = authority.issue(&id, LIFETIME, now)?;
        let folder = self.folder.join(site.name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("tls.crt"), leaf.certificate_pem)?;
        std::fs::write(folder.join("tls.key"), leaf.key_pem)?;
        std::fs::write(folder.join("ca.crt"), authority.certificate_pem())?;
        self.bundles.insert(site.name, authority.certificate_pem().to_owned());
        Ok(())
    }

    fn start_relays(&mut self, site: &'static Site, alarm: &Arc<Alarm>) -> anyhow::Result<()> {
        let _there = self.network.as_ref().map(Runtime::enter);
        for other in SITES.iter().filter(|o| o.name != site.name) {
            let (from, distance) = (site.relay_to(other), layout::round_trip(site.name, other.name));
            let relay = Relay::start(from, other.gateway(), distance, alarm.clone(), &self.tasks, self.stop.clone())
                .with_context(|| format!("relay {} to {} at {from}", site.name, other.name))?;
            self.relays.insert((site.name, other.name), relay);
        }
        Ok(())
    }

    fn arguments(&self, site: &Site) -> anyhow::Result<AgentArgs> {
        Ok(AgentArgs {
            source: Source::File(self.file(site)),
            cluster: ClusterId::parse(site.name)?,
            trust_domain: trust_domain(),
            node: format!("{}-1", site.name),
            pod_ip: None,
            gateway_port: site.gateway().port(),
            gateway_listen: site.gateway(),
            dns_listen: vec![site.dns()],
            admin_listen: site.admin(),
            listener_address: site.address().into(),
            identity_dir: self.folder.join(site.name),
            dns_zone: crate::args::zone("clusterset.local").map_err(anyhow::Error::msg)?,
            workers: 1,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::ZERO,
            failback_ramp: FAILBACK_RAMP,
            request_timeout: Duration::from_secs(30),
            orca: false,
        })
    }

    fn file(&self, site: &Site) -> PathBuf {
        self.folder.join(site.name).join("cluster.yaml")
    }

    /// Writes a site's source file as its API server would now tell: beside it and renamed, so that the agent never
    /// reads half of it.
    fn write(&self, site: &Site, ready: u8) -> anyhow::Result<()> {
        let file = self.file(site);
        let beside = file.with_extension("new");
        std::fs::write(&beside, self.document(site, ready).render().map_err(anyhow::Error::msg)?)?;
        std::fs::rename(&beside, &file)?;
        Ok(())
    }

    fn document(&self, site: &Site, ready: u8) -> Document {
        let endpoint = |index| EndpointEntry {
            address: site.pod(index).into(),
            ready: true,
            terminating: false,
            zone: String::new(),
        };
        let service = ServiceEntry {
            namespace: NAMESPACE.into(),
            name: SERVICE.into(),
            exported: true,
            ips: vec![site.address().into()],
            ports: vec![PortEntry {
                name: "http".into(),
                port: PORT,
                target_port: Some(POD_PORT),
                listen: Some(site.listener()),
            }],
            endpoints: Some((0..ready).map(endpoint).collect()),
        };
        let peer = |other: &Site| PeerEntry {
            cluster: other.name.into(),
            gateways: vec![site.relay_to(other).to_string()],
            ca_bundle: self.bundles.get(other.name).cloned().unwrap_or_default(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        };
        Document {
            region: site.name.into(),
            pod_cidrs: vec![layout::POD_NETWORK.into()],
            services: vec![service],
            peers: SITES.iter().filter(|o| o.name != site.name).map(peer).collect(),
            ..Document::default()
        }
    }

    /// Waits until every agent is ready and sees ready pods in every other cluster.
    async fn joined(&self) {
        for agent in &self.agents {
            agent.readiness().settled().await;
            let mut numbers = agent.published().subscribe();
            while !knows_all(&agent.published().load()) {
                if numbers.changed().await.is_err() {
                    return;
                }
            }
        }
        while !self.agents.iter().all(Agent::links_warm) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts all pods of a cluster; those that run are replaced.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn start_pods(&mut self, name: &'static str) -> anyhow::Result<()> {
        let site = layout::site(name).context("no such cluster")?;
        self.stop_pods(name);
        let pods = (0..site.pods)
            .map(|i| Pod::start(site.name, (site.pod(i), POD_PORT).into(), &self.tasks))
            .collect::<Result<Vec<_>, _>>()?;
        self.pods.insert(name, pods);
        Ok(())
    }

    /// Kills all pods of a cluster: their sockets close at once.
    pub fn stop_pods(&mut self, name: &'static str) {
        self.pods.remove(name);
    }

    /// Tells the cluster's agent that none, or all, of its pods are ready.
    ///
    /// # Errors
    /// When the source file cannot be written.
    pub fn announce(&self, name: &str, ready: bool) -> anyhow::Result<()> {
        let site = layout::site(name).context("no such cluster")?;
        self.write(site, if ready { site.pods } else { 0 })
    }

    /// Scales a cluster's model server to zero: pods close, and the API server says so.
    ///
    /// # Errors
    /// When the source file cannot be written.
    pub fn scale_to_zero(&mut self, name: &'static str) -> anyhow::Result<()> {
        self.stop_pods(name);
        self.announce(name, false)
    }

    /// Scales it back.
    ///
    /// # Errors
    /// When an address cannot be bound or the source file cannot be written.
    pub fn scale_back(&mut self, name: &'static str) -> anyhow::Result<()> {
        self.start_pods(name)?;
        self.announce(name, true)
    }

    /// The round trip from a cluster to the farthest other one, as its proxy measured it over the relay.
    #[must_use]
    pub fn farthest(&self, name: &str) -> Duration {
        let agent = SITES.iter().position(|s| s.name == name).and_then(|at| self.agents.get(at));
        let measured = agent.map(Agent::round_trips_ms).unwrap_or_default();
        Duration::from_secs_f64(measured.into_iter().flatten().fold(0.0, f64::max) / 1_000.0)
    }

    /// The path from one cluster to another.
    #[must_use]
    pub fn relay(&self, from: &str, to: &str) -> Option<&Relay> {
        self.relays.iter().find(|((a, b), _)| (*a, *b) == (from, to)).map(|(_, relay)| relay)
    }

    /// Both directions between two clusters.
    pub fn set_path(&self, a: &str, b: &str, mode: Mode) {
        for relay in [self.relay(a, b), self.relay(b, a)].into_iter().flatten() {
            relay.set(mode);
        }
    }

    /// Everything carries again.
    pub fn heal(&self) {
        for relay in self.relays.values() {
            relay.set(Mode::Carry);
        }
    }

    /// Ends everything; nothing is left behind but the folder, which is the caller's.
    pub async fn end(mut self) {
        let abort = CancellationToken::new();
        abort.cancel();
        self.pods.clear();
        for agent in self.agents.drain(..) {
            agent.leave(&abort).await;
        }
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await;
    }
}

/// One thread for all relays.
fn network() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("relays").enable_all().build()
}

fn trust_domain() -> TrustDomain {
    TrustDomain::parse("demo.strait").expect("a constant trust domain is valid")
}

fn knows_all(snapshot: &strait_catalog::Snapshot) -> bool {
    let key = strait_catalog::ServiceKey::new(NAMESPACE, SERVICE).expect("constant names are labels");
    snapshot
        .service(&key)
        .is_some_and(|view| view.backends.len() == SITES.len() && view.exporters().all(|(_, b)| b.ready > 0))
}
