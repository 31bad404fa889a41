//! The forms that a request takes: for a pod, for one that speaks HTTP/2, for another cluster's gateway.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri, Version};
use http_body::Body;

use super::{Outgoing, Payload};
use crate::body::{Hold, Released, RequestBody};
use crate::http2::Words;
use crate::hygiene::{self, HOP, PORT, REPEATED, SERVICE, UPGRADE, VERSION};
use crate::route::RouteKey;
use crate::tunnel::Flow;

impl Outgoing {
    /// The request as a pod gets it, over HTTP/1.1.
    pub(crate) fn for_pod(&self) -> Request<RequestBody> {
        let mut request = self.request(self.uri.clone());
        let headers = request.headers_mut();
        if let Some(protocol) = &self.notes.upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocol.clone());
        } else if self.notes.te_trailers {
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        frame(&mut request);
        if let RequestBody::Streaming(_) = request.body()
            && self.notes.expect_continue
        {
            return hold_back(request);
        }
        request.headers_mut().remove(header::EXPECT);
        if let Some(hints) = self.hints.clone() {
            hyper::ext::on_informational(&mut request, move |said| {
                if said.status() == StatusCode::EARLY_HINTS {
                    hints.heard(said.headers());
                }
            });
        }
        request
    }

    /// The request as a pod gets it that speaks HTTP/2, and who is told what the pod says before its answer. `Expect` is not
    /// passed on: few servers of HTTP/2 know it, and of those that do not each would cost its client a second.
    ///
    /// # Errors
    /// [`hygiene::Refused`] when there is no host to make `:authority` of.
    pub(crate) fn for_h2c_pod(&self) -> Result<(Request<RequestBody>, Option<Words>), hygiene::Refused> {
        Ok((self.over_http2()?, self.words(None)))
    }

    fn over_http2(&self) -> Result<Request<RequestBody>, hygiene::Refused> {
        let uri = hygiene::absolute(&self.uri, self.headers.get(header::HOST))?;
        let mut request = self.request(uri);
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.remove(header::HOST);
        headers.remove(header::EXPECT);
        if self.notes.te_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        Ok(request)
    }

    /// Who is told what is said before the answer, over HTTP/2: the body that waits to be asked for, and the client.
    fn words(&self, released: Option<Released>) -> Option<Words> {
        let hints = self.hints.clone();
        if released.is_none() && hints.is_none() {
            return None;
        }
        Some(Box::new(move |said| match said.status() {
            StatusCode::CONTINUE => released.iter().for_each(Released::release),
            StatusCode::EARLY_HINTS => hints.iter().for_each(|hints| hints.heard(said.headers())),
            _ => {}
        }))
    }

    /// The request as another cluster's gateway gets it, over HTTP/2. One that [crosses](Self::crosses) has `flow` for a
    /// body, which waits until the pod there has left HTTP.
    ///
    /// # Errors
    /// As [`Self::for_h2c_pod`].
    pub(crate) fn for_gateway(
        &self,
        key: &RouteKey,
        flow: Option<Flow>,
    ) -> Result<(Request<RequestBody>, Option<Words>), hygiene::Refused> {
        let mut request = self.over_http2()?;
        let mut released = None;
        if self.notes.expect_continue && matches!(request.body(), RequestBody::Streaming(_)) {
            // The pod there decides; its gateway holds the body until it has.
            let (held, release) = hold(request);
            (request, released) = (held, Some(release));
            request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        let headers = request.headers_mut();
        address_to_gateway(headers, key);
        headers.insert(VERSION, HeaderValue::from_static(if self.version == Version::HTTP_2 { "2" } else { "1.1" }));
        self.deadline.tell_gateway(headers);
        if self.repeated() {
            headers.insert(REPEATED, HeaderValue::from_static("1"));
        } else if !self.allowance().replays() {
            headers.insert(REPEATED, HeaderValue::from_static("0"));
        }
        if let (Some(flow), Some(protocol)) = (flow, &self.notes.upgrade) {
            headers.insert(UPGRADE, protocol.clone());
            *request.body_mut() = RequestBody::Tunnel(flow);
        }
        Ok((request, self.words(released)))
    }

    fn request(&self, uri: Uri) -> Request<RequestBody> {
        let body = match &mut *self.payload.borrow_mut() {
            Payload::None => RequestBody::Empty,
            Payload::Kept(bytes) => RequestBody::Kept(Some(bytes.clone())),
            stream => match std::mem::replace(stream, Payload::Spent) {
                Payload::Stream(body) => RequestBody::Streaming(body),
                _ => RequestBody::Empty,
            },
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        self.deadline.tell(request.headers_mut());
        request
    }
}

/// Names service, port and hop for a gateway.
pub(crate) fn address_to_gateway(headers: &mut HeaderMap, key: &RouteKey) {
    let service = HeaderValue::try_from(key.service.to_string()).expect("two DNS labels and a slash");
    headers.insert(SERVICE, service);
    headers.insert(PORT, HeaderValue::from(key.port));
    headers.insert(HOP, HeaderValue::from_static("1"));
}

/// Says how a body comes where hyper would not: in a GET it takes one without a length for none, and of a POST without one it says
/// no length, which some servers want (RFC 9110 §8.6).
fn frame(request: &mut Request<RequestBody>) {
    let expected = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let length = match request.body() {
        RequestBody::Streaming(body) if body.size_hint().exact().is_none() => None,
        RequestBody::Empty if expected => Some(0),
        _ => return,
    };
    let headers = request.headers_mut();
    match length {
        None => headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        Some(length) => headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
    };
}

/// Keeps `Expect` and holds the body until the pod says 100.
fn hold_back(request: Request<RequestBody>) -> Request<RequestBody> {
    let (mut request, released) = hold(request);
    release_on_continue(&mut request, released);
    request
}

/// Holds the body until it is released.
fn hold(request: Request<RequestBody>) -> (Request<RequestBody>, Released) {
    let (hold, released) = Hold::new();
    let request = request.map(|body| match body {
        RequestBody::Streaming(body) => RequestBody::Held(hold, body),
        other => other,
    });
    (request, released)
}

fn release_on_continue(request: &mut Request<RequestBody>, released: Released) {
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            released.release();
        }
    });
}
