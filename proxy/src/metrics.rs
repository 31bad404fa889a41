//! What the data plane counts. Handles are resolved once per service, cluster or worker, never per request.

use metrics::{Counter, Gauge, counter, gauge};
use strait_catalog::ClusterId;

mod check;
mod describe;
mod hedge;
mod peer;
mod report;
mod service;

pub(crate) use check::CheckMetrics;
pub(crate) use describe::describe;
pub use describe::{LATENCY_BUCKETS, LATENCY_METRIC};
pub(crate) use hedge::{Hedge, HedgeMetrics};
pub(crate) use peer::{LinkMetrics, PeerMetrics};
pub(crate) use report::Reporter;
pub(crate) use service::{ServiceMetrics, Unanswered};

use crate::retry::Failure;

/// Raises a gauge by one until dropped.
pub(crate) struct Raised(Gauge);

impl Raised {
    fn one(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// One worker's handles that belong to no service.
pub(crate) struct Metrics {
    pub(crate) too_many_clients: Counter,
    pub(crate) too_many_of_one: Counter,
    pub(crate) slow_heads: Counter,
    pub(crate) floods: Counter,
    /// Connections of HTTP/2 that were told to go and stayed.
    pub(crate) overstayed: Counter,
    /// Idle connections of HTTP/2 beyond their number.
    pub(crate) surplus: Counter,
    /// Streams of HTTP/2 whose answer was not taken.
    pub(crate) stuck: Counter,
    pub(crate) budget_spent: Counter,
    pub(crate) hedges: HedgeMetrics,
    /// Requests that were answered on the fast path.
    pub(crate) fast: Counter,
    /// Requests that were begun on it and went on elsewhere.
    pub(crate) handed_over: Counter,
    pub(crate) tunnels_refused: Counter,
    clients: Gauge,
    parked: Gauge,
    peers: Gauge,
    tunnels: Gauge,
    crossings: Gauge,
    retries: [Counter; Failure::LABELS.len()],
}

/// What counts ejected targets: pods, and gateways.
pub(crate) fn ejections() -> [Counter; 2] {
    ["pod", "gateway"].map(|kind| counter!("strait_proxy_ejections_total", "kind" => kind))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let closed = |reason| counter!("strait_proxy_clients_cut_total", "reason" => reason);
        let fast = |outcome| counter!("strait_proxy_fast_path_total", "outcome" => outcome);
        let open = |kind| gauge!("strait_proxy_connections", "kind" => kind);
        Self {
            too_many_clients: closed("too_many_connections"),
            too_many_of_one: closed("too_many_connections_of_one_client"),
            slow_heads: closed("slow_head"),
            floods: closed("control_frames"),
            overstayed: closed("overstayed"),
            surplus: closed("too_many_idle"),
            stuck: counter!("strait_proxy_streams_cut_total"),
            budget_spent: counter!("strait_proxy_replays_denied_total"),
            hedges: HedgeMetrics::new(),
            fast: fast("answered"),
            handed_over: fast("handed_over"),
            clients: open("client"),
            parked: gauge!("strait_proxy_parked_connections"),
            peers: open("gateway"),
            tunnels: open("tunnel"),
            crossings: open("crossing"),
            tunnels_refused: counter!("strait_proxy_tunnels_refused_total"),
            retries: Failure::LABELS.map(|reason| counter!("strait_proxy_retries_total", "reason" => reason)),
        }
    }

    /// A client's connection, until dropped.
    pub(crate) fn client(&self) -> Raised {
        Raised::one(&self.clients)
    }

    /// A client's idle connection has given up its buffers, until dropped.
    pub(crate) fn parked(&self) -> Raised {
        Raised::one(&self.parked)
    }

    /// A connection on the gateway port, until dropped.
    pub(crate) fn peer(&self) -> Raised {
        Raised::one(&self.peers)
    }

    /// A raw or upgraded connection that crosses clusters, at either end, until dropped.
    pub(crate) fn crossing(&self) -> Raised {
        Raised::one(&self.crossings)
    }

    /// Two joined connections within the cluster, until dropped.
    pub(crate) fn tunnel(&self) -> Raised {
        Raised::one(&self.tunnels)
    }

    /// A failed attempt is followed by another.
    pub(crate) fn retry(&self, failure: Failure) {
        let label = failure.label();
        if let Some(at) = Failure::LABELS.iter().position(|l| *l == label) {
            self.retries[at].increment(1);
        }
    }

    /// A connection to the gateway port was not let in.
    pub(crate) fn handshake_failed(&self, reason: &'static str) {
        counter!("strait_gateway_handshake_failures_total", "reason" => reason).increment(1);
    }
}

/// A counter of requests by cluster and outcome.
fn requests(service: &str, cluster: &ClusterId, outcome: &'static str) -> Counter {
    counter!("strait_proxy_requests_total", "service" => service.to_owned(), "cluster" => cluster.to_string(),
        "outcome" => outcome)
}
