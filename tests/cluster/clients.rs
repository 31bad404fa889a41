//! The load: pods in us-west that never stop asking, and what they saw.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use strait_load::generator::now_us;
use strait_load::sample::{Kind, Sample};
use strait_load::summary::{self, Window};

use crate::rig::Rig;
use crate::wait;
use crate::world::HOME;

/// Of the client pods.
pub const NAMESPACE: &str = "strait-clients";
/// What they run.
pub const LOAD: &str = "/usr/local/bin/strait-load";
/// Where they run; the faults leave this node alone.
pub const NODE: &str = "us-west-1";
/// The limit of a request. How soon another cluster answers is measured by `tests/failover`; here it is about whether, on
/// machines that stand still for seconds while they start six containers.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest a request can take: its own limit, and the flush.
const SETTLED: Duration = Duration::from_millis(5_500);

/// A stretch of time under watch: which requests belong to it, by the wall clock that their lines tell, and how long it
/// truly was. The wall clock can be set in the middle of it.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    pub window: Window,
    length: Duration,
    ended: Instant,
}

impl Stretch {
    /// From a moment that both clocks told, until now.
    pub fn since((from_us, began): (u64, Instant)) -> Self {
        let ended = Instant::now();
        Self { window: Window { from_us, to_us: now_us() }, length: ended - began, ended }
    }

    /// The last of the time.
    pub fn last(length: Duration) -> Self {
        let (to_us, ended) = (now_us(), Instant::now());
        let from_us = to_us.saturating_sub(u64::try_from(length.as_micros()).unwrap_or(u64::MAX));
        Self { window: Window { from_us, to_us }, length, ended }
    }
}

/// A client did not get enough of a core to keep its rate: nothing can be said of what it saw.
#[derive(Debug, thiserror::Error)]
#[error("this machine is too busy to judge: {0}")]
pub struct Starved(pub String);

/// A load generator in a pod of its own.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: &'static str,
    /// Requests per second.
    pub rate: u32,
    connections: &'static str,
    targets: &'static [&'static str],
    expect: &'static str,
    file: PathBuf,
}

/// The model server by its plain name.
pub const PLAIN: &str = "http://model-server.ml-production";

/// Two that ask for the model server by its plain name, and one that asks, by its clusterset name, for a service with two
/// ports that runs in the other clusters only.
///
/// A full run asks twice as much, which leaves a machine with two cores little for the clusters themselves.
pub fn all(rig: &Rig, full: bool) -> Vec<Client> {
    let rate = |rate: u32| if full { 2 * rate } else { rate };
    const MODEL: &[&str] = &[PLAIN];
    const TALLY: &[&str] =
        &["http://tally.batch.svc.clusterset.local:8080", "http://tally.batch.svc.clusterset.local:9090"];
    let client = |name, rate, connections, targets, expect| {
        let file = folder(rig).join(format!("{name}.tsv"));
        Client { name, rate, connections, targets, expect, file }
    };
    vec![
        client("new", rate(50), "new", MODEL, "Model Server"),
        client("kept", rate(50), "keepalive", MODEL, "Model Server"),
        client("tally", rate(10), "new", TALLY, "tally"),
    ]
}

/// On the host, and mounted into the client pods.
pub fn folder(rig: &Rig) -> PathBuf {
    rig.state.join("load")
}

impl Client {
    /// Whether it asks for the service the faults are about.
    pub fn is_model(&self) -> bool {
        self.targets.len() == 1
    }

    pub fn manifest(&self) -> String {
        let Self { name, rate, connections, targets, expect, file } = self;
        let targets: Vec<String> = targets.iter().map(|t| format!("--target, {t:?}")).collect();
        let (folder, file) = (file.parent().unwrap_or(file).display(), format!("/load/{name}.tsv"));
        format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: load-{name}, namespace: {NAMESPACE}}}
spec:
  nodeName: {NODE}
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  containers:
  - name: load
    image: strait-load:dev
    imagePullPolicy: IfNotPresent
    command: [{LOAD}, {targets}, --rate, "{rate}", --connections, {connections}, --timeout, {limit}s, --duration, 12h,
      --expect-body, "{expect}", --body-names-server, --out, {file}]
    volumeMounts: [{{name: load, mountPath: /load}}]
  volumes: [{{name: load, hostPath: {{path: {folder}, type: DirectoryOrCreate}}}}]
