//! Reading PEM files, with errors a person can act on.

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Most certificates read from one file: a chain or a bundle of roots, never an operating system's whole store.
const MAX_CERTIFICATES: usize = 32;

/// Why a PEM text could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// A `-----BEGIN` without its `-----END`.
    #[error("is cut short: a section has no -----END line (half written?)")]
    Truncated,
    /// A line or its base64 is damaged.
    #[error("is damaged: {detail}")]
    Damaged {
        /// What the reader met.
        detail: String,
    },
    /// No section of the wanted kind.
    #[error("contains no {what}")]
    Nothing {
        /// The wanted kind.
        what: &'static str,
    },
    /// More certificates than one file may have.
    #[error("contains more than {MAX_CERTIFICATES} certificates")]
    TooMany,
}

impl PemError {
    fn new(error: Error, what: &'static str) -> Self {
        match error {
            Error::MissingSectionEnd { .. } => Self::Truncated,
            Error::NoItemsFound => Self::Nothing { what },
            Error::IllegalSectionStart { .. } => Self::Damaged { detail: "a -----BEGIN line is not complete".into() },
            // The text of a base64 error holds positions, never key material.
            other => Self::Damaged { detail: other.to_string() },
        }
    }
}

/// All certificates of a file, in order; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    const WHAT: &str = "certificate (-----BEGIN CERTIFICATE-----)";
    let mut found = Vec::new();
    for section in CertificateDer::pem_slice_iter(pem) {
        found.push(section.map_err(|e| PemError::new(e, WHAT))?);
        if found.len() > MAX_CERTIFICATES {
            return Err(PemError::TooMany);
        }
    }
    if found.is_empty() { Err(PemError::Nothing { what: WHAT }) } else { Ok(found) }
}

/// The first private key of a file: PKCS #8, SEC1 or PKCS #1, not encrypted.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    const WHAT: &str = "private key (an encrypted one cannot be read)";
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| PemError::new(e, WHAT))
}

/// The text of every certificate section, from its BEGIN line to its END line.
pub(crate) fn certificate_sections(pem: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut rest = pem;
    std::iter::from_fn(move || {
        let start = rest.find(BEGIN)?;
        let length = rest[start..].find(END)? + END.len();
        let section = &rest[start..start + length];
        rest = &rest[start + length..];
        Some(section)
    })
}
