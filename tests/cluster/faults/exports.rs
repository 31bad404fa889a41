//! Exports that are taken back, and a controller that is gone when it is needed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::pods::home_again;
use super::{Expected, Served, observe, seconds};
use crate::world::{CLUSTERS, FAR, HOME, NAMESPACE, NEAR, SERVICE, World};
use crate::{clients, kill, setup, wait};

/// Port numbers of the agents' listeners, by the import's port; written by the controller.
const LISTENERS: &str = "/metadata/annotations/strait.dev~1listeners";

/// How an answer of the cluster's own Service reads, which did not come through Strait: by the first word of its body.
const DIRECT: &str = "Model";

/// Nothing has failed, so nothing comes back along a ramp: an export that returns is served as soon as it is known.
const SOON: Duration = Duration::from_secs(30);

/// Every cluster takes its export back. The plain name is then the cluster's own Service again, and the way there loses
/// nothing; afterwards the exports return.
pub fn unexport_everywhere(world: &mut World) -> Result<()> {
    let exports = CLUSTERS.map(|c| saved_export(world, c));
    let expected = Expected { model: Served::Anywhere, tally: Served::Always(&[NEAR, FAR]) };
    // Past the 180 s for which listeners linger in a full run.
    let watch = seconds(world, 60, 240);
    let result = observe(world, "unexport", expected, watch, |world| {
        for cluster in CLUSTERS {
            world.rig.kubectl(cluster, &["-n", NAMESPACE, "delete", "serviceexport", SERVICE, "--wait=false"])?;
        }
        Ok(())
    });
    let watch = seconds(world, 5, 30);
    let expected = Expected { model: Served::Finally(&[HOME, DIRECT]), ..expected };
    let again = observe(world, "export-again", expected, watch, |world| {
        for (cluster, export) in CLUSTERS.into_iter().zip(exports) {
            world.rig.apply(cluster, &export?)?;
        }
        import_ready(world)?;
        home_again(world, &[HOME, DIRECT], SOON)
    });
    result.and(again).and_then(|()| clients_anew(world))
}

/// Connections that were made to the cluster's own Service in between stay there, past what comes next.
pub fn clients_anew(world: &World) -> Result<()> {
    setup::plain_name_steered(world)?;
    clients::start(&world.rig, &world.clients)?;
    world.clients.iter().try_for_each(|client| client.wait_answered(Duration::from_secs(120)))
}

/// The export as its author wrote it.
fn saved_export(world: &World, cluster: &str) -> Result<String> {
    let export = world.rig.get(cluster, &["-n", NAMESPACE, "serviceexport", SERVICE])?;
    let mut annotations = export.pointer("/metadata/annotations").cloned().unwrap_or_else(|| json!({}));
    if let Some(map) = annotations.as_object_mut() {
        map.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let labels = export.pointer("/metadata/labels").cloned().unwrap_or(Value::Null);
    let mut clean = json!({
        "apiVersion": export["apiVersion"], "kind": "ServiceExport",
        "metadata": { "name": SERVICE, "namespace": NAMESPACE, "annotations": annotations, "labels": labels },
    });
    if let Some(spec) = export.get("spec") {
        clean["spec"] = spec.clone();
    }
    Ok(clean.to_string())
}

fn import_ready(world: &World) -> Result<()> {
    wait::until("the import of model-server in us-west", Duration::from_secs(60), || {
        let import = world.rig.find_object(HOME, &["-n", NAMESPACE, "serviceimport", SERVICE])?;
        Ok(import.filter(|i| i.pointer(LISTENERS).is_some()).map(drop))
    })
}

/// The port numbers of the model server's listeners, by the import's port.
pub fn listeners(world: &World) -> Result<Value> {
    let import = world.rig.get(HOME, &["-n", NAMESPACE, "serviceimport", SERVICE])?;
    let text = import.pointer(LISTENERS).and_then(Value::as_str).context("the import has no strait.dev/listeners")?;
    serde_json::from_str(text).with_context(|| format!("strait.dev/listeners is {text:?}"))
}

/// The controller dies and an import is deleted by hand. The next controller writes it again, with the same ports: a port
/// that moved would have been a connection to another service.
pub fn controller_killed(world: &mut World) -> Result<()> {
    let before = listeners(world)?;
    let expected = Expected { model: Served::Always(&[HOME]), tally: Served::Always(&[NEAR, FAR]) };
    let watch = seconds(world, 20, 60);
    observe(world, "controller-killed", expected, watch, |world| {
        kill::all(&kill::of_strait(HOME, "controller"))?;
        world.rig.kubectl(HOME, &["-n", NAMESPACE, "delete", "serviceimport", SERVICE, "--wait=false"])?;
        import_ready(world)
    })?;
    let after = listeners(world)?;
    ensure!(before == after, "listener ports moved from {before} to {after}");
    world.rig.wait_ready(HOME, "strait-system", "deployment/strait-controller", Duration::from_secs(120))?;
    let far = world.rig.find_object(FAR, &["-n", NAMESPACE, "serviceimport", SERVICE])?;
    ensure!(far.is_some(), "eu-west lost its import");
    Ok(())
}
