//! A connection on which this end asks.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use http::{Request, Response};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use super::keep_alive::{KeepAlive, Pings};
use super::pipe::{Interest, Pipe};
use super::places::{Place, Places};
use super::received::Received;
use crate::bell::Bell;
use crate::body::{Incoming, RequestBody};
use crate::floods;

/// What is known of a connection by those who use it.
#[derive(Debug)]
struct Known {
    /// Those for streams; when it is closed it takes no new ones.
    places: Rc<Places>,
    ended: RefCell<Option<Result<(), h2::Error>>>,
    /// Rings when it is closed.
    news: Bell,
    /// The driver was dropped: it ends with its last stream.
    retired: Cell<bool>,
    /// Rings when that happens.
    retirement: Bell,
}

/// Opens streams on a connection.
pub(crate) struct Sender {
    requests: SendRequest<Bytes>,
    /// Held by the first of those who wait for a place. h2 hears of no stream before: it would send the heads of all who wait when
    /// their turn comes, of those as well who have left by then, and could not tell which were never sent.
    turn: Mutex<()>,
    known: Rc<Known>,
}

/// Ready when a connection takes no new streams: with an error, if it broke. The connection itself is driven in a task of its
/// own, to the end of its last stream; when the driver and all senders are dropped it ends with that.
pub(crate) struct Driver(Rc<Known>);

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nothing of it was sent.
    Unsent(Box<RequestBody>),
    /// Its body broke off.
    Body,
    /// The stream was reset, or the connection ended.
    Stream(h2::Error),
}

/// Who is told what is said before the answer.
pub(crate) type Words = Box<dyn FnMut(Response<()>)>;

/// Streams on a connection before its other end has said how many it allows: the least that RFC 9113 §6.5.2 recommends.
const UNTOLD: usize = 100;
/// Bytes of a request's body that h2 takes ahead of the socket.
const SEND_BUFFER: usize = 1 << 20;

/// How connections begin on which this end asks, beside windows and limits.
pub(crate) fn client() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(UNTOLD)
        .max_send_buffer_size(SEND_BUFFER)
        // What answers is a pod or a gateway, whose clients give up streams by the hundred.
        .max_concurrent_reset_streams(floods::REMEMBERED_RESETS)
        .max_local_error_reset_streams(None);
    builder
}

/// Begins a connection.
///
/// # Errors
/// The socket's.
pub(crate) async fn handshake<IO>(
    builder: &Builder,
    io: IO,
    keep_alive: Option<KeepAlive>,
) -> Result<(Sender, Driver), h2::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (requests, mut connection) = builder.handshake(io).await?;
    let known = Rc::new(Known {
        places: Rc::default(),
        ended: RefCell::default(),
        news: Bell::default(),
        retired: Cell::new(false),
        retirement: Bell::default(),
    });
    known.places.allow(connection.max_concurrent_send_streams());
    let pings = keep_alive.map(|terms| Pings::new(terms, connection.ping_pong().expect("asked for once")));
    let conduct = Conduct { connection, pings, probe: Some(requests.clone()), known: known.clone() };
    tokio::task::spawn_local(conduct);
    Ok((Sender { requests, turn: Mutex::default(), known: known.clone() }, Driver(known)))
}

/// Drives the connection.
struct Conduct<IO: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<IO, Bytes>,
    pings: Option<Pings>,
    /// Tells whether it takes streams, and keeps it open while it does.
    probe: Option<SendRequest<Bytes>>,
    known: Rc<Known>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Conduct<IO> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.known.retirement.listen(cx);
        if this.known.retired.get() {
            this.probe = None;
        }
        let ended = match (Pin::new(&mut this.connection).poll(cx), &mut this.pings) {
            (Poll::Pending, Some(pings)) => pings.poll_gone(cx).map(Ok),
            (polled, _) => polled,
        };
        if let Poll::Ready(ended) = ended {
            this.known.close(ended);
            return Poll::Ready(());
        }
        this.known.places.allow(this.connection.max_concurrent_send_streams());
        if let Some(probe) = &mut this.probe
            && let Poll::Ready(Err(error)) = probe.poll_ready(cx)
        {
            this.probe = None;
            this.known.close(Err(error));
        }
        Poll::Pending
    }
}

impl Known {
    fn close(&self, ended: Result<(), h2::Error>) {
        if self.places.close() {
            *self.ended.borrow_mut() = Some(ended);
        }
        self.news.ring();
    }
}

impl Future for Driver {
    type Output = Result<(), h2::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.places.is_closed() {
            return Poll::Ready(self.0.ended.take().unwrap_or(Ok(())));
        }
        self.0.news.listen(cx);
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.retired.set(true);
        self.0.retirement.ring();
    }
}

impl Sender {
    /// True when no new streams are taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.known.places.is_closed()
    }

    /// Streams that the other end allows at once.
    pub(crate) fn most_streams(&self) -> usize {
        self.known.places.most()
    }

    /// Sends a request, whose body goes on in a task of its own, until the head of the answer. `words` is told what is said
    /// before it. Dropped meanwhile, the stream is reset.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn send(
        &self,
        request: Request<RequestBody>,
        words: Option<Words>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let (head, body) = request.into_parts();
        let ends = body.is_end_stream();
        let (place, response, mut into) = match self.open(Request::from_parts(head, ()), ends).await {
            Ok(Some(opened)) => opened,
            Ok(None) => return Err(Unanswered::Unsent(body.into())),
            Err(error) => return Err(Unanswered::Stream(error)),
        };
        let interest = Interest::new(place);
        match body {
            RequestBody::Kept(Some(whole)) if !ends => {
                // h2 keeps it until there is room; a stream that is gone is told by its answer.
                let _ = into.send_data(whole, true);
            }
            _ if ends => {}
            body => drop(tokio::task::spawn_local(interest.clone().send(Pipe::new(body, into)))),
        }
        Asking { response, interest, words, answered: false }.await
    }

    /// Opens a stream when there is a place for it. `None` when there is none any more.
    async fn open(&self, head: Request<()>, ends: bool) -> Result<Option<Opened>, h2::Error> {
        let turn = self.turn.lock().await;
        let Some(place) = self.known.places.next().await else { return Ok(None) };
        drop(turn);
        // Of a handle of its own, since one keeps hold of a stream that has taken the last place: it would not be reset.
        match self.requests.clone().send_request(head, ends) {
            Ok((response, into)) => Ok(Some((place, response, into))),
            Err(error) if error.is_go_away() || error.is_io() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Where an answer comes, and a body goes.
type Opened = (Place, ResponseFuture, SendStream<Bytes>);

/// Until the head of an answer.
struct Asking {
    response: ResponseFuture,
    interest: Rc<Interest>,
    words: Option<Words>,
    answered: bool,
}

impl Future for Asking {
    type Output = Result<Response<Incoming>, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(words) = &mut this.words {
            while let Poll::Ready(Some(Ok(word))) = this.response.poll_informational(cx) {
                words(word);
            }
        }
        let polled = Pin::new(&mut this.response).poll(cx);
        polled.map(|response| match response {
            Ok(response) => {
                this.answered = true;
                let (head, stream) = response.into_parts();
                let body = Received::new(stream, &head.headers).asked_by(this.interest.clone());
                Ok(Response::from_parts(head, Incoming::Http2(body)))
            }
            Err(_) if this.interest.body_broke() => Err(Unanswered::Body),
            Err(error) => Err(Unanswered::Stream(error)),
        })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.answered {
            self.interest.lose();
        }
    }
}
