//! One connection to a gateway: TCP, TLS with exactly that cluster, HTTP/2, and the first sign of life.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use h2::client::Builder;
use strait_catalog::ClusterId;
use strait_identity::{Alpn, Identity, explain};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::bounds;
use super::pulse::{Pulse, Watched};
use crate::config::Timeouts;
use crate::health::Outcome;
use crate::http2::{self, Driver, Heard, KeepAlive, Sender};
use crate::socket::{Patience, connect};

/// Round trips above this are taken for a stalled machine, not for distance.
const MAX_RTT: Duration = Duration::from_secs(1);
/// How long a ping may take to be answered: a backstop behind the pulse.
const PING_BACKSTOP: Duration = Duration::from_secs(10);

/// A connection that has shown life.
pub(super) struct Dialled {
    pub(super) sender: Sender,
    pub(super) driver: Driver,
    pub(super) pulse: Arc<Pulse>,
    /// One round trip.
    pub(super) rtt: Duration,
}

/// Why a gateway could not be connected.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0}")]
    Identity(#[from] strait_identity::NotReady),
    #[error("its name {name:?} does not resolve: {source}")]
    Resolve { name: String, source: io::Error },
    #[error("{address} cannot be connected: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("{address}: {reason}")]
    Handshake { address: SocketAddr, reason: String },
    #[error("{address} accepted the connection and said nothing for {waited:?} (a black hole?)")]
    Silent { address: SocketAddr, waited: Duration },
}

impl DialError {
    /// What it says about the gateway's health; `None` when the fault is on this side.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Identity(_) => None,
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::TimedOut => Some(Outcome::ConnectTimeout),
            Self::Silent { .. } => Some(Outcome::ConnectTimeout),
            Self::Resolve { .. } | Self::Connect { .. } | Self::Handshake { .. } => Some(Outcome::Refused),
        }
    }

    /// The metrics' label.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Identity(_) => "no_identity",
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } => "connect",
            Self::Handshake { .. } => "handshake",
            Self::Silent { .. } => "silent",
        }
    }
}

/// Connects to one gateway of a cluster. Nothing takes longer than a second beyond two known round trips a step.
pub(super) async fn dial(
    to: &ClusterId,
    address: &str,
    rtt: Option<Duration>,
    identity: &Identity,
    timeouts: &Timeouts,
) -> Result<Dialled, DialError> {
    let tls = identity.client_config(to, &[Alpn::Http2])?;
    let address = resolve(address, timeouts.connect_gateway).await?;
    let limit = rtt.map_or(timeouts.connect_gateway, |rtt| Duration::from_millis(250) + 2 * rtt);
    let silence = allowance(rtt.unwrap_or_default(), timeouts);
    let patience = Patience { unacked: Some(2 * silence), keepalive: Duration::from_secs(1) };

    let began = Instant::now();
    let tcp = connect(address, limit, patience).await.map_err(|source| DialError::Connect { address, source })?;
    let connected = began.elapsed().min(MAX_RTT);

    let pulse = Pulse::new();
    let limit = timeouts.connect_gateway + 4 * connected;
    let began = Instant::now();
    let secured = TlsConnector::from(tls).connect(Identity::server_name(to), Watched::new(tcp, pulse.clone()));
    let stream = match timeout(limit, secured).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(DialError::Handshake { address, reason: explain(&error) }),
        Err(_) => return Err(DialError::Silent { address, waited: limit }),
    };
    let secured = began.elapsed();
    let began = Instant::now();
    let broken = |error: h2::Error| DialError::Handshake { address, reason: explain(&error) };
    let keep_alive = KeepAlive { interval: timeouts.link_ping, timeout: PING_BACKSTOP, heard: Heard::default() };
    let (sender, mut driver) = http2::handshake(&builder(), stream, Some(keep_alive)).await.map_err(broken)?;
    match timeout(limit, first_word(&pulse, &mut driver)).await {
        Ok(Ok(())) => {
            let rtt = distance(connected, secured, began.elapsed());
            Ok(Dialled { sender, driver, pulse, rtt })
        }
        Ok(Err(reason)) => Err(DialError::Handshake { address, reason }),
        Err(_) => Err(DialError::Silent { address, waited: limit }),
    }
}

/// The round trip, from three steps that each take one: where a middle box answers the TCP handshake for the gateway,
/// only the two behind it cross the whole way, and the lesser of these was stalled less.
fn distance(tcp: Duration, tls: Duration, settings: Duration) -> Duration {
    tcp.max(tls.min(settings)).min(MAX_RTT)
}

/// In TLS 1.3 the other side judges our certificate after our handshake is done: its first bytes are its SETTINGS, or
/// the alert that it refuses us.
async fn first_word(pulse: &Pulse, driver: &mut Driver) -> Result<(), String> {
    let ended = |result: Result<(), h2::Error>| match result {
        Ok(()) => "the gateway closed the connection at once".to_owned(),
        Err(error) => explain(&error),
    };
    tokio::select! {
        biased;
        result = &mut *driver => return Err(ended(result)),
        () = pulse.next_beat() => {}
    }
    // What those bytes were shows when the connection has read them, which is the next thing that runs here.
    tokio::time::sleep(Duration::from_millis(2)).await;
    match driver.now_or_never() {
        Some(result) => Err(ended(result)),
        None => Ok(()),
    }
}

async fn resolve(address: &str, limit: Duration) -> Result<SocketAddr, DialError> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let failed = |source| DialError::Resolve { name: address.to_owned(), source };
    match timeout(limit, tokio::net::lookup_host(address)).await {
        Ok(Ok(mut found)) => {
            found.next().ok_or_else(|| failed(io::Error::new(io::ErrorKind::NotFound, "it has no address")))
        }
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(failed(io::Error::new(io::ErrorKind::TimedOut, "the resolver did not answer in time"))),
    }
}

/// How long a link may be silent: a ping goes out after `link_ping` of silence and has two round trips and the slack.
pub(super) fn allowance(rtt: Duration, timeouts: &Timeouts) -> Duration {
    timeouts.link_ping + 2 * rtt.min(MAX_RTT) + timeouts.link_slack
}

/// How connections to gateways are made.
fn builder() -> Builder {
    let mut builder = http2::client();
    builder
        .initial_window_size(bounds::STREAM_WINDOW)
        .initial_connection_window_size(bounds::CONNECTION_WINDOW)
        .max_header_list_size(bounds::HEAD_BYTES)
        .data_frame_budget(bounds::FRAMES_BYTES);
    builder
}
