//! The way out: nothing of Strait is left, in whatever order it is taken away.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::rig::Rig;
use crate::world::{CLUSTERS, FAR, HOME, NEAR, World};
use crate::{clients, wait};

/// How CoreDNS was before anything was installed; kept in a file, so that a later run on the same rig still knows.
pub struct Before;

impl Before {
    fn file(rig: &Rig, cluster: &str) -> PathBuf {
        rig.state.join("load").join(format!("coredns-{cluster}.json"))
    }

    /// Writes it down, unless Strait is there already.
    pub fn remember(world: &World) -> Result<()> {
        std::fs::create_dir_all(world.rig.state.join("load"))?;
        for cluster in CLUSTERS {
            if world.rig.find_object(cluster, &["namespace", "strait-system"])?.is_none() {
                std::fs::write(Self::file(&world.rig, cluster), coredns(world, cluster)?.to_string())?;
            }
        }
        Ok(())
    }

    fn read(world: &World, cluster: &str) -> Result<Value> {
        let text = std::fs::read_to_string(Self::file(&world.rig, cluster))?;
        serde_json::from_str(&text).context("how CoreDNS was before")
    }
}

/// What Strait may change of CoreDNS and must restore.
fn coredns(world: &World, cluster: &str) -> Result<Value> {
    let config = world.rig.get(cluster, &["-n", "kube-system", "configmap", "coredns"])?;
    let deployment = world.rig.get(cluster, &["-n", "kube-system", "deployment", "coredns"])?;
    Ok(json!({ "corefile": config["data"], "pod": deployment.pointer("/spec/template/spec") }))
}

/// Each cluster begins with another one of the three ways out, and stays usable.
pub fn each_alone(world: &mut World) -> Result<()> {
    clients::stop(&world.rig)?;
    world.rig.strait(&["coredns", "remove", "--context", HOME])?;
    world.rig.wait_ready(HOME, "kube-system", "deployment/coredns", Duration::from_secs(90))?;
    restored(world, HOME)?;
    wait::until("the plain name leads to the cluster's own Service again", Duration::from_secs(90), || {
        let body = world.rig.in_pod("curl -sS -m 2 http://model-server.ml-production")?;
        Ok(body.contains("Model Server").then_some(()))
    })?;
    let staying = format!("{HOME},{FAR}");
    world.rig.strait(&["leave", NEAR, "--from", &staying, "--linger", linger(world)])?;
    wait::until("us-east has left", Duration::from_secs(60), || {
        let gone = |c: &str| -> Result<bool> {
            Ok(!names(world, c, "clusterpeers")?.iter().any(|n| c == NEAR || n.ends_with(NEAR)))
        };
        Ok((gone(HOME)? && gone(NEAR)? && gone(FAR)?).then_some(()))
    })?;
    delete(world, FAR)?;
    nothing_left(world, FAR)?;
    // A stub zone whose server is gone must not harm other names.
    let own = world.rig.kubectl(
        FAR,
        &["-n", "kube-system", "get", "deployment", "coredns", "-o", "jsonpath={.status.readyReplicas}"],
    )?;
    ensure!(own == "1", "CoreDNS of eu-west has {own:?} ready replicas after Strait was deleted under it");
    Ok(())
}

/// How long `leave` waits for caches to forget plain names; nobody asks any more, so a short run does not wait it out.
fn linger(world: &World) -> &'static str {
    if world.full { "180s" } else { "5s" }
}

/// The rest, everywhere; then everything is as it was.
pub fn all(world: &mut World) -> Result<()> {
    for cluster in [NEAR, FAR] {
        world.rig.strait(&["coredns", "remove", "--context", cluster])?;
    }
    world.rig.strait(&["leave", HOME, "--linger", linger(world)])?;
    for cluster in [HOME, NEAR] {
        delete(world, cluster)?;
    }
    for cluster in CLUSTERS {
        nothing_left(world, cluster)?;
        world.rig.wait_ready(cluster, "kube-system", "deployment/coredns", Duration::from_secs(90))?;
        restored(world, cluster)?;
    }
    Ok(())
}

fn delete(world: &World, cluster: &str) -> Result<()> {
    for folder in [format!("deploy/clusters/{cluster}"), "deploy/mcs".to_owned()] {
        world.rig.kubectl(cluster, &["delete", "-k", &folder, "--ignore-not-found", "--wait=false"])?;
    }
    Ok(())
}

fn restored(world: &World, cluster: &str) -> Result<()> {
    let (before, now) = (Before::read(world, cluster)?, coredns(world, cluster)?);
    ensure!(before == now, "{cluster}: CoreDNS was {before} and is {now}");
    Ok(())
}

fn names(world: &World, cluster: &str, kind: &str) -> Result<Vec<String>> {
    let text = world.rig.kubectl(cluster, &["get", kind, "--all-namespaces", "-o", "name"])?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// No kind, namespace, role or object of ours.
fn nothing_left(world: &World, cluster: &str) -> Result<()> {
    wait::until(&format!("{cluster}: nothing of Strait left"), Duration::from_secs(120), || {
        let mut left = Vec::new();
        for kind in [
            "crd",
            "namespace",
            "clusterrole",
            "clusterrolebinding",
            "configmap",
            "validatingwebhookconfigurations",
            "service",
        ] {
            let ours = |n: &String| {
                n.contains("strait") && !n.ends_with(clients::NAMESPACE)
                    || n.ends_with("multicluster.x-k8s.io")
                    || n.ends_with("about.k8s.io")
            };
            left.extend(names(world, cluster, kind)?.into_iter().filter(ours));
        }
        ensure!(left.is_empty(), "left: {}", left.join(", "));
        Ok(Some(()))
    })
}
