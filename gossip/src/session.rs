//! One session's bytes: frames in, frames out, over any stream that somebody else has authenticated.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use strait_catalog::ClusterId;
use strait_identity::PeerError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::engine::{PeerInfo, SessionId};
use crate::frame::{Frame, FrameError};

/// The longest that writing one frame may take: slower than 100 kB/s for the largest one, a link is of no use.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Read at least this much at a time.
const READ_SIZE: usize = 64 * 1024;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The bytes are not the protocol's.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Reading or writing failed; the text names TLS causes.
    #[error("{0}")]
    Io(String),
    /// Closed in the middle of a frame.
    #[error("the other side closed the session in the middle of a frame")]
    Cut,
    /// The other side does not read.
    #[error("the other side took no data for {} s", WRITE_LIMIT.as_secs())]
    Stalled,
}

impl SessionError {
    fn io(error: &io::Error) -> Self {
        Self::Io(strait_identity::explain(error))
    }
}

/// What sessions and dialers tell the control task.
#[derive(Debug)]
pub(crate) enum Event {
    /// A session has come up. Dropping `outbox` closes it.
    Up { id: SessionId, peer: PeerInfo, address: Option<SocketAddr>, outbox: mpsc::Sender<Bytes> },
    /// A frame arrived.
    Frame { id: SessionId, frame: Frame },
    /// A frame has left, there is room for another.
    Written,
    /// The peer would no longer be let in; the session goes on until the control task closes it.
    Distrusted { id: SessionId, error: PeerError },
    /// A session has ended.
    Down { id: SessionId, error: Option<SessionError> },
    /// No session could be made.
    DialFailed { cluster: ClusterId, error: String },
}

/// Hands out session ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionIds(Arc<AtomicU64>);

