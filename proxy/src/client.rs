//! One client's connection: what it speaks, its limits, and its end.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;

mod clock;
mod detect;

use crate::door::{Door, Standing};
use crate::exec::LocalExec;
use crate::hygiene::Trace;
use crate::plan::Speech;
use crate::relay;
use crate::retry::Counted;
use crate::serve::serve;
use crate::shared::Phase;
use crate::socket::tune_accepted;
use crate::tunnel::Side;
use crate::worker::Worker;
use clock::{HeadClock, Overdue};
use detect::{ClientIo, Spoken, detect};

/// How often a connection's clock is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How long a new HTTP/2 connection may open streams during a drain before it is told to go.
const DRAIN_GOAWAY: Duration = Duration::from_millis(500);
/// After the stop, how long a connection that has said nothing is still listened to: the kernel accepted it, so its
/// first request may be on the way.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What the requests of one connection share.
pub(crate) struct Visit {
    pub(crate) trace: Trace,
    clock: Arc<HeadClock>,
    active: Rc<Cell<u32>>,
}

impl Visit {
    /// Marks the connection busy until the guard is dropped.
    pub(crate) fn busy(self: &Rc<Self>) -> Busy {
        self.clock.request_came(Instant::now());
        Busy { visit: self.clone(), _active: Counted::one(&self.active) }
    }
}

/// One request under way on a connection.
pub(crate) struct Busy {
    visit: Rc<Visit>,
    _active: Counted,
}

impl Drop for Busy {
    fn drop(&mut self) {
        // This guard itself is still counted.
        if self.visit.active.get() == 1 {
            self.visit.clock.went_idle(Instant::now());
        }
    }
}

/// Takes in a client's connection.
pub(crate) fn welcome(worker: &Rc<Worker>, door: &Rc<Door>, tcp: TcpStream, peer: SocketAddr) {
    if worker.clients.get() as usize >= worker.shared.limits.client_connections {
        worker.metrics.too_many_clients.increment(1);
        return;
    }
    if tune_accepted(&tcp).is_err() {
        return;
    }
    let counted = Counted::one(&worker.clients);
    let (worker, door) = (worker.clone(), door.clone());
    worker.tasks.clone().spawn_local(async move {
        let _counted = counted;
        let _gauge = worker.metrics.client();
        match door.speech {
            Speech::Http | Speech::H2c | Speech::Detect => converse(worker, door, tcp, peer).await,
            Speech::Raw => relay::relay(&worker, &door, Side::Tcp(tcp, Bytes::new())).await,
        }
    });
}

async fn converse(worker: Rc<Worker>, door: Rc<Door>, tcp: TcpStream, peer: SocketAddr) {
    let clock = Arc::new(HeadClock::new(Instant::now()));
    let limit = worker.shared.timeouts.head;
    let any = (door.speech == Speech::Detect).then_some(worker.shared.timeouts.detect);
    let mut phase = worker.phase.clone();
    let detected = tokio::select! {
        detected = tokio::time::timeout(limit, detect(tcp, clock.clone(), any)) => detected,
        () = stopped_listening(&mut phase) => return,
    };
    let Ok(Ok(Some((spoken, io)))) = detected else { return };
    let trace = Trace::new(peer.ip(), worker.shared.local.as_str());
    let visit = Rc::new(Visit { trace, clock, active: Rc::default() });
    match spoken {
        Spoken::Http1 => http1(worker, door, visit, io).await,
        Spoken::Http2 => http2(worker, door, visit, io).await,
        Spoken::Other => relay::relay(&worker, &door, io.into_side()).await,
    }
}

/// Until the stop and [`LAST_WORD`] after it.
async fn stopped_listening(phase: &mut watch::Receiver<Phase>) {
    // Without a sender the process is at its end as well.
    let _ = phase.wait_for(|p| matches!(p, Phase::Stopping(_))).await.is_ok();
    tokio::time::sleep(LAST_WORD).await;
}

