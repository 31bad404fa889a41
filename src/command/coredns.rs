//! `strait coredns`: connects a cluster's CoreDNS to Strait, or disconnects it.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use strait_kubernetes::coredns::{self, Changes, Options};
use strait_kubernetes::{client_for, manifest};

/// Connect or disconnect.
#[derive(Debug, Args)]
pub struct CorednsArgs {
    /// Which of the two
    #[command(subcommand)]
    pub verb: Verb,
}

/// Connect or disconnect.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Send clusterset.local to Strait and import the plain names that its controller writes
    Install(TargetArgs),
    /// Take out what `install` put in; Corefile and Deployment are as they were before
    Remove(TargetArgs),
}

/// Whose CoreDNS.
#[derive(Clone, Debug, Args)]
pub struct TargetArgs {
    /// The kubeconfig context; without one, the current
    #[arg(long)]
    pub context: Option<String>,
    /// Print the objects as they would be and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Change it even though others manage it (they may undo it)
    #[arg(long)]
    pub force: bool,
    /// CoreDNS's Deployment in kube-system
    #[arg(long, default_value = "coredns")]
    pub deployment: String,
    /// The cluster's DNS domain
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// The zone of the cluster set
    #[arg(long, default_value = "clusterset.local")]
    pub zone: String,
}

/// Connects or disconnects, and says what changed.
///
/// # Errors
/// When CoreDNS is not found, is managed by others, or its Corefile is not understood.
pub async fn run(args: CorednsArgs) -> anyhow::Result<()> {
    let (Verb::Install(target) | Verb::Remove(target)) = &args.verb;
    let client = client_for(target.context.as_deref()).await?;
    let options = Options {
        deployment: target.deployment.clone(),
        cluster_domain: target.cluster_domain.clone(),
        zone: target.zone.clone(),
        force: target.force,
        dry_run: target.dry_run,
    };
    let changes = match args.verb {
        Verb::Install(_) => coredns::install(client, &options).await,
        Verb::Remove(_) => coredns::remove(client, &options).await,
    };
    let context = target.context.as_deref().unwrap_or("the current one");
    tell(&changes.with_context(|| format!("context {context}"))?, target)
}

fn tell(changes: &Changes, target: &TargetArgs) -> anyhow::Result<()> {
    if target.dry_run {
        for object in &changes.objects {
            print(manifest::document(object)?.trim_end());
        }
    }
    for line in &changes.done {
        print(&if target.dry_run { format!("# {line}") } else { line.clone() });
    }
    if changes.done.is_empty() {
        print("nothing to change");
    }
    if changes.needs_restart {
        let name = &target.deployment;
        print(&format!("its Corefile has no `reload`: kubectl -n kube-system rollout restart deployment {name}"));
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    println!("{text}");
}
