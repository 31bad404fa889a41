//! This cluster's CA and certificate: made here, kept in two Secrets, renewed at half life.
//!
//! ```text
//! Secret strait-ca        ca.crt ca.key           read and written by the controller only
//!        │ signs
//!        ▼
//! Secret strait-identity  tls.crt tls.key ca.crt  mounted by every agent
//! ConfigMap strait-ca-bundle  ca.crt              public: other clusters' ClusterPeers carry it
//! ```
//!
//! The installation creates the three objects empty. Every write carries the resourceVersion that was read, so two
//! controllers can never make two CAs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::PostParams;
use kube::{Api, Client};
use strait_identity::{
    AuthorityError, CertificateAuthority, LeafCertificate, Material, MaterialError, MaterialPem, SpiffeId, should_renew,
};

use super::naming::{CA_BUNDLE_CONFIG_MAP, CA_SECRET};
use crate::api::{IDENTITY_SECRET, SYSTEM_NAMESPACE};

/// The CA's life, 10 years: a new one has to be handed to all peers.
const CA_LIFE: Duration = Duration::from_secs(3650 * 86_400);
/// The certificate's life, 30 days: renewed after 15, which leaves as many to notice that renewal fails.
const LEAF_LIFE: Duration = Duration::from_secs(30 * 86_400);

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Why this cluster has no certificate, or cannot renew it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityTrouble {
    /// The API server refused.
    #[error(
        "{object} in namespace strait-system: {source}; is the installation complete and the controller's Role in place?"
    )]
    Api {
        /// What was read or written.
        object: &'static str,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// A CA is there and does not read; it is never overwritten, since all peers trust it.
    #[error("Secret strait-system/strait-ca: {0}; repair it, or empty it to have a new CA made, and then join again")]
    Unreadable(#[source] AuthorityError),
    /// The CA cannot sign.
    #[error("the certificate of this cluster: {0}")]
    Issue(#[source] AuthorityError),
    /// What was just made does not pass the checks that peers make.
    #[error("the certificate of this cluster: {0}")]
    Check(#[source] MaterialError),
}

fn api(object: &'static str) -> impl Fn(kube::Error) -> AuthorityTrouble {
    move |source| AuthorityTrouble::Api { object, source: Box::new(source) }
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    String::from_utf8(bytes.clone()).ok().filter(|text| !text.trim().is_empty())
}

fn with(mut secret: Secret, pairs: &[(&str, &str)]) -> Secret {
    let data = secret.data.get_or_insert_default();
    data.extend(pairs.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec()))));
    secret
}

/// The contents of Secret `strait-identity`; `None` while it is empty.
fn material(secret: &Secret) -> Option<MaterialPem> {
    let part = |key| text(secret, key).map(String::into_bytes);
    Some(MaterialPem { certificate: part(CERTIFICATE)?, key: part(KEY)?, authority: part(CA_CERTIFICATE) })
}

/// Why a new certificate is due; `None` while the held one is good.
fn renewal(held: Option<&MaterialPem>, ca_bundle: &str, id: &SpiffeId, now: SystemTime) -> Option<String> {
    let Some(held) = held else { return Some("there is none yet".into()) };
    if held.authority.as_deref() != Some(ca_bundle.as_bytes()) {
        return Some("the CA changed".into());
    }
    match Material::parse(held, id, now) {
        Err(why) => Some(why.to_string()),
        Ok(material) => half_over(material.leaf(), now).then(|| "half of its life is over".into()),
    }
}

fn half_over(leaf: &LeafCertificate, now: SystemTime) -> bool {
    should_renew(leaf.not_before, leaf.not_after, now)
}

/// The keeper of the two Secrets and the public bundle.
#[derive(Clone)]
pub struct CertificateKeeper {
    secrets: Api<Secret>,
    maps: Api<ConfigMap>,
    id: SpiffeId,
}

