//! The command line. Every flag of the daemon is also an environment variable, so that one ConfigMap feeds it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use strait_catalog::ClusterId;
use strait_dns::{Zone, ZoneConfig};
use strait_identity::TrustDomain;

use crate::command;

/// Joins Kubernetes clusters: a pod's request keeps its answer when the pods, the node or the cluster behind it die.
#[derive(Debug, Parser)]
#[command(name = "strait", version, propagate_version = true)]
pub struct Arguments {
    /// How to log.
    #[command(flatten)]
    pub logging: Logging,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How to log.
#[derive(Clone, Debug, Args)]
pub struct Logging {
    /// Which log lines: a level, or `target=level,...`; info for daemons, error for the demo
    #[arg(long, env = "STRAIT_LOG", global = true, value_parser = log_filter)]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, env = "STRAIT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon of one node: catalog, sync, DNS, proxy, gateway
    Agent(Box<AgentArgs>),
    /// Run one cluster's controller: imports, derived Services, certificates, names
    Controller(command::controller::ControllerArgs),
    /// Try it: three clusters in one process, no Kubernetes
    Demo(command::demo::DemoArgs),
    /// Print what a running agent knows
    Status(command::status::StatusArgs),
    /// Make clusters peers of one another
    Join(command::join::JoinArgs),
    /// Undo a join
    Leave(command::leave::LeaveArgs),
    /// Connect or disconnect CoreDNS
    Coredns(command::coredns::CorednsArgs),
    /// Print Strait's own CustomResourceDefinitions as YAML
    Crds(command::crds::CrdsArgs),
}

impl Command {
    /// The log level of a command that was not told one: the demo's faults are meant, so their warnings are noise.
    #[must_use]
    pub const fn log_level(&self) -> &'static str {
        match self {
            Self::Demo(_) => "error",
            _ => "info",
        }
    }
}

/// Where the daemon learns its own cluster's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One YAML file, hot reloaded.
    File(PathBuf),
    /// The API server.
    Kubernetes,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            None if text == "kubernetes" => Ok(Self::Kubernetes),
            _ => Err("expected `kubernetes` or `file:PATH`".into()),
        }
    }
}

/// The daemon's arguments.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// Where this cluster's services come from: `kubernetes`, or `file:PATH`
    #[arg(long, env = "STRAIT_SOURCE")]
    pub source: Source,
    /// This cluster's id within its set: one DNS label
    #[arg(long, env = "STRAIT_CLUSTER", value_parser = cluster_id)]
    pub cluster: ClusterId,
    /// The trust domain of all clusters' certificates
    #[arg(long, env = "STRAIT_TRUST_DOMAIN", default_value = "strait.local", value_parser = trust_domain)]
    pub trust_domain: TrustDomain,
    /// This node's name
    #[arg(long, env = "STRAIT_NODE", default_value = "")]
    pub node: String,
    /// This pod's address: the daemon's id among its siblings
    #[arg(long, env = "STRAIT_POD_IP")]
    pub pod_ip: Option<IpAddr>,
    /// The port under which other clusters reach a node's gateway (a NodePort, or the gateway's own port)
    #[arg(long, env = "STRAIT_GATEWAY_PORT", default_value_t = 15443, value_parser = clap::value_parser!(u16).range(1..))]
    pub gateway_port: u16,
    /// Where the gateway listens
    #[arg(long, env = "STRAIT_GATEWAY_LISTEN", default_value = "0.0.0.0:15443")]
    pub gateway_listen: SocketAddr,
    /// Where DNS listens, UDP and TCP
    #[arg(long, env = "STRAIT_DNS_LISTEN", default_value = "0.0.0.0:15053", value_delimiter = ',')]
    pub dns_listen: Vec<SocketAddr>,
    /// Where /livez, /readyz, /status and /metrics are served
    #[arg(long, env = "STRAIT_ADMIN_LISTEN", default_value = "0.0.0.0:15020")]
    pub admin_listen: SocketAddr,
    /// The address that listeners of imported services bind to (Kubernetes source)
    #[arg(long, env = "STRAIT_LISTENER_ADDRESS", default_value = "0.0.0.0")]
    pub listener_address: IpAddr,
    /// The folder with tls.crt, tls.key and ca.crt; it may be empty until certificates exist
    #[arg(long, env = "STRAIT_IDENTITY_DIR", default_value = "/etc/strait/identity")]
    pub identity_dir: PathBuf,
    /// The DNS zone of the cluster set
    #[arg(long, env = "STRAIT_DNS_ZONE", default_value = "clusterset.local", value_parser = zone)]
    pub dns_zone: Zone,
    /// Proxy worker threads; 0 means one for each CPU
    #[arg(long, env = "STRAIT_WORKERS", default_value_t = 0)]
    pub workers: usize,
    /// After SIGTERM, how long every listener keeps accepting while others learn that this daemon leaves
    #[arg(long, env = "STRAIT_DRAIN_DELAY", default_value = "10s", value_parser = duration)]
    pub drain_delay: Duration,
    /// After the drain delay, how long requests in flight may still take
    #[arg(long, env = "STRAIT_DRAIN_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// How long the way back to the own cluster takes after a first failover, from nothing to all; flapping makes it
    /// longer, up to ten times
    #[arg(long, env = "STRAIT_FAILBACK_RAMP", default_value = "30s", value_parser = some_time)]
    pub failback_ramp: Duration,
    /// The longest a proxied request may wait for its answer to begin
    #[arg(long, env = "STRAIT_REQUEST_TIMEOUT", default_value = "30s", value_parser = some_time)]
    pub request_timeout: Duration,
    /// Let pods shift requests between them by what they report of their own load (ORCA's `endpoint-load-metrics`)
    #[arg(long, env = "STRAIT_ORCA")]
    pub orca: bool,
}

