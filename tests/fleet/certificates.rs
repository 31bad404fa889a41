//! Certificates that must not be believed, and their repair without a restart.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::pods::CLUSTER;
use crate::web;
use crate::world::{LIFE, World};

const ALL: [&str; 3] = ["us-west", "us-east", "eu-west"];

/// Everything between two clusters works, both ways.
async fn joined(a: &Daemon, b: &Daemon) {
    a.sees(b.site.name, 2).await;
    b.sees(a.site.name, 2).await;
    let answer = web::get(a.site.listener(), "/").await.unwrap();
    assert_eq!((answer.status, answer.header(CLUSTER)), (200, a.site.name));
}

async fn counts_nobody(daemon: &Daemon, cluster: &str) {
    let status = daemon.status().await;
    assert!(!status.services["shop/web"].backends.contains_key(cluster), "something of {cluster} was believed");
    assert!(status.peers.starts_with("1 of 2 connected"), "{}", status.peers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused_until_it_is_renewed() {
    let began = Instant::now();
    let mut world = World::new(93, &ALL);
    world.populate().await;
    world.certify("us-east", &world.leaf("us-east", "us-east", Duration::from_secs(20)), "us-east");
    let east = world.start("us-east");
    let line = east.process.says(&["WARN", "us-east", "the certificate in use expired"]).await;
    assert!(line.contains("is the controller, which renews it, running?"), "{line}");

    let (west, eu) = (world.start("us-west"), world.start("eu-west"));
    joined(&west, &eu).await;
    let line = west.process.says(&["WARN", "no sync session", "cluster us-east: its certificate expired at"]).await;
    assert!(line.contains("is the renewal in that cluster running?"), "{line}");
    west.process.says(&["WARN", "gateway cannot be reached", "cluster=us-east", "expired at"]).await;
    counts_nobody(&west, "us-east").await;
    assert!(east.status().await.identity.contains("expired"));

    world.certify("us-east", &world.leaf("us-east", "us-east", LIFE), "us-east");
    joined(&west, &east).await;
    joined(&eu, &east).await;
    assert!(east.status().await.identity.starts_with("ready"));
    few_lines(&west, "us-east", began);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_clusters_ca_cannot_mint_anothers_name() {
    let began = Instant::now();
    let mut world = World::new(94, &ALL);
    world.populate().await;
    // eu-west's CA says that this is us-east. By itself the set of files is in order.
    world.certify("us-east", &world.leaf("us-east", "eu-west", LIFE), "eu-west");
    let daemons = ALL.map(|c| world.start(c));
    let [west, east, eu] = &daemons;
    joined(west, eu).await;
    let line = west
        .process
        .says(&["WARN", "no sync session", "cluster us-east: its certificate is signed by an unknown"])
        .await;
    assert!(line.contains("is the ClusterPeer's CA bundle current?"), "{line}");
    // Its own log tells that it was refused, and where the reason stands.
    east.process
        .says(&["WARN", "us-west", "the peer refused this cluster's certificate", "its log has the reason"])
        .await;
    counts_nobody(west, "us-east").await;
    counts_nobody(eu, "us-east").await;

    world.certify("us-east", &world.leaf("us-east", "us-east", LIFE), "us-east");
    joined(west, east).await;
    joined(eu, east).await;
    few_lines(west, "us-east", began);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_certificate_at_anothers_address_is_refused() {
    let began = Instant::now();
    let mut world = World::new(95, &ALL);
    world.populate().await;
    let (right, wrong) = (world.site("eu-west").gateway().to_string(), world.site("us-east").gateway().to_string());
    let configure = |world: &mut World, gateway: &str| {
        let gateways = vec![gateway.to_owned()];
        world.edit("us-west", |d| d.peers.iter_mut().find(|p| p.cluster == "eu-west").unwrap().gateways = gateways);
    };
    configure(&mut world, &wrong);
    let (west, east) = (world.start("us-west"), world.start("us-east"));
    joined(&west, &east).await;
    let line = west.process.says(&["WARN", "no sync session", "wrong cluster: dialled eu-west", "is of us-east"]).await;
    assert!(
        line.contains(&wrong) && line.contains("do the gateway addresses of ClusterPeer eu-west lead to us-east?"),
        "{line}"
    );
    counts_nobody(&west, "eu-west").await;

    configure(&mut world, &right);
    let eu = world.start("eu-west");
    joined(&west, &eu).await;
    joined(&east, &eu).await;
    joined(&west, &east).await;
    few_lines(&west, "eu-west", began);
}

/// Trouble with one peer fills no log: it is retried many times and told a few.
fn few_lines(daemon: &Daemon, cluster: &str, since: Instant) {
    let lines = daemon.process.log.with(&["WARN", cluster]);
    let few = 12 + usize::try_from(since.elapsed().as_secs() / 2).unwrap();
    assert!(lines.len() <= few, "{} lines about {cluster}: {lines:#?}", lines.len());
}