impl CertificateKeeper {
    /// For this cluster's id.
    #[must_use]
    pub fn new(client: Client, id: SpiffeId) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), SYSTEM_NAMESPACE),
            maps: Api::namespaced(client, SYSTEM_NAMESPACE),
            id,
        }
    }

    /// What is there, without making anything: for a standby.
    ///
    /// # Errors
    /// [`AuthorityTrouble`] when it cannot be read or does not pass the checks.
    pub async fn read(&self, now: SystemTime) -> Result<Option<Material>, AuthorityTrouble> {
        let secret = self.secrets.get_opt(IDENTITY_SECRET).await.map_err(api("Secret strait-identity"))?;
        let Some(pem) = secret.as_ref().and_then(material) else { return Ok(None) };
        Material::parse(&pem, &self.id, now).map(Some).map_err(AuthorityTrouble::Check)
    }

    /// Makes what is missing and renews what is due; for the leader. Returns the certificate in use.
    ///
    /// # Errors
    /// [`AuthorityTrouble`], naming the object.
    pub async fn keep(&self, now: SystemTime) -> Result<Material, AuthorityTrouble> {
        let (ca, bundle) = self.authority(now).await?;
        self.publish(&bundle).await?;
        let secret = self.secrets.get(IDENTITY_SECRET).await.map_err(api("Secret strait-identity"))?;
        let held = material(&secret);
        let pem = match (renewal(held.as_ref(), &bundle, &self.id, now), held) {
            (None, Some(held)) => held,
            (why, _) => self.issue(&ca, &bundle, secret, &why.unwrap_or_default(), now).await?,
        };
        Material::parse(&pem, &self.id, now).map_err(AuthorityTrouble::Check)
    }

    async fn issue(
        &self,
        ca: &CertificateAuthority,
        bundle: &str,
        secret: Secret,
        why: &str,
        now: SystemTime,
    ) -> Result<MaterialPem, AuthorityTrouble> {
        let leaf = ca.issue(&self.id, LEAF_LIFE, now).map_err(AuthorityTrouble::Issue)?;
        let pairs = [(CERTIFICATE, &*leaf.certificate_pem), (KEY, &*leaf.key_pem), (CA_CERTIFICATE, bundle)];
        self.replace("Secret strait-identity", with(secret, &pairs)).await?;
        tracing::info!(id = %self.id, why, secret = "strait-system/strait-identity", "made a certificate");
        Ok(MaterialPem {
            certificate: leaf.certificate_pem.into_bytes(),
            key: leaf.key_pem.into_bytes(),
            authority: Some(bundle.as_bytes().to_vec()),
        })
    }

    /// The CA and all certificates that peers should trust for this cluster.
    async fn authority(&self, now: SystemTime) -> Result<(CertificateAuthority, String), AuthorityTrouble> {
        let secret = self.secrets.get(CA_SECRET).await.map_err(api("Secret strait-ca"))?;
        if let (Some(bundle), Some(key)) = (text(&secret, CA_CERTIFICATE), text(&secret, CA_KEY)) {
            let ca = CertificateAuthority::from_pem(&bundle, &key).map_err(AuthorityTrouble::Unreadable)?;
            return Ok((ca, bundle));
        }
        let ca = CertificateAuthority::generate(&self.id.cluster, CA_LIFE, now).map_err(AuthorityTrouble::Issue)?;
        let bundle = ca.certificate_pem().to_owned();
        let pairs = [(CA_CERTIFICATE, &*bundle), (CA_KEY, &*ca.key_pem())];
        self.replace("Secret strait-ca", with(secret, &pairs)).await?;
        tracing::info!(cluster = %self.id.cluster, secret = "strait-system/strait-ca", "made this cluster's CA");
        Ok((ca, bundle))
    }

    async fn replace(&self, object: &'static str, mut secret: Secret) -> Result<(), AuthorityTrouble> {
        let name = secret.metadata.name.clone().unwrap_or_default();
        secret.metadata.managed_fields = None;
        self.secrets.replace(&name, &PostParams::default(), &secret).await.map(drop).map_err(api(object))
    }

    async fn publish(&self, bundle: &str) -> Result<(), AuthorityTrouble> {
        let object = "ConfigMap strait-ca-bundle";
        let mut map = self.maps.get(CA_BUNDLE_CONFIG_MAP).await.map_err(api(object))?;
        if map.data.as_ref().and_then(|d| d.get(CA_CERTIFICATE)).map(String::as_str) == Some(bundle) {
            return Ok(());
        }
        map.data = Some(BTreeMap::from([(CA_CERTIFICATE.to_owned(), bundle.to_owned())]));
        map.metadata.managed_fields = None;
        self.maps.replace(CA_BUNDLE_CONFIG_MAP, &PostParams::default(), &map).await.map(drop).map_err(api(object))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use strait_catalog::ClusterId;
    use strait_identity::TrustDomain;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn id(cluster: &str) -> SpiffeId {
        SpiffeId::new(TrustDomain::parse("strait.local").unwrap(), ClusterId::parse(cluster).unwrap())
    }

    #[test]
    fn a_certificate_is_renewed_when_missing_broken_half_over_or_of_another_ca() {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let west = id("us-west");
        let ca = CertificateAuthority::generate(&west.cluster, CA_LIFE, now).unwrap();
        let bundle = ca.certificate_pem().to_owned();
        let leaf = ca.issue(&west, LEAF_LIFE, now).unwrap();
        let pairs = [(CERTIFICATE, &*leaf.certificate_pem), (KEY, &*leaf.key_pem), (CA_CERTIFICATE, &*bundle)];
        let held = material(&with(Secret::default(), &pairs)).unwrap();
        let due =
            |held: Option<&MaterialPem>, bundle: &str, id: &SpiffeId, now| renewal(held, bundle, id, now).is_some();
        assert!(!due(Some(&held), &bundle, &west, now));
        assert!(!due(Some(&held), &bundle, &west, now + 14 * DAY));
        assert!(due(Some(&held), &bundle, &west, now + 15 * DAY), "half of its life");
        assert!(due(Some(&held), &bundle, &west, now + 31 * DAY));
        assert!(due(None, &bundle, &west, now));
        assert!(due(Some(&held), "another", &west, now));
        assert!(due(Some(&held), &bundle, &id("us-east"), now), "the cluster was renamed");
        let broken = MaterialPem { key: b"x".to_vec(), ..held };
        assert!(due(Some(&broken), &bundle, &west, now));
    }

    #[test]
    fn an_empty_secret_is_no_material() {
        assert!(material(&Secret::default()).is_none());
        assert!(material(&with(Secret::default(), &[(CERTIFICATE, ""), (KEY, " ")])).is_none());
    }
}
