//! The bootstrap CA: what the controller uses when nobody else gives the cluster a certificate.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use strait_catalog::ClusterId;
use time::OffsetDateTime;

use crate::certificate;
use crate::id::SpiffeId;
use crate::moment::{from_seconds, seconds, utc};
use crate::pem;

/// Certificates start this much in the past, so that a peer whose clock is a little behind takes them at once.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// The last second an X.509 time can hold, 9999-12-31T23:59:59Z (RFC 5280 §4.1.2.5.2).
const LAST_SECOND: i64 = 253_402_300_799;

/// Why a CA could not be made, read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The library refused.
    #[error("cannot make the certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The key is not PEM or of an unknown kind.
    #[error("the CA's key cannot be read: {0}")]
    Key(#[source] rcgen::Error),
    /// No certificate of the file belongs to the key.
    #[error("none of the {count} certificates is a CA's with this key (do ca.crt and ca.key come from one Secret?)")]
    NoMatch {
        /// How many certificates were there.
        count: usize,
    },
    /// A leaf of an expired CA is refused by everybody.
    #[error("the CA expired at {}; make a new one and hand its certificate to all peers", utc(*.not_after))]
    Expired {
        /// Its end.
        not_after: SystemTime,
    },
    /// The end is beyond what a certificate can say.
    #[error("a life of {} days ends after the year 9999", .lifetime.as_secs() / 86_400)]
    Lifetime {
        /// The asked life.
        lifetime: Duration,
    },
}

/// A certificate and its key, fresh from the CA.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedLeaf {
    /// The leaf, PEM (`tls.crt`).
    pub certificate_pem: String,
    /// Its private key, PKCS #8 PEM (`tls.key`).
    pub key_pem: String,
    /// Valid from here.
    pub not_before: SystemTime,
    /// Valid up to here.
    pub not_after: SystemTime,
}

impl fmt::Debug for IssuedLeaf {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedLeaf").field("not_after", &utc(self.not_after)).finish_non_exhaustive()
    }
}

/// The CA of one cluster: an ECDSA P-256 key and its self-signed certificate.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl fmt::Debug for CertificateAuthority {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority").field("not_after", &utc(self.not_after)).finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Makes a new CA for a cluster. It carries no name constraints: webpki refuses URI names under them, and
    /// peers keep roots per cluster instead.
    ///
    /// # Errors
    /// [`AuthorityError`] when the life is beyond the calendar or the library refuses.
    pub fn generate(cluster: &ClusterId, lifetime: Duration, now: SystemTime) -> Result<Self, AuthorityError> {
        let (not_before, not_after) = span(lifetime, now)?;
        let mut params = params("Strait CA", cluster, not_before, not_after);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem, not_before, not_after })
    }

    /// Reads a CA back. The certificate text may be a bundle, as during a root roll: the one with this key is used.
    ///
    /// # Errors
    /// [`AuthorityError::Key`] or [`AuthorityError::NoMatch`].
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key).map_err(AuthorityError::Key)?;
        let mut count = 0;
        for text in pem::certificate_sections(certificates) {
            count += 1;
            let Ok(der) = CertificateDer::from_pem_slice(text.as_bytes()) else {
                continue;
            };
            let Ok(parsed) = certificate::parse(&der) else {
                continue;
            };
            if parsed.is_ca() && parsed.public_key().raw == key.subject_public_key_info() {
                let (not_before, not_after) = certificate::validity(&parsed);
                let certificate_pem = format!("{text}\n");
                return Ok(Self {
                    issuer: Issuer::from_ca_cert_der(&der, key)?,
                    certificate_pem,
                    not_before,
                    not_after,
                });
            }
        }
        Err(AuthorityError::NoMatch { count })
    }

    /// The certificate to hand to peers, PEM (`ca.crt`).
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS #8 PEM (`ca.key`). It never leaves the cluster.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Valid from here.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Valid up to here.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Issues a leaf with a new key: exactly one URI name, usable for both sides of a connection. Its life is cut
    /// to the CA's, since nobody would believe it longer.
    ///
    /// # Errors
    /// [`AuthorityError::Expired`] when the CA itself has ended.
    pub fn issue(&self, id: &SpiffeId, lifetime: Duration, now: SystemTime) -> Result<IssuedLeaf, AuthorityError> {
        if now > self.not_after {
            return Err(AuthorityError::Expired { not_after: self.not_after });
        }
        let (not_before, not_after) = span(lifetime, now)?;
        let not_after = not_after.min(self.not_after);
        let mut params = params("Strait", &id.cluster, not_before, not_after);
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(IssuedLeaf { certificate_pem, key_pem: key.serialize_pem(), not_before, not_after })
    }
}

/// True from half of a certificate's life on: as much time again remains to notice that renewal fails.
#[must_use]
pub fn should_renew(not_before: SystemTime, not_after: SystemTime, now: SystemTime) -> bool {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    now.duration_since(not_before).is_ok_and(|age| age >= life / 2)
}

