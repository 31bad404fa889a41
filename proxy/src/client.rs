//! One client's connection: what it speaks, its limits, and its end.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

mod clock;
mod crowd;
mod detect;
mod detour;
mod entered;
mod fast_path;
mod half_closed;
mod hints;
mod io;
mod left;
mod linger;
mod streams;
mod visit;

pub(crate) use crowd::Crowd;
pub(crate) use detour::Detour;
pub(crate) use fast_path::Scratch;
pub(crate) use hints::{HintSampling, HintSink};
pub(crate) use left::{Left, LeftHttp, OneOfMany};
pub(crate) use streams::Outflow;
pub(crate) use visit::{Busy, LastOfRequest, Visit, Visits, watch_over};

use crate::body::Incoming;
use crate::door::Door;
use crate::floods::{self, Priced};
use crate::http2::{Call, KeepAlive, Server};
use crate::hygiene::Trace;
use crate::plan::Speech;
use crate::relay;
use crate::serve::{Came, serve};
use crate::shared::Phase;
use crate::socket::tune_accepted;
use crate::tunnel::Side;
use crate::worker::Worker;
use clock::HeadClock;
use detect::{Spoken, Waits, detect};
use entered::Entered;
use fast_path::Turn;
use io::ClientIo;
use linger::linger;
use visit::{Ended, Manner};

/// After the stop, how long a connection that has said nothing is still listened to: the kernel accepted it, so its
/// first request may be on the way.
const LAST_WORD: Duration = Duration::from_secs(1);
/// What a client may send on one HTTP/2 stream before a pod has taken it. Its connection has as much for each of its streams,
/// so that a pod that reads nothing holds up none but its own.
const STREAM_WINDOW: u32 = 64 << 10;
/// Fields that a head of HTTP/2 may have: on the wire one may be a byte, and here it is a hundred.
const MOST_FIELDS: usize = 256;
/// How often an HTTP/2 client is asked whether it is there, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest window there is (RFC 9113 §6.9.1).
const MOST_WINDOW: u32 = (1 << 31) - 1;

/// Takes in a client's connection.
pub(crate) fn welcome(worker: &Rc<Worker>, door: &Rc<Door>, tcp: TcpStream, peer: SocketAddr) {
    if worker.clients.get() as usize >= worker.shared.limits.client_connections {
        worker.metrics.too_many_clients.increment(1);
        return;
    }
    if tune_accepted(&tcp).is_err() {
        return;
    }
    let Some(entered) = Entered::let_in(worker, peer.ip()) else {
        worker.metrics.too_many_of_one.increment(1);
        if worker.strangers.allow("too many connections", Instant::now()) {
            tracing::warn!(client = %peer.ip(), "a client has as many connections as one may, and gets no more");
        }
        return;
    };
    let (worker, door) = (worker.clone(), door.clone());
    worker.tasks.clone().spawn_local(async move {
        match door.speech {
            Speech::Http | Speech::H2c | Speech::Detect => converse(worker, door, tcp, (peer, entered)).await,
            Speech::Raw => {
                let _entered = entered;
                Box::pin(relay::relay(&worker, &door, Side::Tcp(tcp, Bytes::new()))).await;
            }
        }
    });
}

async fn converse(worker: Rc<Worker>, door: Rc<Door>, tcp: TcpStream, (peer, entered): (SocketAddr, Entered)) {
    let clock = Arc::new(HeadClock::new(Instant::now()));
    // In a box of its own, which is gone when the first words are spoken: an idle connection is kept small.
    let Some((spoken, io)) = Box::pin(first_words(&worker, &door, tcp, clock.clone())).await else { return };
    let trace = Trace::new(peer.ip(), &worker.pseudonym);
    if spoken != Spoken::Other && io.cut_when_unread(worker.shared.timeouts.unread).is_err() {
        return;
    }
    let begin = |manner, trace| Visit::begin(&worker, &door, manner, trace, clock);
    match spoken {
        Spoken::Http1 => {
            let visit = begin(Manner::Http1, trace);
            let mut io = io;
            loop {
                let begun = match fast_path::drive(&worker, &door, &visit, io).await {
                    Turn::Other(begun) => begun,
                    Turn::Over(ended) => return end(&worker, ended).await,
                    Turn::Gone => return,
                };
                // What is not plain goes through hyper. When its connection is idle hyper's state of it is given up, with its
                // buffers.
                io = match Box::pin(http1(&worker, &door, &visit, begun)).await {
                    AfterHttp1::Idle(io) => io,
                    AfterHttp1::Left(io) => return visit.leave_http(io, entered),
                    AfterHttp1::Over => return,
                };
            }
        }
        Spoken::Http2 => {
            let visit = begin(Manner::Http2, trace);
            Box::pin(http2(worker, door, visit, io)).await;
        }
        Spoken::Other => Box::pin(relay::relay(&worker, &door, io.into_side())).await,
        Spoken::Nonsense => tell_of_stranger(&worker, &door, &trace, &"a line that is no request's"),
    }
}

/// What the client speaks; `None` when it says nothing in time.
async fn first_words(
    worker: &Worker,
    door: &Door,
    tcp: TcpStream,
    clock: Arc<HeadClock>,
) -> Option<(Spoken, ClientIo)> {
    let timeouts = &worker.shared.timeouts;
    let any = door.speech == Speech::Detect;
    let first = if any { timeouts.detect } else { timeouts.idle_client };
    let waits = Waits { first, rest: timeouts.head, any, http: door.speaks_http.get() };
    let mut phase = worker.phase.clone();
    tokio::select! {
        detected = detect(tcp, clock, waits) => detected.ok()?,
        () = stopped_listening(&mut phase) => None,
    }
}

