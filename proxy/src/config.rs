//! What a proxy is started with.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strait_catalog::{ClusterId, Published};
use strait_identity::Identity;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Takes over a connection of another daemon that chose `strait-sync/1`, with the cluster its certificate proved.
///
/// It is called on a proxy worker's thread and must return at once; the stream is registered with that worker's
/// reactor, so a session that lives on another runtime only polls it from there.
pub type OnSync = Arc<dyn Fn(TlsStream<TcpStream>, ClusterId) + Send + Sync>;

/// What a [`crate::Proxy`] needs. Durations and limits have the defaults written at their fields.
#[derive(Clone)]
pub struct ProxyConfig {
    /// Where snapshots appear; its local cluster is this daemon's.
    pub published: Published,
    /// Certificates of this cluster and roots of the others; the gateway opens once there is a certificate.
    pub identity: Identity,
    /// Where the daemon's monotonic clock starts: the same instant that the catalog's milliseconds count from.
    pub origin: Instant,
    /// Where other clusters' daemons reach this one; empty keeps the gateway closed.
    pub gateways: Vec<SocketAddr>,
    /// Threads; `None` takes the CPUs this process may use.
    pub workers: Option<NonZeroUsize>,
    /// Takes over sync sessions.
    pub on_sync: OnSync,
    /// Whether pods' reports of their own load (`endpoint-load-metrics`) shift requests between them; off. The field
    /// is passed on to the client either way.
    pub orca: bool,
    /// Durations.
    pub timeouts: Timeouts,
    /// Ceilings.
    pub limits: Limits,
}

impl ProxyConfig {
    /// A configuration with every default and a clock that starts now.
    #[must_use]
    pub fn new(published: Published, identity: Identity, on_sync: OnSync) -> Self {
        Self {
            published,
            identity,
            origin: Instant::now(),
            gateways: Vec::new(),
            workers: None,
            on_sync,
            orca: false,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A whole request until its response head, all attempts together; 30 s. Bodies have no limit: models stream.
    pub request: Duration,
    /// One attempt until its response head; none, since a model may think for seconds.
    pub attempt: Option<Duration>,
    /// How long a request that has touched nothing is held when every place it could go to has failed; 1 s. It tries
    /// again now and then: what failed everywhere at once is often back within a second.
    pub hold: Duration,
    /// A TCP connection to a pod of this cluster; 250 ms. A crashed node is a black hole.
    pub connect_pod: Duration,
    /// How long nothing may be heard of a pod whose service is asked, before a connection is made to see whether it is
    /// there; 5 s. Pods that could not be reached are checked too, instead of by a client's request. `None` leaves all of
    /// that to requests.
    pub check_idle: Option<Duration>,
    /// A client's request head, from its first byte; 10 s. Until then a connection is idle. On HTTP/2 any frame that has begun to come,
    /// but for a piece of a body, which has [`Timeouts::body`].
    pub head: Duration,
    /// How long a client is waited for on a port that does not say what it speaks; 2 s. Who has said nothing by then
    /// waits for the server's word, so the connection is relayed byte by byte.
    pub detect: Duration,
    /// A request's body without a byte while there is room for it; 60 s. Not for gRPC over HTTP/2, whose streams may be silent.
    pub body: Duration,
    /// A request's body until its end, however well it comes; 1 h. Not for gRPC either, nor for what has left HTTP.
    pub upload: Duration,
    /// An HTTP client that takes nothing of what was sent to it; 60 s, by the kernel's `TCP_USER_TIMEOUT`. On HTTP/2 also a
    /// stream that its client gives no window, unless it is gRPC's.
    pub unread: Duration,
    /// A client's connection without a request; 120 s.
    pub idle_client: Duration,
    /// Age at which a client's HTTP connection is asked to end with the request under way, ±10 %; 1 h. Its next one comes to
    /// whatever worker and daemon there is by then.
    pub client_age: Duration,
    /// A kept-alive connection to a pod without a request; 3 s, below what servers usually keep.
    pub idle_pod: Duration,
    /// A handshake on the gateway port; 5 s.
    pub handshake: Duration,
    /// Silence on a link between gateways before it is pinged; 200 ms. A link is suspect after this plus two round trips
    /// plus [`Timeouts::link_slack`]: it gets no new requests, and those on it that may be replayed move at once.
    pub link_ping: Duration,
    /// What a link is allowed beyond two round trips; 200 ms.
    pub link_slack: Duration,
    /// How long a suspect link has to come back before it is dead and everything left on it fails; 1.5 s. It spares
    /// requests that may not be replayed when the machine at either end only stalled.
    pub link_grace: Duration,
    /// A connection to a gateway whose round-trip time is not known yet, TCP and TLS together; 1 s.
    pub connect_gateway: Duration,
    /// Age at which a link, or a connection to a pod that speaks HTTP/2, takes no more requests and a fresh one does, ±10 %; 10 min.
    pub link_age: Duration,
    /// The way back to the own cluster after a first failover, from nothing to all; 30 s. Flapping makes it longer, up
    /// to ten times.
    pub failback_ramp: Duration,
    /// How long the listeners of an import that is gone are kept; 30 s. What a controller takes back lingers before it goes; what
    /// goes at once was deleted by hand, and is written again, if need be by a controller that has to be started first.
    pub unbind_grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            attempt: None,
            hold: Duration::from_secs(1),
            connect_pod: Duration::from_millis(250),
            check_idle: Some(Duration::from_secs(5)),
            head: Duration::from_secs(10),
            detect: Duration::from_secs(2),
            body: Duration::from_secs(60),
            upload: Duration::from_secs(3_600),
            unread: Duration::from_secs(60),
            idle_client: Duration::from_secs(120),
            client_age: Duration::from_secs(3_600),
            idle_pod: Duration::from_secs(3),
            handshake: Duration::from_secs(5),
            link_ping: Duration::from_millis(200),
            link_slack: Duration::from_millis(200),
            link_grace: Duration::from_millis(1_500),
            connect_gateway: Duration::from_secs(1),
            link_age: Duration::from_secs(600),
            failback_ramp: Duration::from_secs(30),
            unbind_grace: Duration::from_secs(30),
        }
    }
}

