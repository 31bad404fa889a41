//! From bare clusters to a fleet under load, with the commands of a new user.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::clients;
use crate::undo::Before;
use crate::wait;
use crate::world::{CLUSTERS, FAR, HOME, NAMESPACE, NEAR, SERVICE, World};

/// Two containers behind two ports, in us-east and eu-west only, and its export.
const TALLY: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: tally, namespace: batch}
spec:
  replicas: 2
  selector: {matchLabels: {app: tally}}
  template:
    metadata: {labels: {app: tally}}
    spec:
      containers:
      - {name: read, image: "hashicorp/http-echo:latest", imagePullPolicy: IfNotPresent, args: ["-text=CLUSTER tally read", "-listen=:5678"]}
      - {name: write, image: "hashicorp/http-echo:latest", imagePullPolicy: IfNotPresent, args: ["-text=CLUSTER tally write", "-listen=:5679"]}
---
apiVersion: v1
kind: Service
metadata: {name: tally, namespace: batch}
spec:
  selector: {app: tally}
  ports: [{name: read, port: 8080, targetPort: 5678}, {name: write, port: 9090, targetPort: 5679}]
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: tally, namespace: batch}
"#;

const SHELL: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: strait-clients}
spec:
  nodeName: us-west-1
  terminationGracePeriodSeconds: 1
  containers: [{name: shell, image: 'tools:1', imagePullPolicy: IfNotPresent}]
";

/// Agents and controller in every cluster; before the clusters are joined they are Ready and know no peer.
pub fn install(world: &mut World) -> Result<()> {
    Before::remember(world)?;
    for cluster in CLUSTERS {
        world.rig.kubectl(cluster, &["apply", "--server-side", "-k", "deploy/mcs"])?;
        established(world, cluster)?;
        world.rig.kubectl(cluster, &["apply", "-k", &format!("deploy/clusters/{cluster}")])?;
        if !world.full {
            // The way back from a failover is 30 s and more, by design; a short run does not wait for that each time.
            let quick = ["-n", "strait-system", "set", "env", "daemonset/strait-agent", "STRAIT_FAILBACK_RAMP=5s"];
            world.rig.kubectl(cluster, &quick)?;
        }
    }
    for cluster in CLUSTERS {
        world.rig.wait_ready(cluster, "strait-system", "daemonset/strait-agent", Duration::from_secs(120))?;
        world.rig.wait_ready(cluster, "strait-system", "deployment/strait-controller", Duration::from_secs(60))?;
    }
    Ok(())
}

/// A client that is quicker than the API server is told that a kind does not exist.
fn established(world: &World, cluster: &str) -> Result<()> {
    let wait = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
    world.rig.kubectl(cluster, &wait).map(drop)
}

/// One command for all clusters; it returns when every pair is connected.
pub fn join(world: &mut World) -> Result<()> {
    world.rig.strait(&["join", HOME, NEAR, FAR])?;
    for cluster in CLUSTERS {
        let peers = world.rig.get(cluster, &["clusterpeers"])?;
        let mut names: Vec<&str> =
            items(&peers).filter_map(|p| p.pointer("/metadata/name").and_then(Value::as_str)).collect();
        names.sort_unstable();
        let mut others: Vec<&str> = CLUSTERS.into_iter().filter(|c| *c != cluster).collect();
        others.sort_unstable();
        if names != others {
            bail!("{cluster} has the peers {names:?} after join");
        }
    }
    Ok(())
}

/// The steering of plain names and the stub zone, in every cluster.
pub fn coredns_install(world: &mut World) -> Result<()> {
    for cluster in CLUSTERS {
        world.rig.strait(&["coredns", "install", "--context", cluster])?;
        world.rig.wait_ready(cluster, "kube-system", "deployment/coredns", Duration::from_secs(90))?;
    }
    Ok(())
}

/// The model server of every cluster, with the replicas of this run.
pub fn samples(world: &mut World) -> Result<()> {
    for cluster in CLUSTERS {
        let manifests = world.rig.kubectl(cluster, &["kustomize", &format!("deploy/sample-fleet/{cluster}")])?;
        world.rig.apply(cluster, &with_replicas(&manifests, world.replicas(cluster)))?;
    }
    for cluster in CLUSTERS {
        wait_scaled(world, cluster)?;
    }
    Ok(())
}

