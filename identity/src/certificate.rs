//! What a leaf certificate says of itself. Nothing here is believed before the chain has been verified.

use std::fmt::Write as _;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::id::{IdError, SpiffeId};
use crate::moment;

/// Why a certificate cannot be the certificate of a cluster, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not X.509, or with damaged extensions.
    #[error("not a readable X.509 certificate: {detail}")]
    Encoding {
        /// What the reader met.
        detail: String,
    },
    /// No URI among the subject alternative names.
    #[error("the certificate has no URI name; it needs exactly one, spiffe://<trust-domain>/cluster/<id>")]
    NoUri,
    /// Two names would let the holder choose whom to be.
    #[error("the certificate has {count} URI names; exactly one is allowed")]
    SeveralUris {
        /// How many.
        count: usize,
    },
    /// A name in an encoding nobody can compare.
    #[error("the certificate has an alternative name that cannot be read")]
    UnreadableName,
    /// The one URI is not the id of a cluster.
    #[error("the certificate's URI name is not a cluster's: {source}")]
    NotACluster {
        /// Which part is wrong.
        source: IdError,
    },
    /// A CA, which must never speak for itself (X.509-SVID §4.1).
    #[error("the certificate is a CA's, not a leaf (are tls.crt and ca.crt interchanged?)")]
    Authority,
    /// Key usage lacks digitalSignature or has a signing bit of a CA (X.509-SVID §4.3).
    #[error(
        "the certificate's key usage does not fit a leaf: it needs digitalSignature, without keyCertSign and cRLSign"
    )]
    KeyUsage,
}

/// The facts of one leaf certificate, for the handshake and for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafCertificate {
    /// Whose it is.
    pub id: SpiffeId,
    /// Valid from here.
    pub not_before: SystemTime,
    /// Valid up to and including this second.
    pub not_after: SystemTime,
    /// Serial number, lower case hex.
    pub serial: String,
    /// SHA-256 of the DER, lower case hex: what `openssl x509 -fingerprint -sha256` prints without colons.
    pub fingerprint: String,
}

impl LeafCertificate {
    /// Reads a certificate in DER form.
    ///
    /// # Errors
    /// [`LeafError`] when it cannot be a cluster's certificate.
    pub fn read(der: &[u8]) -> Result<Self, LeafError> {
        let certificate = parse(der)?;
        if certificate.is_ca() {
            return Err(LeafError::Authority);
        }
        check_key_usage(&certificate)?;
        let id = SpiffeId::parse(only_uri(&certificate)?).map_err(|source| LeafError::NotACluster { source })?;
        let (not_before, not_after) = validity(&certificate);
        Ok(Self { id, not_before, not_after, serial: hex(certificate.raw_serial()), fingerprint: fingerprint(der) })
    }

    /// The share of its life that is left, 1 before its start to 0 from its end on.
    #[must_use]
    pub fn life_left(&self, now: SystemTime) -> f64 {
        let whole = self.not_after.duration_since(self.not_before).unwrap_or_default().as_secs_f64();
        let left = self.not_after.duration_since(now).unwrap_or_default().as_secs_f64();
        if whole > 0.0 { (left / whole).min(1.0) } else { 0.0 }
    }

    /// True from the first second in which verifiers refuse it for its age.
    #[must_use]
    pub fn expired(&self, now: SystemTime) -> bool {
        moment::seconds(now) > moment::seconds(self.not_after)
    }
}

/// Parses exactly one certificate, without trailing bytes.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, LeafError> {
    let encoding = |detail: String| LeafError::Encoding { detail };
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| encoding(e.to_string()))?;
    if rest.is_empty() { Ok(certificate) } else { Err(encoding(format!("{} bytes after its end", rest.len()))) }
}

/// Start and end of a certificate's validity.
pub(crate) fn validity(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    let (start, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    (moment::from_seconds(start), moment::from_seconds(end))
}

/// SHA-256 of the DER, lower case hex.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hex(&Sha256::digest(der))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn check_key_usage(certificate: &X509Certificate<'_>) -> Result<(), LeafError> {
    let usage = certificate.key_usage().map_err(|e| LeafError::Encoding { detail: e.to_string() })?;
    match usage.map(|extension| extension.value) {
        Some(usage) if !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() => {
            Err(LeafError::KeyUsage)
        }
        _ => Ok(()),
    }
}

fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, LeafError> {
    let names = certificate.subject_alternative_name().map_err(|e| LeafError::Encoding { detail: e.to_string() })?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    // A name that does not decode might be a URI to another reader, so it may not pass for "no URI" here.
    if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(LeafError::UnreadableName);
    }
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.count()) {
        (None, _) => Err(LeafError::NoUri),
        (Some(uri), 0) => Ok(uri),
        (Some(_), more) => Err(LeafError::SeveralUris { count: more + 1 }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use rcgen::{IsCa, KeyUsagePurpose};

    use super::*;
    use crate::testing::{Forge, spiffe};

    fn read(edit: impl FnOnce(&mut rcgen::CertificateParams)) -> Result<LeafCertificate, LeafError> {
        LeafCertificate::read(&Forge::new("us-west").leaf_with("us-west", edit).chain[0])
    }

    #[test]
    fn a_good_leaf_is_read() {
        let leaf = read(|_| ()).unwrap();
        assert_eq!(leaf.id, spiffe("us-west"));
        assert_eq!(leaf.fingerprint.len(), 64);
        assert!(!leaf.serial.is_empty());
        assert!(leaf.not_before < leaf.not_after);
    }

    #[test]
    fn names_must_be_exactly_one_uri() {
        let uri = |text: &str| rcgen::SanType::URI(text.try_into().unwrap());
        assert_eq!(read(|p| p.subject_alt_names.clear()), Err(LeafError::NoUri));
        assert_eq!(
            read(|p| p.subject_alt_names = vec![rcgen::SanType::DnsName("a.b".try_into().unwrap())]),
            Err(LeafError::NoUri)
        );
        let two = read(|p| p.subject_alt_names.push(uri("spiffe://test.example/cluster/us-east")));
        assert_eq!(two, Err(LeafError::SeveralUris { count: 2 }));
        // A second URI of any kind is a second name.
        assert!(matches!(read(|p| p.subject_alt_names.push(uri("https://x/"))), Err(LeafError::SeveralUris { .. })));
        let other = read(|p| p.subject_alt_names = vec![uri("spiffe://test.example/ns/a/sa/b")]);
        assert!(matches!(other, Err(LeafError::NotACluster { .. })));
        // DNS names beside the URI are allowed and ignored.
        assert!(read(|p| p.subject_alt_names.push(rcgen::SanType::DnsName("a.b".try_into().unwrap()))).is_ok());
    }

    #[test]
    fn authorities_and_signing_keys_are_not_leaves() {
        let ca = read(|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
        assert_eq!(ca, Err(LeafError::Authority));
        assert_eq!(read(|p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]), Err(LeafError::KeyUsage));
        assert_eq!(read(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)), Err(LeafError::KeyUsage));
        assert!(read(|p| p.key_usages.clear()).is_ok());
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let der = Forge::new("us-west").leaf("us-west").chain[0].to_vec();
        for length in 0..der.len() {
            assert!(LeafCertificate::read(&der[..length]).is_err(), "cut at {length}");
        }
        for at in 0..der.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = der.clone();
                damaged[at] ^= flip;
                let _ = LeafCertificate::read(&damaged);
            }
        }
        let mut longer = der;
        longer.push(0);
        assert!(matches!(LeafCertificate::read(&longer), Err(LeafError::Encoding { .. })));
    }

    #[test]
    fn life_left_runs_from_one_to_zero() {
        let leaf = read(|_| ()).unwrap();
        let whole = leaf.not_after.duration_since(leaf.not_before).unwrap();
        assert!((leaf.life_left(leaf.not_before) - 1.0).abs() < 1e-9);
        assert!((leaf.life_left(leaf.not_before + whole / 2) - 0.5).abs() < 1e-9);
        assert_eq!(leaf.life_left(leaf.not_after), 0.0);
        assert_eq!(leaf.life_left(leaf.not_before - Duration::from_secs(60)), 1.0);
        assert!(!leaf.expired(leaf.not_after));
        assert!(leaf.expired(leaf.not_after + Duration::from_secs(1)));
    }
}
