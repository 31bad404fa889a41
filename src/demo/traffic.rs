//! Two clients that ask us-west's proxy at a constant rate: one with a new connection for each request, one kept alive.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strait_load::generator::{Connections, Plan};
use strait_load::sample::Sample;
use strait_load::target::Target;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::CLUSTER_HEADER;

/// Requests per second of each client.
pub const RATE: u32 = 200;
/// How long a client waits for a complete answer, from when the request was due.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The log forgets its older half when it holds this many: eight minutes of both clients, more than a phase takes.
const KEPT: usize = 200_000;

/// Which of the two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// A new connection for each request.
    New,
    /// Kept-alive connections in turn.
    KeepAlive,
}

impl Client {
    /// Both.
    pub const ALL: [Self; 2] = [Self::New, Self::KeepAlive];

    /// As the report names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::KeepAlive => "keepalive",
        }
    }
}

/// One finished request of one client.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whose.
    pub client: Client,
    /// What happened.
    pub sample: Sample,
}

/// Everything both clients saw, in the order it ended.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    fn push(&self, seen: Seen) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.drain(..KEPT / 2);
        }
        all.push(seen);
    }

    /// Those that were due at or after a moment, in microseconds since the epoch.
    #[must_use]
    pub fn since(&self, from_us: u64) -> Vec<Seen> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A request ends at most its patience after it was due, so older ones stand well before.
        let slack = from_us.saturating_sub(2 * 1_000_000 * PATIENCE.as_secs());
        let begin = all.iter().rposition(|s| s.sample.end_us() < slack).map_or(0, |at| at + 1);
        all[begin..].iter().filter(|s| s.sample.start_us >= from_us).cloned().collect()
    }
}

/// Starts both clients; they run until `stop`, on a thread of their own, so that what they measure is the proxy and not
/// how busy the demo's other tasks keep a shared one.
///
/// # Errors
/// When the URL is not one, or no runtime can be made.
pub fn start(url: &str, log: &Log, tasks: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<()> {
    let target: Target = url.parse()?;
    let plan = |connections| Plan {
        targets: vec![target.clone()],
        rate: RATE,
        duration: Duration::from_secs(24 * 3600),
        timeout: PATIENCE,
        connections,
        expect: Some("Model Server".into()),
        server_header: http::HeaderName::from_static(CLUSTER_HEADER),
        body_names_server: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (new, kept) = (record(Client::New, log, tasks), record(Client::KeepAlive, log, tasks));
    let (new, kept) = (
        strait_load::generator::run(plan(Connections::New), new, stop.clone()),
        strait_load::generator::run(plan(Connections::KeepAlive), kept, stop.clone()),
    );
    let run = move || {
        runtime.block_on(async { tokio::join!(new, kept) });
    };
    std::thread::Builder::new().name("clients".into()).spawn(run)?;
    Ok(())
}

/// Where one client's samples go. A full channel delays a finished request's task, not the schedule.
fn record(client: Client, log: &Log, tasks: &TaskTracker) -> mpsc::Sender<Sample> {
    let (sender, mut samples) = mpsc::channel(1024);
    let log = log.clone();
    tasks.spawn(async move {
        while let Some(sample) = samples.recv().await {
            log.push(Seen { client, sample });
        }
    });
    sender
}
