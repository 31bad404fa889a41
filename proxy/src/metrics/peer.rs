//! What is counted of other clusters: the links to them, and their requests to this one.

use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, counter, gauge};
use strait_catalog::ClusterId;

use super::Raised;
use crate::failure::Kind;

/// The way to one cluster.
pub(crate) struct LinkMetrics {
    cluster: String,
    up: Gauge,
    rtt: Gauge,
    dead: Counter,
}

impl LinkMetrics {
    pub(crate) fn new(cluster: &ClusterId) -> Self {
        let cluster = cluster.to_string();
        Self {
            up: gauge!("strait_proxy_links", "cluster" => cluster.clone()),
            rtt: gauge!("strait_proxy_link_rtt_seconds", "cluster" => cluster.clone()),
            dead: counter!("strait_proxy_links_dead_total", "cluster" => cluster.clone()),
            cluster,
        }
    }

    /// A connection is up, until dropped.
    pub(crate) fn up(&self) -> Raised {
        Raised::one(&self.up)
    }

    /// A round trip was measured.
    pub(crate) fn rtt(&self, rtt: Duration) {
        self.rtt.set(rtt.as_secs_f64());
    }

    /// A link was declared dead.
    pub(crate) fn dead(&self) {
        self.dead.increment(1);
    }

    /// A gateway could not be connected.
    pub(crate) fn dial_failed(&self, reason: &'static str) {
        counter!("strait_proxy_link_dial_failures_total", "cluster" => self.cluster.clone(), "reason" => reason)
            .increment(1);
    }
}

/// One peer's requests on one connection.
pub(crate) struct PeerMetrics {
    cluster: String,
    answers: [Counter; 3],
}

impl PeerMetrics {
    pub(crate) fn new(cluster: &ClusterId) -> Self {
        let cluster = cluster.to_string();
        let answers = ["ok", "client_error", "server_error"].map(|outcome| requests(&cluster, outcome));
        Self { cluster, answers }
    }

    /// A pod answered.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.answers[usize::from(status.is_client_error()) + 2 * usize::from(status.is_server_error())].increment(1);
    }

    /// The gateway itself answered.
    pub(crate) fn failed(&self, kind: Kind) {
        requests(&self.cluster, kind.word()).increment(1);
    }
}

fn requests(cluster: &str, outcome: &'static str) -> Counter {
    counter!("strait_gateway_requests_total", "cluster" => cluster.to_owned(), "outcome" => outcome)
}
