//! One request of a conversation, in either version, on a connection of its own.

use anyhow::{Context, Result, bail};
use http::header::{HOST, HeaderName};
use http::{Request, Response, response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::body::Body;
use crate::connection::SERVED_BY;
use crate::target::Target;

/// The version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    /// Without an upgrade: with prior knowledge.
    Http2,
}

/// Sends it; an answer that is not 200 is an error that says why.
pub(crate) async fn call(
    target: &Target,
    version: Speaks,
    method: &str,
    path: &str,
    fields: &[(HeaderName, &str)],
    body: Body,
) -> Result<Response<Incoming>> {
    let response = open(target, version, method, path, fields, body).await?;
    if response.status() != http::StatusCode::OK {
        bail!("{method} {path}: {}{}", response.status(), reason(&response));
    }
    Ok(response)
}

/// The same, whatever the status.
pub(crate) async fn open(
    target: &Target,
    version: Speaks,
    method: &str,
    path: &str,
    fields: &[(HeaderName, &str)],
    body: Body,
) -> Result<Response<Incoming>> {
    let at = (target.host.as_str(), target.port);
    let stream = TcpStream::connect(at).await.with_context(|| format!("connecting to {}:{}", at.0, at.1))?;
    stream.set_nodelay(true)?;
    let request = Request::builder().method(method);
    let mut request = match version {
        Speaks::Http1 => request.uri(path).header(HOST, &target.authority),
        Speaks::Http2 => request.uri(format!("http://{}{path}", target.authority)),
    };
    for (field, value) in fields {
        request = request.header(field, *value);
    }
    let request = request.body(body)?;
    // The connection's task ends with its request: nothing else holds it open.
    let response = match version {
        Speaks::Http1 => {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection.with_upgrades());
            sender.send_request(request).await
        }
        Speaks::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await
        }
    };
    response.with_context(|| format!("{method} {path}"))
}

/// What the proxy says of an error of its own.
pub(crate) fn reason(response: &Response<Incoming>) -> String {
    let said = response.headers().get("x-strait-error").and_then(|v| v.to_str().ok());
    said.map(|s| format!(", x-strait-error: {s}")).unwrap_or_default()
}

/// Which cluster answered.
pub(crate) fn served_by(head: &response::Parts) -> String {
    head.headers.get(&SERVED_BY).and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned()
}
