//! CPU time of a process with its children and threads, from the scheduler's own count.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// What a process, its threads and its descendants have used so far. Those that have ended in between do not count.
pub fn used(root: u32) -> Duration {
    let parents: HashMap<u32, u32> = processes().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let below = |pid: u32| {
        let mut at = pid;
        while at != root {
            match parents.get(&at) {
                Some(up) => at = *up,
                None => return false,
            }
        }
        true
    };
    parents.keys().copied().filter(|pid| below(*pid)).map(of_process).sum()
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

fn of_process(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let on_cpu = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    tasks.filter_map(on_cpu).sum()
}
