//! Open connections outlive what was true at their handshake: certificates expire, roots are removed. This is how the
//! owner of a long connection notices.

use std::time::Duration;

use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use strait_catalog::ClusterId;

use crate::moment::to_unix;
use crate::tls::{Identity, provider};
use crate::verify::{PeerError, PeerRole, Presented, verify_peer};

/// How often the time is compared with a certificate's end; changes of trust are acted on at once.
const LOOK: Duration = Duration::from_secs(30);

/// What the peer of a connection showed in its handshake.
#[derive(Clone, Debug)]
pub struct Shown {
    certificates: Vec<CertificateDer<'static>>,
    role: PeerRole,
}

impl Shown {
    /// Of a connection whose handshake is over; `role` is the peer's.
    #[must_use]
    pub fn on(connection: &CommonState, role: PeerRole) -> Self {
        let shown = connection.peer_certificates().unwrap_or_default();
        Self { certificates: shown.iter().map(|c| c.clone().into_owned()).collect(), role }
    }
}

impl Identity {
    /// Decides again about a peer, by today's roots and time.
    ///
    /// # Errors
    /// [`PeerError`] when a new handshake with the same certificates would be refused.
    pub fn recheck(&self, shown: &Shown) -> Result<ClusterId, PeerError> {
        let (leaf, intermediates) = shown.certificates.split_first().ok_or(PeerError::Unauthenticated)?;
        let algorithms = provider().signature_verification_algorithms;
        let presented = Presented { leaf, intermediates, role: shown.role };
        let peer = verify_peer(&self.trust().load(), &algorithms, presented, None, to_unix(self.now()))?;
        Ok(peer.id.cluster)
    }

    /// Waits until a new handshake with the same certificates would be refused, and says why.
    pub async fn distrusted(self, shown: Shown) -> PeerError {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.recheck(&shown) {
                return error;
            }
            // Time passes even when nobody can change anything any more.
            let _ = tokio::time::timeout(LOOK, async {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
            .await;
        }
    }
}
