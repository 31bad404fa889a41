//! How one's own certificate stands, for status, readiness and metrics.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::certificate::LeafCertificate;
use crate::moment::utc;

/// Where the identity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityState {
    /// Never had a certificate and there is none yet. Not an error: the Secret is optional and may appear later.
    Waiting {
        /// The files that are not there.
        missing: Vec<PathBuf>,
    },
    /// The files are good and in use.
    Ready(LeafCertificate),
    /// The files are bad, gone or expired.
    Failing {
        /// One line: which file, what is wrong, the likely cause.
        reason: Arc<str>,
        /// The earlier certificate that stays in use, if there is one.
        still_using: Option<LeafCertificate>,
    },
}

impl IdentityState {
    /// The certificate in use, good files or not.
    #[must_use]
    pub fn leaf(&self) -> Option<&LeafCertificate> {
        match self {
            Self::Waiting { .. } => None,
            Self::Ready(leaf) => Some(leaf),
            Self::Failing { still_using, .. } => still_using.as_ref(),
        }
    }

    /// When the certificate in use ends.
    #[must_use]
    pub fn not_after(&self) -> Option<SystemTime> {
        self.leaf().map(|leaf| leaf.not_after)
    }

    /// `waiting`, `ready` or `failing`: a bounded label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Ready(_) => "ready",
            Self::Failing { .. } => "failing",
        }
    }
}

impl fmt::Display for IdentityState {
    /// One line for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { missing } => {
                let missing: Vec<_> = missing.iter().map(|path| path.display().to_string()).collect();
                write!(f, "waiting for {}", missing.join(" and "))
            }
            Self::Ready(leaf) => write!(f, "ready, {} until {}", leaf.id, utc(leaf.not_after)),
            Self::Failing { reason, still_using: Some(leaf) } => {
                write!(f, "{reason}; still using serial {} until {}", leaf.serial, utc(leaf.not_after))
            }
            Self::Failing { reason, still_using: None } => {
                write!(f, "{reason}; there is no earlier certificate to use")
            }
        }
    }
}
