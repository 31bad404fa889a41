//! What a proxied request costs: Strait beside nginx, HAProxy, Envoy and Pingora, beside a raw relay as the floor, and
//! beside hyper alone, in one run.
//!
//! Two instruments that are never mixed. **CPU time a request**: a closed loop as fast as it goes, the proxy on CPU 0, the
//! client and the pod on CPU 1, and the proxy's own time from the scheduler's count. **Latency**: an open loop at a
//! rate below what the slowest peer can do, told as it is and beside the floor's of the same round. Rounds are interleaved:
//! every peer once, then every peer again, so that a noisy neighbour hits all of them. A ratio is made within its round; ranges that
//! overlap are no claim. Every answer is checked.
//!
//! ```text
//!  client (CPU 1) ─▶ peer (CPU 0) [─▶ second peer (CPU 0)] ─▶ pod (CPU 1)
//! ```

mod certificates;
mod client;
mod family;
mod floor;
mod frames;
mod hyper_floor;
mod idle;
mod latency;
mod load;
mod machine;
mod peers;
mod poll;
mod process;
mod profile;
mod report;
mod responder;
mod rounds;
mod tls_floor;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::load::Protocol;

#[derive(Parser)]
#[command(about = "CPU per request, latency and memory of Strait beside other proxies, in one interleaved run")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    run: Run,
}

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
struct Run {
    /// How often every peer is measured, after a shorter round to warm up
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// What is spoken
    #[arg(long, value_enum, value_delimiter = ',', default_value = "h1,post,h2c,grpc,mtls")]
    protocols: Vec<Protocol>,
    /// Connections of the client
    #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
    connections: Vec<u32>,
    /// Bytes of an answer's body, 8 MiB at most
    #[arg(long, value_delimiter = ',', default_value = "128,10240,1048576")]
    bodies: Vec<usize>,
    /// Requests at a time on each HTTP/2 connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    streams: u32,
    /// Not every body with every number of connections: the first body with all of these, and the others with the one
    /// nearest to 32
    #[arg(long)]
    star: bool,
    /// Only these peers; the floor is always measured
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rates of the open loop, in percent of what the slowest peer can do; 0 leaves latency out
    #[arg(long, value_delimiter = ',', default_value = "50")]
    shares: Vec<u32>,
    /// Connections with which latency is measured, where they are among --connections
    #[arg(long, value_delimiter = ',', default_value = "32")]
    latency_connections: Vec<u32>,
    /// Bodies with which latency is measured, where they are among --bodies
    #[arg(long, value_delimiter = ',', default_value = "128")]
    latency_bodies: Vec<usize>,
    /// How long each measurement of latency takes, in seconds
    #[arg(long, default_value_t = 1.5)]
    latency_seconds: f64,
    /// Idle connections with which memory is measured (HTTP/1.1 and h2c); 0 leaves it out
    #[arg(long, default_value_t = 1000)]
    idle: u32,
    /// Write flame graphs of Strait where another proxy does better into this folder
    #[arg(long)]
    profile: Option<PathBuf>,
    /// At most so many of them, the worst first in each protocol
    #[arg(long, default_value_t = 2)]
    profiles: usize,
    /// Print what every peer was told, too
    #[arg(long)]
    configurations: bool,
    /// The strait binary
    #[arg(long, default_value = "target/dist/strait")]
    strait: PathBuf,
    /// The envoy binary; where there is none, one on the PATH
    #[arg(long, default_value = "benches/compare/target/envoy/bin/envoy")]
    envoy: PathBuf,
    /// The pingora binary
    #[arg(long, default_value = "benches/compare/pingora/target/release/strait-compare-pingora")]
    pingora: PathBuf,
}

#[derive(Subcommand)]
enum Part {
    /// Answer GET /N with N bytes, and nothing else
    Responder {
        /// Where to listen
        listen: SocketAddr,
    },
    /// Carry bytes between a client and one address, and nothing else
    Floor {
        /// Where to listen
        listen: SocketAddr,
        /// Where to carry to
        to: SocketAddr,
    },
    /// Carry requests with hyper between clients and one address, and nothing else
    Hyper {
        /// Where to listen
        listen: SocketAddr,
        /// Where to carry to
        to: SocketAddr,
        /// What is spoken on both sides
        sides: hyper_floor::Sides,
    },
    /// One of two relays with TLS between them
    TlsFloor {
        /// Which of the two
        end: tls_floor::End,
        /// Where to listen
        listen: SocketAddr,
        /// Where to carry to
        to: SocketAddr,
        /// The folder with the certificates
        certificates: PathBuf,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    machine::raise_open_files();
    match arguments.part {
        Some(Part::Responder { listen }) => responder::serve(listen, None),
        Some(Part::Floor { listen, to }) => floor::relay(listen, to),
        Some(Part::Hyper { listen, to, sides }) => hyper_floor::relay(listen, to, sides),
        Some(Part::TlsFloor { end, listen, to, certificates }) => tls_floor::relay(end, listen, to, &certificates),
        None => report::print(&rounds::measure(&arguments.run)?, arguments.run.configurations),
    }
}
