//! Binding and starting: every socket is bound before any is served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use strait_catalog::Published;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::bind::{Bound, bind};
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::zone::Zone;
use crate::{tcp, udp};

/// Limits of DNS over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// Open connections in all.
    pub connections: usize,
    /// Open connections from one address.
    pub per_source: usize,
    /// How long a connection may wait for its next question.
    pub idle: Duration,
}

impl Default for TcpLimits {
    /// 1024 connections, 64 from one address, 10 s idle (the idle time is CoreDNS's).
    fn default() -> Self {
        Self { connections: 1024, per_source: 64, idle: Duration::from_secs(10) }
    }
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Addresses to listen on, UDP and TCP alike. Port 0 takes any free port, the same for both. An IPv6 address is for
    /// IPv6 alone. On a host with several addresses name each: answers from a wildcard leave from the address that
    /// routing prefers.
    pub listen: Vec<SocketAddr>,
    /// The zone to serve.
    pub zone: Zone,
    /// Where answers come from.
    pub published: Published,
    /// UDP sockets for each address (`SO_REUSEPORT`), each served by a task of its own; at least 1.
    pub udp_sockets: usize,
    /// Limits of TCP.
    pub tcp: TcpLimits,
}

impl DnsConfig {
    /// One UDP socket an address and the usual TCP limits.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, zone: Zone, published: Published) -> Self {
        Self { listen, zone, published, udp_sockets: 1, tcp: TcpLimits::default() }
    }
}

/// A server that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsHandle {
    /// The addresses that were bound, in the order of the configuration, with their real ports.
    pub local_addrs: Vec<SocketAddr>,
}

/// The DNS server.
#[derive(Clone, Copy, Debug)]
pub struct DnsServer;

impl DnsServer {
    /// Binds all sockets and serves them with tasks of `tracker` on the current tokio runtime, until `cancel` is
    /// cancelled; till then it also answers while the daemon drains. Before the catalog is complete, names that are not
    /// known are answered with SERVFAIL.
    ///
    /// # Errors
    /// When an address cannot be bound; the error names it, and nothing is served.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(config: DnsConfig, tracker: &TaskTracker, cancel: CancellationToken) -> io::Result<DnsHandle> {
        let bound = config.listen.iter().map(|a| bind(*a, config.udp_sockets)).collect::<io::Result<Vec<Bound>>>()?;
        let local_addrs: Vec<SocketAddr> = bound.iter().map(|b| b.address).collect();
        let (zone, metrics) = (Arc::new(config.zone), Arc::new(Metrics::new()));
        let TcpLimits { connections, per_source, idle } = config.tcp;
        let service = Arc::new(tcp::TcpService {
            handler: Handler::new(config.published.clone(), zone.clone()),
            admission: Admission::new(connections, per_source, metrics.connections().clone()),
            idle,
            metrics: metrics.clone(),
            tracker: tracker.clone(),
            cancel: cancel.clone(),
        });
        for Bound { udp, tcp, .. } in bound {
            for socket in udp {
                let (published, zone, metrics) = (config.published.clone(), zone.clone(), metrics.clone());
                tracker.spawn(udp::serve(socket, published, zone, metrics, cancel.clone()));
            }
            tracker.spawn(tcp::serve(tcp, service.clone()));
        }
        tracing::info!(addresses = ?local_addrs, udp_sockets = config.udp_sockets, "DNS is served");
        Ok(DnsHandle { local_addrs })
    }
}
