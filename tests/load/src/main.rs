//! `strait-load`: GET requests at a constant rate, one line for each; `strait-load summarize` reads the lines.
//! `strait-load serve` is a pod that speaks what a mesh has to carry, `strait-load talk` has one conversation with it, and
//! `strait-load noise` sends what means nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use strait_load::connection::SERVED_BY;
use strait_load::generator::{self, Connections, Plan};
use strait_load::noise;
use strait_load::server;
use strait_load::sink;
use strait_load::summary::{self, Summary, Window};
use strait_load::talk::{Talk, talk};
use strait_load::target::Target;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    load: Option<Load>,
}

#[derive(Subcommand)]
enum Verb {
    /// Count what a file of samples says about a stretch of time.
    Summarize {
        /// Written by --out.
        file: PathBuf,
        /// Microseconds since the epoch.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Microseconds since the epoch.
        #[arg(long, default_value_t = u64::MAX)]
        to: u64,
    },
    /// Serve HTTP/1.1, HTTP/2, gRPC, server-sent events, WebSocket and long bodies on one port.
    Serve {
        /// Address and port.
        #[arg(long, default_value = "0.0.0.0:8080")]
        listen: std::net::SocketAddr,
        /// What it calls itself.
        #[arg(long)]
        name: String,
    },
    /// Send datagrams of random bytes.
    Noise {
        /// Address and port.
        #[arg(long)]
        to: std::net::SocketAddr,
        /// Of six datagrams each.
        #[arg(long, default_value_t = 100)]
        rounds: u32,
    },
    /// One conversation with a server of `serve`, checked and told in a line.
    Talk {
        /// What to say.
        #[arg(value_enum)]
        what: What,
        /// http://HOST[:PORT]
        #[arg(long)]
        target: Target,
        /// In HTTP/2 with prior knowledge instead of HTTP/1.1.
        #[arg(long)]
        http2: bool,
        /// Events, messages or texts.
        #[arg(long, default_value_t = 20)]
        count: u64,
        /// Between two events.
        #[arg(long, default_value = "100ms", value_parser = duration)]
        every: Duration,
        /// Length of an upload or download.
        #[arg(long, default_value_t = 1024 * 1024)]
        bytes: u64,
        /// Limit of all of it.
        #[arg(long, default_value = "1m", value_parser = duration)]
        timeout: Duration,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Get,
    Events,
    Grpc,
    Websocket,
    Upload,
    Download,
}

#[derive(clap::Args)]
struct Load {
    /// http://HOST[:PORT][/PATH]; given several times, the targets are taken in turn.
    #[arg(long, required = true)]
    target: Vec<Target>,
    /// Requests per second, all targets together.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// A new connection for each request, or 40 kept ones used in turn.
    #[arg(long, value_enum, default_value_t = Mode::New)]
    connections: Mode,
    /// Limit of one request, from when it was due; such as 2s or 500ms.
    #[arg(long, default_value = "2s", value_parser = duration)]
    timeout: Duration,
    /// Such as 90s, 10m or 2h; a signal ends it earlier.
    #[arg(long, default_value = "1m", value_parser = duration)]
    duration: Duration,
    /// A good answer contains this.
    #[arg(long)]
    expect_body: Option<String>,
    /// Without an x-strait-served-by header, take the first word of the body for the server's name.
    #[arg(long)]
    body_names_server: bool,
    /// The file of samples.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    New,
    Keepalive,
}

fn duration(text: &str) -> Result<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().context("no number")?;
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => bail!("unit {unit:?} is none of ms, s, m, h"),
    };
    Ok(Duration::from_millis(number.checked_mul(millis).context("too long")?))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match (arguments.verb, arguments.load) {
        (Some(Verb::Summarize { file, from, to }), _) => summarize(&file, Window { from_us: from, to_us: to }),
        (Some(Verb::Serve { listen, name }), _) => runtime()?.block_on(serve(listen, name)),
        (Some(Verb::Noise { to, rounds }), _) => {
            println!("{} datagrams sent", runtime()?.block_on(noise::datagrams(to, rounds))?);
            Ok(())
        }
        (Some(Verb::Talk { what, target, http2, count, every, bytes, timeout }), _) => {
            let what = match what {
                What::Get => Talk::Get,
                What::Events => Talk::Events { count, every },
                What::Grpc => Talk::Grpc { count },
                What::Websocket => Talk::WebSocket { count },
                What::Upload => Talk::Upload { bytes },
                What::Download => Talk::Download { bytes },
            };
            let said = runtime()?.block_on(async { tokio::time::timeout(timeout, talk(&target, what, http2)).await });
            println!("{}", said.with_context(|| format!("not over after {timeout:?}"))??);
            Ok(())
        }
        (None, Some(load)) => runtime()?.block_on(generate(load)),
        (None, None) => bail!("nothing to do: see --help"),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(256) // getaddrinfo blocks; with a dead resolver they all hang at once
        .enable_all()
        .build()
}

async fn serve(listen: std::net::SocketAddr, name: String) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    let stop = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(stop.clone()));
    server::serve(listener, name, stop).await;
    signals.abort();
    Ok(())
}

fn summarize(file: &std::path::Path, window: Window) -> Result<()> {
    let (samples, unread) = summary::read(file, window).with_context(|| format!("reading {}", file.display()))?;
    println!("{}", Summary::of(&samples));
    if unread > 0 {
        println!("{unread} lines are not samples");
    }
    Ok(())
}

async fn generate(load: Load) -> Result<()> {
    let Load { target, rate, connections, timeout, duration, expect_body, body_names_server, out } = load;
    let connections = match connections {
        Mode::New => Connections::New,
        Mode::Keepalive => Connections::KeepAlive,
    };
    let plan = Plan {
        targets: target,
        rate,
        duration,
        timeout,
        connections,
        expect: expect_body,
        server_header: SERVED_BY,
        body_names_server,
    };
    let (samples, writer) = sink::open(&out).await.with_context(|| format!("making {}", out.display()))?;
    let stop = CancellationToken::new();
    let listener = tokio::spawn(stop_on_signal(stop.clone()));
    generator::run(plan, samples, stop).await;
    listener.abort();
    writer.await?.with_context(|| format!("writing {}", out.display()))?;
    summarize(&out, Window::ALL)
}

async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
}