impl SessionIds {
    pub(crate) fn next(&self) -> SessionId {
        SessionId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Runs one session until either side ends it. `Up` comes before anything else and `Down` last. When `distrusted` says why
/// the peer would no longer be let in, that is passed on.
pub(crate) async fn run<S>(
    stream: S,
    id: SessionId,
    peer: PeerInfo,
    address: Option<SocketAddr>,
    distrusted: impl Future<Output = PeerError> + Send,
    events: mpsc::Sender<Event>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    // One frame in the channel and one being written: what is sent is computed as late as possible.
    let (outbox, frames) = mpsc::channel(1);
    if events.send(Event::Up { id, peer, address, outbox }).await.is_err() {
        return;
    }
    let (reader, writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        ended = read_frames(reader, id, &events) => ended,
        ended = write_frames(writer, frames, &events) => ended,
        never = tell(distrusted, id, &events) => match never {},
    };
    // The control task may be gone already; then nobody needs to know.
    let _ = events.send(Event::Down { id, error: ended.err() }).await;
}

/// Passes the loss of trust on, and waits for what comes of it.
async fn tell(
    distrusted: impl Future<Output = PeerError>,
    id: SessionId,
    events: &mpsc::Sender<Event>,
) -> std::convert::Infallible {
    let error = distrusted.await;
    // Without a control task the outbox is gone as well, which ends the session.
    let _ = events.send(Event::Distrusted { id, error }).await;
    std::future::pending().await
}

async fn read_frames(
    mut reader: impl AsyncRead + Unpin,
    id: SessionId,
    events: &mpsc::Sender<Event>,
) -> Result<(), SessionError> {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(frame) = Frame::take(&mut buffer)? {
            // A full channel stops the reading: the backpressure is TCP's.
            if events.send(Event::Frame { id, frame }).await.is_err() {
                return Ok(());
            }
        }
        buffer.reserve(READ_SIZE);
        match reader.read_buf(&mut buffer).await {
            Ok(0) if buffer.is_empty() => return Ok(()),
            Ok(0) => return Err(SessionError::Cut),
            Ok(_) => {}
            Err(error) => return Err(SessionError::io(&error)),
        }
    }
}

async fn write_frames(
    mut writer: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<Event>,
) -> Result<(), SessionError> {
    while let Some(frame) = frames.recv().await {
        let write = async {
            writer.write_all(&frame).await?;
            writer.flush().await
        };
        match tokio::time::timeout(WRITE_LIMIT, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(SessionError::io(&error)),
            Err(_) => return Err(SessionError::Stalled),
        }
        if events.send(Event::Written).await.is_err() {
            break;
        }
    }
    // The control task closed the session; an orderly end is a courtesy with a limit.
    let _ = tokio::time::timeout(Duration::from_millis(500), writer.shutdown()).await;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::{Body, Heads, MAX_FRAME};
    use crate::status::Direction;

    use std::future::pending;

    fn peer() -> PeerInfo {
        PeerInfo { cluster: ClusterId::parse("east").unwrap(), direction: Direction::Accepted }
    }

    fn heads() -> Frame {
        Body::Heads(Heads::default()).into()
    }

    async fn outcome(bytes: &[u8]) -> (usize, Option<String>) {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let (events, mut told) = mpsc::channel(64);
        let session = tokio::spawn(run(near, SessionId(1), peer(), None, pending(), events));
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let (mut frames, mut error, mut open) = (0, None, None);
        while let Some(event) = told.recv().await {
            match event {
                Event::Up { outbox, .. } => open = Some(outbox),
                Event::Frame { frame, .. } => frames += usize::from(frame == heads()),
                Event::Down { error: e, .. } => error = e.map(|e| e.to_string()),
                _ => {}
            }
        }
        assert!(open.is_some());
        session.await.unwrap();
        (frames, error)
    }

    #[tokio::test]
    async fn frames_pass_until_the_bytes_make_no_sense() {
        let good = heads().to_wire();
        assert_eq!(outcome(&good).await, (1, None));
        let (frames, error) = outcome(&[&good[..], b"HTTP/1.1 400 Bad Request\r\n"].concat()).await;
        assert_eq!(frames, 1);
        assert!(error.unwrap().contains(&format!("at most {MAX_FRAME}")));
        let (_, error) = outcome(&good[..good.len() - 1]).await;
        assert!(error.unwrap().contains("middle of a frame"));
        let (_, error) = outcome(&[0, 0, 0, 3, 0xff, 0xff, 0xff]).await;
        assert!(error.unwrap().contains("does not decode"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (near, far) = tokio::io::duplex(16);
        let (events, mut told) = mpsc::channel(64);
        let session = tokio::spawn(run(near, SessionId(1), peer(), None, pending(), events));
        let Some(Event::Up { outbox, .. }) = told.recv().await else { panic!() };
        outbox.send(Bytes::from(vec![0; 100])).await.unwrap();
        let Some(Event::Down { error, .. }) = told.recv().await else { panic!() };
        assert!(error.unwrap().to_string().contains("took no data"));
        session.await.unwrap();
        drop(far);
    }

    #[tokio::test]
    async fn dropping_the_outbox_ends_the_session_after_what_was_sent() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let (events, mut told) = mpsc::channel(64);
        let session = tokio::spawn(run(near, SessionId(1), peer(), None, pending(), events));
        let Some(Event::Up { outbox, .. }) = told.recv().await else { panic!() };
        outbox.send(heads().to_wire()).await.unwrap();
        drop(outbox);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, heads().to_wire());
        session.await.unwrap();
        drop(told);
    }

    #[tokio::test]
    async fn the_loss_of_trust_is_told_and_ends_nothing_by_itself() {
        let (near, _far) = tokio::io::duplex(64);
        let (events, mut told) = mpsc::channel(8);
        let gone = async { PeerError::UnknownCluster { cluster: ClusterId::parse("east").unwrap() } };
        let session = tokio::spawn(run(near, SessionId(1), peer(), None, gone, events));
        let Some(Event::Up { outbox, .. }) = told.recv().await else { panic!("not up") };
        assert!(matches!(told.recv().await, Some(Event::Distrusted { .. })));
        assert!(!session.is_finished());
        drop(outbox);
        assert!(matches!(told.recv().await, Some(Event::Down { error: None, .. })));
    }
}
