//! Daemons of several clusters on loopback, each with its own CA, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use strait_catalog::{Catalog, ClusterId, Input, Kind, Peer, Published};
use strait_identity::{
    Alpn, CertificateAuthority, Identity, Material, MaterialPem, PeerBundle, PeerRole, Shown, SpiffeId, TrustDomain,
    peer_cluster,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{DaemonId, Member, SyncConfig, SyncHandle, SyncParts, start};

const LIFE: Duration = Duration::from_secs(3600);

/// The CAs of a few clusters.
pub(super) struct Ground(BTreeMap<String, CertificateAuthority>);

/// One running daemon: a control task and a gateway that accepts sync sessions.
pub(super) struct Daemon {
    pub(super) cluster: ClusterId,
    pub(super) handle: SyncHandle,
    pub(super) published: Published,
    pub(super) members: watch::Sender<Vec<Member>>,
    name: DaemonId,
    ca: String,
    inputs: mpsc::Sender<Input>,
    address: SocketAddr,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// Waits for a condition, with a limit far above what it takes.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 30 s: {what}");
}

fn id(cluster: &str) -> SpiffeId {
    SpiffeId::new(TrustDomain::parse("test.example").unwrap(), ClusterId::parse(cluster).unwrap())
}

impl Ground {
    pub(super) fn new(clusters: &[&str]) -> Self {
        let ca = |c: &&str| {
            let cluster = ClusterId::parse(c).unwrap();
            ((*c).to_owned(), CertificateAuthority::generate(&cluster, LIFE, SystemTime::now()).unwrap())
        };
        Self(clusters.iter().map(ca).collect())
    }

    fn identity(&self, cluster: &str) -> Identity {
        let (own, now) = (id(cluster), SystemTime::now());
        let authority = &self.0[cluster];
        let leaf = authority.issue(&own, LIFE / 2, now).unwrap();
        let pem = MaterialPem {
            certificate: leaf.certificate_pem.into_bytes(),
            key: leaf.key_pem.into_bytes(),
            authority: Some(authority.certificate_pem().as_bytes().to_vec()),
        };
        let identity = Identity::new(own.clone());
        identity.install(Material::parse(&pem, &own, now).unwrap());
        identity
    }

    pub(super) fn peer(&self, cluster: &str, gateway: &str) -> Peer {
        Peer {
            cluster: ClusterId::parse(cluster).unwrap(),
            gateways: vec![gateway.to_owned()],
            ca_bundle: self.0[cluster].certificate_pem().to_owned(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        }
    }

    pub(super) async fn daemon(&self, cluster: &str, name: &str, expected: BTreeSet<Kind>) -> Daemon {
        self.start(cluster, name, expected, false).await
    }

    pub(super) async fn leaf(&self, cluster: &str, name: &str) -> Daemon {
        self.start(cluster, name, BTreeSet::new(), true).await
    }

    async fn start(&self, cluster: &str, name: &str, expected: BTreeSet<Kind>, leaf: bool) -> Daemon {
        let identity = self.identity(cluster);
        let cluster_id = ClusterId::parse(cluster).unwrap();
        let (inputs, received) = mpsc::channel(16);
        let (members, membership) = watch::channel(Vec::new());
        let published = Published::new(cluster_id.clone());
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let trust = identity.clone();
        let on_peers = move |peers: &[Peer]| drop(trust.trust().replace_peers(peers.iter().map(PeerBundle::from)));
        let name = DaemonId::new(name);
        let config = SyncConfig { leaf, expected, on_peers: Box::new(on_peers), ..SyncConfig::new(name.clone()) };
        let parts = SyncParts {
            catalog: Catalog::new(cluster_id.clone()),
            published: published.clone(),
            identity: identity.clone(),
            inputs: received,
            members: membership,
        };
        let handle = start(config, parts, &tracker, stop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tracker.spawn(serve(listener, identity, handle.clone(), stop.clone()));
        let ca = self.0[cluster].certificate_pem().to_owned();
        Daemon { cluster: cluster_id, handle, published, members, name, ca, inputs, address, tracker, stop }
    }

    /// Makes every daemon's cluster a peer of all others.
    pub(super) async fn join(daemons: &[&Daemon]) {
        for daemon in daemons {
            let others = daemons.iter().filter(|d| d.cluster != daemon.cluster);
            let mut peers: BTreeMap<ClusterId, Peer> = BTreeMap::new();
            for other in others {
                let peer = other.as_peer();
                peers.entry(other.cluster.clone()).or_insert(peer);
            }
            daemon.tell(Input::Peers(peers.into_values().collect())).await;
        }
    }

    /// A bare TLS connection to a daemon, with a good certificate of the cluster.
    pub(super) async fn dial(&self, as_cluster: &str, to: &Daemon) -> TlsStream<TcpStream> {
        let identity = self.identity(as_cluster);
        identity.trust().replace_peers([PeerBundle::from(&to.as_peer())]);
        let config = identity.client_config(&to.cluster, &[Alpn::Sync]).unwrap();
        let stream = TcpStream::connect(to.address).await.unwrap();
        TlsConnector::from(config).connect(Identity::server_name(&to.cluster), stream).await.unwrap()
    }
}

async fn serve(listener: TcpListener, identity: Identity, handle: SyncHandle, stop: CancellationToken) {
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = stop.cancelled() => return,
        };
        let acceptor = TlsAcceptor::from(identity.server_config());
        let handshake = tokio::time::timeout(Duration::from_secs(5), acceptor.accept(stream));
        if let Ok(Ok(stream)) = handshake.await {
            let peer = peer_cluster(stream.get_ref().1).unwrap();
            let shown = Shown::on(stream.get_ref().1, PeerRole::Client);
            handle.accept(stream, peer, Some(address), identity.clone().distrusted(shown));
        }
    }
}

impl Daemon {
    pub(super) async fn tell(&self, input: Input) {
        self.inputs.send(input).await.unwrap();
    }

    pub(super) fn as_peer(&self) -> Peer {
        Peer {
            cluster: self.cluster.clone(),
            gateways: vec![self.address.to_string()],
            ca_bundle: self.ca.clone(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        }
    }

    pub(super) fn member(&self) -> Member {
        Member { id: self.name.clone(), address: self.address, ready: true }
    }

    /// Ends it; every task must end within a few seconds.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(Duration::from_secs(10), self.tracker.wait()).await.expect("all tasks end");
    }
}

/// A relay in front of a daemon that can swallow everything without closing anything.
pub(super) struct Hole {
    pub(super) address: SocketAddr,
    swallowing: watch::Sender<bool>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Hole {
    pub(super) async fn before(daemon: &Daemon) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (swallowing, swallows) = watch::channel(false);
        let (tracker, stop, to) = (TaskTracker::new(), CancellationToken::new(), daemon.address);
        let (relays, ends) = (tracker.clone(), stop.clone());
        tracker.spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(to).await.unwrap();
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                for task in [pass(near_read, far_write, swallows.clone()), pass(far_read, near_write, swallows.clone())]
                {
                    relays.spawn(ends.clone().run_until_cancelled_owned(task));
                }
            }
        }));
        Self { address, swallowing, tracker, stop }
    }

    pub(super) fn swallow(&self, on: bool) {
        self.swallowing.send_replace(on);
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut swallows: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        // Neither bytes nor the end of the stream get through.
        let _ = swallows.wait_for(|on| !on).await;
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let _ = swallows.wait_for(|on| !on).await;
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