/// How much there may be. All are per worker, so that no counter is shared on the request path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections; 16,384.
    pub client_connections: usize,
    /// Connections of one client address; 4,096.
    pub connections_per_client: usize,
    /// Connections on the gateway port, handshakes included; 4,096.
    pub gateway_connections: usize,
    /// Requests under way; 16,384. Beyond it answers are 503 with Retry-After; the less urgent a request is, the earlier.
    pub requests: usize,
    /// Idle connections kept to one pod; 1,024. With a quarter of that a thousand busy clients of one pod made new ones
    /// again and again, which cost a third of what they got through.
    pub idle_per_pod: usize,
    /// Idle HTTP/2 connections of clients, of which each costs 20 KiB; 256. Those beyond that have been idle for the longest,
    /// and are told to go: to come back costs a client, which is on this node, a tenth of a millisecond.
    pub idle_http2: usize,
    /// Streams one connection may have open towards this daemon; 256.
    pub streams: u32,
    /// Raw and upgraded connections that cross clusters, to and from; 1,024, half of the streams that the links to one
    /// gateway have, so that requests always find one.
    pub tunnels: usize,
    /// Bytes of an answer that one stream takes ahead of its client's socket; 64 KiB. While a client is slow, a piece that waits to
    /// be taken and what was read ahead from its pod come to about as much each.
    pub stream_buffer: usize,
    /// Bytes of a request body kept for a replay; 64 KiB.
    pub replay_bytes: usize,
    /// Bytes of a request target; 16 KiB.
    pub target_bytes: usize,
    /// Bytes of a request's header fields; 64 KiB.
    pub head_bytes: usize,
    /// Gateways of one cluster that are kept connected; 4.
    pub gateways_per_cluster: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            client_connections: 16_384,
            connections_per_client: 4_096,
            gateway_connections: 4_096,
            requests: 16_384,
            idle_per_pod: 1_024,
            idle_http2: 256,
            streams: 256,
            tunnels: 1_024,
            stream_buffer: 64 * 1024,
            replay_bytes: 64 * 1024,
            target_bytes: 16 * 1024,
            head_bytes: 64 * 1024,
            gateways_per_cluster: 4,
        }
    }
}
