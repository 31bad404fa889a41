//! SIGKILL for processes of the rig's containers, found by their cgroup.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

/// A process of a container.
pub struct Process {
    pub pid: u32,
    /// Its arguments, joined with blanks.
    pub line: String,
    /// Paths of its cgroups; they hold the node's name and the pod's uid.
    cgroups: String,
}

/// Everything that runs in pods of a cluster, without the pods' pause processes.
fn of_cluster(cluster: &str) -> Vec<Process> {
    let node = format!("/rig-{cluster}-");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|e| e.file_name().to_str().and_then(|n| n.parse::<u32>().ok()));
    numbers
        .filter_map(|pid| {
            let folder = PathBuf::from(format!("/proc/{pid}"));
            let cgroups = fs::read_to_string(folder.join("cgroup")).ok()?;
            let line = fs::read(folder.join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned();
            let counts = cgroups.contains(&node)
                && cgroups.contains("kubepods")
                && !line.is_empty()
                && !line.contains("busybox sleep");
            counts.then_some(Process { pid, line, cgroups })
        })
        .collect()
}

/// The processes of some pods, by their uids.
pub fn of_pods(cluster: &str, uids: &[String]) -> Vec<Process> {
    let mut found = of_cluster(cluster);
    found.retain(|p| uids.iter().any(|uid| p.cgroups.contains(&format!("pod{uid}"))));
    found
}

/// The processes of one subcommand of the product, in a whole cluster or on one node.
pub fn of_strait(cluster_or_node: &str, subcommand: &str) -> Vec<Process> {
    let cluster = cluster_or_node.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
    let mut found = of_cluster(cluster);
    let node = format!("/rig-{cluster_or_node}");
    found.retain(|p| {
        let mut words = p.line.split(' ');
        let program = words.next().unwrap_or_default();
        program.rsplit('/').next() == Some("strait") && words.next() == Some(subcommand) && p.cgroups.contains(&node)
    });
    found
}

/// Kills them all in one call, so that none outlives the others.
///
/// # Errors
/// When there is nothing to kill: the fault would not have happened.
pub fn all(processes: &[Process]) -> Result<()> {
    if processes.is_empty() {
        bail!("there is no process to kill");
    }
    let pids: Vec<String> = processes.iter().map(|p| p.pid.to_string()).collect();
    let done = Command::new("kill").arg("-KILL").args(&pids).status()?;
    if !done.success() {
        println!("  some of {} had ended before", pids.join(" "));
    }
    Ok(())
}