/// The sample's own count is that of a full run.
fn with_replicas(manifests: &str, replicas: usize) -> String {
    let line = |l: &str| match l.strip_prefix("  replicas: ") {
        Some(_) => format!("  replicas: {replicas}\n"),
        None => format!("{l}\n"),
    };
    manifests.lines().map(line).collect()
}

/// A service that did not exist when the clusters were joined; no agent is restarted for it.
pub fn service_after_join(world: &mut World) -> Result<()> {
    let restarts = agent_pods(world)?;
    for cluster in CLUSTERS {
        world.rig.apply(cluster, "apiVersion: v1\nkind: Namespace\nmetadata: {name: batch}\n")?;
    }
    for cluster in [NEAR, FAR] {
        world.rig.apply(cluster, &TALLY.replace("CLUSTER", cluster))?;
    }
    for cluster in [NEAR, FAR] {
        world.rig.wait_ready(cluster, "batch", "deployment/tally", Duration::from_secs(90))?;
    }
    wait::until("the import of tally in us-west", Duration::from_secs(60), || {
        let import = world.rig.get(HOME, &["-n", "batch", "serviceimport", "tally"])?;
        let ports = import.pointer("/spec/ports").and_then(Value::as_array).map_or(0, Vec::len);
        let addresses = import.pointer("/spec/ips").and_then(Value::as_array).map_or(0, Vec::len);
        Ok((ports == 2 && addresses > 0).then_some(()))
    })?;
    if agent_pods(world)? != restarts {
        bail!("agents were restarted");
    }
    Ok(())
}

/// The load, and a pod with a shell; waits until every client gets answers.
pub fn clients(world: &mut World) -> Result<()> {
    world.rig.apply(HOME, &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", clients::NAMESPACE))?;
    world.rig.apply(HOME, SHELL)?;
    plain_name_steered(world)?;
    world.clients = clients::all(&world.rig, world.full);
    clients::start(&world.rig, &world.clients)?;
    for client in &world.clients {
        client.wait_answered(Duration::from_secs(120))?;
    }
    Ok(())
}

/// Until CoreDNS has the rewrite the plain name leads past Strait to the local Service, and a kept connection stays there.
pub fn plain_name_steered(world: &World) -> Result<()> {
    wait::until("the plain name leads to Strait", Duration::from_secs(180), || {
        let said = world.rig.in_pod(&format!("curl -si -m 2 {}", clients::PLAIN)).unwrap_or_default();
        Ok(said.contains("x-strait-served-by").then_some(()))
    })
}

/// Names, uids and restarts of the agents in every cluster.
pub fn agent_pods(world: &World) -> Result<Vec<(String, i64)>> {
    let mut pods = Vec::new();
    for cluster in CLUSTERS {
        let list = world.rig.get(cluster, &["-n", "strait-system", "pods"])?;
        for pod in items(&list) {
            let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            // Kubernetes may make one too many at first, and take it away again.
            let leaving = pod.pointer("/metadata/deletionTimestamp").is_some();
            if name.starts_with("strait-agent") && !leaving {
                let restarts = pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_i64);
                pods.push((name.to_owned(), restarts.unwrap_or(0)));
            }
        }
    }
    pods.sort();
    Ok(pods)
}

pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

/// The endpoints of a list of slices.
pub fn endpoints(slices: &Value) -> impl Iterator<Item = &Value> {
    items(slices).flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
}

pub fn scale(world: &World, cluster: &str, replicas: usize) -> Result<()> {
    let wanted = format!("--replicas={replicas}");
    world.rig.kubectl(cluster, &["-n", NAMESPACE, "scale", "deployment", SERVICE, &wanted]).map(drop)
}

/// Until as many model servers are ready as the Deployment asks for.
pub fn wait_scaled(world: &World, cluster: &str) -> Result<()> {
    world.rig.wait_ready(cluster, NAMESPACE, &format!("deployment/{SERVICE}"), Duration::from_secs(180))
}

/// The uids of the model server's pods.
pub fn model_pods(world: &World, cluster: &str) -> Result<Vec<String>> {
    let service = world.rig.get(cluster, &["-n", NAMESPACE, "service", SERVICE])?;
    let selector =
        service.pointer("/spec/selector").and_then(Value::as_object).context("model-server has no selector")?;
    let labels: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    let pods = world.rig.get(cluster, &["-n", NAMESPACE, "pods", "-l", &labels.join(",")])?;
    Ok(items(&pods).filter_map(|p| p.pointer("/metadata/uid").and_then(Value::as_str)).map(str::to_owned).collect())
}
