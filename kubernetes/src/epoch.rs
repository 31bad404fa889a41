//! The epoch: which life of the cluster's etcd the revisions belong to.
//!
//! After etcd was restored from a backup the API server's revisions start again below those already known, and
//! everything new would look old. ConfigMap `strait-epoch` in `strait-system` counts such restores: agents only read
//! it, the controller raises it by compare-and-swap ([`raise_epoch`]), and every version is (epoch, revision). The
//! ConfigMap itself comes back from the backup too, so the new epoch is above every epoch *known*, not above the one
//! written there.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client, Error};

use crate::api::{EPOCH_CONFIG_MAP, SYSTEM_NAMESPACE};

/// The key within the ConfigMap.
const KEY: &str = "epoch";

/// How often a lost race is run again.
const ATTEMPTS: usize = 5;

/// What the ConfigMap says; `None` when the key is absent or no number.
#[must_use]
pub fn read_epoch(map: &ConfigMap) -> Option<u64> {
    map.data.as_ref()?.get(KEY)?.trim().parse().ok()
}

/// The epoch to write when `known` is the highest one known and `written` the one that the ConfigMap holds; `None`
/// when it is high enough already, because another controller was faster.
fn next_epoch(written: Option<u64>, known: u64) -> Option<u64> {
    written.is_none_or(|written| written <= known).then(|| known.saturating_add(1))
}

/// Raises the epoch above `known`, the highest epoch that this cluster's agents use, and returns the new one. To be
/// called by the controller alone, after a quorum list answered with a revision below one already known.
///
/// # Errors
/// The API server's, when the ConfigMap can be neither read nor written, or the race was lost five times.
pub async fn raise_epoch(client: Client, known: u64) -> Result<u64, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client, SYSTEM_NAMESPACE);
    let mut attempt = 1;
    loop {
        match raise_once(&api, known).await {
            Err(Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => attempt += 1,
            other => return other,
        }
    }
}

async fn raise_once(api: &Api<ConfigMap>, known: u64) -> Result<u64, Error> {
    let found = api.get_opt(EPOCH_CONFIG_MAP).await?;
    let written = found.as_ref().and_then(read_epoch);
    let Some(next) = next_epoch(written, known) else {
        return Ok(written.unwrap_or(known));
    };
    let existed = found.is_some();
    // `metadata.resourceVersion` comes along from the object that was read: a write in between is a conflict.
    let mut map = found.unwrap_or_default();
    map.metadata.name = Some(EPOCH_CONFIG_MAP.into());
    map.data.get_or_insert_with(BTreeMap::new).insert(KEY.into(), next.to_string());
    if existed {
        api.replace(EPOCH_CONFIG_MAP, &PostParams::default(), &map).await?;
    } else {
        api.create(&PostParams::default(), &map).await?;
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_epoch_is_above_all_known() {
        for (written, known, next) in [
            (None, 0, Some(1)),
            (Some(0), 0, Some(1)),
            (Some(1), 0, None),
            (Some(0), 4, Some(5)), // the ConfigMap was restored as well
            (Some(5), 4, None),
        ] {
            assert_eq!(next_epoch(written, known), next, "written {written:?}, known {known}");
        }
    }

    #[test]
    fn an_unreadable_epoch_is_none() {
        let map =
            |text: &str| ConfigMap { data: Some([(KEY.to_owned(), text.to_owned())].into()), ..ConfigMap::default() };
        assert_eq!(read_epoch(&map("7")), Some(7));
        assert_eq!(read_epoch(&map(" 7\n")), Some(7));
        for bad in ["", "-1", "seven", "99999999999999999999999"] {
            assert_eq!(read_epoch(&map(bad)), None, "{bad:?}");
        }
        assert_eq!(read_epoch(&ConfigMap::default()), None);
    }
}
