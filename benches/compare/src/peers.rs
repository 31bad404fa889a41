//! The proxies that are compared, each with the configuration it runs with: one worker, keep-alive on both sides, no access
//! log, what health checking and metrics it has by default.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::Run;
use crate::process::{Process, free};

/// A running proxy.
pub struct Peer {
    /// Its row.
    pub name: &'static str,
    /// What it says it is.
    pub version: String,
    /// Where clients find it.
    pub at: SocketAddr,
    process: Process,
}

impl Peer {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// How one is started.
struct Recipe {
    program: OsString,
    arguments: Vec<String>,
    version: String,
}

/// Writes a configuration below a folder; what it says is where the proxy listens and where it sends to.
type Cook = fn(&Run, &Path, SocketAddr, SocketAddr) -> Result<Recipe>;

const ALL: [(&str, Cook); 5] =
    [("floor", floor), ("nginx", nginx), ("haproxy", haproxy), ("envoy", envoy), ("strait", strait)];

/// Starts all that are wanted and installed, on CPU 0. Says of the others why they are missing.
pub fn start(run: &Run, folder: &Path, responder: SocketAddr) -> Result<Vec<Peer>> {
    let wanted = |name: &str| name == "floor" || run.peers.is_empty() || run.peers.iter().any(|p| p == name);
    let mut peers = Vec::new();
    for (name, cook) in ALL.into_iter().filter(|(name, _)| wanted(name)) {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let at = free()?;
        let started = cook(run, &folder, at, responder)
            .and_then(|r| Ok((Process::start(0, &r.program, &r.arguments, at)?, r.version)));
        match started {
            Ok((process, version)) => peers.push(Peer { name, version, at, process }),
            Err(error) if name == "floor" => return Err(error),
            Err(error) => println!("MISSING: {name}: {error:#}"),
        }
    }
    Ok(peers)
}

fn floor(_: &Run, _: &Path, at: SocketAddr, to: SocketAddr) -> Result<Recipe> {
    Ok(Recipe {
        program: std::env::current_exe()?.into(),
        arguments: vec!["floor".into(), at.to_string(), to.to_string()],
        version: "raw epoll relay".into(),
    })
}

fn nginx(_: &Run, folder: &Path, at: SocketAddr, to: SocketAddr) -> Result<Recipe> {
    let version = said("nginx", &["-v"])?;
    let own = folder.display();
    let text = format!(
        "daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error.log; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/f; uwsgi_temp_path {own}/u; scgi_temp_path {own}/s;
  upstream pods {{ server {to}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen {at}; keepalive_requests 100000000;
    location / {{ proxy_pass http://pods; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_max_temp_file_size 0; }}
  }}
}}
"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let arguments = vec!["-p".into(), own.to_string(), "-c".into(), file.display().to_string()];
    Ok(Recipe { program: "nginx".into(), arguments, version })
}

fn haproxy(_: &Run, folder: &Path, at: SocketAddr, to: SocketAddr) -> Result<Recipe> {
    let version = said("haproxy", &["-v"])?;
    let text = format!(
        "global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend clients
  bind {at}
  default_backend pods
backend pods
  server pod {to} check inter 2s
"
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    Ok(Recipe { program: "haproxy".into(), arguments: vec!["-f".into(), file.display().to_string()], version })
}

fn envoy(_: &Run, folder: &Path, at: SocketAddr, to: SocketAddr) -> Result<Recipe> {
    let version = said("envoy", &["--version"])?;
    let address = |a: SocketAddr| format!("{{socket_address: {{address: {}, port_value: {}}}}}", a.ip(), a.port());
    let text = format!(
        r#"static_resources:
  listeners:
  - address: {listen}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: pods}}}}]}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: pods
    type: STATIC
    outlier_detection: {{}}
    load_assignment: {{cluster_name: pods, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {pods}}}}}]}}]}}
"#,
        listen = address(at),
        pods = address(to)
    );
    let file = folder.join("envoy.yaml");
    fs::write(&file, text)?;
    let arguments = ["-c", &file.display().to_string(), "--concurrency", "1", "-l", "off", "--base-id", "77"];
    Ok(Recipe { program: "envoy".into(), arguments: arguments.map(str::to_owned).to_vec(), version })
}

fn strait(run: &Run, folder: &Path, at: SocketAddr, to: SocketAddr) -> Result<Recipe> {
    let program = fs::canonicalize(&run.strait).with_context(|| {
        format!("{} (cargo build --release builds it; --strait names another)", run.strait.display())
    })?;
    let version = said(&program, &["--version"])?;
    let text = format!(
        "podCIDRs: [127.0.0.0/8]
services:
- namespace: bench
  name: pods
  ports: [{{name: http, port: 80, targetPort: {}, listen: \"{at}\"}}]
  endpoints: [{{address: {}}}]
",
        to.port(),
        to.ip()
    );
    let file = folder.join("cluster.yaml");
    fs::write(&file, text)?;
    let (source, identity) = (format!("file:{}", file.display()), folder.join("identity").display().to_string());
    let (gateway, dns, admin) = (free()?.to_string(), free()?.to_string(), free()?.to_string());
    let arguments = [
        ["--source", &source],
        ["--cluster", "bench"],
        ["--workers", "1"],
        ["--identity-dir", &identity],
        ["--gateway-listen", &gateway],
        ["--dns-listen", &dns],
        ["--admin-listen", &admin],
        ["--drain-delay", "0s"],
    ];
    let arguments = std::iter::once("agent").chain(arguments.into_iter().flatten()).map(str::to_owned).collect();
    Ok(Recipe { program: program.into(), arguments, version })
}

/// The first line a program prints of its version.
fn said(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let out = Command::new(program).args(arguments).output().with_context(|| format!("no {}", program.display()))?;
    let text = [out.stdout, out.stderr].concat();
    Ok(String::from_utf8_lossy(&text).lines().find(|l| !l.trim().is_empty()).unwrap_or_default().trim().to_owned())
}
