//! Strait: one agent with one pod, or two agents of two clusters of which the second has the pod.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Meal, Order, Recipe, said};
use crate::certificates;
use crate::load::Protocol;
use crate::process::free;

pub fn cook(order: &Order<'_>) -> Result<Meal> {
    let program = fs::canonicalize(&order.run.strait).with_context(|| {
        format!("{} (cargo build --release builds it; --strait names another)", order.run.strait.display())
    })?;
    let version = said(&program, &["--version"])?;
    let pod = format!("\n  endpoints: [{{address: {}}}]", order.pod.ip());
    let listen = format!(", listen: \"{}\"", order.at);
    if order.protocol != Protocol::Mtls {
        let one = Agent { cluster: "one", gateway: free()?, at: order.at };
        return Ok(Meal { version, recipes: vec![one.recipe(order, &program, &service(order, &listen, &pod), None)?] });
    }
    // The gateway is what the second agent is waited for at; the first one's own is not used.
    let far = Agent { cluster: "far", gateway: order.between, at: order.between };
    let near = Agent { cluster: "near", gateway: free()?, at: order.at };
    let trust = |agent: &Agent| certificates::write_cluster(&agent.folder(order), agent.cluster);
    let (far_ca, near_ca) = (trust(&far)?, trust(&near)?);
    let second = far.recipe(order, &program, &service(order, "", &pod), Some((&near, &near_ca)))?;
    let first = near.recipe(order, &program, &service(order, &listen, ""), Some((&far, &far_ca)))?;
    Ok(Meal { version, recipes: vec![second, first] })
}

struct Agent {
    cluster: &'static str,
    gateway: SocketAddr,
    /// What it is waited for at.
    at: SocketAddr,
}

/// The service in the source file: with a listener, with pods, or with both.
fn service(order: &Order<'_>, listen: &str, pods: &str) -> String {
    let target = order.pod.port();
    format!(
        "podCIDRs: [127.0.0.0/8]
services:
- namespace: bench
  name: pods
  ports: [{{name: http, port: 80, targetPort: {target}{listen}}}]{pods}
"
    )
}

impl Agent {
    fn folder(&self, order: &Order<'_>) -> PathBuf {
        order.folder.join(self.cluster)
    }

    fn recipe(
        &self,
        order: &Order<'_>,
        program: &std::path::Path,
        service: &str,
        peer: Option<(&Self, &str)>,
    ) -> Result<Recipe> {
        let folder = self.folder(order);
        fs::create_dir_all(&folder)?;
        let peers = |ca: &str| match peer {
            Some((peer, _)) => {
                format!("peers:\n- cluster: {}\n  gateways: [\"{}\"]\n  caBundle: {ca}\n", peer.cluster, peer.gateway)
            }
            None => String::new(),
        };
        let bundle = peer.map_or_else(String::new, |(_, ca)| format!("\"{}\"", ca.replace('\n', "\\n")));
        let file = folder.join("cluster.yaml");
        fs::write(&file, format!("{service}{}", peers(&bundle)))?;
        let source = format!("file:{}", file.display());
        let arguments = [
            ("--source", source),
            ("--cluster", self.cluster.to_owned()),
            ("--workers", "1".to_owned()),
            ("--identity-dir", folder.display().to_string()),
            ("--gateway-listen", self.gateway.to_string()),
            ("--gateway-port", self.gateway.port().to_string()),
            ("--dns-listen", free()?.to_string()),
            ("--admin-listen", free()?.to_string()),
            ("--drain-delay", "0s".to_owned()),
        ];
        let arguments =
            std::iter::once("agent".to_owned()).chain(arguments.into_iter().flat_map(|(f, v)| [f.to_owned(), v]));
        let configuration = format!("{service}{}", peers("…"));
        Ok(Recipe { program: program.into(), arguments: arguments.collect(), at: self.at, configuration })
    }
}
