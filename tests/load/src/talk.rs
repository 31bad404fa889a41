//! One conversation with [`crate::server`] through whatever lies between, checked byte by byte, and told in a line.

mod exchange;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use crate::body::Body;
use crate::pattern;
use crate::target::Target;
use crate::websocket::{self, Frame, Opcode};
use exchange::{Speaks, served_by};

/// What to say and to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// One GET.
    Get,
    /// Server-sent events, which must come as they are made and not all at the end.
    Events {
        /// How many.
        count: u64,
        /// Between two.
        every: Duration,
    },
    /// One gRPC stream both ways: a message goes when the one before has come back.
    Grpc {
        /// Messages.
        count: u64,
    },
    /// A WebSocket, text by text.
    WebSocket {
        /// Texts.
        count: u64,
    },
    /// A body from here.
    Upload {
        /// How long.
        bytes: u64,
    },
    /// A body from there.
    Download {
        /// How long.
        bytes: u64,
    },
}

/// Has the conversation; the path of the target is not used. Returns who served it and what was seen.
///
/// # Errors
/// When it could not be had, broke off, or brought something else than it must.
pub async fn talk(target: &Target, what: Talk, http2: bool) -> Result<String> {
    let version = if http2 || matches!(what, Talk::Grpc { .. }) { Speaks::Http2 } else { Speaks::Http1 };
    let begin = Instant::now();
    let said = match what {
        Talk::Get => get(target, version).await,
        Talk::Events { count, every } => events(target, version, count, every).await,
        Talk::Grpc { count } => grpc(target, count).await,
        Talk::WebSocket { count } => socket(target, count).await,
        Talk::Upload { bytes } => upload(target, version, bytes).await,
        Talk::Download { bytes } => download(target, version, bytes).await,
    };
    Ok(format!("{} in {} ms", said?, begin.elapsed().as_millis()))
}

async fn get(target: &Target, version: Speaks) -> Result<String> {
    let (head, body) = exchange::call(target, version, "GET", "/", &[], Body::Whole(None)).await?.into_parts();
    let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    Ok(format!("{}: asked in {version:?}, {}", served_by(&head), text.trim()))
}

async fn events(target: &Target, version: Speaks, count: u64, every: Duration) -> Result<String> {
    let path = format!("/events?count={count}&every={}", every.as_millis());
    let (head, mut body) = exchange::call(target, version, "GET", &path, &[], Body::Whole(None)).await?.into_parts();
    let (mut text, mut first) = (String::new(), None);
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.context("the stream broke off")?.data_ref() {
            first = first.or_else(|| Some(Instant::now()));
            text.push_str(std::str::from_utf8(data)?);
        }
    }
    let due: String = (0..count).map(|i| format!("id: {i}\ndata: event {i}\n\n")).collect();
    ensure!(text == due, "{} of {count} events, or not in order", text.matches("data:").count());
    // What is held back until the end comes all at once.
    let (took, least) =
        (first.map(|f| f.elapsed()).unwrap_or_default(), every.saturating_mul(u32::try_from(count)?) / 2);
    ensure!(took >= least, "all {count} events came within {took:?}, and were made over {:?}", least * 2);
    Ok(format!("{}: {count} events as they were made", served_by(&head)))
}

/// A message of gRPC's wire format.
fn message(text: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text.as_bytes());
    out.freeze()
}

