//! Certificates for tests: good ones, and ones no honest CA would issue.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::time_provider::TimeProvider;
use strait_catalog::ClusterId;

use crate::id::{SpiffeId, TrustDomain};
use crate::material::{Material, MaterialPem};
use crate::moment::{from_seconds, to_unix};
use crate::tls::Identity;
use crate::trust::PeerBundle;

/// Every test's present: 2026-11-23T15:21:00Z.
pub(crate) fn now() -> SystemTime {
    from_seconds(1_795_447_260)
}

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct FixedClock(pub(crate) SystemTime);

impl TimeProvider for FixedClock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(to_unix(self.0))
    }
}

pub(crate) fn cluster(id: &str) -> ClusterId {
    ClusterId::parse(id).unwrap()
}

pub(crate) fn spiffe(id: &str) -> SpiffeId {
    SpiffeId::new(TrustDomain::parse("test.example").unwrap(), cluster(id))
}

/// A CA that signs whatever it is asked to.
pub(crate) struct Forge(CertifiedIssuer<'static, KeyPair>);

/// A leaf with its key.
pub(crate) struct ForgedLeaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

const DAY: Duration = Duration::from_secs(86_400);

fn dates(params: &mut CertificateParams, life: Duration) {
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + life).into();
}

impl Forge {
    pub(crate) fn new(cluster: &str) -> Self {
        Self::with(cluster, |_| ())
    }

    pub(crate) fn with(cluster: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        dates(&mut params, 100 * DAY);
        params.distinguished_name.push(rcgen::DnType::CommonName, cluster);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        edit(&mut params);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn bundle(&self, of: &str) -> PeerBundle {
        PeerBundle { cluster: cluster(of), trust_domain: None, pem: self.pem() }
    }

    /// A good leaf for any name.
    pub(crate) fn leaf(&self, of: &str) -> ForgedLeaf {
        self.leaf_with(of, |_| ())
    }

    /// A leaf with anything changed.
    pub(crate) fn leaf_with(&self, of: &str, edit: impl FnOnce(&mut CertificateParams)) -> ForgedLeaf {
        let mut params = CertificateParams::default();
        dates(&mut params, 10 * DAY);
        params.subject_alt_names = vec![SanType::URI(spiffe(of).to_string().try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate_pem = params.signed_by(&key, &self.0).unwrap().pem();
        let chain = vec![CertificateDer::from_pem_slice(certificate_pem.as_bytes()).unwrap()];
        ForgedLeaf { chain, certificate_pem, key_pem: key.serialize_pem() }
    }
}

impl ForgedLeaf {
    pub(crate) fn material(&self, authority: Option<&Forge>) -> MaterialPem {
        MaterialPem {
            certificate: self.certificate_pem.clone().into_bytes(),
            key: self.key_pem.clone().into_bytes(),
            authority: authority.map(|forge| forge.pem().into_bytes()),
        }
    }
}

/// A cluster with its own CA and a good leaf, at the tests' present.
pub(crate) struct TestCluster {
    pub(crate) forge: Forge,
    pub(crate) identity: Identity,
}

impl TestCluster {
    pub(crate) fn new(id: &str) -> Self {
        let me = Self::waiting(id);
        me.install(&me.forge.leaf(id));
        me
    }

    /// Without a certificate.
    pub(crate) fn waiting(id: &str) -> Self {
        let identity = Identity::with_clock(spiffe(id), std::sync::Arc::new(FixedClock(now())));
        Self { forge: Forge::new(id), identity }
    }

    pub(crate) fn install(&self, leaf: &ForgedLeaf) {
        let material = Material::parse(&leaf.material(Some(&self.forge)), self.identity.id(), now()).unwrap();
        self.identity.install(material);
    }

    /// Puts a certificate in use that the loader would refuse.
    pub(crate) fn install_unchecked(&self, leaf: &ForgedLeaf) {
        let good = self.forge.leaf(self.identity.id().cluster.as_str());
        let mut material = Material::parse(&good.material(Some(&self.forge)), self.identity.id(), now()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
        let signing = crate::tls::provider().key_provider.load_private_key(key).unwrap();
        material.certified = rustls::sign::CertifiedKey::new(leaf.chain.clone(), signing).into();
        self.identity.install(material);
    }

    pub(crate) fn trusts(&self, others: &[&Self]) {
        let bundle = |other: &&Self| other.forge.bundle(other.identity.id().cluster.as_str());
        self.identity.trust().replace_peers(others.iter().map(bundle));
    }
}
