//! A few clusters: addresses, certificates, source files, pods and daemons.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use strait::file_source::{Document, EndpointEntry, PeerEntry, PortEntry, ServiceEntry};
use strait_catalog::ClusterId;
use strait_identity::{
    CertificateAuthority, Identity, IssuedLeaf, Material, MaterialPem, PeerBundle, SpiffeId, TrustDomain,
};
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::pods::Pod;
use crate::process::Process;

/// The one service of every world.
pub const SERVICE: &str = "shop/web";
/// Its port.
pub const PORT: u16 = 8080;
const POD_PORT: u16 = 5678;
/// Certificates outlive every test.
pub const LIFE: Duration = Duration::from_secs(3600);

/// Where one cluster stands on the loopback network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    pub name: &'static str,
    net: u8,
    number: u8,
}

impl Site {
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net, self.number, 1)
    }

    pub fn listener(&self) -> SocketAddr {
        (self.address(), PORT).into()
    }

    pub fn gateway(&self) -> SocketAddr {
        (self.address(), 15443).into()
    }

    pub fn dns(&self) -> SocketAddr {
        (self.address(), 15053).into()
    }

    pub fn admin(&self) -> SocketAddr {
        (self.address(), 15020).into()
    }

    fn pod(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net, self.number, 10 + index)
    }
}

/// Everything around the daemons.
pub struct World {
    folder: TempDir,
    sites: Vec<Site>,
    authorities: BTreeMap<&'static str, CertificateAuthority>,
    documents: BTreeMap<&'static str, Document>,
    pods: BTreeMap<&'static str, Vec<Pod>>,
}

impl World {
    /// Clusters that all know each other, with good certificates and without pods, on 127.`net`.0.0/16.
    pub fn new(net: u8, names: &[&'static str]) -> Self {
        let sites: Vec<Site> = (1..).zip(names).map(|(number, name)| Site { name, net, number }).collect();
        let authority =
            |n: &&'static str| (*n, CertificateAuthority::generate(&id(n).cluster, LIFE, SystemTime::now()).unwrap());
        let mut world = Self {
            folder: TempDir::with_prefix("strait-fleet-").unwrap(),
            sites,
            authorities: names.iter().map(authority).collect(),
            documents: BTreeMap::new(),
            pods: BTreeMap::new(),
        };
        for site in world.sites.clone() {
            std::fs::create_dir_all(world.folder.path().join(site.name)).unwrap();
            world.certify(site.name, &world.leaf(site.name, site.name, LIFE), site.name);
            world.edit(site.name, |_| {});
        }
        world
    }

    pub fn site(&self, name: &str) -> Site {
        *self.sites.iter().find(|s| s.name == name).unwrap()
    }

    /// The cluster's source file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("cluster.yaml")
    }

