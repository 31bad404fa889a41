//! From the bytes of three files to a usable identity, or the reason why not. Pure: bytes, own id and time in.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use sha2::{Digest, Sha256};

use crate::certificate::{self, LeafCertificate, LeafError};
use crate::id::SpiffeId;
use crate::moment::{self, utc};
use crate::pem::{self, PemError};
use crate::tls::provider;
use crate::trust::{BundleProblem, ClusterRoots, Roots};
use crate::verify::{PeerError, PeerRole, Presented, verify_chain};

/// The contents of the identity files, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct MaterialPem {
    /// `tls.crt`: the leaf, then intermediates.
    pub certificate: Vec<u8>,
    /// `tls.key`: the private key of the leaf.
    pub key: Vec<u8>,
    /// `ca.crt`: the roots of one's own cluster, where they stand beside the leaf.
    pub authority: Option<Vec<u8>>,
}

impl MaterialPem {
    /// SHA-256 over all parts with their lengths, to tell contents apart without keeping the key.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [Some(&self.certificate), Some(&self.key), self.authority.as_ref()] {
            hash.update(part.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
            hash.update(part.map(Vec::as_slice).unwrap_or_default());
        }
        hash.finalize().into()
    }
}

impl fmt::Debug for MaterialPem {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaterialPem").field("certificate_bytes", &self.certificate.len()).finish_non_exhaustive()
    }
}

/// Why an identity was not taken. The messages hold no time of the check, so one cause prints one text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// The certificate file is not PEM.
    #[error("tls.crt {0}")]
    CertificatePem(#[source] PemError),
    /// The first certificate cannot be a cluster's.
    #[error("tls.crt: {0}")]
    Leaf(#[from] LeafError),
    /// The key file is not PEM.
    #[error("tls.key {0}")]
    KeyPem(#[source] PemError),
    /// The key is of a kind nobody can use, or damaged.
    #[error("tls.key is not a usable private key: {detail}")]
    Key {
        /// What the library says.
        detail: String,
    },
    /// Key and certificate do not belong together.
    #[error("tls.key is not the key of tls.crt (was only one of the two replaced?)")]
    KeyMismatch,
    /// A certificate of another cluster or trust domain.
    #[error(
        "tls.crt is the certificate of {found}, but this is {expected} (was another cluster's Secret copied here?)"
    )]
    WrongIdentity {
        /// One's own id.
        expected: SpiffeId,
        /// The certificate's.
        found: SpiffeId,
    },
    /// Past its end.
    #[error("tls.crt expired at {} (is the controller, which renews it, running?)", utc(*.not_after))]
    Expired {
        /// Its end.
        not_after: SystemTime,
    },
    /// Before its start.
    #[error("tls.crt is not valid before {} (is this node's clock behind?)", utc(*.not_before))]
    NotYetValid {
        /// Its start.
        not_before: SystemTime,
    },
    /// A cluster dials and answers with one certificate, so it needs both usages.
    #[error("tls.crt has an extended key usage without {missing}; it needs serverAuth and clientAuth")]
    Usage {
        /// The missing one.
        missing: &'static str,
    },
    /// The roots file was refused.
    #[error("ca.crt: {0}")]
    Authority(#[from] BundleProblem),
    /// The leaf is not signed by the roots beside it, so daemons of one cluster would refuse each other.
    #[error("tls.crt is not vouched for by ca.crt: {0}")]
    Chain(#[source] PeerError),
}

/// A checked certificate with its key, and the roots of one's own cluster if they came along.
#[derive(Clone, Debug)]
pub struct Material {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) leaf: LeafCertificate,
    pub(crate) roots: Option<Roots>,
}

impl Material {
    /// Reads and checks everything that peers would check, so that a bad file is noticed here and not by them.
    ///
    /// # Errors
    /// [`MaterialError`], naming the file and the likely cause.
    pub fn parse(pem: &MaterialPem, own: &SpiffeId, now: SystemTime) -> Result<Self, MaterialError> {
        let chain = pem::certificates(&pem.certificate).map_err(MaterialError::CertificatePem)?;
        let leaf = LeafCertificate::read(&chain[0])?;
        if leaf.id != *own {
            return Err(MaterialError::WrongIdentity { expected: own.clone(), found: leaf.id });
        }
        check_usages(&chain[0])?;
        let certified = Arc::new(certified_key(chain, &pem.key)?);
        check_time(&leaf, now)?;
        let roots = pem.authority.as_deref().map(Roots::from_pem).transpose()?;
        if let Some(roots) = &roots {
            check_chain(roots, &certified.cert, &leaf, now)?;
        }
        Ok(Self { certified, leaf, roots })
    }

    /// The facts of the certificate.
    #[must_use]
    pub fn leaf(&self) -> &LeafCertificate {
        &self.leaf
    }
}

fn certified_key(chain: Vec<CertificateDer<'static>>, key: &[u8]) -> Result<CertifiedKey, MaterialError> {
    let key = pem::private_key(key).map_err(MaterialError::KeyPem)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => MaterialError::KeyMismatch,
        other => MaterialError::Key { detail: other.to_string() },
    })
}

fn check_time(leaf: &LeafCertificate, now: SystemTime) -> Result<(), MaterialError> {
    if moment::seconds(now) < moment::seconds(leaf.not_before) {
        return Err(MaterialError::NotYetValid { not_before: leaf.not_before });
    }
    if leaf.expired(now) {
        return Err(MaterialError::Expired { not_after: leaf.not_after });
    }
    Ok(())
}

