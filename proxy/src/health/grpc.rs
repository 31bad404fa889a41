//! What the status of a gRPC call says of its target.
//!
//! HTTP's 200 says only that the call began. The status comes with the trailers, or with the head when there is no body.

use std::time::Duration;

use http::HeaderMap;
use http::header::{self, HeaderValue};

use super::Outcome;

/// True for the head of a gRPC call or of its answer, whose status is told by `grpc-status`. gRPC-Web's is not: its trailers
/// are part of the body.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let rest = headers.get(header::CONTENT_TYPE).and_then(|v| v.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The outcome of a call that took `latency` to its answer's head; `None` when these fields hold no status.
///
/// `UNKNOWN`, `DEADLINE_EXCEEDED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS` are failures of the target, as 5xx are;
/// `RESOURCE_EXHAUSTED`, and `UNAVAILABLE` that names a time to come back (`grpc-retry-pushback-ms`, gRPC A6), ask for
/// less, as 429 and 503 with `Retry-After` do. The rest is between the caller and the method.
pub(crate) fn grpc_outcome(fields: &HeaderMap, latency: Duration) -> Option<Outcome> {
    let status = fields.get("grpc-status")?;
    let pushback = fields.get("grpc-retry-pushback-ms").and_then(number).map(Duration::from_millis);
    Some(match (number(status), pushback) {
        (Some(8), _) | (Some(14), Some(_)) => Outcome::Overloaded { retry_after: pushback.unwrap_or_default() },
        // What is no number reads as UNKNOWN.
        (Some(2 | 4 | 13 | 14 | 15) | None, _) => Outcome::ServerError,
        (Some(_), _) => Outcome::Success { latency },
    })
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LATENCY: Duration = Duration::from_millis(3);

    fn fields(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn statuses_tell_health() {
        let success = Outcome::Success { latency: LATENCY };
        let busy = |ms| Outcome::Overloaded { retry_after: Duration::from_millis(ms) };
        for (status, pushback, expected) in [
            ("0", None, success),
            ("1", None, success),
            ("2", None, Outcome::ServerError),
            ("3", None, success),
            ("4", None, Outcome::ServerError),
            ("5", None, success),
            ("7", None, success),
            ("8", None, busy(0)),
            ("8", Some("1500"), busy(1_500)),
            ("12", None, success),
            ("13", None, Outcome::ServerError),
            ("14", None, Outcome::ServerError),
            ("14", Some("700"), busy(700)),
            ("14", Some("-1"), Outcome::ServerError),
            ("15", None, Outcome::ServerError),
            ("16", None, success),
            ("broken", None, Outcome::ServerError),
        ] {
            let mut all = vec![("grpc-status", status)];
            all.extend(pushback.map(|ms| ("grpc-retry-pushback-ms", ms)));
            assert_eq!(grpc_outcome(&fields(&all), LATENCY), Some(expected), "{status} {pushback:?}");
        }
        assert_eq!(grpc_outcome(&HeaderMap::new(), LATENCY), None);
    }

    #[test]
    fn grpc_answers_are_told_from_others() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&fields(&[("content-type", content_type)])), expected, "{content_type}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
