//! The proxy's own errors: each kind has one status, one word and one sentence, and one function makes the answer.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use crate::admission::retry_after;
use crate::hygiene::{ERROR, REACHED, Refused};

/// What went wrong, as `x-strait-error` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request itself is refused.
    Request(Refused),
    /// No cluster has an endpoint for it.
    NoEndpoints,
    /// Every attempt failed before anything was sent.
    ConnectFailed,
    /// The connection broke after the request was sent.
    Broken,
    /// The link to the other cluster died with the request on it.
    LinkDead,
    /// No answer in time.
    Timeout,
    /// Too many requests under way.
    Overloaded,
    /// Gateway: the caller's cluster is not a peer, or not allowed.
    NotTrusted,
    /// Gateway: this cluster does not export that service and port.
    NotExported,
    /// Gateway: the request has already crossed clusters, or does not say.
    Hop,
    /// A client of HTTP/2 wanted to leave HTTP, and was answered as if it had not.
    NotUpgraded,
    /// The answer is in a transfer coding that is not passed on.
    Coding,
    /// The other cluster's gateway sent an error this version does not know.
    Unknown,
}

impl Kind {
    /// The word in `x-strait-error`, in logs and in metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Request(Refused::Loop) => "loop",
            Self::Request(_) => "bad-request",
            Self::NoEndpoints => "no-endpoints",
            Self::ConnectFailed => "connect-failed",
            Self::Broken => "broken",
            Self::LinkDead => "link-dead",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::NotTrusted => "not-trusted",
            Self::NotExported => "not-exported",
            Self::Hop => "hop",
            Self::NotUpgraded => "not-upgraded",
            Self::Coding => "coding",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a gateway's word.
    pub(crate) fn of_word(word: &HeaderValue) -> Self {
        match word.as_bytes() {
            b"no-endpoints" => Self::NoEndpoints,
            b"connect-failed" => Self::ConnectFailed,
            b"broken" => Self::Broken,
            b"timeout" => Self::Timeout,
            b"overloaded" => Self::Overloaded,
            b"not-trusted" => Self::NotTrusted,
            b"not-exported" => Self::NotExported,
            b"hop" => Self::Hop,
            b"coding" => Self::Coding,
            _ => Self::Unknown,
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Request(Refused::Connect) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Request(Refused::TargetTooLong) => StatusCode::URI_TOO_LONG,
            Self::Request(Refused::Loop) | Self::Hop => StatusCode::LOOP_DETECTED,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::NoEndpoints | Self::ConnectFailed | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken | Self::LinkDead | Self::NotUpgraded | Self::Coding | Self::Unknown => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::NotTrusted | Self::NotExported => StatusCode::FORBIDDEN,
        }
    }

    /// The gRPC status for the same (`UNAVAILABLE`, `DEADLINE_EXCEEDED`, …), by the gRPC status code list.
    const fn grpc(self) -> u16 {
        match self {
            Self::Timeout => 4,
            Self::NotTrusted | Self::NotExported => 7,
            Self::Request(_) => 12,
            Self::Hop | Self::Coding => 13,
            _ => 14,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Request(refused) => refused.sentence(),
            Self::NoEndpoints => "no cluster has a usable endpoint for this service",
            Self::ConnectFailed => "no endpoint that was tried accepted a connection",
            Self::Broken => {
                "the connection to the endpoint broke before it answered; the request may have been received"
            }
            Self::LinkDead => {
                "the link to the serving cluster died before it answered; the request may have been received"
            }
            Self::Timeout => "no endpoint answered in time",
            Self::Overloaded => "this node's proxy has too many requests under way",
            Self::NotTrusted => "the calling cluster is not a peer of this one",
            Self::NotExported => "this cluster does not export that service and port",
            Self::Hop => "a request crosses clusters once; this one would a second time",
            Self::NotUpgraded => "the endpoint answered, but does not speak the protocol that was asked for",
            Self::Coding => {
                "the endpoint's answer is in a transfer coding other than `chunked`, which cannot be passed on"
            }
            Self::Unknown => "the serving cluster's gateway answered with an error that is not known here",
        }
    }
}

impl Refused {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT is not offered here",
            Self::NoHost => "the request names no host",
            Self::ManyHosts => "the request has more than one Host field",
            Self::BadHost => "the Host field is not host[:port]",
            Self::HostMismatch => "Host and the request target name different hosts",
            Self::Coding => "Transfer-Encoding is offered as `chunked` only",
            Self::Body => "the request's body is framed wrongly, or broke off",
            Self::FramingTwin => "a field is named almost as one that says where the body ends",
            Self::ConnectionNames => "Connection names a field that may not be removed on the way",
            Self::Loop => {
                "the request came through this cluster's proxies more than 8 times; does a pod call its own service?"
            }
            Self::TargetTooLong => "the request target is too long",
            Self::BadTarget => "the request target is not one a service can be asked for",
        }
    }
}

