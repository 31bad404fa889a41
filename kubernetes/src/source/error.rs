//! What can go wrong while reading an API server.

use std::error::Error;

use strait_catalog::{NameError, PolicyFault, Version};

/// Why one object is left out. Its neighbours are not concerned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The JSON is not that kind of object.
    #[error("does not read: {0}; was it written for a newer version of its API?")]
    Unreadable(String),
    /// A name that cannot stand in DNS.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A field that is absent, empty or out of range.
    #[error("{field} {found:?}: {expected}")]
    Field {
        /// The field's path.
        field: &'static str,
        /// What it holds, shortened to 80 characters.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A setting of a TrafficPolicy that cannot be followed.
    #[error(transparent)]
    Policy(#[from] PolicyFault),
}

impl Unfit {
    pub(super) fn field(field: &'static str, found: &str, expected: &'static str) -> Self {
        Self::Field { field, found: found.chars().take(80).collect(), expected }
    }
}

/// Why a list or a watch did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The request failed, or was answered with an error.
    #[error("{path} of {server}: {}", chain(.source))]
    Request {
        /// The path asked for.
        path: String,
        /// The API server.
        server: String,
        /// What is wrong.
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{path} of {server}: no answer within {seconds} s; is the server reachable?")]
    Silent {
        /// The path asked for.
        path: String,
        /// The API server.
        server: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The answer is not what an API server sends.
    #[error("{path} of {server}: the answer does not read: {reason}; is there a proxy in between?")]
    Garbage {
        /// The path asked for.
        path: String,
        /// The API server.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// A revision is not an integer, so it cannot serve as a clock.
    #[error(
        "{object} of {server} has resourceVersion {revision:?}, not an integer; Strait needs an API server on etcd, or one that counts revisions alike"
    )]
    Revision {
        /// The object, or the list's path.
        object: String,
        /// The API server.
        server: String,
        /// What stands there.
        revision: String,
    },
    /// The API server's revisions went back.
    #[error(
        "{path} of {server} is at {listed}, below {known} already seen: was etcd restored from a backup? waiting for the controller to raise the epoch in ConfigMap strait-epoch"
    )]
    WentBack {
        /// The path asked for.
        path: String,
        /// The API server.
        server: String,
        /// The version of the list.
        listed: Version,
        /// The highest version seen before.
        known: Version,
    },
}

impl SourceError {
    /// The HTTP status that the API server answered with.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Request { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }

    /// True when the server was reached and said something: a lost connection says nothing about a revision, an answer
    /// may.
    pub(super) fn is_an_answer(&self) -> bool {
        self.code().is_some() || matches!(self, Self::Garbage { .. } | Self::Revision { .. })
    }

    /// A short word for metrics, out of a closed set.
    pub(super) fn reason(&self) -> &'static str {
        match (self, self.code()) {
            (_, Some(401)) => "unauthorized",
            (_, Some(403)) => "forbidden",
            (_, Some(404)) => "not-found",
            (_, Some(410)) => "gone",
            (_, Some(429)) => "throttled",
            (_, Some(_)) => "refused",
            (Self::Request { .. }, None) => "connection",
            (Self::Silent { .. }, _) => "silent",
            (Self::Garbage { .. }, _) => "garbage",
            (Self::Revision { .. }, _) => "revision",
            (Self::WentBack { .. }, _) => "went-back",
        }
    }
}

/// An error with its causes, each once: outer errors often repeat the inner one's text.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}
