//! The UDP path: one task a socket, a batch of datagrams at a time, no allocation for any of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strait_catalog::{Published, Snapshot};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::respond::{MAX_UDP_PAYLOAD, Reply, Transport, respond};
use crate::zone::Zone;

/// Largest datagram read, in octets. Longer ones arrive cut and are answered as malformed.
const RECEIVE: usize = 4096;

/// Datagrams answered before other tasks get their turn; one snapshot serves the batch.
const BATCH: usize = 64;

/// Pause after an error of the socket itself, so that a lasting one does not spin.
const AFTER_ERROR: Duration = Duration::from_millis(20);

/// Answers what arrives on the socket until cancelled.
pub(crate) async fn serve(
    socket: UdpSocket,
    published: Published,
    zone: Arc<Zone>,
    metrics: Arc<Metrics>,
    cancel: CancellationToken,
) {
    let current = published.shared();
    let mut worker = Worker {
        received: vec![0; RECEIVE].into_boxed_slice(),
        answer: Vec::with_capacity(usize::from(MAX_UDP_PAYLOAD)),
        socket,
        zone,
        metrics,
    };
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            ready = worker.socket.readable() => if let Err(error) = ready { worker.rest(&error).await },
        }
        match worker.drain(&current.load()) {
            Drained::Empty => {}
            Drained::Busy => tokio::task::yield_now().await,
            Drained::Failed(error) => worker.rest(&error).await,
        }
    }
    // What already waits in the socket would be lost with it.
    worker.drain(&current.load());
}

struct Worker {
    received: Box<[u8]>,
    answer: Vec<u8>,
    socket: UdpSocket,
    zone: Arc<Zone>,
    metrics: Arc<Metrics>,
}

enum Drained {
    /// Nothing waits any more.
    Empty,
    /// A whole batch was answered and more may wait.
    Busy,
    /// The socket failed.
    Failed(io::Error),
}

impl Worker {
    fn drain(&mut self, snapshot: &Snapshot) -> Drained {
        for _ in 0..BATCH {
            match self.socket.try_recv_from(&mut self.received) {
                Ok((length, client)) => {
                    let message = &self.received[..length];
                    let reply = respond(message, Transport::Udp, snapshot, &self.zone, &mut self.answer);
                    self.metrics.count(Transport::Udp, client, reply);
                    // Nobody listens on port 0: its sender is forged.
                    if reply != Reply::Silent && client.port() != 0 {
                        self.send(client);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Drained::Empty,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Drained::Failed(error),
            }
        }
        Drained::Busy
    }

    /// An answer that cannot be sent at once is given up: the client asks again, and waiting would hold back others.
    fn send(&self, client: std::net::SocketAddr) {
        if let Err(error) = self.socket.try_send_to(&self.answer, client) {
            self.metrics.count_unsent();
            tracing::debug!(%client, %error, "a DNS answer was not sent");
        }
    }

    async fn rest(&self, error: &io::Error) {
        self.metrics.count_socket_error(Transport::Udp);
        tracing::debug!(%error, "receiving DNS questions failed");
        tokio::time::sleep(AFTER_ERROR).await;
    }
}
