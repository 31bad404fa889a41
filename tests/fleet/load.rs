//! Clients that ask at a constant rate, and what they saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strait_load::generator::{self, Connections, Plan, now_us};
use strait_load::sample::{Kind, Sample};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::pods::{CLUSTER, GREETING};
use crate::wait;

/// Long: these tests ask whether an answer comes, not how soon, on a machine that may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running client.
pub struct Load {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins to ask, half the rate over kept connections and half over new ones.
    pub fn start(at: SocketAddr, rate: u32) -> Self {
        let load = Self { samples: Arc::default(), stop: CancellationToken::new(), tasks: Vec::new() };
        [Connections::New, Connections::KeepAlive].into_iter().fold(load, |load, c| load.with(at, rate / 2, c))
    }

    fn with(mut self, at: SocketAddr, rate: u32, connections: Connections) -> Self {
        let plan = Plan {
            targets: vec![format!("http://{at}/").parse().unwrap()],
            rate,
            duration: Duration::from_secs(600),
            timeout: PATIENCE,
            connections,
            expect: Some(GREETING.to_owned()),
            server_header: http::HeaderName::from_static(CLUSTER),
            body_names_server: false,
        };
        let (sender, mut received) = mpsc::channel(256);
        self.tasks.push(tokio::spawn(generator::run(plan, sender, self.stop.clone())));
        let samples = self.samples.clone();
        self.tasks.push(tokio::spawn(async move {
            while let Some(sample) = received.recv().await {
                samples.lock().unwrap().push(sample);
            }
        }));
        self
    }

    /// Everything that was due since a moment in microseconds since the epoch and has ended.
    pub fn since(&self, from_us: u64) -> Vec<Sample> {
        self.samples.lock().unwrap().iter().filter(|s| s.start_us >= from_us).cloned().collect()
    }

    /// Waits until pods of that cluster have given this many right answers from now on.
    pub async fn served_by(&self, cluster: &str, answers: usize) {
        let from = now_us();
        wait::holds(&format!("{answers} answers from {cluster}"), async || {
            self.since(from).iter().filter(|s| s.is_ok() && s.served_by == cluster).count() >= answers
        })
        .await;
    }

    /// Waits until the last so many right answers came from none but that cluster.
    pub async fn served_only_by(&self, cluster: &str, answers: usize) {
        wait::holds(&format!("{answers} answers from {cluster} alone"), async || {
            let samples = self.samples.lock().unwrap();
            let newest = samples.iter().rev().filter(|s| s.is_ok()).take(answers);
            newest.filter(|s| s.served_by == cluster).count() == answers
        })
        .await;
    }

    /// Ends it and returns all samples, once every request has ended.
    pub async fn end(mut self) -> Vec<Sample> {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
        self.since(0)
    }

    /// Ends it and sees to it that no request failed, and that there were enough to say so.
    pub async fn end_without_failure(self) -> Vec<Sample> {
        let samples = self.end().await;
        let sent: Vec<_> = samples.iter().filter(|s| s.kind != Kind::Late).collect();
        assert!(sent.len() * 10 >= samples.len() * 8 && sent.len() > 20, "this machine is too busy to judge");
        let failed: Vec<_> = sent.iter().filter(|s| !s.is_ok()).map(ToString::to_string).collect();
        assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), sent.len());
        samples
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Right answers by cluster.
pub fn answers(samples: &[Sample]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for sample in samples.iter().filter(|s| s.is_ok()) {
        *counts.entry(sample.served_by.clone()).or_default() += 1;
    }
    counts
}
