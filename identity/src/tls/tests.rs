//! Real handshakes, in memory and over loopback.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use rustls::{ClientConnection, Error, HandshakeKind, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::peer::{explain, peer_cluster, peer_error};
use crate::recheck::Shown;
use crate::testing::{Forge, TestCluster, cluster};
use crate::verify::{PeerError, PeerRole};

type Sides = (ClientConnection, ServerConnection);

/// What one side met, and which side it was.
#[derive(Debug)]
enum Refused {
    ByClient(Error),
    ByServer(Error),
}

impl Refused {
    fn reason(&self) -> PeerError {
        let (Self::ByClient(error) | Self::ByServer(error)) = self;
        peer_error(error).unwrap_or_else(|| panic!("{self:?}")).clone()
    }
}

fn dial(from: &TestCluster, to: &TestCluster, expected: &str) -> Result<Sides, Refused> {
    let config = from.identity.client_config(&cluster(expected), &[Alpn::Sync]).unwrap();
    shake(config, to.identity.server_config(), expected)
}

/// Carries the bytes until both sides are done; nothing waits and nothing can hang.
fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>, name: &str) -> Result<Sides, Refused> {
    let mut client = ClientConnection::new(client, Identity::server_name(&cluster(name))).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().map_err(Refused::ByServer)?;
        }
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(Refused::ByClient)?;
        }
        if !client.wants_write() && !server.wants_write() {
            break;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

/// Two clusters that trust each other.
fn pair() -> (TestCluster, TestCluster) {
    let (west, east) = (TestCluster::new("us-west"), TestCluster::new("us-east"));
    west.trusts(&[&east]);
    east.trusts(&[&west]);
    (west, east)
}

#[test]
fn a_good_pair_knows_each_other() {
    let (west, east) = pair();
    let (client, server) = dial(&west, &east, "us-east").unwrap();
    assert_eq!(peer_cluster(&client), Ok(cluster("us-east")));
    assert_eq!(peer_cluster(&server), Ok(cluster("us-west")));
    assert_eq!(Alpn::negotiated(&server), Some(Alpn::Sync));
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn siblings_know_each_other_by_their_own_roots() {
    let west = TestCluster::new("us-west");
    let (client, server) = dial(&west, &west, "us-west").unwrap();
    assert_eq!(peer_cluster(&client), Ok(cluster("us-west")));
    assert_eq!(peer_cluster(&server), Ok(cluster("us-west")));
}

#[test]
fn an_unfinished_handshake_names_nobody() {
    let (west, _east) = pair();
    let config = west.identity.client_config(&cluster("us-east"), &[Alpn::Http2]).unwrap();
    let client = ClientConnection::new(config, Identity::server_name(&cluster("us-east"))).unwrap();
    assert_eq!(peer_cluster(&client), Err(PeerError::Unauthenticated));
}

#[test]
fn expired_and_not_yet_valid_certificates_are_refused_on_both_sides() {
    use crate::testing::now;
    use std::time::Duration;
    let day = Duration::from_secs(86_400);
    for (from, to, expired) in [(2, 1, true), (-1, -2, false)] {
        let shift = |days: i32| {
            if days > 0 { now() - day * days.unsigned_abs() } else { now() + day * days.unsigned_abs() }
        };
        let edit = |p: &mut rcgen::CertificateParams| {
            p.not_before = shift(from).into();
            p.not_after = shift(to).into();
        };
        let is_right = |reason: PeerError| match reason {
            PeerError::Expired { .. } => expired,
            PeerError::NotYetValid { .. } => !expired,
            other => panic!("{other}"),
        };
        let (west, east) = pair();
        east.install_unchecked(&east.forge.leaf_with("us-east", edit));
        let refused = dial(&west, &east, "us-east").unwrap_err();
        assert!(matches!(refused, Refused::ByClient(_)) && is_right(refused.reason()));
        let refused = dial(&east, &west, "us-west").unwrap_err();
        assert!(matches!(refused, Refused::ByServer(_)) && is_right(refused.reason()));
    }
}

#[test]
fn the_dialled_cluster_must_answer() {
    let (west, east) = pair();
    let eu = TestCluster::new("eu-west");
    west.trusts(&[&east, &eu]);
    let refused = dial(&west, &east, "eu-west").unwrap_err();
    let expected = PeerError::WrongCluster { expected: cluster("eu-west"), found: cluster("us-east") };
    assert_eq!(refused.reason(), expected);
    assert!(expected.to_string().contains("dialled eu-west"), "{expected}");
}

#[test]
fn one_clusters_ca_cannot_mint_anothers_name() {
    let (west, east) = pair();
    let eu = TestCluster::new("eu-west");
    west.trusts(&[&east, &eu]);
    // The attacker holds us-east's CA and key and calls itself eu-west; its CA travels along as an intermediate.
    let mut forged = east.forge.leaf("eu-west");
    eu.install_unchecked(&forged);
    let unknown = PeerError::UnknownAuthority { cluster: cluster("eu-west") };
    assert_eq!(dial(&west, &eu, "eu-west").unwrap_err().reason(), unknown);
    eu.trusts(&[&west]);
    assert_eq!(dial(&eu, &west, "us-west").unwrap_err().reason(), unknown);
    let ca = rustls::pki_types::pem::PemObject::from_pem_slice(east.forge.pem().as_bytes()).unwrap();
    forged.chain.push(ca);
    eu.install_unchecked(&forged);
    assert_eq!(dial(&eu, &west, "us-west").unwrap_err().reason(), unknown);
}

#[test]
fn two_uri_names_are_refused() {
    let (west, east) = pair();
    let two = east.forge.leaf_with("us-east", |p| {
        let uri = "spiffe://test.example/cluster/us-west";
        p.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
    });
    east.install_unchecked(&two);
    let several = PeerError::Leaf(crate::LeafError::SeveralUris { count: 2 });
    assert_eq!(dial(&west, &east, "us-east").unwrap_err().reason(), several);
    assert_eq!(dial(&east, &west, "us-west").unwrap_err().reason(), several);
}

#[test]
fn the_wrong_usage_is_refused() {
    let (west, east) = pair();
    east.install_unchecked(&east.forge.leaf_with("us-east", |p| {
        p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    }));
    assert!(dial(&west, &east, "us-east").is_ok());
    let usage = PeerError::Usage { cluster: cluster("us-east"), usage: "clientAuth" };
    assert_eq!(dial(&east, &west, "us-west").unwrap_err().reason(), usage);
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (west, east) = pair();
    let config = west.identity.client_config(&cluster("us-east"), &[Alpn::Http2]).unwrap();
    let anonymous = ClientConfig::builder_with_details(provider(), Arc::clone(&west.identity.0.clock))
        .with_protocol_versions(VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(west.identity.verifier(None))
        .with_no_client_auth();
    let refused = shake(Arc::new(anonymous), east.identity.server_config(), "us-east").unwrap_err();
    assert!(matches!(refused, Refused::ByServer(Error::NoCertificatesPresented)), "{refused:?}");
    assert!(shake(config, east.identity.server_config(), "us-east").is_ok());
}

#[test]
fn without_a_certificate_nobody_dials_and_no_gateway_answers() {
    let (west, waiting) = (TestCluster::new("us-west"), TestCluster::waiting("us-east"));
    waiting.trusts(&[&west]);
    west.trusts(&[&waiting]);
    let error = waiting.identity.client_config(&cluster("us-west"), &[Alpn::Sync]).unwrap_err();
    assert!(error.to_string().contains("no certificate yet"), "{error}");
    assert!(matches!(dial(&west, &waiting, "us-east"), Err(Refused::ByServer(_))));
    // The same configuration works from the moment the certificate is there.
    let gateway = waiting.identity.server_config();
    waiting.install(&waiting.forge.leaf("us-east"));
    let config = west.identity.client_config(&cluster("us-east"), &[Alpn::Sync]).unwrap();
    assert!(shake(config, gateway, "us-east").is_ok());
}

#[test]
fn unknown_clusters_are_refused_on_both_sides() {
    let (west, east) = (TestCluster::new("us-west"), TestCluster::new("us-east"));
    let unknown = |id: &str| PeerError::UnknownCluster { cluster: cluster(id) };
    assert_eq!(dial(&west, &east, "us-east").unwrap_err().reason(), unknown("us-east"));
    west.trusts(&[&east]);
    let refused = dial(&west, &east, "us-east").unwrap_err();
    assert!(matches!(refused, Refused::ByServer(_)));
    assert_eq!(refused.reason(), unknown("us-west"));
}

#[test]
fn removed_roots_refuse_new_handshakes_and_old_ones_can_be_rechecked() {
    let (west, east) = pair();
    let config = west.identity.client_config(&cluster("us-east"), &[Alpn::Sync]).unwrap();
    let gateway = east.identity.server_config();
    let (client, server) = shake(Arc::clone(&config), Arc::clone(&gateway), "us-east").unwrap();
    let (server, client) = (Shown::on(&server, PeerRole::Client), Shown::on(&client, PeerRole::Server));
    assert_eq!(east.identity.recheck(&server), Ok(cluster("us-west")));
    assert_eq!(west.identity.recheck(&client), Ok(cluster("us-east")));

    let generation = *east.identity.changes().borrow();
    east.trusts(&[]);
    assert!(*east.identity.changes().borrow() > generation);
    let unknown = PeerError::UnknownCluster { cluster: cluster("us-west") };
    assert_eq!(east.identity.recheck(&server), Err(unknown.clone()));
    let refused = shake(config, gateway, "us-east").unwrap_err();
    assert!(matches!(refused, Refused::ByServer(_)));
    assert_eq!(refused.reason(), unknown);
}

#[tokio::test]
async fn whoever_holds_a_connection_hears_of_removed_roots() {
    let (west, east) = pair();
    let config = west.identity.client_config(&cluster("us-east"), &[Alpn::Sync]).unwrap();
    let (_, server) = shake(config, east.identity.server_config(), "us-east").unwrap();
    let shown = Shown::on(&server, PeerRole::Client);
    let mut distrusted = Box::pin(east.identity.clone().distrusted(shown));
    tokio::select! {
        biased;
        error = &mut distrusted => panic!("{error}"),
        () = tokio::task::yield_now() => {}
    }
    east.trusts(&[]);
    assert_eq!(distrusted.await, PeerError::UnknownCluster { cluster: cluster("us-west") });
}

#[test]
fn sessions_are_never_resumed() {
    let (west, east) = pair();
    let config = west.identity.client_config(&cluster("us-east"), &[Alpn::Sync]).unwrap();
    let gateway = east.identity.server_config();
    for _ in 0..3 {
        let (client, server) = shake(Arc::clone(&config), Arc::clone(&gateway), "us-east").unwrap();
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}

#[test]
fn a_rolled_root_is_taken_with_overlap() {
    let (west, east) = pair();
    let new = Forge::new("us-east");
    let leaf = new.leaf("us-east");
    east.install_unchecked(&leaf);
    assert!(dial(&west, &east, "us-east").is_err());
    let mut both = east.forge.bundle("us-east");
    both.pem.push_str(&new.pem());
    west.identity.trust().replace_peers([both]);
    assert!(dial(&west, &east, "us-east").is_ok());
    east.install(&east.forge.leaf("us-east"));
    assert!(dial(&west, &east, "us-east").is_ok(), "the old one still works");
}

#[test]
fn a_protocol_nobody_offers_is_refused() {
    let (west, east) = pair();
    let mut config = (*west.identity.client_config(&cluster("us-east"), &[]).unwrap()).clone();
    let (_client, server) = shake(Arc::new(config.clone()), east.identity.server_config(), "us-east").unwrap();
    assert_eq!(Alpn::negotiated(&server), None);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let refused = shake(Arc::new(config), east.identity.server_config(), "us-east");
    assert!(matches!(refused, Err(Refused::ByServer(Error::NoApplicationProtocol))), "{refused:?}");
}

#[test]
fn older_tls_is_refused() {
    let (west, east) = pair();
    let old = ClientConfig::builder_with_details(provider(), Arc::clone(&west.identity.0.clock))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(west.identity.verifier(None))
        .with_client_cert_resolver(west.identity.resolver());
    assert!(matches!(shake(Arc::new(old), east.identity.server_config(), "us-east"), Err(Refused::ByServer(_))));
}

/// Over loopback, through the stream types that the daemons use.
#[tokio::test]
async fn a_reload_swaps_the_leaf_and_drops_no_connection() {
    let (west, east) = pair();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(east.identity.server_config());
    let echo = async {
        let mut open = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            open.spawn(async move {
                let (mut from, mut to) = tokio::io::split(acceptor.accept(tcp).await.unwrap());
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
        open.join_all().await;
    };
    let config = west.identity.client_config(&cluster("us-east"), &[Alpn::Http2]).unwrap();
    let dial = async || {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = Identity::server_name(&cluster("us-east"));
        TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await.unwrap()
    };
    let talk = async |stream: &mut tokio_rustls::client::TlsStream<TcpStream>| {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
        crate::peer_certificate(stream.get_ref().1).unwrap().serial
    };
    let client = async {
        let mut first = dial().await;
        let old = talk(&mut first).await;
        east.install(&east.forge.leaf("us-east"));
        let mut second = dial().await;
        let new = talk(&mut second).await;
        assert_ne!(old, new, "the new connection shows the new leaf");
        assert_eq!(talk(&mut first).await, old, "the old one lives on with the old leaf");
        assert_eq!(new, east.identity.leaf().unwrap().serial);
    };
    tokio::join!(echo, client);
}

/// The dialling side is done before the other side judges it: the refusal comes with the first read.
#[tokio::test]
async fn a_refusal_is_explained_on_both_sides() {
    let (west, east) = (TestCluster::new("us-west"), TestCluster::new("us-east"));
    west.trusts(&[&east]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let error = TlsAcceptor::from(east.identity.server_config()).accept(tcp).await.unwrap_err();
        assert!(explain(&error).contains("unknown cluster us-west"), "{}", explain(&error));
    };
    let client = async {
        let config = west.identity.client_config(&cluster("us-east"), &[Alpn::Http2]).unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = Identity::server_name(&cluster("us-east"));
        let mut stream = TlsConnector::from(config).connect(name, tcp).await.unwrap();
        let error = stream.read_u8().await.unwrap_err();
        assert!(explain(&error).contains("refused this cluster's certificate"), "{}", explain(&error));
    };
    tokio::join!(server, client);
}
