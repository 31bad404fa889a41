//! Placeholder by the lead so that the root compiles; overwrite with the real command.
/// Arguments.
#[derive(Debug, clap::Args)]
pub struct CorednsArgs {}
/// Runs.
/// # Errors
/// Always.
pub async fn run(_args: CorednsArgs) -> anyhow::Result<()> { anyhow::bail!("not built yet") }
