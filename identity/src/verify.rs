//! Is this certificate that cluster's? The decision, and the two rustls verifiers that ask it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use strait_catalog::ClusterId;
use webpki::{EndEntityCert, KeyUsage};

use crate::certificate::{LeafCertificate, LeafError};
use crate::id::TrustDomain;
use crate::moment::{from_unix, utc};
use crate::trust::{ClusterRoots, TrustMap, TrustStore};

/// Which side of the connection the peer is, hence which usage its certificate must allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// The peer was dialled: serverAuth.
    Server,
    /// The peer dialled: clientAuth.
    Client,
}

impl PeerRole {
    fn usage(self) -> KeyUsage {
        match self {
            Self::Server => KeyUsage::server_auth(),
            Self::Client => KeyUsage::client_auth(),
        }
    }

    fn usage_name(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }
}

/// Why a peer's certificate is not believed. Nothing of the peer may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The handshake has not finished, or the peer showed no certificate.
    #[error("the peer has not shown a certificate")]
    Unauthenticated,
    /// The leaf cannot be a cluster's certificate.
    #[error("the peer's certificate is not usable: {0}")]
    Leaf(#[from] LeafError),
    /// Another cluster answered than was dialled.
    #[error(
        "wrong cluster: dialled {expected}, but the peer's certificate is of {found} (do the gateway addresses of ClusterPeer {expected} lead to {found}?)"
    )]
    WrongCluster {
        /// The cluster that was dialled.
        expected: ClusterId,
        /// The cluster that the certificate names.
        found: ClusterId,
    },
    /// Nobody may vouch for that name.
    #[error(
        "unknown cluster {cluster}: there are no roots for it (no ClusterPeer names it, or its CA bundle was not readable)"
    )]
    UnknownCluster {
        /// The cluster that the certificate names.
        cluster: ClusterId,
    },
    /// The name stands in another trust domain than that cluster's.
    #[error("cluster {cluster}: the certificate is of trust domain {found}, not {expected}")]
    TrustDomain {
        /// The cluster that the certificate names.
        cluster: ClusterId,
        /// The trust domain its names must stand in.
        expected: TrustDomain,
        /// The trust domain of the certificate.
        found: TrustDomain,
    },
    /// Every root of that cluster has expired.
    #[error(
        "cluster {cluster}: its last known root expired at {} (is the ClusterPeer's CA bundle current?)",
        utc(*.not_after)
    )]
    RootsExpired {
        /// The cluster that the certificate names.
        cluster: ClusterId,
        /// The end of the last root.
        not_after: SystemTime,
    },
    /// The certificate (or an intermediate) is past its end.
    #[error(
        "cluster {cluster}: its certificate expired at {}, now is {} (is the renewal in that cluster running?)",
        utc(*.not_after),
        utc(*.now)
    )]
    Expired {
        /// The cluster that the certificate names.
        cluster: ClusterId,
        /// Its end.
        not_after: SystemTime,
        /// The time of the check.
        now: SystemTime,
    },
    /// The certificate (or an intermediate) is before its start.
    #[error(
        "cluster {cluster}: its certificate is not valid before {}, now is {} (is one of the two clocks wrong?)",
        utc(*.not_before),
        utc(*.now)
    )]
    NotYetValid {
        /// The cluster that the certificate names.
        cluster: ClusterId,
        /// Its start.
        not_before: SystemTime,
        /// The time of the check.
        now: SystemTime,
    },
    /// No valid root of that cluster signed it.
    #[error(
        "cluster {cluster}: its certificate is signed by an unknown authority (is the ClusterPeer's CA bundle current?)"
    )]
    UnknownAuthority {
        /// The cluster that the certificate names.
        cluster: ClusterId,
    },
    /// The extended key usage does not allow this side of a connection.
    #[error("cluster {cluster}: its certificate does not allow {usage}")]
    Usage {
        /// The cluster that the certificate names.
        cluster: ClusterId,
        /// `serverAuth` or `clientAuth`.
        usage: &'static str,
    },
    /// Anything else webpki refuses.
    #[error("cluster {cluster}: its certificate was refused: {detail}")]
    Refused {
        /// The cluster that the certificate names.
        cluster: ClusterId,
        /// webpki's reason.
        detail: String,
    },
}

