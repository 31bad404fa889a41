//! What an operator would try by hand.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::clients::PLAIN;
use crate::wait;
use crate::world::{CLUSTERS, HOME, NAMESPACE, SERVICE, World};

const CLUSTERSET: &str = "http://model-server.ml-production.svc.clusterset.local";

/// The service answers under both of its names.
pub fn curl(world: &mut World) -> Result<()> {
    for url in [PLAIN, CLUSTERSET] {
        wait::until(&format!("curl {url}"), Duration::from_secs(60), || {
            let body = world.rig.in_pod(&format!("curl -sS -m 2 {url}"))?;
            Ok(body.contains("Model Server").then_some(()))
        })?;
    }
    Ok(())
}

/// The clusterset name has the import's address; a name that does not exist has none; the plain domain is left alone.
pub fn dig(world: &mut World) -> Result<()> {
    let import = world.rig.get(HOME, &["-n", NAMESPACE, "serviceimport", SERVICE])?;
    let address = import.pointer("/spec/ips/0").and_then(Value::as_str).unwrap_or_default();
    let answer = world.rig.in_pod("dig +short model-server.ml-production.svc.clusterset.local A")?;
    ensure!(
        !address.is_empty() && answer.trim() == address,
        "the import has {address:?}, dig says {:?}",
        answer.trim()
    );
    let missing = world.rig.in_pod("dig nothing.ml-production.svc.clusterset.local A")?;
    ensure!(missing.contains("status: NXDOMAIN"), "a name that does not exist: {missing}");
    let kubernetes = world.rig.in_pod("dig +short kubernetes.default.svc.cluster.local A")?;
    ensure!(kubernetes.trim() == "10.111.0.1", "kubernetes.default is {:?}", kubernetes.trim());
    let tcp = world.rig.in_pod("dig +tcp +short model-server.ml-production.svc.clusterset.local A")?;
    ensure!(tcp == answer, "over TCP: {tcp:?}, over UDP: {answer:?}");
    Ok(())
}

/// Every agent's metrics are what Prometheus expects, and there are some of each part.
pub fn metrics(world: &mut World) -> Result<()> {
    let pods = world.rig.get(HOME, &["-n", "strait-system", "pods"])?;
    let mut agents = 0;
    for pod in crate::setup::items(&pods) {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let (Some(ip), true) = (pod.pointer("/status/podIP").and_then(Value::as_str), name.starts_with("strait-agent"))
        else {
            continue;
        };
        let text = world.rig.in_pod(&format!("curl -sS -m 5 http://{ip}:15020/metrics"))?;
        ensure!(text.contains("strait_"), "{name} has no metric that begins with strait_: {text:.300}");
        match world.rig.pipe("promtool", &["check", "metrics"], &text) {
            Ok(_) => {}
            Err(e) if format!("{e:#}").contains("No such file") => {
                println!("  promtool is not installed: only the names were looked at")
            }
            Err(e) => bail!("{name}: {e:#}"),
        }
        agents += 1;
    }
    ensure!(agents == 2, "{agents} agents in us-west");
    Ok(())
}

/// `kubectl get` shows what one wants to know without `-o yaml`.
pub fn columns(world: &mut World) -> Result<()> {
    for cluster in CLUSTERS {
        let peers = world.rig.kubectl(cluster, &["get", "clusterpeers"])?;
        print!("{peers}");
        let rows: Vec<&str> = peers.lines().skip(1).collect();
        ensure!(rows.len() == 2, "{cluster} shows {} peers:\n{peers}", rows.len());
        ensure!(
            rows.iter().all(|r| r.split_whitespace().count() >= 3),
            "{cluster}: a peer without its state:\n{peers}"
        );
    }
    let imports = world.rig.kubectl(HOME, &["get", "serviceimports", "--all-namespaces"])?;
    print!("{imports}");
    ensure!(imports.contains(SERVICE) && imports.contains("tally"), "the imports are not all shown:\n{imports}");
    Ok(())
}
