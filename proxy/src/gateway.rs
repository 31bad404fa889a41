//! The gateway port: other clusters' daemons, let in by certificate.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use strait_catalog::ClusterId;
use strait_identity::{Alpn, explain, peer_cluster};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

mod entry;
mod reports;
mod tunnel;

pub(crate) use reports::Reports;

use crate::client::HintSampling;
use crate::floods::{self, Priced};
use crate::http2::{Call, KeepAlive, Server};
use crate::links::bounds;
use crate::metrics::PeerMetrics;
use crate::retry::Counted;
use crate::shared::Phase;
use crate::socket::tune_accepted;
use crate::worker::Worker;

/// How often a peer is asked whether it is there, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Part of [`link_age`](crate::Timeouts::link_age) after which a peer that has not renewed its connection by itself is
/// sent away: certificates are judged at the handshake, so no connection may live for ever.
const OUTSTAYED: f64 = 1.5;

/// Another cluster's daemon on one connection.
pub(crate) struct Peer {
    pub(crate) cluster: ClusterId,
    pub(crate) trace: crate::hygiene::Trace,
    pub(crate) metrics: PeerMetrics,
    /// Whether pods that it asks for have early hints.
    hints: HintSampling,
}

/// Takes in a connection on the gateway port.
pub(crate) fn welcome(worker: &Rc<Worker>, tcp: TcpStream, peer: SocketAddr) {
    if worker.peers.get() as usize >= worker.shared.limits.gateway_connections {
        worker.metrics.handshake_failed("too_many_connections");
        return;
    }
    if tune_accepted(&tcp).is_err() {
        return;
    }
    let counted = (Counted::one(&worker.peers), worker.opened());
    let worker = worker.clone();
    worker.tasks.clone().spawn_local(async move {
        let _counted = counted;
        let _gauge = worker.metrics.peer();
        if let Some((stream, alpn, cluster)) = handshake(&worker, tcp, peer).await {
            match alpn {
                Alpn::Sync => (worker.shared.on_sync)(stream, cluster),
                Alpn::Http2 => serve(worker, stream, peer, cluster).await,
            }
        }
    });
}

/// Who it is and what it wants to speak. Whatever else comes to the port is counted, and worth a line now and then.
async fn handshake(
    worker: &Worker,
    tcp: TcpStream,
    peer: SocketAddr,
) -> Option<(TlsStream<TcpStream>, Alpn, ClusterId)> {
    let acceptor = TlsAcceptor::from(worker.server_tls());
    let refused = |reason: &'static str, detail: &str| {
        worker.metrics.handshake_failed(reason);
        if worker.strangers.allow(reason, std::time::Instant::now()) {
            tracing::warn!(%peer, reason, detail, "a connection to the gateway port was refused");
        }
        None
    };
    let stream = match tokio::time::timeout(worker.shared.timeouts.handshake, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => stream,
        // Probes of load balancers connect and leave; they are no news.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            worker.metrics.handshake_failed("closed");
            return None;
        }
        Ok(Err(error)) => return refused("handshake", &explain(&error)),
        Err(_) => return refused("timeout", "the handshake did not end in time"),
    };
    let connection = stream.get_ref().1;
    let cluster = match peer_cluster(connection) {
        Ok(cluster) => cluster,
        Err(error) => return refused("identity", &error.to_string()),
    };
    match Alpn::negotiated(connection) {
        Some(alpn) => Some((stream, alpn, cluster)),
        None => refused("no_protocol", "it named no application protocol"),
    }
}

async fn serve(worker: Rc<Worker>, stream: TlsStream<TcpStream>, address: SocketAddr, cluster: ClusterId) {
    let limits = &worker.shared.limits;
    let peer = Rc::new(Peer {
        trace: crate::hygiene::Trace::new(address.ip(), &worker.pseudonym),
        metrics: PeerMetrics::new(&cluster),
        hints: HintSampling::default(),
        cluster,
    });
    let stream = Priced::new(stream, floods::PEER, worker.metrics.floods.clone());
    let keep_alive = KeepAlive { interval: PING_EVERY, timeout: PING_TIMEOUT, heard: stream.heard() };
    let mut builder = h2::server::Builder::new();
    floods::bound(&mut builder, floods::PEER, limits.streams, bounds::HEAD_BYTES)
        .initial_window_size(bounds::STREAM_WINDOW)
        .initial_connection_window_size(bounds::CONNECTION_WINDOW)
        .data_frame_budget(bounds::FRAMES_BYTES);
    let call = |Call { request, way_back, .. }: Call| {
        let (worker, peer) = (worker.clone(), peer.clone());
        tokio::task::spawn_local(async move {
            let voice = way_back.voice().clone();
            // In a box, since it is some KiB, and is moved before it is begun.
            way_back.answer(Box::pin(async move { entry::serve(&worker, &peer, request, &voice).await })).await;
        });
    };
    let mut conn = pin!(Server::new(&builder, stream, keep_alive, call));
    let mut phase = worker.phase.clone();
    // The drain sends connections away that were there before it: what is open, and what crosses GOAWAY on the way, is
    // answered. Those that come back all the same have nowhere better to go and stay until the stop.
    let came_in_drain = worker.leaving();
    let goes = |p: &Phase| matches!(p, Phase::Stopping(_)) || (*p == Phase::Draining && !came_in_drain);
    let mut old = pin!(tokio::time::sleep(worker.shared.timeouts.link_age.mul_f64(OUTSTAYED)));
    let mut asked = false;
    loop {
        tokio::select! {
            biased;
            _ = conn.as_mut() => return,
            _ = phase.wait_for(goes), if !asked => {}
            () = &mut old, if !asked => {}
        }
        conn.as_mut().graceful_shutdown();
        asked = true;
    }
}
