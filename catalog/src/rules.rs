//! What is not believed, whoever says it.

use std::net::IpAddr;

/// Why an endpoint of a slice is not used. The record itself is kept, so that both ends of a session still agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an IP address.
    #[error("address {0:?} is not an IP address")]
    NotAnAddress(String),
    /// Loopback, link-local, multicast or unspecified, and not inside a declared pod network (CVE-2021-25737).
    #[error("address {0} is loopback, link-local, multicast or unspecified")]
    Unusable(IpAddr),
    /// Outside the networks the cluster declared (CVE-2021-25740).
    #[error(
        "address {0} is outside the cluster's declared pod networks; is podCIDRs in ConfigMap strait-cluster complete?"
    )]
    OutsidePodNetworks(IpAddr),
}

/// An IP network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8` or `fd00::/8`; `None` when it is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (base, bits) = text.trim().split_once('/')?;
        let base: IpAddr = base.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        (bits <= if base.is_ipv4() { 32 } else { 128 }).then_some(Self { base, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u8| {
            let shift = u32::from(width - self.bits);
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        };
        match (self.base, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// True for an IP network in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`.
#[must_use]
pub fn is_network(text: &str) -> bool {
    Network::parse(text).is_some()
}

/// The pod networks a cluster declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    known: Vec<Network>,
    declared: bool,
}

impl Networks {
    /// Reads them. What is no network admits nothing, and does not make the list an empty one, which would admit all.
    pub(crate) fn of(declared: &[String]) -> Self {
        Self {
            known: declared.iter().filter_map(|text| Network::parse(text)).collect(),
            declared: !declared.is_empty(),
        }
    }
}

fn unusable(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    local || address.is_loopback() || address.is_multicast() || address.is_unspecified()
}

/// Reads an endpoint's address and checks it against the networks its cluster declared. With none declared only
/// addresses that can never be a pod's are refused; a declared network may hold any of them on purpose.
pub(crate) fn admit(text: &str, networks: &Networks) -> Result<IpAddr, Refusal> {
    let address: IpAddr = text.parse().map_err(|_| Refusal::NotAnAddress(text.chars().take(80).collect()))?;
    if networks.known.iter().any(|n| n.contains(address)) {
        Ok(address)
    } else if unusable(address) {
        Err(Refusal::Unusable(address))
    } else if !networks.declared {
        Ok(address)
    } else {
        Err(Refusal::OutsidePodNetworks(address))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_admitted_by_declared_network() {
        let networks = |all: &[&str]| Networks::of(&all.iter().map(ToString::to_string).collect::<Vec<_>>());
        let (pods, none, wrong) =
            (networks(&["10.11.0.0/16", "fd00:11::/32"]), networks(&[]), networks(&["10.11.0.0"]));
        for (address, networks, good) in [
            ("10.11.3.4", &pods, true),
            ("10.12.3.4", &pods, false),
            ("10.12.3.4", &none, true),
            ("10.11.3.4", &wrong, false),
            ("127.0.0.1", &pods, false),
            ("127.0.0.1", &none, false),
            ("169.254.169.254", &none, false),
            ("fe80::1", &none, false),
            ("::1", &none, false),
            ("::ffff:127.0.0.1", &none, false),
            ("0.0.0.0", &none, false),
            ("fd00:11::7", &pods, true),
            ("pod-1", &none, false),
        ] {
            assert_eq!(admit(address, networks).is_ok(), good, "{address} in {networks:?}");
        }
        assert!(admit("127.1.2.3", &networks(&["127.0.0.0/8"])).is_ok(), "declared on purpose");
    }

    #[test]
    fn networks_of_any_length() {
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("::/0").unwrap().contains("2001:db8::1".parse().unwrap()));
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "::/129"] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
    }
}
