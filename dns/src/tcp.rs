//! DNS over TCP (RFC 7766): connections are limited in number, in idle time and in the size of a question; questions of
//! one connection are answered in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::respond::{Reply, Transport};

/// Largest question taken, in octets. Real ones have a few hundred; the length field would allow 65,535.
const MAX_QUESTION: u16 = 4096;

/// How long an announced question, or the taking of an answer, may last: CoreDNS has 3 s and 5 s.
const EXCHANGE: Duration = Duration::from_secs(5);

/// Pause after an error of accepting, such as no more file descriptors.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// What all connections share.
pub(crate) struct TcpService {
    pub(crate) handler: Handler,
    pub(crate) admission: Arc<Admission>,
    pub(crate) idle: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracker: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

/// Accepts connections until cancelled.
pub(crate) async fn serve(listener: TcpListener, service: Arc<TcpService>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = service.cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => service.clone().admit(stream, client),
            Err(error) => {
                service.metrics.count_socket_error(Transport::Tcp);
                tracing::warn!(%error, "accepting a DNS connection failed");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

impl TcpService {
    fn admit(self: Arc<Self>, stream: TcpStream, client: SocketAddr) {
        let Some(permit) = self.admission.admit(client.ip()) else {
            self.metrics.count_refused_connection();
            return;
        };
        let tracker = self.tracker.clone();
        tracker.spawn(async move {
            if let Err(error) = self.converse(stream, client).await {
                self.metrics.count_socket_error(Transport::Tcp);
                tracing::debug!(%client, %error, "a DNS connection ended early");
            }
            drop(permit);
        });
    }

    /// Answers one question after the other. Ends without error when the client closes, stays idle, sends what is no
    /// question, or the server stops.
    async fn converse(&self, mut stream: TcpStream, client: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.split();
        let mut read = BufReader::with_capacity(1024, read);
        let (mut question, mut answer) = (Vec::new(), Vec::new());
        while let Some(length) = self.next_length(&mut read).await? {
            if length > MAX_QUESTION {
                self.metrics.count(Transport::Tcp, client, Reply::Silent);
                return Ok(());
            }
            question.resize(usize::from(length), 0);
            timeout(EXCHANGE, read.read_exact(&mut question)).await??;
            let reply = self.handler.exchange(&question, client, &mut answer).await;
            self.metrics.count(Transport::Tcp, client, reply);
            if reply == Reply::Silent {
                return Ok(());
            }
            timeout(EXCHANGE, write_framed(&mut write, &mut answer)).await??;
        }
        Ok(())
    }

    /// The next question's length; `None` when there will be none.
    async fn next_length(&self, read: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Option<u16>> {
        let waited = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Ok(None),
            length = timeout(self.idle, read.read_u16()) => length,
        };
        match waited {
            Ok(Ok(length)) => Ok(Some(length)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_idle) => Ok(None),
        }
    }
}

/// Writes length and message in one piece.
async fn write_framed(write: &mut (impl AsyncWriteExt + Unpin), message: &mut Vec<u8>) -> io::Result<()> {
    let length =
        u16::try_from(message.len()).map_err(|_| io::Error::other("a DNS answer is longer than 65,535 octets"))?;
    message.splice(0..0, length.to_be_bytes());
    write.write_all(message).await
}
