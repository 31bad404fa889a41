//! A child process with its output, ended with its owner.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::wait;

/// Set to see every log, not only those of a failed test; together with `--nocapture`.
const LOGS: &str = "STRAIT_TEST_LOGS";
/// Lines kept of each stream; what writes more is broken.
const KEPT: usize = 20_000;

/// Says loudly, past the capture of passing tests, what was not tested; where `CI` is set, nothing may be left out.
pub fn skip(reason: &str) {
    assert!(!in_ci(), "{reason}");
    let _ = writeln!(std::io::stderr(), "SKIP: {reason}");
}

/// Whether this runs for a merge gate, where nothing may be left out.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|v| !v.is_empty() && v != "false" && v != "0")
}

/// The lines of one stream, as they come.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.0.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let mut lines = lines.lock().unwrap();
                if lines.len() < KEPT {
                    lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
            }
        })
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Those that contain every one of the texts.
    pub fn with(&self, texts: &[&str]) -> Vec<String> {
        self.all().into_iter().filter(|l| texts.iter().all(|t| l.contains(t))).collect()
    }
}

/// `strait` with some arguments.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    readers: Vec<JoinHandle<()>>,
    pub out: Lines,
    pub log: Lines,
}

impl Process {
    /// The environment is empty but for what is given: a flag of the daemon may be an environment variable too.
    pub fn strait(name: &str, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strait"));
        command.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, log) = (Lines::default(), Lines::default());
        let readers = vec![out.follow(child.stdout.take().unwrap()), log.follow(child.stderr.take().unwrap())];
        Self { name: name.to_owned(), child, readers, out, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status().unwrap();
        assert!(sent.success(), "SIG{name} to {}", self.name);
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end and for the end of its output.
    pub async fn ended(&mut self) -> ExitStatus {
        let what = format!("end of {}", self.name);
        let status = wait::until(&what, async || self.child.try_wait().unwrap()).await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// Waits for a line of the log that contains all the texts.
    pub async fn says(&self, texts: &[&str]) -> String {
        let what = format!("{} logs a line with {texts:?}", self.name);
        wait::until(&what, async || self.log.with(texts).into_iter().next()).await
    }

    /// Waits for such a line and sees to it that there is just this one.
    pub async fn says_once(&self, texts: &[&str]) -> String {
        let line = self.says(texts).await;
        let found = self.log.with(texts);
        assert_eq!(found.len(), 1, "{} logs it again and again: {found:#?}", self.name);
        line
    }

    /// Memory in use, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either is fine here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() || std::env::var_os(LOGS).is_some() {
            eprintln!("── {}:\n{}", self.name, self.log.all().join("\n"));
        }
        if !std::thread::panicking() {
            let panics = self.log.with(&["panicked"]);
            assert!(panics.is_empty(), "{} panicked: {panics:#?}", self.name);
        }
    }
}
