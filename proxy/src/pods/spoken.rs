//! What a pod speaks on a port that does not say: asked with HTTP/2's preface, and again once a minute while it matters.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::failure;
use crate::retry::Failure;
use crate::socket::{connect, hasty};

/// The preface, and settings that set nothing (RFC 9113 §3.4).
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Of a frame's header: where its type stands, and the type of settings, with which a server begins.
const TYPE: usize = 3;
const SETTINGS: u8 = 0x4;
/// How long a connected pod is waited for: one that serves one request at a time answers after that.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// How long an answer is not doubted: another version may be deployed at the same address.
const HOLDS: Duration = Duration::from_secs(60);
/// How long one is remembered that nobody asked for.
const REMEMBERED: Duration = Duration::from_secs(600);

/// `None` when the pod said nothing in time.
type Answer = Result<Option<bool>, Failure>;
type Question = Shared<LocalBoxFuture<'static, Answer>>;

#[derive(Default)]
struct Known {
    http2: Option<bool>,
    asked: Option<Instant>,
    asking: Option<Question>,
}

/// What one worker knows of pods.
#[derive(Clone, Default)]
pub(super) struct Spoken(Rc<RefCell<HashMap<SocketAddr, Known>>>);

impl Spoken {
    /// Whether that pod speaks HTTP/2. Only those wait who are the first to ask, `limit` for the connection; an older answer is
    /// good until there is a newer one. A pod that says nothing is taken for busy, which servers of HTTP/1.1 are.
    ///
    /// # Errors
    /// [`Failure::Refused`] or [`Failure::ConnectTimeout`], of a pod that was never heard.
    pub(super) async fn http2(&self, to: SocketAddr, limit: Duration) -> Result<bool, Failure> {
        let asking = match self.known(to, limit) {
            Ok(http2) => return Ok(http2),
            Err(asking) => asking,
        };
        asking.await.map(|http2| http2.unwrap_or(false))
    }

    /// What is known, and else the question that is under way. Asks if it is time to.
    fn known(&self, to: SocketAddr, limit: Duration) -> Result<bool, Question> {
        let mut all = self.0.borrow_mut();
        let now = Instant::now();
        let within = |asked: Option<Instant>, time| asked.is_some_and(|asked| now < asked + time);
        if !all.contains_key(&to) {
            all.retain(|_, known| within(known.asked, REMEMBERED));
        }
        let known = all.entry(to).or_default();
        if !within(known.asked, REMEMBERED) {
            known.http2 = None;
        }
        let fresh = known.http2.is_some() && within(known.asked, HOLDS);
        if !fresh && known.asking.is_none() {
            known.asked = Some(now);
            known.asking = Some(self.clone().ask(to, limit));
        }
        known.http2.ok_or_else(|| known.asking.clone().expect("asked because nothing is known"))
    }

    /// Begins to ask; the answer is noted also when those who wait for it have left.
    fn ask(self, to: SocketAddr, limit: Duration) -> Question {
        let question = async move {
            let answer = begins(to, limit).await;
            if let Some(known) = self.0.borrow_mut().get_mut(&to) {
                known.asking = None;
                // A pod that says nothing is asked again when the time comes, not by each request.
                if let Ok(spoken) = answer {
                    known.http2 = spoken.or(known.http2).or(Some(false));
                }
            }
            answer
        };
        let question = question.boxed_local().shared();
        tokio::task::spawn_local(question.clone().map(drop));
        question
    }
}

/// Whether the pod begins as a server of HTTP/2 does.
async fn begins(to: SocketAddr, limit: Duration) -> Answer {
    let mut tcp = connect(to, limit, hasty()).await.map_err(|error| failure(&error))?;
    let mut head = [0; TYPE + 1];
    let said = async {
        tcp.write_all(OPENING).await?;
        tcp.read_exact(&mut head).await
    };
    Ok(match tokio::time::timeout(FIRST_WORD, said).await {
        // Who speaks something else may close at the first word.
        Ok(said) => Some(said.is_ok() && head[TYPE] == SETTINGS),
        Err(_) => None,
    })
}
