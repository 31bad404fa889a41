//! The clusters from the operator's side.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::wait;

/// A rig that is up.
pub struct Rig {
    script: PathBuf,
    binaries: PathBuf,
    pub state: PathBuf,
    strait: PathBuf,
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Rig {
    /// # Errors
    /// When no rig is up or there is no release binary.
    pub fn find() -> Result<Self> {
        let script = root().join("tests/rig/rig");
        let out =
            Command::new(&script).arg("status").output().with_context(|| format!("starting {}", script.display()))?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let line = |key: &str| {
            let found = text.lines().find_map(|l| l.strip_prefix(key)).map(|l| l.trim().to_owned());
            found.with_context(|| format!("`rig status` has no line {key:?}: {text}"))
        };
        if !out.status.success() {
            bail!("the rig is not up");
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let strait = target.join("release/strait");
        if !strait.exists() {
            bail!("there is no {}", strait.display());
        }
        Ok(Self { script, binaries: line("binaries")?.into(), state: line("state")?.into(), strait })
    }

    /// A rig command, such as `wan us-east --cut`.
    pub fn rig(&self, arguments: &[&str]) -> Result<String> {
        finish(Command::new(&self.script).args(arguments), None)
    }

    /// A command in the namespace of a node or the operator, with a context for each cluster in KUBECONFIG.
    fn inside(&self, place: &str, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/rig-{place}"))
            .arg(program)
            .env("KUBECONFIG", self.state.join("kubeconfig"));
        command
    }

    fn kubectl_command(&self, context: &str) -> Command {
        let mut command = self.inside("operator", &self.binaries.join("kubectl"));
        command.args(["--context", context, "--request-timeout", "30s"]).current_dir(root());
        command
    }

    pub fn kubectl(&self, context: &str, arguments: &[&str]) -> Result<String> {
        finish(self.kubectl_command(context).args(arguments), None)
    }

    /// `kubectl apply -f -`.
    pub fn apply(&self, context: &str, manifests: &str) -> Result<String> {
        finish(self.kubectl_command(context).args(["apply", "-f", "-"]), Some(manifests))
    }

    /// `kubectl get ... -o json`.
    pub fn get(&self, context: &str, arguments: &[&str]) -> Result<Value> {
        let text = finish(self.kubectl_command(context).arg("get").args(arguments).args(["-o", "json"]), None)?;
        serde_json::from_str(&text).with_context(|| format!("what kubectl get {} printed", arguments.join(" ")))
    }

    /// The same, with `None` for what does not exist.
    pub fn find_object(&self, context: &str, arguments: &[&str]) -> Result<Option<Value>> {
        match self.get(context, arguments) {
            Ok(value) => Ok(Some(value)),
            Err(e) if format!("{e:#}").contains("NotFound") => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The product's own command line, where an operator stands.
    pub fn strait(&self, arguments: &[&str]) -> Result<String> {
        let text = finish(self.inside("operator", &self.strait).args(arguments).current_dir(root()), None)?;
        println!("$ strait {}\n{}", arguments.join(" "), text.trim_end());
        Ok(text)
    }

    /// A shell command in the tools pod of the clients' node.
    pub fn in_pod(&self, command: &str) -> Result<String> {
        let pod = ["-n", crate::clients::NAMESPACE, "exec", "shell", "--", "sh", "-c", command];
        finish(self.kubectl_command(crate::world::HOME).args(pod), None)
    }

    /// A command that gets text on its standard input, in the host's own namespace.
    pub fn pipe(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
        finish(Command::new(program).args(arguments), Some(input))
    }

    /// Waits until a DaemonSet or Deployment has rolled out and all of it is ready.
    pub fn wait_ready(&self, context: &str, namespace: &str, object: &str, limit: Duration) -> Result<()> {
        wait::until(&format!("{context}: {object} in {namespace} ready"), limit, || {
            let o = self.get(context, &["-n", namespace, object])?;
            Ok(rolled_out(&o).then_some(()))
        })
    }
}

/// Whether every wanted pod of a DaemonSet or Deployment is of the newest template, ready, and none of an older one is left.
fn rolled_out(o: &Value) -> bool {
    let number = |path: &str| o.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return false;
    }
    if o["kind"] == "DaemonSet" {
        let wanted = number("/status/desiredNumberScheduled");
        return wanted > 0
            && number("/status/updatedNumberScheduled") == wanted
            && number("/status/numberReady") == wanted
            && number("/status/numberUnavailable") == 0;
    }
    let wanted = number("/spec/replicas");
    number("/status/updatedReplicas") == wanted
        && number("/status/readyReplicas") == wanted
        && number("/status/replicas") == wanted
}

/// Runs a command for what it prints; a failure carries what it said.
fn finish(command: &mut Command, input: Option<&str>) -> Result<String> {
    let line = format!("{command:?}").replace('"', "");
    let out = output(command, input).with_context(|| format!("starting {line}"))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!("{line}: {}: {}{}", out.status, said.trim(), String::from_utf8_lossy(&out.stdout).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn output(command: &mut Command, input: Option<&str>) -> std::io::Result<Output> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        // A command that ends without reading says why itself.
        let _ = pipe.write_all(text.as_bytes());
    }
    child.wait_with_output()
}