/// Start and end in whole seconds, which is all X.509 holds.
fn span(lifetime: Duration, now: SystemTime) -> Result<(SystemTime, SystemTime), AuthorityError> {
    let too_long = || AuthorityError::Lifetime { lifetime };
    let end = now.checked_add(lifetime).map(seconds).filter(|end| *end <= LAST_SECOND).ok_or_else(too_long)?;
    let start = seconds(now.checked_sub(BACKDATE).unwrap_or(now));
    Ok((from_seconds(start), from_seconds(end)))
}

fn params(organization: &str, cluster: &ClusterId, not_before: SystemTime, not_after: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    // The subject is for people: verification reads the URI name alone. A cluster id fits the 64 of a common name.
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organization);
    subject.push(DnType::CommonName, cluster.as_str());
    params.distinguished_name = subject;
    params.not_before = OffsetDateTime::from(not_before);
    params.not_after = OffsetDateTime::from(not_after);
    params
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::certificate::LeafCertificate;
    use crate::material::{Material, MaterialPem};
    use crate::testing::{cluster, now, spiffe};

    const DAY: Duration = Duration::from_secs(86_400);

    fn west() -> CertificateAuthority {
        CertificateAuthority::generate(&cluster("us-west"), 365 * DAY, now()).unwrap()
    }

    fn material(issued: &IssuedLeaf, authority: &str) -> MaterialPem {
        MaterialPem {
            certificate: issued.certificate_pem.clone().into_bytes(),
            key: issued.key_pem.clone().into_bytes(),
            authority: Some(authority.as_bytes().to_vec()),
        }
    }

    #[test]
    fn what_it_issues_is_what_the_loader_takes() {
        let ca = west();
        let issued = ca.issue(&spiffe("us-west"), DAY, now()).unwrap();
        let loaded = Material::parse(&material(&issued, ca.certificate_pem()), &spiffe("us-west"), now()).unwrap();
        let LeafCertificate { not_before, not_after, .. } = *loaded.leaf();
        assert_eq!((not_before, not_after), (issued.not_before, issued.not_after));
        assert_eq!(not_after, now() + DAY);
        assert_eq!(not_before, now() - BACKDATE);
    }

    #[test]
    fn it_survives_a_round_trip_even_inside_a_bundle() {
        let (ca, newer) = (west(), west());
        let bundle = format!("{}\n{}", newer.certificate_pem(), ca.certificate_pem());
        let back = CertificateAuthority::from_pem(&bundle, &ca.key_pem()).unwrap();
        assert_eq!(back.certificate_pem().trim(), ca.certificate_pem().trim());
        assert_eq!((back.not_before(), back.not_after()), (ca.not_before(), ca.not_after()));
        let issued = back.issue(&spiffe("us-west"), DAY, now()).unwrap();
        Material::parse(&material(&issued, ca.certificate_pem()), &spiffe("us-west"), now()).unwrap();
    }

    #[test]
    fn a_foreign_key_is_refused() {
        let (ca, other) = (west(), west());
        let error = CertificateAuthority::from_pem(ca.certificate_pem(), &other.key_pem()).unwrap_err();
        assert_eq!(error, AuthorityError::NoMatch { count: 1 });
        assert!(matches!(CertificateAuthority::from_pem(ca.certificate_pem(), "x"), Err(AuthorityError::Key(_))));
        // A leaf's certificate and key are no CA.
        let leaf = ca.issue(&spiffe("us-west"), DAY, now()).unwrap();
        let error = CertificateAuthority::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap_err();
        assert_eq!(error, AuthorityError::NoMatch { count: 1 });
    }

    #[test]
    fn lives_are_bounded() {
        let ca = west();
        assert_eq!(ca.issue(&spiffe("us-west"), 999 * DAY, now()).unwrap().not_after, ca.not_after());
        let late = ca.not_after() + Duration::from_secs(1);
        assert_eq!(
            ca.issue(&spiffe("us-west"), DAY, late).unwrap_err(),
            AuthorityError::Expired { not_after: ca.not_after() }
        );
        for lifetime in [Duration::MAX, 4_000_000 * DAY] {
            let made = CertificateAuthority::generate(&cluster("us-west"), lifetime, now());
            assert_eq!(made.unwrap_err(), AuthorityError::Lifetime { lifetime });
        }
    }

    #[test]
    fn renewal_is_due_at_half_life() {
        let (start, end) = (now(), now() + 10 * DAY);
        for (after, due) in [(0, false), (4, false), (5, true), (9, true), (11, true)] {
            assert_eq!(should_renew(start, end, start + after * DAY), due, "after {after} days");
        }
        assert!(!should_renew(start, end, start - DAY));
        assert!(should_renew(end, start, end), "an absurd span is renewed at once");
    }

    #[test]
    fn debug_output_holds_no_key() {
        let ca = west();
        let text = format!("{ca:?} {:?}", ca.issue(&spiffe("us-west"), DAY, now()).unwrap());
        assert!(!text.contains("PRIVATE"), "{text}");
    }
}
