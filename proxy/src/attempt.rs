//! One attempt: at a pod, or through another cluster's gateway.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use http::{Response, StatusCode, Version, header};
use hyper::client::conn::http1::SendRequest;

use crate::balance::{Choice, TargetRef};
use crate::body::{Incoming, RequestBody};
use crate::failure::Kind;
use crate::health::Outcome;
use crate::hygiene::{ERROR, LOAD, REACHED, UPGRADE};
use crate::links::Seat;
use crate::outgoing::Outgoing;
use crate::plan::PodSpeech;
use crate::pods::{Load, PodConnection, PodKey};
use crate::retry::{Counted, Failure};
use crate::route::{InFlight, LoadReport, RelayedError, RouteKey};
use crate::tunnel::{self, Crossing, Flow, Give, Joining};
use crate::worker::Worker;

mod open;
mod under_way;
mod verdict;

pub(crate) use open::{Opened, Stream, open};
pub(crate) use under_way::Try;
pub(crate) use verdict::plain_outcome;
use verdict::{outcome, pod_failure, stream_failure};

/// The connection an answer comes over, kept until its body has ended.
pub(crate) enum Held {
    /// To a pod; goes back to its stack.
    Pod(PodKey, SendRequest<RequestBody>),
    /// To a pod that speaks HTTP/1.0: hyper would speak it too from here on, which has no body of unknown length.
    OldPod { _sender: SendRequest<RequestBody> },
    /// A stream's seat on an HTTP/2 connection.
    Stream(Seat),
    /// A stream that carries an upgraded connection from here on.
    Crossing(Crossing),
    /// To a pod that has granted an upgrade.
    Joining(Joining),
}

/// The head of an answer, with what must be held until its body has ended.
pub(crate) struct Reply {
    pub(crate) response: Response<Incoming>,
    pub(crate) flight: InFlight,
    pub(crate) held: Held,
}

/// Makes one attempt, which is chosen at `began`. `touched` is set as soon as a pod may have seen the request.
///
/// # Errors
/// How it failed; its outcome is recorded.
pub(crate) async fn attempt(
    worker: &Rc<Worker>,
    key: &RouteKey,
    choice: &Choice<'_>,
    request: &Outgoing,
    began: tokio::time::Instant,
    touched: &mut bool,
) -> Result<Reply, Failure> {
    let begun = Try::begin(worker, choice, began.into());
    match choice.target {
        TargetRef::Pod(address) => {
            let http2 = match request.to_pods {
                PodSpeech::Http1 => false,
                PodSpeech::Http2 => true,
                // Boxed, so that those that need not ask do not carry it.
                PodSpeech::Either => match Box::pin(worker.h2c.speaks(address, &worker.shared.timeouts)).await {
                    Ok(http2) => http2,
                    Err(failure) => return Err(begun.failed(failure)),
                },
            };
            if http2 {
                return to_h2c_pod(worker, begun, address, request, touched).await;
            }
            let load = if request.bulky() { Load::Bulk } else { Load::Small };
            to_pod(worker, begun, (address, load), request, touched).await
        }
        TargetRef::Gateway { cluster, address, .. } => {
            let link = worker.links.get(cluster, address);
            let seat = match link.seat().await {
                Ok(seat) => seat,
                Err(failure) => return Err(begun.failed(failure)),
            };
            through_gateway(begun, seat, key, request, touched).await
        }
    }
}

async fn to_pod(
    worker: &Rc<Worker>,
    begun: Try<'_>,
    key: PodKey,
    request: &Outgoing,
    touched: &mut bool,
) -> Result<Reply, Failure> {
    // What may have reached a pod before is not put at the risk of a connection that its pod is about to close.
    let mut connection = match request.take_begun() {
        Some(connection) => Box::pin(worker.pods.take_over(connection)).await,
        None if !request.repeated() => worker.pods.connection(key, begun.began, request.replayable()).await,
        None => Box::pin(worker.pods.dial(key)).await,
    };
    loop {
        let PodConnection { mut sender, reused, made } = match connection {
            Ok(connection) => connection,
            Err(failure) => {
                *touched |= !failure.untouched();
                return Err(begun.failed(failure));
            }
        };
        if made {
            begun.flight().connected(worker.shared.now_ms());
        }
        let replayable = request.replayable();
        let mut error = match sender.try_send_request(request.for_pod()).await {
            Ok(response) => {
                *touched = true;
                begun.note_report(response.headers());
                let now = Instant::now();
                let latency = now.saturating_duration_since(begun.began);
                let flight = begun.answered(outcome(response.status(), response.headers(), latency), now);
                let old = response.version() < Version::HTTP_11;
                let held = if old { Held::OldPod { _sender: sender } } else { Held::Pod(key, sender) };
                return Ok(Reply { response: response.map(Incoming::Http1), flight, held });
            }
            Err(error) => error,
        };
        // hyper gives back what it has not written. What the fast path has sent is never given back: until hyper has written it as
        // well, its connection neither says anything nor ends.
        let sent = error.take_message().map(|message| request.take_back(message.into_body())).is_none();
        *touched |= sent;
        if !reused || (sent && !replayable) {
            return Err(begun.failed(pod_failure(error.error(), request)));
        }
        if sent && request.repeated() {
            // Whether the pod is there, only another connection could tell.
            return Err(begun.unjudged(Failure::Broken));
        }
        if sent {
            request.note_resent();
        }
        // A kept connection ended under the request, as kept connections do: once more on a new one, which tells
        // whether the pod is there.
        connection = Box::pin(worker.pods.dial(key)).await;
    }
}

