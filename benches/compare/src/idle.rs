//! Memory of connections that do nothing: what a proxy's processes grow by.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::Client;
use crate::load::{Load, Protocol};
use crate::peers::Peer;
use crate::poll::Poll;

/// How long connections are idle before memory is looked at, and peers before connections are opened.
const REST: Duration = Duration::from_secs(5);

/// Memory with one protocol.
#[derive(Debug)]
pub struct Table {
    /// What is spoken.
    pub protocol: Protocol,
    /// Idle connections to each peer.
    pub connections: u32,
    /// Name, bytes of the processes without them, and bytes more for each of them.
    pub rows: Vec<(&'static str, u64, f64)>,
}

/// Opens so many connections to all peers, lets each carry one request, and looks what memory they take. The requests come
/// one after the other, so that few connections to the pod are needed.
pub fn measure(connections: u32, protocol: Protocol, peers: &[Peer]) -> Result<Table> {
    let load = Load { speech: protocol.speech(), body: 128, connections, streams: 1 };
    // What the loads before have left behind is given back first.
    rest()?;
    let mut opened = Vec::new();
    for peer in peers {
        let before = peer.memory();
        let client = Client::open(peer.at, load).and_then(|mut client| {
            client.each_once()?;
            Ok(client)
        });
        match client {
            Ok(client) => opened.push((peer, before, client)),
            Err(error) => eprintln!("  {}: {error:#}", peer.name),
        }
    }
    rest()?;
    let row = |(peer, before, _): &(&Peer, u64, Client)| {
        let more = peer.memory() as f64 - *before as f64;
        (peer.name, *before, more / f64::from(connections))
    };
    Ok(Table { protocol, connections, rows: opened.iter().map(row).collect() })
}

fn rest() -> Result<()> {
    let (mut nothing, end) = (Poll::new()?, Instant::now() + REST);
    while Instant::now() < end {
        nothing.wait(Some(end.saturating_duration_since(Instant::now())))?;
    }
    Ok(())
}
