//! Keeping this process's identity at what the Secret says, and the Secret at what it should say.

use std::time::{Duration, SystemTime};

use strait_identity::Identity;
use tokio_util::sync::CancellationToken;

use super::authority::CertificateKeeper;
use crate::lease::Leadership;

/// How often certificates are looked at.
const EVERY: Duration = Duration::from_secs(30);
/// How soon again after trouble, or while there is none.
const SOON: Duration = Duration::from_secs(3);

/// The leader makes and renews; a standby takes what is there.
pub(super) async fn follow(
    keeper: CertificateKeeper,
    identity: Identity,
    mut leadership: Leadership,
    stop: CancellationToken,
) {
    let mut last_trouble = String::new();
    loop {
        let now = SystemTime::now();
        let led = leadership.held();
        let kept = if led { keeper.keep(now).await.map(Some) } else { keeper.read(now).await };
        let wait = match kept {
            Ok(Some(material)) => {
                last_trouble.clear();
                if identity.leaf().as_ref() != Some(material.leaf()) {
                    identity.install(material);
                }
                EVERY
            }
            Ok(None) => SOON,
            Err(trouble) => {
                let text = trouble.to_string();
                if text != last_trouble {
                    tracing::warn!("{text}");
                    last_trouble = text;
                }
                SOON
            }
        };
        let sleep = tokio::time::sleep(wait);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = &mut sleep => break,
                () = leadership.changed() => if leadership.held() != led { break },
            }
        }
    }
}
