//! Gauges that are read off the routes once a second.

use std::collections::BTreeMap;

use metrics::{Gauge, gauge};

use crate::balance::{EndpointState, ServiceStatus};

/// All states, so that each has its gauge from the start.
const STATES: [(EndpointState, &str); 6] = [
    (EndpointState::Ready, "ready"),
    (EndpointState::Ejected, "ejected"),
    (EndpointState::Probation, "probation"),
    (EndpointState::Leaving, "leaving"),
    (EndpointState::NotReady, "not_ready"),
    (EndpointState::Gone, "gone"),
];

struct Handles {
    share: Gauge,
    endpoints: [Gauge; STATES.len()],
}

/// Keeps the handles between reports; what is gone is set to zero once.
#[derive(Default)]
pub(crate) struct Reporter(BTreeMap<(String, String), Handles>);

impl Reporter {
    /// Sets the gauges of every service and cluster.
    pub(crate) fn report(&mut self, services: &[ServiceStatus]) {
        let mut old = std::mem::take(&mut self.0);
        for service in services {
            let name = format!("{}:{}", service.service, service.port);
            for cluster in &service.clusters {
                let key = (name.clone(), cluster.cluster.to_string());
                let handles = old.remove(&key).unwrap_or_else(|| handles(&key.0, &key.1));
                handles.share.set(cluster.share);
                for (gauge, (state, _)) in handles.endpoints.iter().zip(STATES) {
                    gauge
                        .set(u32::try_from(cluster.endpoints.iter().filter(|e| e.state == state).count()).unwrap_or(0));
                }
                self.0.insert(key, handles);
            }
        }
        for handles in old.into_values() {
            handles.share.set(0.0);
            handles.endpoints.iter().for_each(|gauge| gauge.set(0.0));
        }
    }
}

fn handles(service: &str, cluster: &str) -> Handles {
    let labels = |state: Option<&'static str>| {
        let mut labels = vec![("service", service.to_owned()), ("cluster", cluster.to_owned())];
        labels.extend(state.map(|s| ("state", s.to_owned())));
        labels
    };
    Handles {
        share: gauge!("strait_proxy_share", &labels(None)),
        endpoints: STATES.map(|(_, state)| gauge!("strait_proxy_endpoints", &labels(Some(state)))),
    }
}
