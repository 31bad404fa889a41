//! Source files and flags that are wrong.

use std::net::TcpListener;

use crate::daemon::Daemon;
use crate::process::Process;
use crate::web;
use crate::world::World;

/// What a daemon says of its source in `/status`.
async fn source_error(daemon: &Daemon) -> Option<String> {
    daemon.status().await.source["error"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_written_file_keeps_the_last_good_state() {
    let mut world = World::new(87, &["us-west", "us-east"]);
    let daemons = world.start_all().await;
    let west = &daemons[0];
    assert_eq!(source_error(west).await, None);

    let file = world.file("us-west");
    let whole = std::fs::read_to_string(&file).unwrap();
    let half = &whole[..whole.find("targetPort").unwrap() + 4];
    std::fs::write(&file, half).unwrap();
    let path = file.display().to_string();
    let line = west.process.says(&[&path, "the last good state stays"]).await;
    assert!(line.contains("WARN") && line.contains("written in place"), "it names the likely cause: {line}");
    let error = source_error(west).await.unwrap();
    assert!(error.contains(&path), "{error}");
    assert_eq!(west.metric("strait_file_source_failing").await, Some(1.0));
    west.sees("us-west", 2).await;
    daemons[1].sees("us-west", 2).await;
    assert_eq!(web::get(west.site.listener(), "/").await.unwrap().status, 200);

    // Good YAML with one bad entry is no better, and the entry is named.
    std::fs::write(&file, whole.replace("port: 8080", "port: 0")).unwrap();
    west.process.says(&[&path, "service shop/web", "port is 0"]).await;
    std::fs::remove_file(&file).unwrap();
    west.process.says(&[&path, "No such file"]).await;
    assert_eq!(west.metric("strait_file_source_failing").await, Some(1.0));
    west.sees("us-west", 2).await;

    world.scale("us-west", 1).await;
    west.sees("us-west", 1).await;
    daemons[1].sees("us-west", 1).await;
    assert_eq!(source_error(west).await, None);
    assert_eq!(west.metric("strait_file_source_failing").await, Some(0.0));
    west.process.says_once(&[&path, "good again"]).await;
}

/// Runs a daemon that must refuse to start; returns its exit status and what it said.
async fn refused(arguments: &[String]) -> (Option<i32>, String) {
    let mut process = Process::strait("refused agent", arguments, &[]);
    let status = process.ended().await;
    assert!(!status.success(), "it started");
    (status.code(), process.log.all().join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_file_that_is_broken_at_the_start_is_refused() {
    let world = World::new(88, &["us-west"]);
    let file = world.file("us-west");
    let whole = std::fs::read_to_string(&file).unwrap();
    for (text, named) in [
        (String::new(), "empty"),
        ("services: [".to_owned(), "line 1"),
        (whole.replace("namespace: shop", "namespace: Shop"), "service Shop/web"),
        (whole.replace("port: 8080", "port: 0"), "service shop/web"),
        (whole.replace("region:", "regoin:"), "regoin"),
    ] {
        assert_ne!(text, whole, "{named}: the file is as it was");
        std::fs::write(&file, &text).unwrap();
        let (code, said) = refused(&world.arguments("us-west")).await;
        assert_eq!(code, Some(1), "{said}");
        let errors: Vec<_> = said.lines().filter(|l| l.contains("ERROR")).collect();
        assert_eq!(errors.len(), 1, "one line says it: {said}");
        assert!(errors[0].contains(&file.display().to_string()) && errors[0].contains(named), "{named}: {said}");
    }
    std::fs::remove_file(&file).unwrap();
    let (_, said) = refused(&world.arguments("us-west")).await;
    assert!(said.contains(&file.display().to_string()), "{said}");
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_flags_are_refused_by_name() {
    let world = World::new(89, &["us-west"]);
    for (flag, value, expected) in [
        ("--source", "etcd:x", "file:PATH"),
        ("--cluster", "US_West", "DNS label"),
        ("--trust-domain", "a b", "--trust-domain"),
        ("--gateway-listen", "15443", "socket address"),
        ("--gateway-port", "0", "1..=65535"),
        ("--dns-zone", "a..b", "domain name"),
        ("--drain-delay", "soon", "duration"),
        ("--workers", "-1", "--workers"),
        ("--log-format", "xml", "json"),
        ("--log", "inf", "info"),
        ("--request-timeout", "0s", "more than 0"),
    ] {
        let mut arguments = world.arguments("us-west");
        arguments.retain(|a| a.split('=').next() != Some(flag));
        arguments.push(format!("{flag}={value}"));
        let (code, said) = refused(&arguments).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(flag) && said.contains(value) && said.contains(expected), "{flag}={value}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_named_with_its_flag() {
    let world = World::new(90, &["us-west"]);
    let site = world.site("us-west");
    for (flag, address) in [("--admin-listen", site.admin()), ("--dns-listen", site.dns())] {
        let taken = TcpListener::bind(address).unwrap();
        let (code, said) = refused(&world.arguments("us-west")).await;
        assert_eq!(code, Some(1), "{said}");
        let named = said.lines().any(|l| l.contains("ERROR") && l.contains(flag) && l.contains(&address.to_string()));
        assert!(named && said.contains("in use"), "{said}");
        drop(taken);
    }

    // A service's listener is no reason to leave the node without the others: the daemon waits for it, not ready.
    let taken = TcpListener::bind(site.listener()).unwrap();
    let daemon = world.start("us-west");
    daemon.process.says(&["listener cannot be bound", &site.listener().to_string(), "shop", "in use"]).await;
    let status = daemon.shows("what it waits for", |s| s.readiness.contains("waiting for listeners")).await;
    assert!(status.services.contains_key("shop/web"));
    assert_eq!(web::get(site.admin(), "/readyz").await.unwrap().status, 503);
    drop(taken);
    daemon.shows("that it is ready", |s| s.readiness == "ready").await;
    assert_eq!(web::get(site.admin(), "/readyz").await.unwrap().status, 200);
}