/// Until the stop and [`LAST_WORD`] after it.
async fn stopped_listening(phase: &mut watch::Receiver<Phase>) {
    // Without a sender the process is at its end as well.
    let _ = phase.wait_for(|p| matches!(p, Phase::Stopping(_))).await.is_ok();
    tokio::time::sleep(LAST_WORD).await;
}

/// What comes after hyper has spoken HTTP/1.1 on a connection.
enum AfterHttp1 {
    /// It is idle, and comes back to be parked.
    Idle(ClientIo),
    /// It has left HTTP.
    Left(ClientIo),
    /// Nothing: it has ended.
    Over,
}

/// HTTP/1.1 by hyper.
async fn http1(worker: &Rc<Worker>, door: &Rc<Door>, visit: &Rc<Visit>, io: ClientIo) -> AfterHttp1 {
    let most = worker.shared.limits.head_bytes.max(16 * 1024);
    let service = {
        let (worker, door, visit) = (worker.clone(), door.clone(), visit.clone());
        service_fn(move |request| answer(worker.clone(), door.clone(), visit.clone(), request))
    };
    let mut conn = Box::pin(
        http1::Builder::new()
            // The visit's own clock tells a slow head from an idle connection; hyper's would set a timer a request.
            .header_read_timeout(None)
            .max_buf_size(most)
            .serve_connection(TokioIo::new(io), service),
    );
    let ended = visit.attend(conn.as_mut(), |conn| conn.graceful_shutdown()).await;
    let idle = match ended {
        Ended::Idle => true,
        Ended::Over(Ok(())) if visit.leaves_http() => false,
        ended => {
            let over = matches!(ended, Ended::Over(_));
            tell(worker, door, visit, ended);
            if over {
                end(worker, Pin::into_inner(conn).into_parts().io.into_inner()).await;
            }
            return AfterHttp1::Over;
        }
    };
    let parts = Pin::into_inner(conn).into_parts();
    let io = parts.io.into_inner().with_ahead(parts.read_buf);
    if idle { AfterHttp1::Idle(io) } else { AfterHttp1::Left(io) }
}

/// Ends a connection of HTTP/1.1 on which all was said.
async fn end(worker: &Worker, io: ClientIo) {
    if !matches!(*worker.phase.borrow(), Phase::Stopping(_)) {
        Box::pin(linger(io)).await;
    }
}

async fn http2(worker: Rc<Worker>, door: Rc<Door>, visit: Rc<Visit>, io: ClientIo) {
    visit.clock.went_idle(Instant::now());
    let io = Priced::new(io.without_clock(), floods::CLIENT, worker.metrics.floods.clone());
    visit.watches(io.wire());
    let streams = visit.streams.clone().expect("made for a visit of HTTP/2");
    let keep_alive = KeepAlive { interval: PING_EVERY, timeout: PING_TIMEOUT, heard: io.heard() };
    let builder = settings(&worker, &door);
    let call = |call: Call| {
        let began = Instant::now();
        if visit.turns_away(began) {
            return call.turn_away();
        }
        if call.fields() > MOST_FIELDS {
            return call.refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        let (worker, door, visit) = (worker.clone(), door.clone(), visit.clone());
        let Call { request, way_back, given } = call;
        let came =
            Came { began, busy: visit.busy(began), takeover: None, voice: Some(way_back.voice().clone()), given };
        streams.spawn(async move {
            // In a box, since it is some KiB, and is moved before it is begun.
            way_back.answer(Box::pin(async move { serve(&worker, &door, &visit, request, came).await })).await;
        });
    };
    // How it ended is nobody's business: what is no HTTP was told from it by its first bytes.
    let _ = visit.attend(pin!(Server::new(&builder, io, keep_alive, call)), |mut conn| conn.graceful_shutdown()).await;
}

/// What a client of HTTP/2 is held to.
fn settings(worker: &Worker, door: &Door) -> h2::server::Builder {
    let limits = &worker.shared.limits;
    let head_bytes = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    let mut builder = h2::server::Builder::new();
    if door.speech != Speech::H2c {
        // Pods that speak HTTP/2 only are not asked to leave it.
        builder.enable_connect_protocol();
    }
    floods::bound(&mut builder, floods::CLIENT, limits.streams, head_bytes)
        .max_send_buffer_size(limits.stream_buffer)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(limits.streams).min(MOST_WINDOW));
    builder
}

/// Tells of what hyper could not read.
fn tell(worker: &Worker, door: &Door, visit: &Visit, ended: Ended<hyper::Error>) {
    if let Ended::Over(Err(error)) = ended
        && error.is_parse()
    {
        tell_of_stranger(worker, door, &visit.trace, &error);
    }
}

/// A line now and then about what is no HTTP: most likely another protocol, on a port whose Service does not say so.
fn tell_of_stranger(worker: &Worker, door: &Door, trace: &Trace, error: &dyn Display) {
    if worker.strangers.allow("no HTTP", Instant::now()) {
        let (service, port, client) = (&door.key.service, door.key.port, trace.client());
        tracing::warn!(%service, port, %client, %error, "a client sent what is no HTTP (does the port need an appProtocol?)");
    }
}

/// The answer to one request, which counts as under way from here on: hyper reads on before it asks for the answer.
fn answer(
    worker: Rc<Worker>,
    door: Rc<Door>,
    visit: Rc<Visit>,
    request: http::Request<hyper::body::Incoming>,
) -> impl Future<Output = Result<http::Response<crate::serve::Answer>, Infallible>> {
    let takeover = visit.take_over();
    let began = takeover.as_ref().map_or_else(Instant::now, |takeover| takeover.began);
    let came = Came { began, busy: visit.busy(began), takeover, voice: None, given: None };
    async move { Ok(serve(&worker, &door, &visit, request.map(Incoming::Http1), came).await) }
}
