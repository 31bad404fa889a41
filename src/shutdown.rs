//! Signals: the first asks to leave, the second to leave now.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two wishes a process can be sent.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled by the first SIGTERM or SIGINT: drain.
    pub drain: CancellationToken,
    /// Cancelled by the second: stop at once.
    pub abort: CancellationToken,
}

impl Shutdown {
    /// Listens for SIGTERM and SIGINT for as long as the process lives.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub async fn listen(self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if self.drain.is_cancelled() {
                tracing::warn!(signal = name, "second signal: stopping at once");
                self.abort.cancel();
                return Ok(());
            }
            tracing::info!(signal = name, "leaving");
            self.drain.cancel();
        }
    }
}
