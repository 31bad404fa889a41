//! CPU time and memory of a process with its descendants, as the kernel counts them.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The CPU time that a process, its threads and its descendants have used so far. Those that have ended in between do not
/// count.
pub fn used(root: u32) -> Duration {
    members(root).map(used_alone).sum()
}

/// The same of one process without its descendants.
pub fn used_alone(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let on_cpu = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    tasks.filter_map(on_cpu).sum()
}

/// Memory of a process and its descendants, in bytes: what is shared counts by its share (PSS).
pub fn memory(root: u32) -> u64 {
    let of = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        line.unwrap_or(0) * 1024
    };
    members(root).map(of).sum()
}

/// A process and its descendants.
pub fn members(root: u32) -> impl Iterator<Item = u32> {
    let parents: HashMap<u32, u32> = processes().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let all: Vec<u32> = parents.keys().copied().collect();
    all.into_iter().filter(move |pid| {
        let mut at = *pid;
        while at != root {
            match parents.get(&at) {
                Some(up) => at = *up,
                None => return false,
            }
        }
        true
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and brackets; what follows the last bracket does not.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
