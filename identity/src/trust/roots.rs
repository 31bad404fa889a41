//! The CA certificates of one cluster.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, TrustAnchor};
use strait_catalog::ClusterId;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints, ParsedExtension};

use crate::certificate;
use crate::pem::{self, PemError};

/// A bundle that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CA bundle of cluster {cluster} not taken, {}: {problem}", if *.kept_old { "its earlier roots stay" } else { "nobody of it is trusted" })]
pub struct BundleError {
    /// Whose bundle.
    pub cluster: ClusterId,
    /// What is wrong with it.
    pub problem: BundleProblem,
    /// True when the cluster had roots before and keeps them.
    pub kept_old: bool,
}

/// What is wrong with a CA bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleProblem {
    /// Not PEM, or without a certificate.
    #[error("the PEM {0}")]
    Pem(#[from] PemError),
    /// A section is not an X.509 certificate.
    #[error("certificate {position} is not readable: {detail}")]
    Certificate {
        /// Which one, counted from 1.
        position: usize,
        /// What the reader met.
        detail: String,
    },
    /// A leaf as a root would make its holder a CA.
    #[error("certificate {position} is not a CA's (is it the leaf, tls.crt?)")]
    NotAnAuthority {
        /// Which one, counted from 1.
        position: usize,
    },
    /// webpki refuses every URI name below such a certificate, so it could never vouch for anybody.
    #[error("certificate {position} has URI name constraints, under which no cluster's name can be verified")]
    UriConstraints {
        /// Which one, counted from 1.
        position: usize,
    },
    /// Several objects name the same cluster.
    #[error("{count} objects name this cluster; exactly one may")]
    Duplicate {
        /// How many.
        count: usize,
    },
}

/// One CA certificate, reduced to what verification and status need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) anchor: TrustAnchor<'static>,
    pub(crate) not_after: SystemTime,
    pub(crate) fingerprint: String,
}

/// The roots of one cluster; at least one. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roots(Arc<[Root]>);

impl Roots {
    /// Reads a bundle. One bad certificate spoils it: half a bundle is not what anybody wrote.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, BundleProblem> {
        let mut roots: Vec<Root> = Vec::new();
        for (index, der) in pem::certificates(pem)?.iter().enumerate() {
            let root = read_root(der, index + 1)?;
            if roots.iter().all(|known| known.fingerprint != root.fingerprint) {
                roots.push(root);
            }
        }
        Ok(Self(roots.into()))
    }

    /// Every root, expired ones too.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Root> {
        self.0.iter()
    }

    /// These and those, each once.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let new = other.iter().filter(|root| !self.0.contains(root));
        Self(self.iter().chain(new).cloned().collect())
    }

    /// The anchors that are still valid. webpki looks at no dates of an anchor, so an expired CA is left out here.
    pub(crate) fn anchors_at(&self, now: SystemTime) -> Vec<TrustAnchor<'static>> {
        self.iter().filter(|root| now <= root.not_after).map(|root| root.anchor.clone()).collect()
    }

    /// When the last root expires.
    pub(crate) fn last_expiry(&self) -> SystemTime {
        self.iter().map(|root| root.not_after).max().unwrap_or(UNIX_EPOCH)
    }
}

fn read_root(der: &CertificateDer<'_>, position: usize) -> Result<Root, BundleProblem> {
    let unreadable = |detail: String| BundleProblem::Certificate { position, detail };
    let parsed = certificate::parse(der).map_err(|e| unreadable(e.to_string()))?;
    if !parsed.is_ca() {
        return Err(BundleProblem::NotAnAuthority { position });
    }
    if constrains_uris(&parsed) {
        return Err(BundleProblem::UriConstraints { position });
    }
    let anchor = webpki::anchor_from_trusted_cert(der).map_err(|e| unreadable(e.to_string()))?.to_owned();
    let (_, not_after) = certificate::validity(&parsed);
    Ok(Root { anchor, not_after, fingerprint: certificate::fingerprint(der) })
}

fn constrains_uris(certificate: &X509Certificate<'_>) -> bool {
    let uri = |tree: &GeneralSubtree<'_>| matches!(tree.base, GeneralName::URI(_));
    let any = |constraints: &NameConstraints<'_>| {
        [&constraints.permitted_subtrees, &constraints.excluded_subtrees].into_iter().flatten().flatten().any(uri)
    };
    certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => any(constraints),
        _ => false,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::Forge;

    #[test]
    fn bundles_hold_several_roots_each_once() {
        let (a, b) = (Forge::new("us-west"), Forge::new("us-west"));
        let pem = format!("# old\n{}\n{}{}", a.pem(), b.pem(), a.pem());
        assert_eq!(Roots::from_pem(pem.as_bytes()).unwrap().iter().count(), 2);
    }

    #[test]
    fn one_bad_certificate_spoils_the_bundle() {
        let good = Forge::new("us-west").pem();
        let cut = &good[..good.len() / 2];
        assert_eq!(
            Roots::from_pem(b""),
            Err(BundleProblem::Pem(PemError::Nothing { what: "certificate (-----BEGIN CERTIFICATE-----)" }))
        );
        assert_eq!(Roots::from_pem(format!("{good}{cut}").as_bytes()), Err(BundleProblem::Pem(PemError::Truncated)));
        let nonsense = format!("{good}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(matches!(Roots::from_pem(nonsense.as_bytes()), Err(BundleProblem::Certificate { position: 2, .. })));
    }

    #[test]
    fn a_leaf_is_no_root() {
        let leaf = Forge::new("us-west").leaf("us-west").certificate_pem;
        assert_eq!(Roots::from_pem(leaf.as_bytes()), Err(BundleProblem::NotAnAuthority { position: 1 }));
    }

    #[test]
    fn uri_constraints_are_named_at_once() {
        let forge = Forge::with("us-west", |p| {
            // GeneralSubtree { base: [6] ".example" } as the only permitted subtree.
            let mut der = vec![0x30, 0x0e, 0xa0, 0x0c, 0x30, 0x0a, 0x86, 0x08];
            der.extend_from_slice(b".example");
            let mut extension = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 30], der);
            extension.set_criticality(true);
            p.custom_extensions.push(extension);
        });
        assert_eq!(Roots::from_pem(forge.pem().as_bytes()), Err(BundleProblem::UriConstraints { position: 1 }));
    }

    #[test]
    fn expired_roots_vouch_for_nobody() {
        let roots = Roots::from_pem(Forge::new("us-west").pem().as_bytes()).unwrap();
        let end = roots.last_expiry();
        assert_eq!(roots.anchors_at(end).len(), 1);
        assert!(roots.anchors_at(end + Duration::from_secs(1)).is_empty());
    }
}
