//! From facts to ClusterPeers: every cluster is told of every other one.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use strait_catalog::ClusterId;

use super::facts::ClusterFacts;
use crate::api::{ClusterPeer, ClusterPeerSpec};

/// Field manager of what an operator's join applies.
const FIELD_MANAGER: &str = "strait-join";

/// Why clusters cannot be introduced to one another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntroductionError {
    /// Fewer than two.
    #[error("joining takes at least two contexts, one for each cluster")]
    TooFew,
    /// Two contexts, one id.
    #[error(
        "contexts {first} and {second} both say that they are cluster {id}: an id must be unique in the set (`id` in ConfigMap strait-system/strait-cluster), or the two contexts are the same cluster"
    )]
    Duplicate {
        /// The id.
        id: ClusterId,
        /// A context that says so.
        first: String,
        /// The other one.
        second: String,
    },
    /// Certificates of one would not be read by the other.
    #[error(
        "clusters {a} and {b} have different trust domains ({of_a:?} and {of_b:?}): `trustDomain` in ConfigMap strait-system/strait-cluster must be the same everywhere"
    )]
    TrustDomains {
        /// One cluster.
        a: ClusterId,
        /// Its trust domain.
        of_a: String,
        /// Another one.
        b: ClusterId,
        /// Its trust domain.
        of_b: String,
    },
}

/// For each context, the ClusterPeers to stand there.
///
/// # Errors
/// [`IntroductionError`] when an id is not unique, or trust domains differ.
pub fn introductions(
    clusters: &[ClusterFacts],
    namespaces: &[String],
) -> Result<BTreeMap<String, Vec<ClusterPeer>>, IntroductionError> {
    if clusters.len() < 2 {
        return Err(IntroductionError::TooFew);
    }
    let mut seen: BTreeMap<&ClusterId, &ClusterFacts> = BTreeMap::new();
    for facts in clusters {
        if let Some(first) = seen.insert(&facts.id, facts) {
            let (first, second) = (first.context.clone(), facts.context.clone());
            return Err(IntroductionError::Duplicate { id: facts.id.clone(), first, second });
        }
        let (a, b) = (&clusters[0], facts);
        if a.trust_domain != b.trust_domain {
            return Err(IntroductionError::TrustDomains {
                a: a.id.clone(),
                of_a: a.trust_domain.clone(),
                b: b.id.clone(),
                of_b: b.trust_domain.clone(),
            });
        }
    }
    let told = |to: &ClusterFacts| clusters.iter().filter(|c| c.id != to.id).map(|c| peer(c, namespaces)).collect();
    Ok(clusters.iter().map(|to| (to.context.clone(), told(to))).collect())
}

fn peer(of: &ClusterFacts, namespaces: &[String]) -> ClusterPeer {
    let spec = ClusterPeerSpec {
        cluster_id: of.id.to_string(),
        gateways: of.gateways.clone(),
        ca_bundle: of.ca_bundle.clone(),
        pod_cidrs: of.pod_cidrs.clone(),
        namespaces: namespaces.to_vec(),
    };
    ClusterPeer::new(of.id.as_str(), spec)
}

/// Applies one ClusterPeer; applying it again changes nothing.
///
/// # Errors
/// The API server's.
pub async fn apply(client: &Client, peer: &ClusterPeer) -> Result<(), kube::Error> {
    let api: Api<ClusterPeer> = Api::all(client.clone());
    let name = peer.metadata.name.as_deref().unwrap_or_default();
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(peer)).await.map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn facts(context: &str, id: &str) -> ClusterFacts {
        ClusterFacts {
            context: context.into(),
            id: ClusterId::parse(id).unwrap(),
            trust_domain: "strait.local".into(),
            pod_cidrs: vec!["10.0.0.0/16".into()],
            gateways: vec![format!("{id}.example.org:31443")],
            ca_bundle: format!("CA of {id}"),
        }
    }

    #[test]
    fn everyone_is_told_of_everyone_else() {
        let all = [facts("x", "us-west"), facts("y", "us-east"), facts("z", "eu-west")];
        let told = introductions(&all, &[]).unwrap();
        assert_eq!(told.len(), 3);
        let names: Vec<_> = told["y"].iter().map(|p| p.spec.cluster_id.as_str()).collect();
        assert_eq!(names, ["us-west", "eu-west"]);
        assert_eq!(told["y"][0].spec.ca_bundle, "CA of us-west");
        assert_eq!(told["y"][0].metadata.name.as_deref(), Some("us-west"), "named by id, not by context");
    }

    #[test]
    fn what_would_mislead_is_refused() {
        assert_eq!(introductions(&[facts("x", "us-west")], &[]), Err(IntroductionError::TooFew));
        let error = introductions(&[facts("x", "us-west"), facts("y", "us-west")], &[]).unwrap_err();
        assert!(error.to_string().starts_with("contexts x and y both say that they are cluster us-west"), "{error}");
        let mut other = facts("y", "us-east");
        other.trust_domain = "elsewhere".into();
        assert!(matches!(
            introductions(&[facts("x", "us-west"), other], &[]),
            Err(IntroductionError::TrustDomains { .. })
        ));
    }
}
