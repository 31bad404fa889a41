//! A real API server on loopback: etcd and kube-apiserver, with nothing that runs pods.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// How long the API server may take to become ready on a busy machine.
const START: Duration = Duration::from_secs(180);

/// An administrator, and the agent's service account.
const TOKENS: &str = concat!(
    "admin,admin,admin,\"system:masters\"\n",
    "agent,system:serviceaccount:strait-system:strait-agent,agent,\"system:serviceaccounts\"\n",
);

/// Where the binaries are: `KUBEBUILDER_ASSETS`, or `strait/bin` in the user's cache; `None` when neither has them.
pub(crate) fn assets() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let places =
        [std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from), cache.map(|cache| cache.join("strait/bin"))];
    places.into_iter().flatten().find(|place| place.join("etcd").exists() && place.join("kube-apiserver").exists())
}

/// etcd and kube-apiserver, stopped and removed with this value.
pub(crate) struct Plane {
    folder: PathBuf,
    assets: PathBuf,
    etcd: Child,
    api: Child,
    etcd_port: u16,
    peer_port: u16,
    port: u16,
}

impl Plane {
    pub(crate) async fn start(assets: PathBuf) -> Self {
        let folder = std::env::temp_dir().join(format!("strait-plane-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        certificates(&folder);
        let [etcd_port, peer_port, port] = free_ports();
        let etcd = start_etcd(&assets, &folder, etcd_port, peer_port);
        let api = start_api(&assets, &folder, etcd_port, port);
        let plane = Self { folder, assets, etcd, api, etcd_port, peer_port, port };
        plane.wait_ready().await;
        plane
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// kill -9, so that every connection breaks.
    pub(crate) fn kill_api(&mut self) {
        self.api.kill().unwrap();
        self.api.wait().unwrap();
    }

    pub(crate) async fn start_api(&mut self) {
        self.api = start_api(&self.assets, &self.folder, self.etcd_port, self.port);
        self.wait_ready().await;
    }

    /// Stops both, and keeps a copy of what etcd holds.
    pub(crate) async fn back_up(&mut self) {
        self.stop_both();
        copy_folder(&self.folder.join("etcd"), &self.folder.join("backup"));
        self.start_both().await;
    }

    /// Stops both, and starts them from the copy: revisions start again below those already seen.
    pub(crate) async fn restore(&mut self) {
        self.stop_both();
        std::fs::remove_dir_all(self.folder.join("etcd")).unwrap();
        std::fs::rename(self.folder.join("backup"), self.folder.join("etcd")).unwrap();
        self.start_both().await;
    }

    fn stop_both(&mut self) {
        self.kill_api();
        self.etcd.kill().unwrap();
        self.etcd.wait().unwrap();
    }

    async fn start_both(&mut self) {
        self.etcd = start_etcd(&self.assets, &self.folder, self.etcd_port, self.peer_port);
        self.start_api().await;
    }

    /// A client of `admin` or `agent` that reaches the API server by way of a port of 127.0.0.1.
    pub(crate) async fn client(&self, port: u16, user: &str) -> Client {
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "plane",
            "clusters": [{"name": "plane", "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "certificate-authority": self.folder.join("ca.crt"),
            }}],
            "users": [{"name": user, "user": {"token": user}}],
            "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": user}}],
        });
        let config = Kubeconfig::from_yaml(&text.to_string()).unwrap();
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        strait_kubernetes::client_from(config).unwrap()
    }

    async fn wait_ready(&self) {
        let client = self.client(self.port, "admin").await;
        let end = Instant::now() + START;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            if client.request_text(request).await.is_ok_and(|text| text == "ok") {
                return;
            }
            assert!(Instant::now() < end, "API server not ready within {START:?}: see {}", self.folder.display());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        for child in [&mut self.api, &mut self.etcd] {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Writes a CA, the server's certificate, the key of service accounts and an administrator's token.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    let accounts = KeyPair::generate().unwrap();
    for (name, text) in [
        ("ca.crt", ca),
        ("server.crt", server.pem()),
        ("server.key", key.serialize_pem()),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
        ("tokens.csv", TOKENS.into()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn run(assets: &Path, folder: &Path, program: &str, args: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join(format!("{program}.log"))).unwrap();
    Command::new(assets.join(program))
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn start_etcd(assets: &Path, folder: &Path, port: u16, peer_port: u16) -> Child {
    let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let args = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ];
    run(assets, folder, "etcd", &args)
}

fn start_api(assets: &Path, folder: &Path, etcd_port: u16, port: u16) -> Child {
    let file = |name: &str| folder.join(name).display().to_string();
    let args = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".into(),
        "--disable-admission-plugins=ServiceAccount".into(),
        "--enable-priority-and-fairness=false".into(),
        format!("--cert-dir={}", file("certs")),
    ];
    run(assets, folder, "kube-apiserver", &args)
}
