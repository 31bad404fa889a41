//! What one listener counts of its service.

use std::cell::RefCell;
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, gauge, histogram};
use strait_catalog::{ClusterId, ServiceKey};

use super::{LATENCY_METRIC, requests};
use crate::failure::Kind;

const ANSWERS: [&str; 3] = ["ok", "client_error", "server_error"];
const FAILURES: [&str; 6] = ["no_upstream", "broken", "timeout", "overloaded", "refused", "abandoned"];
const ABANDONED: usize = 5;

/// One service's handles on one worker.
pub(crate) struct ServiceMetrics {
    service: String,
    /// Clusters are few: a scan is faster than a map.
    answers: RefCell<Vec<(ClusterId, [Counter; ANSWERS.len()])>>,
    failures: [Counter; FAILURES.len()],
    latency: Histogram,
    in_flight: Gauge,
}

/// A request whose answer has not begun. Dropped before, it was abandoned by its client.
pub(crate) struct Unanswered<'m>(Option<&'m ServiceMetrics>);

impl ServiceMetrics {
    pub(crate) fn new(service: &ServiceKey, local: &ClusterId) -> Self {
        let service = service.to_string();
        Self {
            failures: FAILURES.map(|outcome| requests(&service, local, outcome)),
            latency: histogram!(LATENCY_METRIC, "service" => service.clone()),
            in_flight: gauge!("strait_proxy_requests_in_flight", "service" => service.clone()),
            answers: RefCell::default(),
            service,
        }
    }

    /// A request came.
    pub(crate) fn begin(&self) -> Unanswered<'_> {
        self.in_flight.increment(1.0);
        Unanswered(Some(self))
    }

    /// An answer of a pod in that cluster began.
    pub(crate) fn answered(&self, cluster: &ClusterId, status: StatusCode, latency: Duration) {
        self.latency.record(latency.as_secs_f64());
        let class = usize::from(status.is_client_error()) + 2 * usize::from(status.is_server_error());
        let mut answers = self.answers.borrow_mut();
        let at = answers.iter().position(|(id, _)| id == cluster).unwrap_or_else(|| {
            answers.push((cluster.clone(), ANSWERS.map(|outcome| requests(&self.service, cluster, outcome))));
            answers.len() - 1
        });
        answers[at].1[class].increment(1);
    }

    /// The proxy itself answered with an error.
    pub(crate) fn failed(&self, kind: Kind, latency: Duration) {
        self.latency.record(latency.as_secs_f64());
        let at = match kind {
            Kind::NoEndpoints | Kind::ConnectFailed | Kind::NotExported | Kind::NotTrusted => 0,
            Kind::Broken | Kind::LinkDead | Kind::NotUpgraded | Kind::Coding | Kind::Unknown => 1,
            Kind::Timeout => 2,
            Kind::Overloaded => 3,
            Kind::Request(_) | Kind::Hop => 4,
        };
        self.failures[at].increment(1);
    }
}

impl Unanswered<'_> {
    /// The answer begins.
    pub(crate) fn answered(self) {
        self.moves_on();
    }

    /// It goes on elsewhere, and is counted there.
    pub(crate) fn moves_on(mut self) {
        if let Some(metrics) = self.0.take() {
            metrics.in_flight.decrement(1.0);
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.0.take() {
            metrics.in_flight.decrement(1.0);
            metrics.failures[ABANDONED].increment(1);
        }
    }
}
