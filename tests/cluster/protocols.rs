//! Whatever is spoken comes through to a pod in another cluster: conversations of a pod in us-west with one in us-east.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::clients::NAMESPACE;
use crate::setup::agent_pods;
use crate::wait;
use crate::world::{CLUSTERS, HOME, NEAR, World};

/// Speaks everything on one port, which two of the Service's ports lead to; in us-east only.
const TALK: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: talk, namespace: batch}
spec:
  selector: {matchLabels: {app: talk}}
  template:
    metadata: {labels: {app: talk}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: talk
        image: strait-load:dev
        imagePullPolicy: IfNotPresent
        command: [/usr/local/bin/strait-load, serve, --listen, "0.0.0.0:8080", --name, us-east]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: talk, namespace: batch}
spec:
  selector: {app: talk}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: h2c, port: 81, targetPort: 8080, appProtocol: kubernetes.io/h2c}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: talk, namespace: batch}
"#;

/// The pod that begins the conversations.
const TALKER: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: talker, namespace: strait-clients}
spec:
  nodeName: us-west-1
  terminationGracePeriodSeconds: 1
  containers: [{name: talker, image: 'strait-load:dev', imagePullPolicy: IfNotPresent, command: [/bin/sleep, '2147483647']}]
";

const HTTP: &str = "http://talk.batch.svc.clusterset.local";
const H2C: &str = "http://talk.batch.svc.clusterset.local:81";

/// Both ends, and a first word.
fn introduced(world: &World) -> Result<()> {
    world.rig.apply(NEAR, TALK)?;
    world.rig.apply(HOME, TALKER)?;
    world.rig.wait_ready(NEAR, "batch", "deployment/talk", Duration::from_secs(90))?;
    for target in [HTTP, H2C] {
        wait::until(&format!("an answer of {target}"), Duration::from_secs(90), || {
            talk(world, &format!("get --target {target}")).map(Some)
        })?;
    }
    Ok(())
}

/// One conversation. It is over when it has succeeded; what it says is printed.
fn talk(world: &World, what: &str) -> Result<()> {
    let command = ["-n", NAMESPACE, "exec", "--request-timeout=0", "talker", "--", "strait-load", "talk"];
    let said = world.rig.kubectl(HOME, &command.into_iter().chain(what.split(' ')).collect::<Vec<_>>())?;
    println!("  {what}: {}", said.trim());
    ensure!(said.starts_with(&format!("{NEAR}: ")), "{what} was not served by {NEAR}: {said}");
    Ok(())
}

fn all(world: &World, conversations: &[String]) -> Result<()> {
    introduced(world)?;
    conversations.iter().try_for_each(|what| talk(world, what))
}

/// HTTP/2 with prior knowledge, to pods that are asked in HTTP/1.1 and to pods that are asked in HTTP/2.
pub fn h2c(world: &mut World) -> Result<()> {
    all(
        world,
        &[format!("get --http2 --target {HTTP}"), format!("get --http2 --target {H2C}"), format!("get --target {H2C}")],
    )
}

/// A gRPC stream both ways, each message sent when the one before has come back.
pub fn grpc(world: &mut World) -> Result<()> {
    let count = if world.full { 500 } else { 50 };
    all(world, &[HTTP, H2C].map(|t| format!("grpc --count {count} --timeout 3m --target {t}")))
}

/// A WebSocket, text by text, for as long as the count takes.
pub fn websocket(world: &mut World) -> Result<()> {
    let count = if world.full { 500 } else { 50 };
    all(world, &[format!("websocket --count {count} --timeout 3m --target {HTTP}")])
}

/// Events arrive as they are made; for longer than a request may wait for its answer, in a full run.
pub fn events(world: &mut World) -> Result<()> {
    let count = if world.full { 400 } else { 50 };
    let ask = |options: &str| format!("events --count {count} --every 100ms --timeout 3m {options}--target {HTTP}");
    all(world, &[ask(""), ask("--http2 ")])
}

/// A long body each way, byte by byte the one that was sent, and no agent grew beyond its memory for it.
pub fn bodies(world: &mut World) -> Result<()> {
    let bytes: u64 = if world.full { 1 << 30 } else { 64 << 20 };
    let before = agent_pods(world)?;
    let ask = |way: &str| format!("{way} --bytes {bytes} --timeout 8m --target {HTTP}");
    all(world, &[ask("upload"), ask("download")])?;
    let after = agent_pods(world)?;
    ensure!(before == after, "agents before {before:?}, after {after:?} in {}", CLUSTERS.join(", "));
    Ok(())
}
