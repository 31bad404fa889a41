//! The decision alone, case by case.

use std::time::Duration;

use super::*;
use crate::moment::to_unix;
use crate::testing::{Forge, ForgedLeaf, cluster, now, spiffe};
use crate::tls::provider;
use crate::trust::Roots;

const DAY: Duration = Duration::from_secs(86_400);

fn entry(forge: &Forge) -> ClusterRoots {
    let roots = Roots::from_pem(forge.pem().as_bytes()).expect("a good bundle");
    ClusterRoots { trust_domain: spiffe("x").trust_domain, roots }
}

fn judge(map: &TrustMap, leaf: &ForgedLeaf, expected: Option<&str>, at: SystemTime) -> Result<String, PeerError> {
    let presented = Presented { leaf: &leaf.chain[0], intermediates: &leaf.chain[1..], role: PeerRole::Server };
    let algorithms = provider().signature_verification_algorithms;
    verify_peer(map, &algorithms, presented, expected.map(cluster).as_ref(), to_unix(at))
        .map(|leaf| leaf.id.cluster.to_string())
}

#[test]
fn the_name_chooses_the_roots() {
    let (east, eu) = (Forge::new("us-east"), Forge::new("eu-west"));
    let map = TrustMap::of([(cluster("us-east"), entry(&east)), (cluster("eu-west"), entry(&eu))]);
    assert_eq!(judge(&map, &east.leaf("us-east"), None, now()).as_deref(), Ok("us-east"));
    assert_eq!(judge(&map, &east.leaf("us-east"), Some("us-east"), now()).as_deref(), Ok("us-east"));

    let forged = judge(&map, &east.leaf("eu-west"), None, now());
    assert_eq!(forged, Err(PeerError::UnknownAuthority { cluster: cluster("eu-west") }));
    let unknown = judge(&map, &east.leaf("us-north"), None, now());
    assert_eq!(unknown, Err(PeerError::UnknownCluster { cluster: cluster("us-north") }));
    let wrong = judge(&map, &east.leaf("us-east"), Some("eu-west"), now());
    assert_eq!(wrong, Err(PeerError::WrongCluster { expected: cluster("eu-west"), found: cluster("us-east") }));
}

#[test]
fn a_root_of_the_same_name_with_another_key_is_unknown() {
    let map = TrustMap::of([(cluster("us-east"), entry(&Forge::new("us-east")))]);
    let judged = judge(&map, &Forge::new("us-east").leaf("us-east"), None, now());
    assert_eq!(judged, Err(PeerError::UnknownAuthority { cluster: cluster("us-east") }));
}

#[test]
fn time_usage_and_trust_domain_have_their_own_reasons() {
    let east = Forge::new("us-east");
    let map = TrustMap::of([(cluster("us-east"), entry(&east))]);
    let leaf = east.leaf("us-east");
    assert!(matches!(judge(&map, &leaf, None, now() + 20 * DAY), Err(PeerError::Expired { .. })));
    assert!(matches!(judge(&map, &leaf, None, now() - 20 * DAY), Err(PeerError::NotYetValid { .. })));
    assert!(matches!(judge(&map, &leaf, None, now() + 200 * DAY), Err(PeerError::RootsExpired { .. })));

    let client_only = east.leaf_with("us-east", |p| {
        p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let judged = judge(&map, &client_only, None, now());
    assert_eq!(judged, Err(PeerError::Usage { cluster: cluster("us-east"), usage: "serverAuth" }));

    let foreign = east.leaf_with("us-east", |p| {
        let uri = "spiffe://elsewhere.example/cluster/us-east";
        p.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().expect("ASCII"))];
    });
    assert!(matches!(judge(&map, &foreign, None, now()), Err(PeerError::TrustDomain { .. })));
}

#[test]
fn the_texts_name_cluster_and_cause() {
    let east = Forge::new("us-east");
    let map = TrustMap::of([(cluster("us-east"), entry(&east))]);
    let late = judge(&map, &east.leaf("us-east"), None, now() + 20 * DAY).expect_err("expired").to_string();
    assert!(late.contains("us-east") && late.contains("expired at 2026-12-03T15:21:00Z"), "{late}");
    let stranger = judge(&map, &Forge::new("x").leaf("us-east"), None, now()).expect_err("unknown").to_string();
    assert!(stranger.contains("CA bundle current?"), "{stranger}");
}
