//! Asking this cluster's agents about their sessions, so that a ClusterPeer can say how many have one and why not.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use strait_catalog::{ClusterId, Published};
use strait_kubernetes::controller::{ControllerStatus, PeerFacts};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::members;

/// How often the leader asks.
const EVERY: Duration = Duration::from_secs(10);
/// How long one agent may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How many are asked at a time.
const TOGETHER: usize = 4;
/// In a larger cluster nobody is asked: the answers would cost more than they tell.
const MOST: usize = 64;
/// The longest answer read.
const LONGEST: usize = 8 << 20;

/// The part of an agent's `/status` that is of interest here.
#[derive(Debug, Deserialize)]
struct Told {
    sync: Sync,
}

#[derive(Debug, Deserialize)]
struct Sync {
    peers: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    cluster: String,
    connected: bool,
    last_error: Option<String>,
}

/// Asks while this controller leads.
pub(super) fn follow(
    published: Published,
    admin_port: u16,
    status: watch::Receiver<ControllerStatus>,
    facts: watch::Sender<BTreeMap<ClusterId, PeerFacts>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            let leading = status.borrow().leading;
            if leading {
                let addresses: Vec<IpAddr> =
                    members::members(&published.load(), admin_port).iter().map(|m| m.address.ip()).collect();
                let told = if addresses.len() > MOST { Vec::new() } else { ask_all(addresses, admin_port).await };
                facts.send_replace(summed(&told));
            }
            tokio::time::sleep(EVERY).await;
        }
    }));
}

async fn ask_all(addresses: Vec<IpAddr>, port: u16) -> Vec<Told> {
    let asked = addresses.into_iter().map(|ip| async move {
        match tokio::time::timeout(ANSWER, ask(ip, port)).await {
            Ok(Ok(told)) => Some(told),
            Ok(Err(error)) => {
                tracing::debug!(agent = %ip, %error, "agent does not tell of its sessions");
                None
            }
            Err(_) => None,
        }
    });
    futures_util::stream::iter(asked).buffer_unordered(TOGETHER).filter_map(std::future::ready).collect().await
}

async fn ask(ip: IpAddr, port: u16) -> anyhow::Result<Told> {
    let stream = TcpStream::connect((ip, port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let host = std::net::SocketAddr::new(ip, port).to_string();
    let request = http::Request::get("/status").header("host", host).body(Empty::<bytes::Bytes>::new())?;
    let answered = async {
        let response = sender.send_request(request).await?;
        anyhow::ensure!(response.status().is_success(), "status {}", response.status());
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        Ok(serde_json::from_slice(&body.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes())?)
    };
    tokio::select! {
        told = answered => told,
        ended = connection => Err(ended.err().map_or_else(|| anyhow::anyhow!("the connection ended"), Into::into)),
    }
}

fn summed(told: &[Told]) -> BTreeMap<ClusterId, PeerFacts> {
    let mut facts: BTreeMap<ClusterId, PeerFacts> = BTreeMap::new();
    for row in told.iter().flat_map(|t| &t.sync.peers) {
        let Ok(id) = ClusterId::parse(&row.cluster) else { continue };
        let fact = facts.entry(id).or_default();
        let connected = fact.agents.unwrap_or(0) + u32::from(row.connected);
        fact.agents = Some(connected);
        fact.last_error = fact.last_error.take().or_else(|| row.last_error.clone());
    }
    facts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_all_agents_are_summed() {
        let told = |connected: bool, error: Option<&str>| -> Told {
            serde_json::from_value(serde_json::json!({
                "version": "0", "sync": { "isolated": false, "peers": [
                    {"cluster": "us-east", "connected": connected, "last_error": error, "records": 3},
                    {"cluster": "NOT/ONE", "connected": true, "last_error": null},
                ]},
            }))
            .unwrap()
        };
        let facts = summed(&[told(true, None), told(false, Some("refused")), told(true, None)]);
        assert_eq!(facts.len(), 1);
        let fact = &facts[&ClusterId::parse("us-east").unwrap()];
        assert_eq!((fact.agents, fact.last_error.as_deref()), (Some(2), Some("refused")));
        assert!(summed(&[]).is_empty());
    }
}