fn check_usages(der: &[u8]) -> Result<(), MaterialError> {
    let certificate = certificate::parse(der)?;
    let usage = certificate.extended_key_usage();
    let usage = usage.map_err(|e| LeafError::Encoding { detail: e.to_string() })?.map(|extension| extension.value);
    match usage {
        Some(usage) if !usage.server_auth => Err(MaterialError::Usage { missing: "serverAuth" }),
        Some(usage) if !usage.client_auth => Err(MaterialError::Usage { missing: "clientAuth" }),
        _ => Ok(()),
    }
}

fn check_chain(
    roots: &Roots,
    chain: &[CertificateDer<'_>],
    leaf: &LeafCertificate,
    now: SystemTime,
) -> Result<(), MaterialError> {
    let entry = ClusterRoots { trust_domain: leaf.id.trust_domain.clone(), roots: roots.clone() };
    let algorithms = provider().signature_verification_algorithms;
    for role in [PeerRole::Server, PeerRole::Client] {
        let presented = Presented { leaf: &chain[0], intermediates: &chain[1..], role };
        verify_chain(&entry, &algorithms, presented, leaf, moment::to_unix(now)).map_err(MaterialError::Chain)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{Forge, now, spiffe};

    fn parse(pem: &MaterialPem) -> Result<LeafCertificate, MaterialError> {
        Material::parse(pem, &spiffe("us-west"), now()).map(|material| material.leaf)
    }

    #[test]
    fn a_whole_set_is_taken_with_and_without_roots() {
        let forge = Forge::new("us-west");
        let mut pem = forge.leaf("us-west").material(Some(&forge));
        assert_eq!(parse(&pem).unwrap().id, spiffe("us-west"));
        pem.authority = None;
        assert!(parse(&pem).is_ok());
    }

    #[test]
    fn each_damage_has_its_own_error() {
        let forge = Forge::new("us-west");
        let good = forge.leaf("us-west").material(Some(&forge));
        let other = forge.leaf("us-west");
        let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();

        let with = |edit: &dyn Fn(&mut MaterialPem)| {
            let mut pem = good.clone();
            edit(&mut pem);
            parse(&pem).unwrap_err()
        };
        assert_eq!(with(&|p| p.certificate = cut(&p.certificate)), MaterialError::CertificatePem(PemError::Truncated));
        assert!(matches!(with(&|p| p.certificate.clear()), MaterialError::CertificatePem(PemError::Nothing { .. })));
        assert_eq!(with(&|p| p.key = cut(&p.key)), MaterialError::KeyPem(PemError::Truncated));
        assert!(matches!(with(&|p| p.key = p.certificate.clone()), MaterialError::KeyPem(PemError::Nothing { .. })));
        assert_eq!(with(&|p| p.key = other.key_pem.clone().into_bytes()), MaterialError::KeyMismatch);
        assert_eq!(
            with(&|p| p.authority = Some(p.certificate.clone())),
            MaterialError::Authority(BundleProblem::NotAnAuthority { position: 1 })
        );
        let stranger = Forge::new("us-west").pem();
        assert!(matches!(
            with(&|p| p.authority = Some(stranger.clone().into_bytes())),
            MaterialError::Chain(PeerError::UnknownAuthority { .. })
        ));
        let mixed = with(&|p| p.certificate = forge.pem().into_bytes());
        assert_eq!(mixed, MaterialError::Leaf(LeafError::Authority));
    }

    #[test]
    fn another_clusters_certificate_is_refused() {
        let forge = Forge::new("us-east");
        let error = parse(&forge.leaf("us-east").material(Some(&forge))).unwrap_err();
        assert_eq!(error, MaterialError::WrongIdentity { expected: spiffe("us-west"), found: spiffe("us-east") });
    }

    #[test]
    fn the_time_counts() {
        let forge = Forge::new("us-west");
        let pem = forge.leaf("us-west").material(Some(&forge));
        let leaf = parse(&pem).unwrap();
        let at = |time: SystemTime| Material::parse(&pem, &spiffe("us-west"), time).map(drop);
        let second = Duration::from_secs(1);
        assert_eq!(at(leaf.not_before - second), Err(MaterialError::NotYetValid { not_before: leaf.not_before }));
        assert_eq!(at(leaf.not_before), Ok(()));
        assert_eq!(at(leaf.not_after), Ok(()));
        assert_eq!(at(leaf.not_after + second), Err(MaterialError::Expired { not_after: leaf.not_after }));
    }

    #[test]
    fn both_usages_are_needed() {
        let forge = Forge::new("us-west");
        let leaf = forge.leaf_with("us-west", |p| {
            p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        });
        assert_eq!(parse(&leaf.material(None)), Err(MaterialError::Usage { missing: "clientAuth" }));
    }

    #[test]
    fn the_digest_tells_parts_apart() {
        let pem = |c: &str, k: &str, a: Option<&str>| {
            let part = |text: &str| text.as_bytes().to_vec();
            MaterialPem { certificate: part(c), key: part(k), authority: a.map(part) }.digest()
        };
        assert_ne!(pem("ab", "c", None), pem("a", "bc", None));
        assert_ne!(pem("a", "b", None), pem("a", "b", Some("")));
        assert_eq!(pem("a", "b", Some("c")), pem("a", "b", Some("c")));
    }
}