async fn to_h2c_pod(
    worker: &Rc<Worker>,
    begun: Try<'_>,
    address: SocketAddr,
    request: &Outgoing,
    touched: &mut bool,
) -> Result<Reply, Failure> {
    let seat = match worker.h2c.seat(address, &worker.shared.timeouts).await {
        Ok((seat, true)) => {
            begun.flight().connected(worker.shared.now_ms());
            seat
        }
        Ok((seat, false)) => seat,
        Err(failure) => return Err(begun.failed(failure)),
    };
    let (message, words) = match request.for_h2c_pod() {
        Ok(message) => message,
        Err(refused) => return Err(begun.failed(Failure::Gateway { kind: Kind::Request(refused), touched: false })),
    };
    let unanswered = match seat.line().sender().send(message, words).await {
        Ok(response) => {
            *touched = true;
            begun.note_report(response.headers());
            let flight = begun.answered_h2(&response);
            return Ok(Reply { response, flight, held: Held::Stream(seat) });
        }
        Err(unanswered) => unanswered,
    };
    let failure = stream_failure(unanswered, seat.line().is_dead(), request);
    *touched |= !failure.untouched();
    if failure == Failure::LinkDead {
        // Nobody else tells a pod's slot.
        begun.note(begun.flight(), Outcome::LinkDead);
        // The pod ended it, perhaps for what this request did to it: others are not put at that risk without limit.
        return Err(begun.unjudged(Failure::Broken));
    }
    Err(begun.failed(failure))
}

async fn through_gateway(
    begun: Try<'_>,
    seat: Seat,
    key: &RouteKey,
    request: &Outgoing,
    touched: &mut bool,
) -> Result<Reply, Failure> {
    let (mut flow, mut crossing) = (None, None);
    if request.crosses() {
        let Some(counted) = tunnel::admit(begun.worker) else {
            return Err(begun.failed(Failure::Gateway { kind: Kind::Overloaded, touched: false }));
        };
        let (awaited, give) = Flow::awaited();
        (flow, crossing) = (Some(awaited), Some((give, counted)));
    }
    let (message, words) = match request.for_gateway(key, flow) {
        Ok(message) => message,
        Err(refused) => return Err(begun.failed(Failure::Gateway { kind: Kind::Request(refused), touched: false })),
    };
    let replayable = request.replayable();
    let sent = tokio::select! {
        biased;
        sent = seat.line().sender().send(message, words) => sent,
        // What may be asked twice is asked elsewhere at once; the rest waits for the link to live or die.
        () = seat.line().suspicion(), if replayable => {
            *touched = true;
            return Err(begun.failed(Failure::LinkDead));
        }
    };
    let unanswered = match sent {
        Ok(response) => return judge(begun, seat, response, crossing, touched),
        Err(unanswered) => unanswered,
    };
    let failure = stream_failure(unanswered, seat.line().is_dead(), request);
    *touched |= !failure.untouched();
    Err(begun.failed(failure))
}

/// Tells a pod's answer from the gateway's own errors, and takes the load report either carries.
fn judge(
    begun: Try<'_>,
    seat: Seat,
    mut response: Response<Incoming>,
    crossing: Option<(Give, Counted)>,
    touched: &mut bool,
) -> Result<Reply, Failure> {
    let (now_ms, latency) = (begun.worker.shared.now_ms(), begun.began.elapsed());
    let report = response.headers().get(LOAD).and_then(|v| v.to_str().ok()).and_then(LoadReport::parse);
    if let Some(report) = report {
        begun.flight().load(report, now_ms);
    }
    let Some(word) = response.headers().get(ERROR) else {
        *touched = true;
        let flight = begun.answered_h2(&response);
        let held = match (crossing, response.headers_mut().remove(UPGRADE)) {
            (Some((give, counted)), Some(protocol)) => {
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response.headers_mut().insert(header::UPGRADE, protocol);
                Held::Crossing(Crossing { client: None, give, seat, counted })
            }
            _ => Held::Stream(seat),
        };
        return Ok(Reply { response, flight, held });
    };
    let kind = Kind::of_word(word);
    // A gateway that does not say may have reached a pod.
    let reached = response.headers().get(REACHED).is_none_or(|v| v != "0");
    *touched |= reached;
    let relayed = match kind {
        Kind::NoEndpoints | Kind::NotExported | Kind::NotTrusted | Kind::Hop => RelayedError::NoEndpoints,
        Kind::Overloaded => RelayedError::Overloaded,
        _ => RelayedError::Failed,
    };
    begun.flight().relayed(relayed, latency, now_ms);
    Err(begun.failed(Failure::Gateway { kind, touched: reached }))
}