/// Who is being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client of this cluster.
    Client,
    /// Another cluster's proxy, which is told whether a pod may have received the request.
    Proxy {
        /// One may have.
        touched: bool,
    },
}

/// The answer to a request that failed here. The one place where a failure becomes a status: in a 200 with `grpc-status`
/// when it was a `grpc` call. `random` spreads those who come back.
pub(crate) fn answer(kind: Kind, grpc: bool, asker: Asker, random: u32) -> Response<Option<Bytes>> {
    let mut response = Response::new(None);
    let headers = response.headers_mut();
    headers.insert(ERROR, HeaderValue::from_static(kind.word()));
    if let Asker::Proxy { touched } = asker {
        headers.insert(REACHED, HeaderValue::from_static(if touched { "1" } else { "0" }));
    }
    if grpc {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(kind.grpc()));
        headers.insert("grpc-message", HeaderValue::from_static(kind.sentence()));
        if kind == Kind::Overloaded {
            // gRPC retries (gRFC A6) wait so long, or for ever if it is no number.
            headers.insert("grpc-retry-pushback-ms", HeaderValue::from(retry_after(random) * 1_000));
        }
        return response;
    }
    let status = kind.status();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after(random)));
    }
    *response.status_mut() = status;
    *response.body_mut() = Some(Bytes::from(format!("strait: {}: {}\n", kind.word(), kind.sentence())));
    response
}

/// The same to a HEAD, which says how long its body would be and has none: over HTTP/2 nobody else takes it away.
pub(crate) fn without_body(mut response: Response<Option<Bytes>>) -> Response<Option<Bytes>> {
    if let Some(body) = response.body_mut().take() {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(kind: Kind, grpc: bool, asker: Asker) -> Response<Option<Bytes>> {
        super::answer(kind, grpc, asker, 2)
    }

    #[test]
    fn statuses_by_kind() {
        for (kind, status) in [
            (Kind::NoEndpoints, 503),
            (Kind::ConnectFailed, 503),
            (Kind::Overloaded, 503),
            (Kind::Broken, 502),
            (Kind::LinkDead, 502),
            (Kind::Coding, 502),
            (Kind::Timeout, 504),
            (Kind::Hop, 508),
            (Kind::Request(Refused::Loop), 508),
            (Kind::Request(Refused::Connect), 405),
            (Kind::Request(Refused::ManyHosts), 400),
            (Kind::NotExported, 403),
        ] {
            let response = answer(kind, false, Asker::Client);
            assert_eq!(response.status(), status, "{kind:?}");
            let retry_after = response.headers().get(header::RETRY_AFTER).map(HeaderValue::as_bytes);
            assert_eq!(retry_after, (status == 503).then_some(&b"3"[..]));
            assert_eq!(response.headers()[ERROR], kind.word());
            assert!(!response.headers().contains_key(REACHED));
            assert!(response.body().as_ref().unwrap().starts_with(b"strait: "));
        }
    }

    #[test]
    fn grpc_errors_are_trailers_only() {
        let response = answer(Kind::NoEndpoints, true, Asker::Client);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "14");
        assert!(response.body().is_none());
        assert_eq!(answer(Kind::Timeout, true, Asker::Client).headers()["grpc-status"], "4");
        assert!(!response.headers().contains_key("grpc-retry-pushback-ms"));
        let overloaded = answer(Kind::Overloaded, true, Asker::Client);
        assert_eq!(overloaded.headers()["grpc-status"], "14");
        assert_eq!(overloaded.headers()["grpc-retry-pushback-ms"], "3000");
    }

    #[test]
    fn the_other_proxy_learns_whether_a_pod_was_reached() {
        for (touched, said) in [(true, "1"), (false, "0")] {
            assert_eq!(answer(Kind::Broken, false, Asker::Proxy { touched }).headers()[REACHED], said);
        }
    }

    #[test]
    fn words_are_read_back() {
        for kind in [
            Kind::NoEndpoints,
            Kind::ConnectFailed,
            Kind::Broken,
            Kind::Timeout,
            Kind::Overloaded,
            Kind::NotTrusted,
            Kind::NotExported,
            Kind::Hop,
            Kind::Coding,
        ] {
            assert_eq!(Kind::of_word(&HeaderValue::from_static(kind.word())), kind);
        }
        assert_eq!(Kind::of_word(&HeaderValue::from_static("from-the-future")), Kind::Unknown);
    }
}