async fn grpc(target: &Target, count: u64) -> Result<String> {
    let (sender, receiver) = mpsc::channel(1);
    sender.send(message("message 0")).await?;
    let fields = [(CONTENT_TYPE, "application/grpc"), (http::header::TE, "trailers")];
    let path = "/strait.load.Echo/Stream";
    let response = exchange::call(target, Speaks::Http2, "POST", path, &fields, Body::Channel(receiver)).await?;
    let (head, mut body) = response.into_parts();
    let (mut sender, mut came, mut waiting) = (Some(sender), 0, BytesMut::new());
    let mut status = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the stream broke off")?;
        if let Some(trailers) = frame.trailers_ref() {
            status = trailers.get("grpc-status").and_then(|s| s.to_str().ok()).map(str::to_owned);
        }
        waiting.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        while came < count && waiting.starts_with(&message(&format!("message {came}"))) {
            let _ = waiting.split_to(message(&format!("message {came}")).len());
            came += 1;
            match &sender {
                Some(s) if came < count => s.send(message(&format!("message {came}"))).await?,
                // The end of our half; the other end then says how it went.
                _ => drop(sender.take()),
            }
        }
    }
    ensure!(came == count && waiting.is_empty(), "{came} of {count} messages, and {} bytes more", waiting.len());
    ensure!(status.as_deref() == Some("0"), "grpc-status is {status:?}");
    Ok(format!("{}: {count} messages and grpc-status 0", served_by(&head)))
}

async fn socket(target: &Target, count: u64) -> Result<String> {
    let key = websocket::base64(b"sixteen bytes ok");
    let fields = [
        (CONNECTION, "upgrade"),
        (UPGRADE, "websocket"),
        (http::HeaderName::from_static("sec-websocket-version"), "13"),
        (http::HeaderName::from_static("sec-websocket-key"), &key),
    ];
    let response = exchange::open(target, Speaks::Http1, "GET", "/socket", &fields, Body::Whole(None)).await?;
    let accept = response.headers().get("sec-websocket-accept").and_then(|a| a.to_str().ok()).unwrap_or_default();
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        bail!("{} instead of 101{}", response.status(), exchange::reason(&response));
    }
    ensure!(accept == websocket::accept(&key), "sec-websocket-accept is {accept:?}");
    let who = response.headers().get(&crate::connection::SERVED_BY).and_then(|s| s.to_str().ok()).unwrap_or("-");
    let who = who.to_owned();
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await?);
    for i in 0..count {
        let text = Frame { opcode: Opcode::Text, payload: format!("text {i}").into_bytes() };
        websocket::write(&mut stream, &text, Some([7, 1, 8, 2])).await?;
        let back = websocket::read(&mut stream).await.with_context(|| format!("after {i} texts"))?;
        ensure!(back == text, "text {i} came back as {back:?}");
    }
    let close = Frame { opcode: Opcode::Close, payload: 1000_u16.to_be_bytes().to_vec() };
    websocket::write(&mut stream, &close, Some([7, 1, 8, 2])).await?;
    ensure!(websocket::read(&mut stream).await?.opcode == Opcode::Close, "the close was not answered");
    Ok(format!("{who}: {count} texts and a close"))
}

async fn upload(target: &Target, version: Speaks, bytes: u64) -> Result<String> {
    let length = bytes.to_string();
    let body = Body::Pattern { offset: 0, total: bytes };
    let (head, body) =
        exchange::call(target, version, "POST", "/sink", &[(CONTENT_LENGTH, &length)], body).await?.into_parts();
    let said = String::from_utf8_lossy(&body.collect().await?.to_bytes()).trim().to_owned();
    ensure!(said == length, "{bytes} bytes were sent and {said:?} arrived");
    Ok(format!("{}: {bytes} bytes there", served_by(&head)))
}

async fn download(target: &Target, version: Speaks, bytes: u64) -> Result<String> {
    let path = format!("/bytes?count={bytes}");
    let (head, mut body) = exchange::call(target, version, "GET", &path, &[], Body::Whole(None)).await?.into_parts();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.with_context(|| format!("the body broke off after {length} bytes"))?;
        let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
        if let Some(at) = pattern::first_wrong(length, data) {
            bail!("byte {at} is wrong");
        }
        length += data.len() as u64;
    }
    ensure!(length == bytes, "{length} of {bytes} bytes");
    Ok(format!("{}: {bytes} bytes here", served_by(&head)))
}