impl From<PeerError> for Error {
    /// `Other` keeps the whole reason for this side's log; the peer sees the alert `certificate_unknown`.
    fn from(error: PeerError) -> Self {
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }
}

/// The certificates a peer showed, and which side it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presented<'a> {
    pub(crate) leaf: &'a CertificateDer<'a>,
    pub(crate) intermediates: &'a [CertificateDer<'a>],
    pub(crate) role: PeerRole,
}

/// The decision: the cluster id comes out of the leaf first and chooses the only roots that may vouch for it.
pub(crate) fn verify_peer(
    trust: &TrustMap,
    algorithms: &WebPkiSupportedAlgorithms,
    presented: Presented<'_>,
    expected: Option<&ClusterId>,
    now: UnixTime,
) -> Result<LeafCertificate, PeerError> {
    let leaf = LeafCertificate::read(presented.leaf)?;
    let cluster = &leaf.id.cluster;
    if let Some(expected) = expected.filter(|expected| *expected != cluster) {
        return Err(PeerError::WrongCluster { expected: expected.clone(), found: cluster.clone() });
    }
    let entry = trust.get(cluster).ok_or_else(|| PeerError::UnknownCluster { cluster: cluster.clone() })?;
    verify_chain(entry, algorithms, presented, &leaf, now)?;
    Ok(leaf)
}

/// The chain from an already read leaf to one cluster's roots.
pub(crate) fn verify_chain(
    entry: &ClusterRoots,
    algorithms: &WebPkiSupportedAlgorithms,
    presented: Presented<'_>,
    leaf: &LeafCertificate,
    now: UnixTime,
) -> Result<(), PeerError> {
    let cluster = || leaf.id.cluster.clone();
    if leaf.id.trust_domain != entry.trust_domain {
        let (expected, found) = (entry.trust_domain.clone(), leaf.id.trust_domain.clone());
        return Err(PeerError::TrustDomain { cluster: cluster(), expected, found });
    }
    let anchors = entry.roots.anchors_at(from_unix(now));
    if anchors.is_empty() {
        return Err(PeerError::RootsExpired { cluster: cluster(), not_after: entry.roots.last_expiry() });
    }
    let role = presented.role;
    EndEntityCert::try_from(presented.leaf)
        .and_then(|certificate| {
            certificate
                .verify_for_usage(algorithms.all, &anchors, presented.intermediates, now, role.usage(), None, None)
                .map(drop)
        })
        .map_err(|error| chain_error(cluster(), role, error))
}

fn chain_error(cluster: ClusterId, role: PeerRole, error: webpki::Error) -> PeerError {
    use webpki::Error as E;
    match error {
        E::CertExpired { time, not_after } => {
            PeerError::Expired { cluster, not_after: from_unix(not_after), now: from_unix(time) }
        }
        E::CertNotValidYet { time, not_before } => {
            PeerError::NotYetValid { cluster, not_before: from_unix(not_before), now: from_unix(time) }
        }
        // A bad signature means: a root of the same name, but with another key.
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => PeerError::UnknownAuthority { cluster },
        E::RequiredEkuNotFoundContext(_) => PeerError::Usage { cluster, usage: role.usage_name() },
        other => PeerError::Refused { cluster, detail: other.to_string() },
    }
}

/// rustls' view of [`verify_peer`]. The roots are read at each handshake, so a verifier never goes stale.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    trust: Arc<TrustStore>,
    algorithms: WebPkiSupportedAlgorithms,
    expected: Option<ClusterId>,
}

impl PeerVerifier {
    pub(crate) fn new(
        trust: Arc<TrustStore>,
        algorithms: WebPkiSupportedAlgorithms,
        expected: Option<ClusterId>,
    ) -> Self {
        Self { trust, algorithms, expected }
    }

    fn verify(&self, presented: Presented<'_>, now: UnixTime) -> Result<(), Error> {
        let trust = self.trust.load();
        verify_peer(&trust, &self.algorithms, presented, self.expected.as_ref(), now)?;
        Ok(())
    }
}

impl ServerCertVerifier for PeerVerifier {
    /// The server name is not looked at: it is made up from the cluster's id, and the URI name is what counts.
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(Presented { leaf, intermediates, role: PeerRole::Server }, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    /// No hints: a daemon has one certificate, and the list of peers is nobody's business before they authenticate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(Presented { leaf, intermediates, role: PeerRole::Client }, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
