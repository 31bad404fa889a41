//! Which cluster stands where on the loopback network, and how far they are apart.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// One cluster of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its id.
    pub name: &'static str,
    /// Its number, the third byte of its addresses.
    pub number: u8,
    /// How many pods of the model server it runs.
    pub pods: u8,
}

/// The three clusters.
pub const SITES: [Site; 3] = [
    Site { name: "us-west", number: 1, pods: 20 },
    Site { name: "us-east", number: 2, pods: 15 },
    Site { name: "eu-west", number: 3, pods: 10 },
];

/// Round trips between the regions, in milliseconds, as between the cloud regions of those names.
const ROUND_TRIPS: [(&str, &str, u64); 3] =
    [("us-west", "us-east", 65), ("us-west", "eu-west", 140), ("us-east", "eu-west", 75)];

/// The service's namespace.
pub const NAMESPACE: &str = "ml-production";
/// The service's name.
pub const SERVICE: &str = "model-server";
/// The port it is offered on; above 1023, so that the demo needs no privilege.
pub const PORT: u16 = 8080;
/// The port pods listen on.
pub const POD_PORT: u16 = 5678;
/// The pods' networks, one for all.
pub const POD_NETWORK: &str = "127.77.0.0/16";

impl Site {
    /// The agent's address; it is also the service's address within the cluster set.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 77, self.number, 1)
    }

    /// An address of the agent.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.address(), port).into()
    }

    /// Where the service is offered.
    #[must_use]
    pub fn listener(&self) -> SocketAddr {
        self.at(PORT)
    }

    /// The agent's DNS.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        self.at(15053)
    }

    /// The agent's gateway.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        self.at(15443)
    }

    /// The agent's admin port.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.at(15020)
    }

    /// The address of one pod, from 0.
    #[must_use]
    pub const fn pod(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 77, self.number, 10 + index)
    }

    /// Where the relay from this cluster to another listens.
    #[must_use]
    pub fn relay_to(&self, other: &Self) -> SocketAddr {
        (Ipv4Addr::new(127, 77, self.number, 200 + other.number), 15443).into()
    }
}

/// The site of that name.
#[must_use]
pub fn site(name: &str) -> Option<&'static Site> {
    SITES.iter().find(|s| s.name == name)
}

/// The round trip between two clusters; zero within one.
#[must_use]
pub fn round_trip(a: &str, b: &str) -> Duration {
    ROUND_TRIPS
        .iter()
        .find(|(x, y, _)| (*x, *y) == (a, b) || (*x, *y) == (b, a))
        .map_or(Duration::ZERO, |(_, _, ms)| Duration::from_millis(*ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_distance_and_every_address_is_its_own() {
        let mut addresses = std::collections::BTreeSet::new();
        for a in &SITES {
            assert!(addresses.insert(a.address()));
            for pod in 0..a.pods {
                assert!(addresses.insert(a.pod(pod)));
            }
            for b in SITES.iter().filter(|b| *b != a) {
                assert!(round_trip(a.name, b.name) > Duration::ZERO);
                assert_eq!(round_trip(a.name, b.name), round_trip(b.name, a.name));
            }
        }
    }
}