    fn document(&self, site: Site) -> Document {
        let service = ServiceEntry {
            namespace: "shop".into(),
            name: "web".into(),
            exported: true,
            ips: vec![site.address().into()],
            ports: vec![PortEntry {
                name: "http".into(),
                port: PORT,
                target_port: Some(POD_PORT),
                listen: Some(site.listener()),
            }],
            endpoints: Some(Vec::new()),
        };
        let peer = |other: &Site| PeerEntry {
            cluster: other.name.into(),
            gateways: vec![other.gateway().to_string()],
            ca_bundle: self.authorities[other.name].certificate_pem().to_owned(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        };
        Document {
            region: site.name.into(),
            pod_cidrs: vec![format!("127.{}.0.0/16", site.net)],
            services: vec![service],
            peers: self.sites.iter().filter(|o| **o != site).map(peer).collect(),
            ..Document::default()
        }
    }

    /// Changes a cluster's source file, beside it and renamed.
    pub fn edit(&mut self, name: &'static str, change: impl FnOnce(&mut Document)) {
        let fresh = self.document(self.site(name));
        let document = self.documents.entry(name).or_insert(fresh);
        change(document);
        let text = document.render().unwrap();
        let file = self.file(name);
        std::fs::write(file.with_extension("new"), text).unwrap();
        std::fs::rename(file.with_extension("new"), file).unwrap();
    }

    /// Starts so many pods, in place of those that run, and says so in the source file.
    pub async fn scale(&mut self, name: &'static str, pods: u8) {
        self.kill_pods(name);
        self.start_pods(name, pods).await;
        self.announce(name, pods);
    }

    pub async fn start_pods(&mut self, name: &'static str, pods: u8) {
        let site = self.site(name);
        let mut started = Vec::new();
        for index in 0..pods {
            started.push(Pod::start(name, (site.pod(index), POD_PORT).into()).await);
        }
        self.pods.insert(name, started);
    }

    /// Closes all their sockets; the source file does not know.
    pub fn kill_pods(&mut self, name: &str) {
        self.pods.remove(name);
    }

    /// Says in the source file that there are so many ready pods.
    pub fn announce(&mut self, name: &'static str, pods: u8) {
        let site = self.site(name);
        let endpoint =
            |i| EndpointEntry { address: site.pod(i).into(), ready: true, terminating: false, zone: String::new() };
        self.edit(name, |d| d.services[0].endpoints = Some((0..pods).map(endpoint).collect()));
    }

    pub fn pods(&self, name: &str) -> &[Pod] {
        self.pods.get(name).map_or(&[], Vec::as_slice)
    }

    /// A certificate of `cluster`'s name from the CA of `issuer`.
    pub fn leaf(&self, cluster: &str, issuer: &str, life: Duration) -> IssuedLeaf {
        self.authorities[issuer].issue(&id(cluster), life, SystemTime::now()).unwrap()
    }

    /// Replaces a cluster's identity files, each renamed into place; the watcher takes no half of a set.
    pub fn certify(&self, name: &str, leaf: &IssuedLeaf, issuer: &str) {
        let ca = self.authorities[issuer].certificate_pem();
        for (file, text) in [("tls.crt", leaf.certificate_pem.as_str()), ("tls.key", &leaf.key_pem), ("ca.crt", ca)] {
            let path = self.folder.path().join(name).join(file);
            std::fs::write(path.with_extension("new"), text).unwrap();
            std::fs::rename(path.with_extension("new"), path).unwrap();
        }
    }

    /// A good identity of that cluster, to play one of its daemons.
    pub fn identity(&self, name: &str) -> Identity {
        let (own, now) = (id(name), SystemTime::now());
        let leaf = self.leaf(name, name, LIFE);
        let pem = MaterialPem {
            certificate: leaf.certificate_pem.into_bytes(),
            key: leaf.key_pem.into_bytes(),
            authority: Some(self.authorities[name].certificate_pem().as_bytes().to_vec()),
        };
        let identity = Identity::new(own.clone());
        identity.install(Material::parse(&pem, &own, now).unwrap());
        let bundle = |(cluster, ca): (&&'static str, &CertificateAuthority)| PeerBundle {
            cluster: id(cluster).cluster,
            trust_domain: None,
            pem: ca.certificate_pem().to_owned(),
        };
        identity.trust().replace_peers(self.authorities.iter().map(bundle));
        identity
    }

    /// The arguments of a cluster's daemon.
    pub fn arguments(&self, name: &str) -> Vec<String> {
        let site = self.site(name);
        let folder = self.folder.path().join(name).display().to_string();
        [
            ("source", format!("file:{}", self.file(name).display())),
            ("cluster", name.to_owned()),
            ("trust-domain", TRUST_DOMAIN.to_owned()),
            ("node", format!("{name}-1")),
            ("gateway-listen", site.gateway().to_string()),
            ("dns-listen", site.dns().to_string()),
            ("admin-listen", site.admin().to_string()),
            ("identity-dir", folder),
            ("workers", "1".to_owned()),
            ("drain-delay", "0s".to_owned()),
        ]
        .map(|(flag, value)| format!("--{flag}={value}"))
        .into_iter()
        .fold(vec!["agent".to_owned()], |all, one| [all, vec![one]].concat())
    }

    /// Starts a cluster's daemon; `more` replaces or adds `--flag=value`s.
    pub fn start_with(&self, name: &str, more: &[&str]) -> Daemon {
        let mut arguments = self.arguments(name);
        for one in more {
            let flag = one.split_once('=').unwrap().0;
            arguments.retain(|a| a.split('=').next() != Some(flag));
            arguments.push((*one).to_owned());
        }
        Daemon { site: self.site(name), process: Process::strait(&format!("agent of {name}"), &arguments, &[]) }
    }

    pub fn start(&self, name: &str) -> Daemon {
        self.start_with(name, &[])
    }

    /// Starts two pods in each cluster.
    pub async fn populate(&mut self) {
        for site in self.sites.clone() {
            self.scale(site.name, 2).await;
        }
    }

    /// Starts two pods and the daemon of each cluster, and waits until everybody knows everybody.
    pub async fn start_all(&mut self) -> Vec<Daemon> {
        self.start_all_with(&[]).await
    }

    /// The same; `more` as in [`Self::start_with`].
    pub async fn start_all_with(&mut self, more: &[&str]) -> Vec<Daemon> {
        self.populate().await;
        let daemons: Vec<Daemon> = self.sites.iter().map(|s| self.start_with(s.name, more)).collect();
        for daemon in &daemons {
            for other in &daemons {
                daemon.sees(other.site.name, 2).await;
            }
        }
        daemons
    }
}

const TRUST_DOMAIN: &str = "fleet.test";

fn id(cluster: &str) -> SpiffeId {
    SpiffeId::new(TrustDomain::parse(TRUST_DOMAIN).unwrap(), ClusterId::parse(cluster).unwrap())
}
