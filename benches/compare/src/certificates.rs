//! Certificates for the hop between two proxies: ECDSA P-256, as Strait's own CA makes them.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

/// The name in the certificate that all peers but Strait use, on both ends.
pub const NAME: &str = "peer.compare";
/// The CA's certificate.
pub const AUTHORITY: &str = "ca.crt";
/// A certificate that it signed.
pub const CERTIFICATE: &str = "tls.crt";
/// Its key.
pub const KEY: &str = "tls.key";
/// Certificate and key in one, as HAProxy reads them.
pub const BOTH: &str = "both.pem";

/// Writes a CA and a certificate for [`NAME`] into a folder.
pub fn write(folder: &Path) -> Result<()> {
    make(folder, "compare", SanType::DnsName(NAME.try_into()?)).map(drop)
}

/// Writes the identity of a cluster of Strait's into a folder; returns its CA's certificate.
pub fn write_cluster(folder: &Path, cluster: &str) -> Result<String> {
    make(folder, cluster, SanType::URI(format!("spiffe://strait.local/cluster/{cluster}").try_into()?))
}

fn make(folder: &Path, who: &str, name: SanType) -> Result<String> {
    fs::create_dir_all(folder)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("CA of {who}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);

    let mut leaf = CertificateParams::default();
    leaf.distinguished_name.push(DnType::CommonName, who);
    leaf.subject_alt_names = vec![name];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &issuer)?.pem();
    let key = key.serialize_pem();
    fs::write(folder.join(BOTH), format!("{certificate}{key}"))?;
    fs::write(folder.join(CERTIFICATE), certificate)?;
    fs::write(folder.join(KEY), key)?;
    fs::write(folder.join(AUTHORITY), &authority)?;
    Ok(authority)
}
