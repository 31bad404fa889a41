//! `strait demo` as people start it.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use strait::demo::layout::SITES;
use tempfile::TempDir;

use crate::process::Process;
use crate::{wait, web};

/// All addresses of the demo can be bound.
fn ports_are_free() -> Result<(), String> {
    for site in &SITES {
        for at in [site.listener(), site.gateway(), site.dns(), site.admin()] {
            TcpListener::bind(at).map_err(|e| format!("{at}: {e}"))?;
        }
        UdpSocket::bind(site.dns()).map_err(|e| format!("UDP {}: {e}", site.dns()))?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().display().to_string()).collect()
}

/// Processes whose parent is that one.
fn children_of(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children = tasks.filter_map(|t| std::fs::read_to_string(t.unwrap().path().join("children")).ok());
    children.flat_map(|c| c.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

// One test, since there is one set of addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_leaves_nothing_behind() {
    wait::until("the demo's addresses are free (does another demo run?)", async || ports_are_free().ok()).await;
    let folder = TempDir::with_prefix("strait-fleet-demo-").unwrap();
    let temporary = folder.path().display().to_string();
    let start = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Process::strait("demo", &arguments, &[("TMPDIR", &temporary)])
    };

    let mut demo = start(&["demo"]);
    // Two seconds in which every client was answered.
    wait::holds("the demo shows traffic", async || {
        let seconds = demo.out.with(&["req/s", "errors   0"]);
        seconds.iter().filter(|l| l.contains("us-west  ") && !l.contains("   0 req/s")).count() >= 3
    })
    .await;
    let page = demo.out.all().join("\n");
    for wanted in ["curl http://127.77.1.1:8080", "dig @127.77.1.1", "strait status --admin 127.77.1.1:15020"] {
        assert!(page.contains(wanted), "{wanted} is not offered: {page}");
    }
    let answer = web::get(SITES[0].listener(), "/").await.unwrap();
    assert_eq!((answer.status, answer.header("x-model-cluster")), (200, "us-west"));
    assert_eq!(entries(folder.path()).len(), 1, "its files stand in one folder");
    assert!(children_of(demo.pid()).is_empty(), "it is one process");
    demo.signal("INT");
    let status = demo.ended().await;
    assert_eq!(status.code(), Some(130), "as the shell expects of an interrupt: {:#?}", demo.log.all());
    assert_eq!(entries(folder.path()), Vec::<String>::new(), "its folder is gone");
    ports_are_free().unwrap();

    // Interrupted while it starts.
    let mut early = start(&["demo"]);
    wait::holds("the demo has begun", async || !entries(folder.path()).is_empty()).await;
    early.signal("INT");
    assert!(!early.ended().await.success());
    assert_eq!(entries(folder.path()), Vec::<String>::new());
    ports_are_free().unwrap();
}
