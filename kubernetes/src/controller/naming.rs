//! How the objects that the controller makes are named and marked.

use sha2::{Digest, Sha256};
use strait_catalog::{Protocol, ServiceKey};

/// Field manager of everything the controller applies.
pub const FIELD_MANAGER: &str = "strait-controller";
/// Label on every object that the controller made.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "strait");
/// Label on a derived Service: the namespace of the imported service.
pub const DERIVED_NAMESPACE: &str = "strait.dev/imported-namespace";
/// Label on a derived Service: the name of the imported service.
pub const DERIVED_NAME: &str = "strait.dev/imported-name";
/// On a ServiceImport, while its plain name is or may still be steered: `"true"`, and after the rewrite was
/// withdrawn `"until <seconds since 1970>"`, up to when resolvers may remember it.
pub const STEERED_ANNOTATION: &str = "strait.dev/steered";
/// On a ServiceImport: a digest of the exported labels and annotations it carries, so that one taken back is noticed.
pub const EXPORTED_DIGEST: &str = "strait.dev/exported-digest";
/// Prefix of the annotations and labels that exports cannot set.
pub const OWN_PREFIX: &str = "strait.dev/";
/// Label that says a slice belongs to a Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// ConfigMap in `kube-system` with the snippet of plain names that CoreDNS imports.
pub const NAMES_CONFIG_MAP: &str = "coredns-strait";
/// Its key.
pub const NAMES_KEY: &str = "strait.conf";
/// Where CoreDNS and its ConfigMaps live.
pub const KUBE_SYSTEM: &str = "kube-system";
/// ConfigMap with the public certificates of the cluster's CA, for other clusters.
pub const CA_BUNDLE_CONFIG_MAP: &str = "strait-ca-bundle";
/// Secret with the cluster's CA and its key.
pub const CA_SECRET: &str = "strait-ca";
/// Service under which other clusters reach the agents.
pub const GATEWAY_SERVICE: &str = "strait-gateway";
/// Service under which CoreDNS reaches the agents.
pub const DNS_SERVICE: &str = "strait-dns";
/// Lease that says which controller leads, and the Deployment's name.
pub const CONTROLLER: &str = "strait-controller";
/// The DaemonSet's name.
pub const AGENT: &str = "strait-agent";
/// The labels by which Services select the agents' pods.
pub const AGENT_SELECTOR: [(&str, &str); 2] =
    [("app.kubernetes.io/component", "agent"), ("app.kubernetes.io/name", "strait")];

/// Namespaces whose plain names are never steered: DNS and Strait itself resolve names there.
pub const UNSTEERED_NAMESPACES: [&str; 2] = [KUBE_SYSTEM, crate::api::SYSTEM_NAMESPACE];

/// RFC 4648 base 32 without padding, in lower case: five bits a character, all of them fit for DNS.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The name of the derived Service of an imported one: `strait-` and 50 bits of the key's SHA-256.
#[must_use]
pub fn derived_name(service: &ServiceKey) -> String {
    format!("strait-{}", digest(&[&service.to_string()]))
}

/// Ten characters that stand for a sequence of texts.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let bytes = hash.finalize();
    let mut bits = [0_u8; 8];
    bits[..7].copy_from_slice(&bytes[..7]);
    let bits = u64::from_be_bytes(bits);
    (0..10).map(|i| char::from(ALPHABET[usize::try_from(bits >> (59 - 5 * i) & 31).unwrap_or(0)])).collect()
}

/// How a port is written in the listeners annotation: `80/TCP`.
#[must_use]
pub fn port_key(port: u16, protocol: Protocol) -> String {
    format!("{port}/{}", protocol.as_str())
}

/// Reads `80/TCP`.
#[must_use]
pub fn parse_port_key(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/')?;
    if protocol.is_empty() {
        return None;
    }
    Some((port.parse().ok().filter(|p| *p != 0)?, Protocol::parse(Some(protocol))?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn derived_names_are_short_labels_and_differ() {
        let name = |key: &str| derived_name(&ServiceKey::parse(key).unwrap());
        let one = name("ml-production/model-server");
        assert_eq!(one.len(), 17);
        assert!(one.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{one}");
        assert_eq!(one, name("ml-production/model-server"));
        let all: std::collections::BTreeSet<_> = (0..5000).map(|i| name(&format!("ns/svc-{i}"))).collect();
        assert_eq!(all.len(), 5000);
        // The name is part of what stands in a cluster: it must not change between versions.
        assert_eq!(name("a/b"), name("a/b"));
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }

    #[test]
    fn port_keys_round_trip() {
        assert_eq!(port_key(80, Protocol::Tcp), "80/TCP");
        assert_eq!(parse_port_key("53/UDP"), Some((53, Protocol::Udp)));
        for bad in ["80", "0/TCP", "80/", "x/TCP", "80/tcp", "70000/TCP"] {
            assert_eq!(parse_port_key(bad), None, "{bad}");
        }
    }
}
