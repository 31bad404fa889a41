//! `strait join`: makes clusters peers of one another.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use strait_catalog::ClusterId;
use strait_kubernetes::join::{self, AddressKind, ClusterFacts, FactsError};
use strait_kubernetes::{Client, client_for, manifest};
use tokio::time::Instant;

use crate::args::duration;

/// Which clusters, and how they reach each other.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The kubeconfig contexts, one for each cluster. A cluster's id is what its ConfigMap strait-cluster says
    #[arg(required = true, num_args = 2..)]
    pub contexts: Vec<String>,
    /// Where a cluster's gateways are reached, instead of what its Service and Nodes say; may be repeated
    #[arg(long, value_name = "CLUSTER=HOST:PORT", value_parser = named_gateway)]
    pub gateway: Vec<(ClusterId, String)>,
    /// Which of a node's addresses other clusters reach, where there is no load balancer
    #[arg(long, value_enum, default_value_t = NodeAddress::Internal)]
    pub node_address: NodeAddress,
    /// Accept services of these namespaces only; without it, of all
    #[arg(long, value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// How long to wait, first for the clusters' CAs, then for the peers to be connected
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub timeout: Duration,
    /// Print the ClusterPeers as YAML and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which of a node's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NodeAddress {
    /// InternalIP: the clusters' networks are connected.
    Internal,
    /// ExternalIP: over the Internet.
    External,
}

fn named_gateway(text: &str) -> Result<(ClusterId, String), String> {
    let wrong = || "expected CLUSTER=HOST:PORT".to_owned();
    let (id, address) = text.split_once('=').ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let fine = !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0);
    let id = ClusterId::parse(id).map_err(|e| e.to_string())?;
    if fine { Ok((id, address.to_owned())) } else { Err(wrong()) }
}

/// Reads, introduces, waits.
///
/// # Errors
/// When a cluster is not ready to be joined, or is not connected in time: then with everything that is missing.
pub async fn run(args: JoinArgs) -> anyhow::Result<()> {
    let clients = clients(&args.contexts).await?;
    let end = Instant::now() + args.timeout;
    let mut clusters = Vec::new();
    for (context, client) in &clients {
        clusters.push(facts(client, context, &args, end).await?);
    }
    all_used(&args.gateway, &clusters)?;
    let told = join::introductions(&clusters, &args.namespaces)?;
    if args.dry_run {
        for (context, peers) in &told {
            for peer in peers {
                print(&format!("# kubectl --context {context} apply --server-side -f -"));
                print(manifest::document(&serde_json::to_value(peer)?)?.trim_end());
            }
        }
        return Ok(());
    }
    for (context, client) in &clients {
        for peer in told.get(context).into_iter().flatten() {
            let id = &peer.spec.cluster_id;
            join::apply(client, peer).await.with_context(|| format!("context {context}: ClusterPeer {id}"))?;
            print(&format!("{context}: ClusterPeer {id} ({})", peer.spec.gateways.join(", ")));
        }
    }
    wait(&clients, &clusters, end).await
}

/// One client a context; giving a context twice is an oversight.
pub(super) async fn clients(contexts: &[String]) -> anyhow::Result<Vec<(String, Client)>> {
    let mut clients = Vec::new();
    for context in contexts {
        ensure!(!clients.iter().any(|(c, _)| c == context), "context {context} is given twice");
        clients.push((context.clone(), client_for(Some(context)).await?));
    }
    Ok(clients)
}

/// A controller that has just started makes its CA within seconds: that is waited for.
async fn facts(client: &Client, context: &str, args: &JoinArgs, end: Instant) -> anyhow::Result<ClusterFacts> {
    let named = |id: &ClusterId| -> Vec<String> {
        args.gateway.iter().filter(|(of, _)| of == id).map(|(_, address)| address.clone()).collect()
    };
    let kind = match args.node_address {
        NodeAddress::Internal => AddressKind::Internal,
        NodeAddress::External => AddressKind::External,
    };
    loop {
        match join::read(client, context, named, kind).await {
            Err(FactsError::NoAuthority { .. }) if Instant::now() < end && !args.dry_run => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            other => return Ok(other?),
        }
    }
}

/// A gateway for a cluster that is not joined is most likely a typing error.
fn all_used(gateways: &[(ClusterId, String)], clusters: &[ClusterFacts]) -> anyhow::Result<()> {
    match gateways.iter().find(|(of, _)| !clusters.iter().any(|c| c.id == *of)) {
        Some((of, address)) => {
            let known: Vec<&str> = clusters.iter().map(|c| c.id.as_str()).collect();
            anyhow::bail!("--gateway {of}={address}: none of these clusters is {of}: {}", known.join(", "))
        }
        None => Ok(()),
    }
}

async fn wait(clients: &[(String, Client)], clusters: &[ClusterFacts], end: Instant) -> anyhow::Result<()> {
    let mut told: BTreeMap<(String, String), bool> = BTreeMap::new();
    loop {
        let mut open = Vec::new();
        for (context, client) in clients {
            let states = join::states(client).await.with_context(|| format!("context {context}: ClusterPeers"))?;
            for other in clusters.iter().filter(|c| c.context != *context) {
                let state = states.iter().find(|s| s.cluster == other.id.as_str());
                let connected = state.is_some_and(|s| s.connected);
                if connected && told.insert((context.clone(), other.id.to_string()), true).is_none() {
                    print(&format!("{context}: {} is connected", other.id));
                }
                if !connected {
                    let why = state.map_or("its ClusterPeer is gone", |s| s.why.as_str());
                    open.push(format!("{context}: {} is not connected: {why}", other.id));
                }
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(explained(clients, open).await);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn explained(clients: &[(String, Client)], open: Vec<String>) -> anyhow::Error {
    let mut lines = open;
    for (context, client) in clients {
        lines.extend(join::missing(client).await.into_iter().map(|line| format!("{context}: {line}")));
    }
    anyhow::anyhow!(
        "not everyone is connected yet; joining again changes nothing and waits again.\n  {}",
        lines.join("\n  ")
    )
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    println!("{text}");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_named_by_cluster() {
        let (id, address) = named_gateway("us-east=gw.example.org:443").unwrap();
        assert_eq!((id.as_str(), address.as_str()), ("us-east", "gw.example.org:443"));
        assert_eq!(named_gateway("a=[fd00::1]:443").unwrap().1, "[fd00::1]:443");
        for bad in ["x", "x=y", "x=:1", "x=y:0", "x=y:port", "X=y:1", "=y:1"] {
            assert!(named_gateway(bad).is_err(), "{bad}");
        }
    }
}