async fn http1(worker: Rc<Worker>, door: Rc<Door>, visit: Rc<Visit>, io: ClientIo) {
    let limits = &worker.shared.limits;
    let service = {
        let (worker, door, visit) = (worker.clone(), door.clone(), visit.clone());
        service_fn(move |request| answer(worker.clone(), door.clone(), visit.clone(), request))
    };
    let conn = http1::Builder::new()
        .timer(TokioTimer::new())
        // Only a backstop: the visit's own clock tells a slow head from an idle connection.
        .header_read_timeout(worker.shared.timeouts.idle_client + worker.shared.timeouts.head)
        .max_buf_size(limits.head_bytes.max(16 * 1024))
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    // In a drain every answer says `Connection: close`, and idle connections wait for the stop.
    let over = || door.standing(&worker) == Standing::Gone;
    let ended = attend(&worker, &visit, pin!(conn), None, over, |conn| conn.graceful_shutdown()).await;
    tell(&worker, &door, &visit, ended);
}

async fn http2(worker: Rc<Worker>, door: Rc<Door>, visit: Rc<Visit>, io: ClientIo) {
    let limits = &worker.shared.limits;
    let service = {
        let (worker, door, visit) = (worker.clone(), door.clone(), visit.clone());
        service_fn(move |request| answer(worker.clone(), door.clone(), visit.clone(), request))
    };
    visit.clock.went_idle(Instant::now());
    let conn = http2::Builder::new(LocalExec)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(io.without_clock()), service);
    let over = || door.standing(&worker) != Standing::Open;
    let ended = attend(&worker, &visit, pin!(conn), Some(DRAIN_GOAWAY), over, |conn| conn.graceful_shutdown()).await;
    tell(&worker, &door, &visit, ended);
}

/// A line now and then about what is no HTTP: most likely another protocol, on a port whose Service does not say so.
fn tell(worker: &Worker, door: &Door, visit: &Visit, ended: Option<Result<(), hyper::Error>>) {
    let Some(Err(error)) = ended else { return };
    if error.is_parse() && worker.strangers.allow("no HTTP", Instant::now()) {
        let (service, port, client) = (&door.key.service, door.key.port, visit.trace.client());
        tracing::warn!(%service, port, %client, %error, "a client sent what is no HTTP (does the port need an appProtocol?)");
    }
}

async fn answer(
    worker: Rc<Worker>,
    door: Rc<Door>,
    visit: Rc<Visit>,
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<crate::serve::Answer>, Infallible> {
    Ok(serve(&worker, &door, &visit, request).await)
}

/// Drives a connection, asks it to end when the phase (`on_drain` after the start of a drain, else only at the stop), its
/// clock or `over` says so, and cuts it when a head does not come to its end. Returns how it ended, if it was not cut.
async fn attend<C: Future>(
    worker: &Worker,
    visit: &Visit,
    mut conn: Pin<&mut C>,
    on_drain: Option<Duration>,
    over: impl Fn() -> bool,
    polite: impl Fn(Pin<&mut C>),
) -> Option<C::Output> {
    let timeouts = &worker.shared.timeouts;
    let mut phase = worker.phase.clone();
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
    let mut asked = false;
    loop {
        let now = *phase.borrow_and_update();
        let wait = match now {
            Phase::Running => None,
            Phase::Draining => on_drain,
            Phase::Stopping(_) => Some(Duration::ZERO),
        };
        tokio::select! {
            biased;
            ended = conn.as_mut() => return Some(ended),
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() && !asked => {
                polite(conn.as_mut());
                asked = true;
            }
            _ = phase.changed() => {}
            _ = look.tick() => match visit.clock.overdue(Instant::now(), timeouts.head, timeouts.idle_client) {
                Some(Overdue::Head) => {
                    worker.metrics.slow_heads.increment(1);
                    return None;
                }
                overdue if !asked && (overdue.is_some() || over()) => {
                    polite(conn.as_mut());
                    asked = true;
                }
                _ => {}
            }
        }
    }
}
