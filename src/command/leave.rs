//! `strait leave`: undoes a join, and takes back all that the controller made outside of its own namespace.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use strait_kubernetes::Client;
use strait_kubernetes::join;

use super::join::clients;
use crate::args::duration;

/// How long the controller's pods may take to end.
const CONTROLLER_ENDS: Duration = Duration::from_secs(60);

/// Who leaves, and whom they leave.
#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// The kubeconfig contexts of the clusters that leave
    #[arg(required = true)]
    pub contexts: Vec<String>,
    /// The contexts of clusters that stay: their ClusterPeers of those that leave are deleted
    #[arg(long, value_delimiter = ',')]
    pub from: Vec<String>,
    /// How long caches may remember a plain name after its rewrite is gone; objects it led to stay that long
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub linger: Duration,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Others forget those that leave; then those clean up.
///
/// # Errors
/// At the first thing that cannot be done, naming it; leaving again goes on from there.
pub async fn run(args: LeaveArgs) -> anyhow::Result<()> {
    let (leaving, staying) = (clients(&args.contexts).await?, clients(&args.from).await?);
    let mut ids = Vec::new();
    for (context, client) in &leaving {
        ids.push(join::read_id(client, context).await?);
    }
    let said = if args.dry_run { "would be deleted" } else { "deleted" };
    for (context, client) in &staying {
        for id in &ids {
            if join::forget_peer(client, id, args.dry_run).await.with_context(|| format!("context {context}"))? {
                print(&format!("{context}: ClusterPeer {id}: {said}"));
            }
        }
    }
    let mut steered = 0;
    for (context, client) in &leaving {
        steered += silence(context, client, args.dry_run).await.with_context(|| format!("context {context}"))?;
    }
    if steered > 0 && !args.dry_run {
        print(&format!(
            "waiting {} s until no cache remembers {steered} plain names (--linger)",
            args.linger.as_secs()
        ));
        tokio::time::sleep(args.linger).await;
    }
    for (context, client) in &leaving {
        clean(context, client, args.dry_run).await.with_context(|| format!("context {context}"))?;
    }
    Ok(())
}

async fn silence(context: &str, client: &Client, dry_run: bool) -> anyhow::Result<usize> {
    if dry_run {
        print(&format!("{context}: Deployment strait-controller would be scaled to 0, plain names would be withdrawn"));
        return Ok(0);
    }
    join::stop_controller(client, CONTROLLER_ENDS).await?;
    print(&format!("{context}: Deployment strait-controller: scaled to 0"));
    let names = join::silence_names(client).await?;
    if names > 0 {
        print(&format!("{context}: {names} plain names lead to the local Services again"));
    }
    Ok(names)
}

async fn clean(context: &str, client: &Client, dry_run: bool) -> anyhow::Result<()> {
    let found = join::leftovers(client).await?;
    if !dry_run {
        join::clean(client, &found).await?;
        let exports = join::unmark_exports(client).await?;
        if exports > 0 {
            print(&format!("{context}: conditions of {exports} ServiceExports: taken back"));
        }
    }
    let said = if dry_run { "would be deleted" } else { "deleted" };
    for line in found.lines() {
        print(&format!("{context}: {line}: {said}"));
    }
    print(&format!(
        "{context}: left; `strait coredns remove --context {context}` and `kubectl delete -k` take away the rest"
    ));
    Ok(())
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    println!("{text}");
}
