//! A running agent, seen through its admin port.

use strait::admin::status::Status;

use crate::process::Process;
use crate::world::{SERVICE, Site};
use crate::{wait, web};

/// A running agent.
pub struct Daemon {
    pub site: Site,
    pub process: Process,
}

impl Daemon {
    /// `/status`, once it answers.
    pub async fn status(&self) -> Status {
        wait::until(&format!("status of {}", self.site.name), async || {
            let answer = web::get(self.site.admin(), "/status").await.ok()?;
            Some(serde_json::from_str(&answer.body).unwrap())
        })
        .await
    }

    /// Waits until `/status` is as wished.
    pub async fn shows(&self, what: &str, wished: impl Fn(&Status) -> bool) -> Status {
        wait::until(&format!("{} shows {what}", self.site.name), async || Some(self.status().await).filter(&wished))
            .await
    }

    /// Waits until it is ready, counts so many ready pods in that cluster, has heard how old that is, and has a link
    /// there that is open.
    pub async fn sees(&self, cluster: &str, pods: u32) {
        self.shows(&format!("{pods} pods of {cluster}"), |status| {
            let backend = status.services.get(SERVICE).and_then(|s| s.backends.get(cluster));
            status.readiness == "ready"
                && backend.is_some_and(|b| b.ready == pods)
                && (cluster == self.site.name || (linked(status, cluster) && heard(status, cluster)))
        })
        .await;
    }

    pub async fn metrics(&self) -> String {
        web::get(self.site.admin(), "/metrics").await.unwrap().body
    }

    /// The value of one series, as it is written: name and labels.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics().await;
        let line = text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }
}

fn heard(status: &Status, cluster: &str) -> bool {
    status.clusters.iter().any(|c| c.id == cluster && c.age_ms.is_some())
}

/// The distance to that cluster has been measured, which takes an open link.
fn linked(status: &Status, cluster: &str) -> bool {
    let services = status.proxy["services"].as_array().into_iter().flatten();
    let mut clusters = services.flat_map(|s| s["clusters"].as_array().into_iter().flatten());
    clusters.any(|c| c["cluster"] == cluster && c["rtt_ms"].is_number())
}
