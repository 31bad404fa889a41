//! What a pod speaks on a port that does not say, asked once a minute with HTTP/2's preface.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::failure;
use crate::retry::Failure;
use crate::socket::{connect, pod_patience};

/// The preface, and settings that set nothing (RFC 9113 §3.4).
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Of a frame's header: where its type stands, and the type of settings, with which a server begins.
const TYPE: usize = 3;
const SETTINGS: u8 = 0x4;
/// How long an answer holds: another version may be deployed at the same address.
const HOLDS: Duration = Duration::from_secs(60);

/// `None` when the pod said nothing in time.
type Answer = Result<Option<bool>, Failure>;

struct Question {
    asked: Instant,
    answer: Shared<LocalBoxFuture<'static, Answer>>,
}

/// What one worker knows of pods.
#[derive(Default)]
pub(super) struct Spoken(RefCell<HashMap<SocketAddr, Question>>);

impl Spoken {
    /// Whether that pod speaks HTTP/2. One that says nothing is taken for one that does: its client thinks so. All who ask
    /// at once wait for the same answer, `limit` for the connection and as long again for its first word.
    ///
    /// # Errors
    /// [`Failure::Refused`] or [`Failure::ConnectTimeout`].
    pub(super) async fn http2(&self, to: SocketAddr, limit: Duration) -> Result<bool, Failure> {
        let answer = self.ask(to, limit).await;
        if !matches!(answer, Ok(Some(_))) {
            self.0.borrow_mut().remove(&to);
        }
        answer.map(|spoken| spoken.unwrap_or(true))
    }

    fn ask(&self, to: SocketAddr, limit: Duration) -> Shared<LocalBoxFuture<'static, Answer>> {
        let mut known = self.0.borrow_mut();
        let now = Instant::now();
        if known.get(&to).is_none_or(|question| now >= question.asked + HOLDS) {
            known.retain(|_, question| now < question.asked + HOLDS);
            known.insert(to, Question { asked: now, answer: begins(to, limit).boxed_local().shared() });
        }
        known[&to].answer.clone()
    }
}

/// Whether the pod begins as a server of HTTP/2 does.
async fn begins(to: SocketAddr, limit: Duration) -> Answer {
    let mut tcp = connect(to, limit, pod_patience(Duration::ZERO)).await.map_err(|error| failure(&error))?;
    let mut head = [0; TYPE + 1];
    let said = async {
        tcp.write_all(OPENING).await?;
        tcp.read_exact(&mut head).await
    };
    Ok(match tokio::time::timeout(limit, said).await {
        // Who speaks something else may close at the first word.
        Ok(said) => Some(said.is_ok() && head[TYPE] == SETTINGS),
        Err(_) => None,
    })
}
