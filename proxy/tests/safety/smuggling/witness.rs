//! The backend on Go's net/http, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::log::Log;
use crate::site::until;

/// The Go program, killed when dropped. It ends by itself when this process does.
pub struct Witness(Child);

impl Witness {
    pub async fn start(program: &Path, at: SocketAddr, log: Log) -> Self {
        let mut command = Command::new(program);
        let mut child = command.arg(at.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).for_each(|line| log.note(line)));
        until("the witness listens", || std::net::TcpStream::connect(at).is_ok()).await;
        Self(child)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
