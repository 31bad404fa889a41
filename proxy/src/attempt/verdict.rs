//! What an answer's head, or the error in place of one, says of its target.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use crate::health::{Outcome, grpc_outcome, is_grpc};
use crate::http2::Unanswered;
use crate::outgoing::Outgoing;
use crate::retry::{Failure, Left};

/// What an error of a connection over HTTP/1.1 says.
pub(super) fn pod_failure(error: &hyper::Error, request: &Outgoing) -> Failure {
    if error.is_user() {
        Failure::ClientBody
    } else if error.is_canceled() && request.left() != Left::Spent {
        Failure::Stale
    } else {
        Failure::Broken
    }
}

/// What it says that a request was not answered on a connection of HTTP/2, which is `dead` or not. Takes back what was not
/// sent of it.
pub(super) fn stream_failure(unanswered: Unanswered, dead: bool, request: &Outgoing) -> Failure {
    match unanswered {
        Unanswered::Unsent(body) => {
            request.take_back(*body);
            Failure::Stale
        }
        Unanswered::Body if !dead => Failure::ClientBody,
        Unanswered::Body => Failure::LinkDead,
        Unanswered::Stream(error) => broken_stream(&error, dead),
    }
}

/// What an error of a stream says.
pub(super) fn broken_stream(h2: &h2::Error, dead: bool) -> Failure {
    if dead {
        return Failure::LinkDead;
    }
    let refused = h2.is_remote() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
    // Streams that GOAWAY's last stream id covers go on; those that fail by it were not begun (RFC 9113 §6.8).
    let unread = h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR);
    if refused || unread {
        Failure::TurnedAway
    } else if h2.is_io() {
        // The whole connection broke: as good as a link declared dead.
        Failure::LinkDead
    } else {
        Failure::Broken
    }
}

/// What an answer's head says of its target. 429, and 503 with Retry-After, ask for less; other 5xx are failures.
pub(super) fn outcome(status: StatusCode, headers: &HeaderMap, latency: Duration) -> Outcome {
    let retry_after = headers.get(header::RETRY_AFTER);
    if status == StatusCode::TOO_MANY_REQUESTS || (status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some()) {
        let seconds = retry_after.and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok()).unwrap_or(0);
        return Outcome::Overloaded { retry_after: Duration::from_secs(seconds) };
    }
    plain_outcome(status, latency)
}

/// The same of an answer that does not ask for less.
pub(crate) fn plain_outcome(status: StatusCode, latency: Duration) -> Outcome {
    if status.is_server_error() { Outcome::ServerError } else { Outcome::Success { latency } }
}

/// The same of an answer over HTTP/2; `None` when its trailers will tell.
pub(super) fn h2_outcome(status: StatusCode, headers: &HeaderMap, latency: Duration) -> Option<Outcome> {
    if status == StatusCode::OK && is_grpc(headers) {
        return grpc_outcome(headers, latency);
    }
    Some(outcome(status, headers, latency))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_answer_tells_with_its_trailers_unless_its_head_does() {
        let latency = Duration::from_millis(3);
        let of = |status: u16, content_type: &str, grpc_status: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            if let Some(status) = grpc_status {
                headers.insert("grpc-status", status.parse().unwrap());
            }
            h2_outcome(StatusCode::from_u16(status).unwrap(), &headers, latency)
        };
        let success = Some(Outcome::Success { latency });
        assert_eq!(of(200, "application/grpc", None), None);
        assert_eq!(of(200, "application/grpc", Some("0")), success);
        assert_eq!(of(200, "application/grpc", Some("14")), Some(Outcome::ServerError));
        assert_eq!(of(502, "application/grpc", None), Some(Outcome::ServerError));
        assert_eq!(of(200, "application/json", None), success);
        assert_eq!(of(200, "application/grpc-web", None), success);
    }

    #[test]
    fn answers_tell_health() {
        let of = |status: u16, retry: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(retry) = retry {
                headers.insert(header::RETRY_AFTER, retry.parse().unwrap());
            }
            outcome(StatusCode::from_u16(status).unwrap(), &headers, Duration::from_millis(3))
        };
        let success = Outcome::Success { latency: Duration::from_millis(3) };
        let busy = |s| Outcome::Overloaded { retry_after: Duration::from_secs(s) };
        for (status, retry, expected) in [
            (200, None, success),
            (404, None, success),
            (500, None, Outcome::ServerError),
            (503, None, Outcome::ServerError),
            (503, Some("7"), busy(7)),
            (503, Some("Wed, 21 Oct 2026 07:28:00 GMT"), busy(0)),
            (429, None, busy(0)),
        ] {
            assert_eq!(of(status, retry), expected, "{status} {retry:?}");
        }
    }
}