fn cluster_id(text: &str) -> Result<ClusterId, String> {
    ClusterId::parse(text).map_err(|e| e.to_string())
}

fn trust_domain(text: &str) -> Result<TrustDomain, String> {
    TrustDomain::parse(text).map_err(|e| e.to_string())
}

/// Reads the name of a DNS zone.
///
/// # Errors
/// A sentence saying what was expected.
pub fn zone(text: &str) -> Result<Zone, String> {
    Zone::new(ZoneConfig { origin: text.to_owned(), ..ZoneConfig::default() }).map_err(|e| e.to_string())
}

/// Reads `10s`, `500ms`, `2m`.
///
/// # Errors
/// A sentence saying what was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|d| Duration::try_from(d).ok())
        .ok_or_else(|| "expected a duration such as 10s, 500ms or 2m".into())
}

/// Reads a duration that is not zero.
fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected more than 0".into()),
        time => Ok(time),
    }
}

/// Checks a log filter. A word that is no level would be read as the name of a target, and so as silence.
fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let expected = || format!("expected one of {}, or `target=level,...`", LEVELS.join(", "));
    let known = |level: &str| LEVELS.iter().any(|l| l.eq_ignore_ascii_case(level));
    let good = |part: &str| known(part.rsplit_once('=').map_or(part, |(_, level)| level).trim());
    if !text.split(',').all(good) || tracing_subscriber::EnvFilter::try_new(text).is_err() {
        return Err(expected());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Arguments, String> {
        Arguments::try_parse_from([&["strait", "agent"], args].concat()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_flag_and_what_it_expects() {
        for (flag, value, expected) in [
            ("--source", "etcd:x", "expected `kubernetes` or `file:PATH`"),
            ("--cluster", "US_West", "DNS label"),
            ("--drain-delay", "soon", "expected a duration"),
            ("--admin-listen", "15020", "invalid socket address"),
            ("--gateway-port", "0", "1..=65535"),
            ("--workers", "-1", "--workers"),
            ("--dns-zone", "a..b", "not a domain name"),
        ] {
            let good = ["--source=kubernetes", "--cluster=us-west"];
            let args: Vec<&str> = good.into_iter().filter(|a| !a.starts_with(flag)).collect();
            let error = parse(&[&args[..], &[&format!("{flag}={value}")]].concat()).unwrap_err();
            assert!(error.contains(flag) && error.contains(expected), "{flag} {value}: {error}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("-1s").is_err());
    }
}
