//! The live view: what to try, what happens now, and keys that break things.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use futures_util::StreamExt as _;
use strait_load::generator::now_us;

use super::fleet::Fleet;
use super::layout::{NAMESPACE, SERVICE, SITES};
use super::phase::quantile_ms;
use super::relay::Mode;
use super::traffic::{Log, Seen};

const HOME: &str = "us-west";

/// Raw mode for as long as it lives, so that keys arrive one by one; the terminal is given back however this ends.
struct Raw;

impl Raw {
    fn enter() -> std::io::Result<Self> {
        terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}

/// Shows one line a second until `q` or Ctrl-C; without a terminal there are no keys.
///
/// # Errors
/// When the terminal refuses, or a fault cannot be made.
pub async fn run(fleet: &mut Fleet, log: &Log) -> anyhow::Result<()> {
    let interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    print(&introduction(interactive))?;
    let raw = if interactive { Some(Raw::enter()?) } else { None };
    let mut keys = interactive.then(EventStream::new);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        let key = async {
            match &mut keys {
                Some(keys) => keys.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = ticks.tick() => print_line(&second(&last_second(log)), raw.as_ref())?,
            event = key => match event {
                Some(Ok(Event::Key(key))) if key.kind == KeyEventKind::Press => match action(key) {
                    Some(Action::Quit) => return Ok(()),
                    Some(action) => print_line(&act(action, fleet, log)?, raw.as_ref())?,
                    None => {}
                },
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

#[derive(Clone, Copy)]
enum Action {
    Zero,
    Crash,
    BlackHole,
    Restore,
    Quit,
}

fn action(key: KeyEvent) -> Option<Action> {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Action::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Action::Quit),
        KeyCode::Char('z') => Some(Action::Zero),
        KeyCode::Char('c') => Some(Action::Crash),
        KeyCode::Char('b') => Some(Action::BlackHole),
        KeyCode::Char('r') => Some(Action::Restore),
        _ => None,
    }
}

fn act(action: Action, fleet: &mut Fleet, log: &Log) -> anyhow::Result<String> {
    Ok(match action {
        Action::Zero => {
            fleet.scale_to_zero(HOME)?;
            format!("── {HOME} scaled to 0\n")
        }
        Action::Crash => {
            fleet.stop_pods(HOME);
            format!("── all pods of {HOME} killed; its API server does not know\n")
        }
        Action::BlackHole => match serving_gateway(&last_second(log)) {
            Some(cluster) => {
                fleet.set_path(HOME, &cluster, Mode::Swallow);
                format!("── the path to {cluster} swallows everything\n")
            }
            None => format!("── {HOME} serves itself: scale it to 0 first (z)\n"),
        },
        Action::Restore => {
            fleet.heal();
            fleet.scale_back(HOME)?;
            "── everything restored\n".into()
        }
        Action::Quit => String::new(),
    })
}

fn last_second(log: &Log) -> Vec<Seen> {
    log.since(now_us().saturating_sub(1_000_000))
}

/// The other cluster that answered most.
fn serving_gateway(seen: &[Seen]) -> Option<String> {
    let counts = served(seen);
    counts.into_iter().filter(|(c, _)| c != HOME).max_by_key(|(_, n)| *n).map(|(c, _)| c)
}

fn served(seen: &[Seen]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for s in seen.iter().filter(|s| s.sample.is_ok()) {
        *counts.entry(s.sample.served_by.clone()).or_default() += 1;
    }
    counts
}

fn second(seen: &[Seen]) -> String {
    let mut latencies: Vec<u64> = seen.iter().filter(|s| s.sample.is_ok()).map(|s| s.sample.latency_us).collect();
    latencies.sort_unstable();
    let ms = |q| quantile_ms(&latencies, q).map_or_else(|| "-".to_owned(), |v| format!("{v}"));
    let counts = served(seen);
    let mut line = format!("{:>4} req/s ", seen.len());
    for site in &SITES {
        let _ = write!(line, " {} {:>4}", site.name, counts.get(site.name).copied().unwrap_or(0));
    }
    let errors = seen.iter().filter(|s| !s.sample.is_ok()).count();
    let _ = writeln!(line, "  errors {errors:>3}  p50 {:>6} ms  p99 {:>6} ms", ms(0.5), ms(0.99));
    line
}

fn introduction(interactive: bool) -> String {
    let mut text = String::from("Three clusters are running. In another terminal:\n\n");
    for site in &SITES {
        let _ = writeln!(text, "  curl http://{}            # as a pod of {}", site.listener(), site.name);
    }
    let dns = SITES[0].dns();
    let _ = writeln!(text, "  dig @{} -p {} {SERVICE}.{NAMESPACE}.svc.clusterset.local", dns.ip(), dns.port());
    let _ = writeln!(text, "  strait status --admin {}", SITES[0].admin());
    if interactive {
        text.push_str("\nKeys: z scale us-west to 0 · c kill its pods · b black-hole the serving gateway · r restore · q quit\n\n");
    } else {
        text.push_str("\nNo terminal, so no keys; Ctrl-C ends it.\n\n");
    }
    text
}

/// Raw mode does not return the carriage by itself.
fn print_line(text: &str, raw: Option<&Raw>) -> std::io::Result<()> {
    if raw.is_some() { print(&text.replace('\n', "\r\n")) } else { print(text) }
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
