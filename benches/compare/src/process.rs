//! Child processes on one CPU, ended with their owner.
#![expect(clippy::disallowed_methods, reason = "this program has no runtime whose threads a sleep would hold")]

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A running process.
pub struct Process(Child);

impl Process {
    /// Starts a program on one CPU and waits until it accepts connections. What it says goes to the file `log`.
    pub fn start(cpu: u32, program: &OsStr, arguments: &[String], at: SocketAddr, log: &Path) -> Result<Self> {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(cpu.to_string()).arg(program).args(arguments);
        let file = File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        let mut process = Self(child.with_context(|| format!("starting {}", program.display()))?);
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(at).is_err() {
            if let Some(status) = process.0.try_wait()? {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let last = said.lines().next_back().unwrap_or_default();
                bail!("{} ended with {status} instead of listening on {at}: {last}", program.display());
            }
            if Instant::now() > end {
                bail!("{} does not listen on {at}", program.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(process)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM lets those with workers end them.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A loopback address that nobody has.
pub fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
