//! Who a cluster is and whom it believes: SPIFFE ids, certificates, rustls configurations and their reload.
//!
//! **Owns** the id `spiffe://<trust-domain>/cluster/<id>`, the roots of every cluster ([`TrustStore`]), the rustls
//! verifiers and configurations ([`Identity`]), the watcher of the certificate files ([`IdentityWatcher`]) and the
//! bootstrap CA ([`CertificateAuthority`]).
//! **Never does**: talk to Kubernetes or HTTP, open a socket, decide what an authenticated cluster may do.
//!
//! ```text
//! tls.crt tls.key ca.crt ──► IdentityWatcher ──► Material ─┐            ┌─► ClientConfig (dial cluster X)
//!                                │                         ├─► Identity ┤
//!                        IdentityState (status)            │            └─► ServerConfig (gateway)
//! ClusterPeers ──► PeerBundle ──► TrustStore ──────────────┘
//!
//! handshake: leaf's one URI name ──► cluster id ──► only that cluster's roots ──► chain, usage, time
//! ```
//!
//! Roots are kept per cluster because one shared pool would let any cluster's CA mint any other cluster's name, and
//! X.509 cannot forbid it here: webpki refuses every URI name under a URI name constraint.

mod alpn;
mod authority;
mod certificate;
mod files;
mod id;
mod material;
mod moment;
mod peer;
mod pem;
mod recheck;
#[cfg(test)]
mod testing;
mod tls;
mod trust;
mod verify;

pub use alpn::Alpn;
pub use authority::{AuthorityError, CertificateAuthority, IssuedLeaf, should_renew};
pub use certificate::{LeafCertificate, LeafError};
pub use files::{IdentityFiles, IdentityState, IdentityWatcher};
pub use id::{IdError, SpiffeId, TrustDomain};
pub use material::{Material, MaterialError, MaterialPem};
pub use peer::{explain, peer_certificate, peer_cluster, peer_error};
pub use pem::PemError;
pub use recheck::Shown;
pub use tls::{Identity, NotReady, provider};
pub use trust::{BundleError, BundleProblem, PeerBundle, RootsStatus, TrustChange, TrustStore};
pub use verify::{PeerError, PeerRole};
