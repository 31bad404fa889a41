//! The open loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Answer, Connection};
use crate::pool::{Pool, Turn};
use crate::sample::{Kind, Sample};
use crate::target::Target;

/// Kept-alive connections held to each target.
pub const KEPT: usize = 40;

/// Later than this to begin a request, this process had no core: what was under way then says nothing about the target.
const STALL: Duration = Duration::from_millis(500);

/// Which connection a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// A new one for each request, resolved anew.
    New,
    /// [`KEPT`] of them in turn, each resolved when it is opened.
    KeepAlive,
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Taken in turn, one per request.
    pub targets: Vec<Target>,
    /// Requests per second, all targets together; at least 1.
    pub rate: u32,
    /// How long to go on.
    pub duration: Duration,
    /// Limit of one request, from when it was due; resolution and connection included.
    pub timeout: Duration,
    /// New connections or kept ones.
    pub connections: Connections,
    /// A 2xx answer must contain this.
    pub expect: Option<String>,
    /// The header in which an answer names who gave it; [`crate::connection::SERVED_BY`] unless something else does.
    pub server_header: http::HeaderName,
    /// Where that header does not tell who answered, the first word of the body does.
    pub body_names_server: bool,
}

struct Shared {
    plan: Plan,
    pools: Vec<Pool>,
    samples: mpsc::Sender<Sample>,
    begin: Instant,
    /// When this process last found that it had stalled, in microseconds since the beginning; 0 before the first time.
    stalled_us: AtomicU64,
}

/// Sends requests until the duration is over or `stop` is cancelled, then waits for those in flight.
pub async fn run(plan: Plan, samples: mpsc::Sender<Sample>, stop: CancellationToken) {
    let step = Duration::from_secs(1) / plan.rate.max(1);
    let bound = most_in_flight(&plan);
    let begin = Instant::now();
    let pools = plan.targets.iter().map(|_| Pool::new(KEPT)).collect();
    let shared = Arc::new(Shared { plan, pools, samples, begin, stalled_us: AtomicU64::new(0) });
    let permits = Arc::new(Semaphore::new(bound));
    let tasks = TaskTracker::new();
    for i in 0_u32.. {
        let offset = step * i;
        if offset >= shared.plan.duration {
            break;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep_until(begin + offset) => {}
        }
        let due = Due::at(begin + offset, i as usize % shared.plan.targets.len());
        shared.note_stall(due.at);
        match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    shared.one(due).await;
                    drop(permit);
                });
            }
            Err(_) => shared.record(due, false, Err(Kind::Late)).await,
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// A request ends by its limit, so no more than this are ever in flight while this process gets its share of a core.
fn most_in_flight(plan: &Plan) -> usize {
    let limit = plan.timeout.as_secs_f64() * f64::from(plan.rate.max(1));
    // The sum of small positive numbers; a float that large would not be a rate.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bound = limit.ceil() as usize;
    bound * 2 + 64
}

#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    start_us: u64,
    target: usize,
}

impl Due {
    /// The schedule is the steady clock's; its name for others is the wall clock's of this moment, which may be set between
    /// two requests of a load that runs for hours.
    fn at(at: Instant, target: usize) -> Self {
        let ago = Instant::now().saturating_duration_since(at);
        Self { at, start_us: now_us().saturating_sub(micros(ago)), target }
    }
}

impl Shared {
    /// The turn of the request that was due then has come.
    fn note_stall(&self, due: Instant) {
        let now = Instant::now();
        if now.saturating_duration_since(due) >= STALL {
            self.stalled_us.store(micros(now - self.begin), Ordering::Relaxed);
        }
    }

    /// Whether this process stalled while such a request was under way. Only of what took too long: an answer that came is an
    /// answer, and a refusal is one.
    fn stalled_since(&self, due: Instant) -> bool {
        let stalled = self.begin + Duration::from_micros(self.stalled_us.load(Ordering::Relaxed));
        stalled > self.begin && stalled >= due
    }

    async fn one(&self, due: Due) {
        let deadline = due.at + self.plan.timeout;
        if Instant::now() >= deadline {
            return self.record(due, false, Err(Kind::Late)).await;
        }
        let (kept, result) = match self.plan.connections {
            Connections::New => (false, self.over_new(due.target, deadline).await),
            Connections::KeepAlive => self.over_pool(due.target, deadline).await,
        };
        self.record(due, kept, result).await;
    }

    async fn over_new(&self, target: usize, deadline: Instant) -> Result<Answer, Kind> {
        let target = &self.plan.targets[target];
        let connection = Connection::open(target, deadline).await?;
        connection.get(target, &self.plan.server_header, deadline).await.map(|(answer, _)| answer)
    }

    async fn over_pool(&self, index: usize, deadline: Instant) -> (bool, Result<Answer, Kind>) {
        let (pool, target) = (&self.pools[index], &self.plan.targets[index]);
        let (kept, connection) = match pool.take() {
            Turn::Kept(connection) => (true, Ok(connection)),
            Turn::Open => (false, Connection::open(target, deadline).await),
        };
        let result = match connection {
            Ok(connection) => connection.get(target, &self.plan.server_header, deadline).await,
            Err(kind) => Err(kind),
        };
        match result {
            Ok((answer, connection)) => {
                pool.give_back(connection);
                (kept, Ok(answer))
            }
            Err(kind) => {
                pool.give_back(None);
                (kept, Err(kind))
            }
        }
    }

    async fn record(&self, due: Due, kept: bool, result: Result<Answer, Kind>) {
        let latency_us = micros(Instant::now().saturating_duration_since(due.at));
        let (kind, status, served_by) = match result {
            Ok(answer) => (self.judge(&answer), answer.status, self.server(&answer)),
            Err(Kind::Dns | Kind::ConnectTimeout | Kind::AnswerTimeout) if self.stalled_since(due.at) => {
                (Kind::Late, 0, "-".to_owned())
            }
            Err(kind) => (kind, 0, "-".to_owned()),
        };
        let sample = Sample { start_us: due.start_us, latency_us, kind, status, served_by, kept, target: due.target };
        // The sink ends early only when the disk refuses, which it reports itself.
        let _ = self.samples.send(sample).await;
    }

    fn judge(&self, answer: &Answer) -> Kind {
        if !(200..300).contains(&answer.status) {
            Kind::Status
        } else if self.plan.expect.as_ref().is_some_and(|e| !answer.body.contains(e.as_str())) {
            Kind::Body
        } else {
            Kind::Ok
        }
    }

    fn server(&self, answer: &Answer) -> String {
        let error = || answer.error.as_deref();
        let from_body = || answer.body.split_whitespace().next().filter(|_| self.plan.body_names_server);
        let name = answer.served_by.as_deref().or_else(error).or_else(from_body).unwrap_or("-");
        name.chars().filter(|c| c.is_ascii_graphic()).take(63).collect()
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since the epoch.
#[must_use]
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}
