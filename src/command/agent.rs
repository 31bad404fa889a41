//! `strait agent`.

use crate::agent::Agent;
use crate::args::AgentArgs;
use crate::limits;
use crate::shutdown::Shutdown;
use crate::telemetry;

/// Runs the daemon until SIGTERM.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: AgentArgs) -> anyhow::Result<()> {
    limits::raise_open_files();
    let shutdown = Shutdown::default();
    let signals = tokio::spawn(shutdown.clone().listen());
    let metrics = telemetry::metrics()?;
    let upkeep = tokio::spawn(telemetry::upkeep(metrics.clone(), shutdown.abort.clone()));
    let agent = Agent::start(args, metrics).await?;
    tokio::select! {
        () = shutdown.drain.cancelled() => {}
        // Nothing that this process knows is renewed any more; the next one starts anew.
        () = agent.broken() => anyhow::bail!("the task that owns the catalog ended by itself, which is a bug"),
    }
    agent.leave(&shutdown.abort).await;
    shutdown.abort.cancel();
    upkeep.await?;
    signals.abort();
    tracing::info!("gone");
    Ok(())
}
