//! What comes on a stream: the body of a request or of an answer.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::call::Voice;
use super::pipe::Interest;

/// A body as it comes.
pub(crate) struct Received {
    stream: RecvStream,
    /// Only trailers may follow.
    data_done: bool,
    /// By its `Content-Length`, which h2 holds it to.
    left: Option<u64>,
    /// Who is to be told to go on sending, once the first of it is asked for.
    awaited_by: Option<Voice>,
    /// That of the sender of the request which this answers.
    asked: Option<Rc<Interest>>,
}

impl Received {
    /// The body of a message with those fields.
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let told = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let left = told.or_else(|| stream.is_end_stream().then_some(0));
        Self { stream, data_done: false, left, awaited_by: None, asked: None }
    }

    /// The same of a request whose client waits for `100 Continue`.
    pub(super) fn awaited_by(mut self, voice: Voice) -> Self {
        self.awaited_by = Some(voice);
        self
    }

    /// The same of an answer: when nobody takes the rest of it, nobody needs to send more of its request.
    pub(super) fn asked_by(mut self, interest: Rc<Interest>) -> Self {
        self.asked = Some(interest);
        self
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        if let Some(voice) = this.awaited_by.take() {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            voice.say(go_on);
        }
        if !this.data_done {
            if let Some(data) = ready!(this.stream.poll_data(cx)) {
                let data = data?;
                // One that was reset meanwhile has no window to widen.
                let _ = this.stream.flow_control().release_capacity(data.len());
                this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            this.data_done = true;
        }
        let trailers = ready!(this.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(interest) = &self.asked
            && !self.stream.is_end_stream()
        {
            interest.lose();
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("left", &self.left).finish_non_exhaustive()
    }
}
