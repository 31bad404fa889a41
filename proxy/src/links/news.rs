//! What is told of gateways in the log: one line when one cannot be reached, another when the cause changes, and one
//! when it is reached again, however many workers dial it and however often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use strait_catalog::ClusterId;

/// The gateways that are known not to be reached, with the cause that was told. Shared by all workers; locked for a
/// lookup after a failed dial or a made connection, never for a request.
#[derive(Debug, Default)]
pub(crate) struct News {
    told: Mutex<HashMap<(ClusterId, Arc<str>), &'static str>>,
}

impl News {
    /// A dial failed; `cause` is one of few, `detail` says more.
    pub(super) fn failed(&self, cluster: &ClusterId, gateway: &Arc<str>, cause: &'static str, detail: &str) {
        if self.is_new(cluster, gateway, cause) {
            tracing::warn!(%cluster, %gateway, cause, detail, "gateway cannot be reached; it is tried again and again");
        } else {
            tracing::debug!(%cluster, %gateway, cause, detail, "gateway cannot be reached");
        }
    }

    /// A connection was made.
    pub(super) fn reached(&self, cluster: &ClusterId, gateway: &Arc<str>) {
        if self.forget(cluster, gateway) {
            tracing::info!(%cluster, %gateway, "gateway is reached again");
        }
    }

    /// Drops what was told of a gateway that is no longer wanted; true when it was known to fail.
    pub(super) fn forget(&self, cluster: &ClusterId, gateway: &Arc<str>) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.remove(&(cluster.clone(), gateway.clone())).is_some()
    }

    fn is_new(&self, cluster: &ClusterId, gateway: &Arc<str>, cause: &'static str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert((cluster.clone(), gateway.clone()), cause) != Some(cause)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_until_the_gateway_is_reached() {
        let (news, cluster) = (News::default(), ClusterId::parse("us-east").unwrap());
        let gateway: Arc<str> = "10.0.0.1:15443".into();
        assert!(news.is_new(&cluster, &gateway, "connect"));
        assert!(!news.is_new(&cluster, &gateway, "connect"));
        assert!(news.is_new(&cluster, &"10.0.0.2:15443".into(), "connect"), "another gateway");
        assert!(news.is_new(&cluster, &gateway, "handshake"));
        assert!(news.forget(&cluster, &gateway));
        assert!(!news.forget(&cluster, &gateway), "nothing to tell of a gateway that was never lost");
        assert!(news.is_new(&cluster, &gateway, "handshake"));
    }
}
