//! ClusterPeers: few, so that each change tells them all.

use std::collections::BTreeMap;

use strait_catalog::{ClusterId, Input, Peer, Version};

use super::Follow;
use crate::source::error::Unfit;
use crate::source::object::{Change, ObjectName, Sighting};
use crate::source::project::{parse, project_peer};

/// Turns ClusterPeers into peers.
pub(in crate::source) struct Peers {
    local: ClusterId,
    known: BTreeMap<ObjectName, Peer>,
}

impl Peers {
    pub(in crate::source) const fn new(local: ClusterId) -> Self {
        Self { local, known: BTreeMap::new() }
    }

    fn set(&mut self, seen: Sighting<Peer>) {
        match seen.fact {
            Some(peer) => self.known.insert(seen.name, peer),
            None => self.known.remove(&seen.name),
        };
    }

    /// One peer a cluster: should two objects name the same one (their schema forbids it), the first by name counts.
    fn tell(&self) -> Vec<Input> {
        let mut peers: BTreeMap<&ClusterId, &Peer> = BTreeMap::new();
        for peer in self.known.values() {
            peers.entry(&peer.cluster).or_insert(peer);
        }
        vec![Input::Peers(peers.into_values().cloned().collect())]
    }
}

impl Follow for Peers {
    type Fact = Peer;

    fn read(&self, json: &str) -> Result<Option<Peer>, Unfit> {
        project_peer(&self.local, &parse(json)?)
    }

    fn known(&self) -> impl Iterator<Item = &ObjectName> + Send {
        self.known.keys()
    }

    fn listed(&mut self, _version: Version, seen: Vec<Sighting<Peer>>) -> Vec<Input> {
        self.known.clear();
        seen.into_iter().for_each(|sighting| self.set(sighting));
        self.tell()
    }

    /// A status written by the controller every few seconds changes nothing here, and tells nothing.
    fn changed(&mut self, _epoch: u64, changes: Vec<Change<Peer>>) -> Vec<Input> {
        let before = self.known.clone();
        for change in changes {
            match change {
                Change::Set(seen) => self.set(seen),
                Change::Gone(name, _) => drop(self.known.remove(&name)),
            }
        }
        if self.known == before { Vec::new() } else { self.tell() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sighting(name: &str, cluster: &str, gateway: &str) -> Sighting<Peer> {
        let peer = Peer {
            cluster: ClusterId::parse(cluster).unwrap(),
            gateways: vec![gateway.to_owned()],
            ca_bundle: String::new(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        };
        Sighting { name: ObjectName { namespace: "".into(), name: name.into() }, revision: 1, fact: Some(peer) }
    }

    fn gateways(told: &[Input]) -> Vec<String> {
        let [Input::Peers(peers)] = told else { panic!("one full set of peers, not {told:?}") };
        peers.iter().flat_map(|peer| peer.gateways.clone()).collect()
    }

    #[test]
    fn each_change_tells_all() {
        let mut peers = Peers::new(ClusterId::parse("us-west").unwrap());
        let told = peers.listed(Version::default(), vec![sighting("us-east", "us-east", "a:1")]);
        assert_eq!(gateways(&told), ["a:1"]);
        let told = peers.changed(0, vec![Change::Set(sighting("eu-west", "eu-west", "b:1"))]);
        assert_eq!(gateways(&told), ["b:1", "a:1"]);
        let told = peers.changed(0, vec![Change::Gone(sighting("us-east", "us-east", "").name, 9)]);
        assert_eq!(gateways(&told), ["b:1"]);
        assert_eq!(gateways(&peers.listed(Version::default(), Vec::new())), Vec::<String>::new());
    }

    #[test]
    fn a_status_update_tells_nothing() {
        let mut peers = Peers::new(ClusterId::parse("us-west").unwrap());
        peers.listed(Version::default(), vec![sighting("us-east", "us-east", "a:1")]);
        assert_eq!(peers.changed(0, vec![Change::Set(sighting("us-east", "us-east", "a:1"))]), []);
    }

    #[test]
    fn two_objects_for_one_cluster_are_one_peer() {
        let mut peers = Peers::new(ClusterId::parse("us-west").unwrap());
        let told =
            peers.listed(Version::default(), vec![sighting("z", "us-east", "z:1"), sighting("b", "us-east", "b:1")]);
        assert_eq!(gateways(&told), ["b:1"]);
    }
}
