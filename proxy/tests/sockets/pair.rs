//! Two clusters with one service, and open-loop load on it.

use std::time::Duration;

use strait_proxy::ProxyConfig;

use crate::client::{Got, Kept, get, once};
use crate::pod::Pod;
use crate::relay::Relay;
use crate::site::Site;

/// Two clusters that export the same service; us-west is where the clients are.
pub struct Pair {
    pub west: Site,
    pub east: Site,
    pub west_pods: Vec<Pod>,
    pub east_pods: Vec<Pod>,
    pub relay: Option<Relay>,
}

impl Pair {
    /// `relayed`: us-west reaches us-east through a relay with that delay each way.
    pub async fn new(pods: u8, relayed: Option<Duration>) -> Self {
        Self::with(pods, relayed, |_| ()).await
    }

    pub async fn with(pods: u8, relayed: Option<Duration>, edit: impl FnOnce(&mut ProxyConfig)) -> Self {
        Self::speaking("", pods, relayed, edit).await
    }

    /// The same with a port that says what it speaks.
    pub async fn speaking(
        app_protocol: &str,
        pods: u8,
        relayed: Option<Duration>,
        edit: impl FnOnce(&mut ProxyConfig),
    ) -> Self {
        let (mut west, mut east) = (Site::new("us-west"), Site::new("us-east"));
        for site in [&west, &east] {
            site.export_speaking(app_protocol);
            site.slice(pods);
            site.import(app_protocol);
        }
        let relay = match relayed {
            Some(delay) => {
                east.announce(east.relay());
                Some(Relay::start(east.relay(), east.gateway(), delay).await)
            }
            None => {
                east.announce(east.gateway());
                None
            }
        };
        west.announce(west.gateway());
        east.meet(&west);
        east.start().await;
        west.meet(&east);
        west.start_with(edit).await;
        west.linked(&east).await;
        let (west_pods, east_pods) = (pods_of(&west, pods).await, pods_of(&east, pods).await);
        Self { west, east, west_pods, east_pods, relay }
    }

    pub async fn stop(&self) {
        self.west.stop().await;
        self.east.stop().await;
    }
}

pub async fn pods_of(site: &Site, count: u8) -> Vec<Pod> {
    let mut pods = Vec::new();
    for n in 0..count {
        pods.push(Pod::start(site.pod(n), &format!("{}-{n}", site.id)).await);
    }
    pods
}

/// Open-loop load of 200 requests a second for the time, every second one on a new connection. Returns the answers and
/// what failed.
pub async fn load(site: &Site, time: Duration) -> (Vec<Got>, Vec<String>) {
    let door = site.door();
    let kept = std::sync::Arc::new(tokio::sync::Mutex::new(Vec::<Kept>::new()));
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut running = tokio::task::JoinSet::new();
    let until = tokio::time::Instant::now() + time;
    let mut number = 0;
    while tokio::time::Instant::now() < until {
        tick.tick().await;
        number += 1;
        let kept = kept.clone();
        running.spawn(async move {
            if number % 2 == 0 {
                return once(door, get("/")).await;
            }
            let pooled = kept.lock().await.pop();
            let mut connection = match pooled {
                Some(open) => open,
                None => Kept::open(door).await?,
            };
            let got = connection.send(get("/")).await;
            if got.is_ok() {
                kept.lock().await.push(connection);
            }
            got
        });
    }
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    while let Some(done) = running.join_next().await {
        match done.unwrap() {
            Ok(got) if got.status == 200 => answers.push(got),
            Ok(got) => failures.push(format!("{} {}", got.status, got.body)),
            Err(error) => failures.push(error),
        }
    }
    // Shown when the test fails, or with --nocapture.
    let mut times: Vec<_> = answers.iter().map(|got: &Got| got.took).collect();
    times.sort_unstable();
    let at = |percent| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    println!("{} answers: p50 {:?}, p99 {:?}, max {:?}", times.len(), at(50), at(99), times.last());
    (answers, failures)
}
