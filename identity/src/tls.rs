//! The handle everybody else holds: one's own certificate, the roots, and rustls configurations made from both.
//!
//! Configurations read the certificate and the roots at each handshake, so one handed out years ago acts on the
//! newest files. Sessions are never resumed: a resumed session would skip the peer's certificate and so outlive its
//! expiry or the removal of its roots; sessions between clusters are few and long, a full handshake costs nothing.

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use strait_catalog::ClusterId;
use tokio::sync::watch;

use crate::alpn::{Alpn, protocol_ids};
use crate::certificate::LeafCertificate;
use crate::id::SpiffeId;
use crate::material::Material;
use crate::moment::from_unix;
use crate::trust::TrustStore;
use crate::verify::PeerVerifier;

/// TLS 1.3 alone: both ends are this program, so nothing older has to be served, and in 1.2 certificates would
/// cross the network in the clear.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13];

/// The cryptography of the whole program, aws-lc-rs; no process-wide default is needed or set.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// There is no certificate to dial with yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id} has no certificate yet (is the identity Secret there, and is the controller running?)")]
pub struct NotReady {
    /// Whose certificate is missing.
    pub id: SpiffeId,
}

/// One's own identity and the trust in others. Cheap to clone; all clones are the same identity.
#[derive(Clone, Debug)]
pub struct Identity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    own: SpiffeId,
    key: ArcSwapOption<OwnKey>,
    trust: Arc<TrustStore>,
    clock: Arc<dyn TimeProvider>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct OwnKey {
    certified: Arc<CertifiedKey>,
    leaf: LeafCertificate,
}

impl Identity {
    /// An identity without a certificate, trusting nobody, by the system's clock.
    #[must_use]
    pub fn new(own: SpiffeId) -> Self {
        Self::with_clock(own, Arc::new(DefaultTimeProvider))
    }

    /// The same by another clock, which decides on expiry in handshakes and in the watcher.
    #[must_use]
    pub fn with_clock(own: SpiffeId, clock: Arc<dyn TimeProvider>) -> Self {
        let changes = Arc::new(watch::Sender::new(0));
        let trust = Arc::new(TrustStore::new(own.clone(), Arc::clone(&changes)));
        Self(Arc::new(Inner { own, key: ArcSwapOption::empty(), trust, clock, changes }))
    }

    /// One's own id.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.0.own
    }

    /// Whom to believe; [`TrustStore::replace_peers`] takes the ClusterPeers.
    #[must_use]
    pub fn trust(&self) -> &TrustStore {
        &self.0.trust
    }

    /// The certificate in use, if there is one.
    #[must_use]
    pub fn leaf(&self) -> Option<LeafCertificate> {
        self.0.key.load().as_ref().map(|key| key.leaf.clone())
    }

    /// Puts a checked certificate, its key and the roots beside it in use. Open connections are left alone.
    pub fn install(&self, material: Material) {
        let Material { certified, leaf, roots } = material;
        self.0.key.store(Some(Arc::new(OwnKey { certified, leaf })));
        self.0.trust.set_own(roots);
        self.0.changes.send_modify(|generation| *generation += 1);
    }

    /// A number that rises whenever the certificate or any root changes. On a change, new connections already use
    /// the new state; whoever holds old ones asks [`Self::recheck`] whether to keep them.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The time by this identity's clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.0.clock.current_time().map_or_else(SystemTime::now, from_unix)
    }

    /// The configuration to dial one cluster with: exactly that cluster must answer, in one of those protocols.
    ///
    /// It stays current by itself, so it may be kept; making one is cheap next to a handshake.
    ///
    /// # Errors
    /// [`NotReady`] before the first certificate: dialling without one would only be refused.
    pub fn client_config(&self, to: &ClusterId, alpn: &[Alpn]) -> Result<Arc<ClientConfig>, NotReady> {
        if self.0.key.load().is_none() {
            return Err(NotReady { id: self.0.own.clone() });
        }
        let mut config = ClientConfig::builder_with_details(provider(), Arc::clone(&self.0.clock))
            .with_protocol_versions(VERSIONS)
            .expect("aws-lc-rs has TLS 1.3 suites")
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(Some(to.clone())))
            .with_client_cert_resolver(self.resolver());
        config.alpn_protocols = protocol_ids(alpn);
        config.resumption = Resumption::disabled();
        // The name is made up (see `server_name`) and would only tell the path which cluster is dialled.
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    /// The gateway's configuration: a client certificate is required, both protocols are offered.
    ///
    /// It may be made before there is a certificate; handshakes then fail. It stays current by itself.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_details(provider(), Arc::clone(&self.0.clock))
            .with_protocol_versions(VERSIONS)
            .expect("aws-lc-rs has TLS 1.3 suites")
            .with_client_cert_verifier(self.verifier(None))
            .with_cert_resolver(self.resolver());
        config.alpn_protocols = protocol_ids(&Alpn::ALL);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// The name to give rustls when dialling; it is neither sent nor compared.
    #[must_use]
    pub fn server_name(to: &ClusterId) -> ServerName<'static> {
        // A second label keeps a cluster called "10" from being read as an address.
        ServerName::try_from(format!("{to}.strait")).expect("two DNS labels are a DNS name")
    }

    fn verifier(&self, expected: Option<ClusterId>) -> Arc<PeerVerifier> {
        let algorithms = provider().signature_verification_algorithms;
        Arc::new(PeerVerifier::new(Arc::clone(&self.0.trust), algorithms, expected))
    }

    fn resolver(&self) -> Arc<CurrentKey> {
        Arc::new(CurrentKey(self.clone()))
    }
}

/// Answers rustls with the certificate in use at that moment.
#[derive(Debug)]
struct CurrentKey(Identity);

impl CurrentKey {
    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.0.key.load().as_ref().map(|key| Arc::clone(&key.certified))
    }
}

impl ResolvesServerCert for CurrentKey {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

impl ResolvesClientCert for CurrentKey {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current()
    }

    fn has_certs(&self) -> bool {
        self.0.0.key.load().is_some()
    }
}

#[cfg(test)]
mod tests;
