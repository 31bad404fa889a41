//! Placeholder by the lead so that the root compiles; overwrite with the real command.
/// Arguments.
#[derive(Debug, clap::Args)]
pub struct LeaveArgs {}
/// Runs.
/// # Errors
/// Always.
pub async fn run(_args: LeaveArgs) -> anyhow::Result<()> { anyhow::bail!("not built yet") }
