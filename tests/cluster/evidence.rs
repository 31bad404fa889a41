//! What a failed step leaves for whoever looks into it: the rig is gone by then.

use std::fs;
use std::path::PathBuf;

use crate::world::{CLUSTERS, World};

/// Under the rig's state, which `rig down` leaves here.
pub fn folder(world: &World) -> PathBuf {
    world.rig.state.join("evidence")
}

/// Writes down objects and logs of every cluster that answers.
pub fn keep(world: &World, step: &str) {
    const LOOKS: &[(&str, &[&str])] = &[
        ("pods", &["get", "pods", "--all-namespaces", "-o", "wide"]),
        ("nodes-and-pods", &["get", "nodes,pods", "--all-namespaces", "-o", "yaml"]),
        (
            "objects",
            &[
                "get",
                "serviceexports,serviceimports,clusterpeers,services,endpointslices",
                "--all-namespaces",
                "-o",
                "yaml",
            ],
        ),
        ("corefile", &["-n", "kube-system", "get", "configmaps", "-o", "yaml"]),
        ("events", &["get", "events", "--all-namespaces", "--sort-by", ".lastTimestamp"]),
        (
            "agents",
            &[
                "-n",
                "strait-system",
                "logs",
                "daemonset/strait-agent",
                "--all-pods",
                "--prefix",
                "--timestamps",
                "--tail",
                "2000",
            ],
        ),
        (
            "controller",
            &[
                "-n",
                "strait-system",
                "logs",
                "deployment/strait-controller",
                "--all-pods",
                "--prefix",
                "--timestamps",
                "--tail",
                "2000",
            ],
        ),
    ];
    let folder = folder(world).join(step);
    if let Err(e) = fs::create_dir_all(&folder) {
        println!("  no evidence kept: {}: {e}", folder.display());
        return;
    }
    for cluster in CLUSTERS {
        for (name, arguments) in LOOKS {
            let text = world.rig.kubectl(cluster, arguments).unwrap_or_else(|e| format!("{e:#}\n"));
            // A missing note must not hide the failure it is about.
            let _ = fs::write(folder.join(format!("{cluster}-{name}.txt")), text);
        }
    }
}