---
"#,
            targets = targets.join(", "),
            limit = LIMIT.as_secs()
        )
    }

    /// Everything that was due in a stretch, once all of it has ended.
    ///
    /// # Errors
    /// When the client has stopped, or could not keep its own rate: then its numbers say nothing about the product.
    pub fn samples(&self, stretch: Stretch) -> Result<Vec<Sample>> {
        let settled_us = stretch.window.to_us + u64::try_from(SETTLED.as_micros()).unwrap_or(u64::MAX);
        wait::until(&format!("client {} past the window", self.name), Duration::from_secs(30), || {
            Ok((stretch.ended.elapsed() > SETTLED && self.newest()? >= settled_us).then_some(()))
        })?;
        let (samples, _) =
            summary::read(&self.file, stretch.window).with_context(|| format!("reading {}", self.file.display()))?;
        let late = samples.iter().filter(|s| s.kind == Kind::Late).count();
        let due = f64::from(self.rate) * stretch.length.as_secs_f64();
        #[allow(clippy::cast_precision_loss)]
        let kept_up = (samples.len() - late) as f64 >= due * 0.95 - 2.0;
        if !kept_up {
            let hole = longest_hole(&samples, stretch.window);
            bail!(Starved(format!(
                "client {} sent {} of {due:.0} requests in time ({late} late, {} ms without any at {} ms)",
                self.name,
                samples.len(),
                (hole.to_us - hole.from_us) / 1000,
                hole.from_us.saturating_sub(stretch.window.from_us) / 1000,
            )));
        }
        Ok(samples)
    }

    /// When the last recorded request was due.
    fn newest(&self) -> Result<u64> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = std::fs::File::open(&self.file).with_context(|| format!("opening {}", self.file.display()))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let tail = String::from_utf8_lossy(&tail);
        let newest = tail.lines().filter_map(|l| l.parse::<Sample>().ok()).map(|s| s.start_us).max();
        newest.context("nothing recorded yet")
    }

    /// Waits until it gets answers.
    pub fn wait_answered(&self, limit: Duration) -> Result<()> {
        wait::until(&format!("client {} answered for three seconds without a failure", self.name), limit, || {
            let now = now_us();
            let window = Window { from_us: now - 4_000_000, to_us: now - 1_000_000 };
            let (samples, _) = summary::read(&self.file, window)?;
            Ok((samples.len() >= self.rate as usize * 2 && samples.iter().all(Sample::is_ok)).then_some(()))
        })
    }
}

/// Between which two requests, or ends of the window, the most time was.
fn longest_hole(samples: &[Sample], window: Window) -> Window {
    let mut due: Vec<u64> = samples.iter().map(|s| s.start_us).chain([window.from_us, window.to_us]).collect();
    due.sort_unstable();
    let holes = due.windows(2).map(|w| Window { from_us: w[0], to_us: w[1] });
    holes.max_by_key(|h| h.to_us - h.from_us).unwrap_or(window)
}

/// Starts them, or starts them anew.
pub fn start(rig: &Rig, clients: &[Client]) -> Result<()> {
    stop(rig)?;
    std::fs::create_dir_all(folder(rig))?;
    for client in clients {
        // What those before them saw is not to be taken for what these see.
        if client.file.exists() {
            std::fs::remove_file(&client.file).with_context(|| format!("removing {}", client.file.display()))?;
        }
    }
    rig.apply(HOME, &clients.iter().map(Client::manifest).collect::<String>())?;
    Ok(())
}

/// Ends them.
pub fn stop(rig: &Rig) -> Result<()> {
    let names = all(rig, false).iter().map(|c| format!("load-{}", c.name)).collect::<Vec<_>>();
    let mut arguments = vec!["-n", NAMESPACE, "delete", "pod", "--ignore-not-found", "--grace-period=1"];
    arguments.extend(names.iter().map(String::as_str));
    rig.kubectl(HOME, &arguments).map(drop)
}
