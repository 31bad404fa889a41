//! A cluster: a catalog filled by hand, an identity, and a proxy on loopback addresses of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use strait_catalog::{
    Audience, Authority, Catalog, ClusterId, ClusterRecord, ExportRecord, GatewayRecord, Import, ImportPort, Key, Kind,
    Peer, PolicyRecord, Protocol, Published, Record, ServiceKey, ServicePort, ServiceRecord, SliceEndpoint, SlicePort,
    SliceRecord, Value, Version, ZoneCounts,
};
use strait_identity::{CertificateAuthority, Identity, Material, MaterialPem, PeerBundle, SpiffeId, TrustDomain};
use strait_proxy::{Proxy, ProxyConfig};
use tokio::sync::mpsc;

const DAY: Duration = Duration::from_secs(86_400);
/// The port that pods listen on, the service's port, the import's listener and the gateway.
pub const POD_PORT: u16 = 8080;
pub const PORT: u16 = 80;
const LISTENER: u16 = 20_017;
const GATEWAY: u16 = 15_443;

pub struct Site {
    pub id: ClusterId,
    pub identity: Identity,
    pub authority: CertificateAuthority,
    pub published: Published,
    pub proxy: Option<Proxy>,
    pub synced: Option<mpsc::Receiver<ClusterId>>,
    catalog: Mutex<(Catalog, u64)>,
    peers: Mutex<Vec<Peer>>,
    net: [u8; 3],
}

pub fn cluster(id: &str) -> ClusterId {
    ClusterId::parse(id).unwrap()
}

pub fn service() -> ServiceKey {
    ServiceKey::parse("ml/model").unwrap()
}

