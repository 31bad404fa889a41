//! `strait status`: what a running agent knows, for people.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::admin::status::{ClusterStatus, Status};

/// Which agent, and how to print.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The agent's admin address
    #[arg(long, env = "STRAIT_ADMIN", default_value = "127.0.0.1:15020")]
    pub admin: String,
    /// Print the JSON as it is
    #[arg(long)]
    pub json: bool,
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks one agent and prints its answer.
///
/// # Errors
/// When the agent does not answer, or answers something else.
pub async fn run(args: StatusArgs) -> anyhow::Result<()> {
    let text = tokio::time::timeout(PATIENCE, fetch(&args.admin))
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {PATIENCE:?}"))
        .and_then(|r| r)
        .with_context(|| format!("agent at {} (--admin); is it running there?", args.admin))?;
    if args.json {
        print(&text);
    } else {
        let status: Status = serde_json::from_str(&text).context("the answer is not a status; another version?")?;
        print(&render(&status));
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    println!("{}", text.trim_end());
}

async fn fetch(admin: &str) -> anyhow::Result<String> {
    let stream = TcpStream::connect(admin).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get("/status").header("host", admin).body(Empty::<bytes::Bytes>::new())?;
    let asked = async {
        let response = sender.send_request(request).await?;
        anyhow::ensure!(response.status().is_success(), "status {}", response.status());
        Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?)
    };
    tokio::select! {
        text = asked => text,
        ended = connection => Err(ended.err().map_or_else(|| anyhow::anyhow!("the connection ended"), Into::into)),
    }
}

/// The status as a person reads it.
#[must_use]
pub fn render(status: &Status) -> String {
    let mut out = String::new();
    let node = if status.node.is_empty() { String::new() } else { format!(" on {}", status.node) };
    let line = |out: &mut String, text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(
        &mut out,
        format!(
            "strait {} in {}{node}, up {} s: {}",
            status.version, status.cluster, status.up_seconds, status.readiness
        ),
    );
    line(&mut out, format!("identity: {}", status.identity));
    line(&mut out, format!("peers: {}", status.peers));
    if let Some(error) = status.source.get("error").and_then(|e| e.as_str()) {
        line(&mut out, format!("source: {error}"));
    }
    line(
        &mut out,
        format!("\n{:<16} {:<12} {:>8} {:>7} {:>8}  GATEWAYS", "CLUSTER", "REGION", "AGE", "WEIGHT", "RECORDS"),
    );
    for cluster in &status.clusters {
        line(&mut out, cluster_line(cluster));
    }
    services(&mut out, status);
    out
}

fn cluster_line(c: &ClusterStatus) -> String {
    let age = match c.age_ms {
        _ if c.local => "own".to_owned(),
        Some(ms) => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        None => "never".to_owned(),
    };
    let gateways = c.gateways.join(" ");
    format!("{:<16} {:<12} {age:>8} {:>7.2} {:>8}  {gateways}", c.id, c.region, c.weight, c.records)
}

fn services(out: &mut String, status: &Status) {
    for (name, service) in &status.services {
        let lingering = if service.lingering { " (lingering)" } else { "" };
        let _ = write!(out, "\n{name}{lingering}");
        if !service.ips.is_empty() {
            let _ = write!(out, "  {}", service.ips.join(" "));
        }
        for (port, listener) in &service.listeners {
            let _ = write!(out, "  {port} on {listener}");
        }
        out.push_str(&policy(&status.proxy, name));
        out.push('\n');
        for (cluster, backend) in &service.backends {
            let share =
                share(&status.proxy, name, cluster).map_or_else(String::new, |s| format!("  {:>5.1} %", s * 100.0));
            let private = if backend.exported { "" } else { "  not exported" };
            let back = if *cluster == status.cluster { coming_back(&status.proxy, name) } else { String::new() };
            let _ = writeln!(
                out,
                "  {cluster:<14} {:>4} of {:<4} ready{share}{private}{back}",
                backend.ready, backend.total
            );
        }
    }
}

/// The service's first port, as the proxy sees it.
fn route<'p>(proxy: &'p serde_json::Value, service: &str) -> Option<&'p serde_json::Value> {
    let routes = proxy.get("services")?.as_array()?;
    routes.iter().find(|r| r.get("service").and_then(|s| s.as_str()) == Some(service))
}

/// How the service's requests are shared, and the TrafficPolicy that says so.
fn policy(proxy: &serde_json::Value, service: &str) -> String {
    let policy = route(proxy, service).and_then(|r| r.get("policy"));
    let text = |field: &str| policy.and_then(|p| p.get(field)?.as_str());
    let Some(mode) = text("mode") else { return String::new() };
    let listed = policy.and_then(|p| p.get("clusters")?.as_array()).into_iter().flatten().filter_map(|c| c.as_str());
    let listed: Vec<&str> = listed.collect();
    let clusters = if listed.is_empty() { String::new() } else { format!(" {}", listed.join(", ")) };
    let by = text("name").map_or_else(String::new, |name| format!(" (policy {name})"));
    format!("  {mode}{clusters}{by}")
}

/// Where the own cluster's share is going while it returns, and what holds it.
fn coming_back(proxy: &serde_json::Value, service: &str) -> String {
    let back = route(proxy, service).and_then(|r| r.get("coming_back"));
    let Some(target) = back.and_then(|b| b.get("target")?.as_f64()) else { return String::new() };
    let held = match back.and_then(|b| b.get("hold")?.as_str()) {
        Some("errors") => ", held: it answers worse than the others",
        Some("waiting") => ", held: the time to wait after a failover is not over",
        Some(_) => ", held: it is slower than before",
        None => "",
    };
    format!("  returning to {:.0} %{held}", target * 100.0)
}

/// What share of the service's requests goes to that cluster from this node, by its first port.
fn share(proxy: &serde_json::Value, service: &str, cluster: &str) -> Option<f64> {
    let clusters = route(proxy, service)?.get("clusters")?.as_array()?;
    clusters.iter().find(|c| c.get("cluster").and_then(|c| c.as_str()) == Some(cluster))?.get("share")?.as_f64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_services_mode_is_told_with_the_policy_it_comes_from() {
        let proxy = |policy: serde_json::Value| json!({"services": [{"service": "ml/model", "policy": policy}]});
        let plain = proxy(json!({"mode": "LocalFirst", "name": null, "clusters": []}));
        assert_eq!(policy(&plain, "ml/model"), "  LocalFirst");
        let ordered = proxy(json!({"mode": "Ordered", "name": "p", "clusters": ["us-east", "us-west"]}));
        assert_eq!(policy(&ordered, "ml/model"), "  Ordered us-east, us-west (policy p)");
        assert_eq!(policy(&ordered, "ml/other"), "");
    }
}
