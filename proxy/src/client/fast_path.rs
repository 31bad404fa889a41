//! The fast path: a plain request, whole with its short body, that a pod of this cluster answers plainly, carried from socket
//! to socket in one task, with nothing allocated for it.
//!
//! It goes through the same stages as any other request: admission, route, pick, attempt, metrics. What it leaves out is
//! what plain messages do not need: maps of header fields, bodies in frames, a task and channels for each connection to a
//! pod. Whatever turns out not to be plain goes on where every other request goes, from where it has come to: hyper reads
//! again what was read here, the attempt goes on over the connection it was begun on, and the pod's words
//! are read again by whoever waits for them ([`Takeover`]). So nothing is refused, repeated, hedged or given up here.
//!
//! ```text
//! client's socket ─► request::translate ─► admit, route, pick ─► kept connection ─► pod
//!       ▲                    │ not plain          │ elsewhere          │ silent, ended
//!       │                    ▼                    ▼                    ▼
//!       │              hyper and `serve`, with what is chosen and begun
//!       │                                         ▲ not plain
//!       └────────────────────────────── answer::translate ◄──────────────────────── pod
//! ```

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

mod alarm;
mod answer;
mod ask;
mod carry;
mod fields;
mod read;
mod request;
mod scratch;

pub(crate) use scratch::Scratch;

use self::alarm::Alarm;
use self::ask::Asked;
use super::io::ClientIo;
use super::visit::Visit;
use crate::door::Door;
use crate::metrics::Raised;
use crate::shared::Parked;
use crate::worker::Worker;

/// Answers the plain requests of a connection that is idle, or was just opened, until another comes, or the connection ends.
pub(super) fn drive<'w>(worker: &'w Rc<Worker>, door: &'w Rc<Door>, visit: &'w Rc<Visit>, io: ClientIo) -> Drive<'w> {
    let (request, unsent, alarm) = (Vec::new(), Vec::new(), Alarm::default());
    let client = Client { worker, door, visit, io, request, owed: false, awaited: None, unsent, alarm };
    Drive(Some(Lane { client, stage: Stage::Idle(None) }))
}

/// What comes after the fast path.
pub(super) enum Turn {
    /// A request that goes another way, with its connection.
    Other(ClientIo),
    /// The end of the connection from this side.
    Over(ClientIo),
    /// Nothing: the client is gone, or was cut off.
    Gone,
}

/// Drives a connection on the fast path. No async function, which would hold it twice: idle ones are many.
pub(super) struct Drive<'w>(Option<Lane<'w>>);

impl Future for Drive<'_> {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        let ended = ready!(self.0.as_mut().expect("polled no more once it is ready").poll(cx));
        let client = self.0.take().expect("it was there just now").client;
        Poll::Ready(match ended {
            Ended::Other(..) => Turn::Other(client.into_io()),
            Ended::Over => Turn::Over(client.io),
            Ended::Gone => Turn::Gone,
        })
    }
}

/// How the fast path ends.
#[derive(Debug)]
enum Ended {
    /// The request that was read goes another way, with what its pod has said.
    Other(Cause, Bytes),
    /// With the connection, from this side.
    Over,
    /// With the client.
    Gone,
}

impl Ended {
    /// The request that was read goes another way, and its pod has said nothing.
    const fn other(cause: Cause) -> Self {
        Self::Other(cause, Bytes::new())
    }
}

/// What makes a request leave, and so who goes on a detour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// What its client wants: that one.
    Client,
    /// What its pods answer, or where they are: all clients of the listener.
    Pods,
    /// A moment: nobody.
    Moment,
}

/// A connection on the fast path.
struct Lane<'w> {
    client: Client<'w>,
    stage: Stage<'w>,
}

/// Whether there is a request.
#[expect(clippy::large_enum_variant, reason = "a box would be made for each request")]
enum Stage<'w> {
    /// None, and perhaps for long.
    Idle(Option<Parking<'w>>),
    /// On its way to a pod, or back.
    Busy(Asked<'w>),
}

/// Counts a connection that has given up its buffers, until dropped.
type Parking<'w> = (Raised, Parked<'w>);

/// The client's side of it.
struct Client<'w> {
    worker: &'w Rc<Worker>,
    door: &'w Rc<Door>,
    visit: &'w Rc<Visit>,
    io: ClientIo,
    /// The request under way, as it came.
    request: Vec<u8>,
    /// Somebody has to answer it: its head has come, or as much of it that hyper has to see it.
    owed: bool,
    /// Since when the rest of its body is waited for.
    awaited: Option<Instant>,
    /// What of its answer the client has not taken yet.
    unsent: Vec<u8>,
    alarm: Alarm,
}

impl Lane<'_> {
    /// One request after another.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let next = match &mut self.stage {
                Stage::Idle(parking) => ready!(self.client.poll_request(parking, cx)).map(Stage::Busy),
                Stage::Busy(asked) => {
                    let answered = ready!(self.client.poll_answer(asked, cx));
                    answered.map(|()| {
                        self.client.went_well();
                        Stage::Idle(None)
                    })
                }
            };
            match next {
                Ok(next) => self.stage = next,
                Err(Ended::Other(cause, heard)) => {
                    self.leave(cause, heard);
                    return Poll::Ready(Ended::other(cause));
                }
                Err(ended) => return Poll::Ready(ended),
            }
        }
    }

    /// The request that was read goes another way.
    fn leave(&mut self, cause: Cause, heard: Bytes) {
        let client = &self.client;
        match cause {
            Cause::Client => client.visit.detour.begin(),
            Cause::Pods => client.door.detour.begin(),
            Cause::Moment => {}
        }
        if let Stage::Busy(asked) = std::mem::replace(&mut self.stage, Stage::Idle(None)) {
            asked.hand_over(heard, client.visit);
            client.worker.metrics.handed_over.increment(1);
        }
    }
}

impl Client<'_> {
    /// A request was answered on this way.
    fn went_well(&self) {
        self.worker.metrics.fast.increment(1);
        self.visit.detour.avoided();
        self.door.detour.avoided();
    }

    /// The connection, with the request that was read put back.
    fn into_io(self) -> ClientIo {
        if self.owed {
            self.visit.reads_again();
        }
        self.io.with_ahead(Bytes::from(self.request))
    }
}