impl Site {
    /// A cluster with its own loopback network, knowing itself only.
    pub fn new(id: &str) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let third = NEXT.fetch_add(1, Ordering::Relaxed);
        let second = u8::try_from(20 + std::process::id() % 200).unwrap();
        let id = cluster(id);
        let authority = CertificateAuthority::generate(&id, 10 * DAY, SystemTime::now()).unwrap();
        let own = SpiffeId::new(TrustDomain::parse("test.example").unwrap(), id.clone());
        let identity = Identity::new(own);
        let site = Self {
            catalog: Mutex::new((Catalog::new(id.clone()), 0)),
            published: Published::new(id.clone()),
            peers: Mutex::default(),
            identity,
            authority,
            proxy: None,
            synced: None,
            id,
            net: [127, second, third],
        };
        let record = ClusterRecord { pod_cidrs: vec!["127.0.0.0/8".into()], ..ClusterRecord::default() };
        site.change(Key::of_cluster(&site.id), Value::Cluster(record));
        site.certify();
        site
    }

    /// Puts a certificate of its own CA in use.
    pub fn certify(&self) {
        let leaf = self.authority.issue(self.identity.id(), DAY, SystemTime::now()).unwrap();
        let pem = MaterialPem {
            certificate: leaf.certificate_pem.into_bytes(),
            key: leaf.key_pem.into_bytes(),
            authority: Some(self.authority.certificate_pem().as_bytes().to_vec()),
        };
        self.identity.install(Material::parse(&pem, self.identity.id(), SystemTime::now()).unwrap());
    }

    fn at(&self, last: u8, port: u16) -> SocketAddr {
        let [a, b, c] = self.net;
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, last)), port)
    }

    /// Where clients find the service.
    pub fn door(&self) -> SocketAddr {
        self.at(1, LISTENER)
    }

    pub fn gateway(&self) -> SocketAddr {
        self.at(2, GATEWAY)
    }

    /// An address for a relay in front of the gateway.
    pub fn relay(&self) -> SocketAddr {
        self.at(3, GATEWAY)
    }

    pub fn pod(&self, number: u8) -> SocketAddr {
        self.at(10 + number, POD_PORT)
    }

    fn change(&self, key: Key, value: Value) {
        let mut guard = self.catalog.lock().unwrap();
        guard.1 += 1;
        let version = Version::new(0, guard.1);
        guard.0.apply(Record::live(key, version, value), Authority::Owner, 0);
    }

    pub fn publish(&self) {
        let mut guard = self.catalog.lock().unwrap();
        guard.0.mark_synced();
        if let Some(snapshot) = guard.0.publish() {
            self.published.publish(snapshot);
        }
    }

    /// The Service with its export.
    pub fn export(&self) {
        self.export_speaking("");
    }

    /// The same with a port that says what it speaks.
    pub fn export_speaking(&self, app_protocol: &str) {
        let app_protocol = app_protocol.to_owned();
        let port = ServicePort { port: PORT.into(), app_protocol, ..ServicePort::default() };
        let record = ServiceRecord { ports: vec![port], ..ServiceRecord::default() };
        self.change(Key::of_service(&self.id, Kind::SERVICE, &service()), Value::Service(record));
        self.change(Key::of_service(&self.id, Kind::EXPORT, &service()), Value::Export(ExportRecord::default()));
    }

    /// Takes the export back.
    pub fn unexport(&self) {
        let mut guard = self.catalog.lock().unwrap();
        guard.1 += 1;
        let version = Version::new(0, guard.1);
        let key = Key::of_service(&self.id, Kind::EXPORT, &service());
        guard.0.apply(Record::tombstone(key, version), Authority::Owner, 0);
    }

    /// The slice: that many ready pods, numbered from 0.
    pub fn slice(&self, ready: u8) {
        let endpoint = |n| SliceEndpoint {
            addresses: vec![self.pod(n).ip().to_string()],
            ready: true,
            serving: true,
            ..SliceEndpoint::default()
        };
        let count = u32::from(ready);
        let record = SliceRecord {
            zones: vec![ZoneCounts { ready: count, serving: count, total: count, ..ZoneCounts::default() }],
            endpoints: (0..ready).map(endpoint).collect(),
            ports: vec![SlicePort { port: POD_PORT.into(), ..SlicePort::default() }],
            headless: false,
        };
        self.change(Key::of_slice(&self.id, &service(), "uid"), Value::Slice(record));
    }

    /// The policy for the service.
    pub fn policy(&self, policy: PolicyRecord) {
        self.change(Key::of_policy(&self.id, &service(), "p"), Value::Policy(policy));
    }

    /// Where other clusters are told to find the gateway.
    pub fn announce(&self, gateway: SocketAddr) {
        self.announce_node("node-1", gateway);
    }

    pub fn announce_node(&self, node: &str, gateway: SocketAddr) {
        let record = GatewayRecord { address: gateway.to_string(), zone: String::new(), ready: true };
        self.change(Key::of_gateway(&self.id, node), Value::Gateway(record));
    }

    /// The import with its listener.
    pub fn import(&self, app_protocol: &str) {
        self.set_import(app_protocol, false);
    }

    /// The import after its last export was taken back.
    pub fn linger(&self) {
        self.set_import("", true);
    }

    fn set_import(&self, app_protocol: &str, lingering: bool) {
        let port = ImportPort {
            name: String::new(),
            protocol: Protocol::Tcp,
            port: PORT,
            app_protocol: app_protocol.into(),
            listener: Some(self.door()),
        };
        let import = Import { ports: vec![port], lingering, ..Import::default() };
        self.catalog.lock().unwrap().0.set_import(service(), Some(import));
    }

    pub fn drop_import(&self) {
        self.catalog.lock().unwrap().0.set_import(service(), None);
    }

    /// Makes another cluster a peer: trusts its CA and takes its records as they stand.
    pub fn meet(&self, other: &Self) {
        let peer = Peer {
            cluster: other.id.clone(),
            gateways: Vec::new(),
            ca_bundle: other.authority.certificate_pem().to_owned(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        };
        let mut peers = self.peers.lock().unwrap();
        peers.retain(|p| p.cluster != peer.cluster);
        peers.push(peer);
        self.catalog.lock().unwrap().0.set_peers(peers.clone());
        self.identity.trust().replace_peers(peers.iter().map(PeerBundle::from));
        drop(peers);
        self.hear(other);
    }

    /// Takes another cluster's records as gossip would bring them.
    pub fn hear(&self, other: &Self) {
        let records: Vec<Record> = other.catalog.lock().unwrap().0.view(&other.id, Audience::Remote).collect();
        let mut guard = self.catalog.lock().unwrap();
        for record in records {
            guard.0.apply(record, Authority::Owner, 0);
        }
        drop(guard);
        self.publish();
    }

    /// Starts the proxy with two workers and waits until its listeners and its gateway stand.
    pub async fn start(&mut self) {
        self.start_with(|_| ()).await;
    }

    pub async fn start_with(&mut self, edit: impl FnOnce(&mut ProxyConfig)) {
        self.publish();
        let (tell, synced) = mpsc::channel(16);
        let on_sync = Arc::new(move |_, cluster| tell.try_send(cluster).unwrap());
        let mut config = ProxyConfig::new(self.published.clone(), self.identity.clone(), on_sync);
        config.workers = NonZeroUsize::new(2);
        config.gateways = vec![self.gateway()];
        // A test that counts connections would count the daemon's own looks; tests of these ask for them.
        config.timeouts.check_idle = None;
        edit(&mut config);
        let proxy = Proxy::start(config).unwrap();
        let mut bound = proxy.bound();
        let number = self.published.load().number;
        let wait = bound.wait_for(|b| b.covers(number));
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("listeners stand").unwrap();
        self.proxy = Some(proxy);
        self.synced = Some(synced);
    }

    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    pub async fn stop(&self) {
        self.proxy().stop(Duration::from_secs(2)).await;
    }

    /// Waits until this cluster would send to that one: the link is up on all workers, as far as can be told.
    pub async fn linked(&self, other: &Self) {
        until("link is up", || {
            let view = self.proxy().view();
            view.services.iter().flat_map(|s| &s.clusters).any(|c| c.cluster == other.id && c.rtt_ms.is_some())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for a condition, with a generous limit.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < limit, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
