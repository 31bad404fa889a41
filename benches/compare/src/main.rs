//! What a proxied request costs: Strait beside nginx, HAProxy and Envoy, and beside a raw relay as the floor, in one run.
//!
//! The figure is CPU time of the proxy's processes for each request, from the scheduler's own count, with the proxy on
//! CPU 0 and the client and the responder on CPU 1. Rounds are interleaved: every peer once, then every peer again, so
//! that a noisy neighbour hits all of them. A ratio is made within its round; ranges that overlap are no claim.
//!
//! ```text
//!  wrk (CPU 1) ─▶ peer (CPU 0) ─▶ responder (CPU 1)          peers: floor, nginx, haproxy, envoy, strait
//! ```

mod cpu;
mod floor;
mod peers;
mod poll;
mod process;
mod report;
mod responder;
mod rounds;
mod wrk;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "CPU per request of Strait beside other proxies, in one interleaved run")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    run: Run,
}

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
struct Run {
    /// How often every peer is measured
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Connections of the client
    #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
    connections: Vec<u32>,
    /// Bytes of an answer's body
    #[arg(long, value_delimiter = ',', default_value = "128,10240,1048576")]
    bodies: Vec<usize>,
    /// Only these peers; the floor is always measured
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// The strait binary
    #[arg(long, default_value = "target/release/strait")]
    strait: PathBuf,
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
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Responder { listen }) => responder::serve(listen),
        Some(Part::Floor { listen, to }) => floor::relay(listen, to),
        None => report::print(&rounds::measure(&arguments.run)?),
    }
}
