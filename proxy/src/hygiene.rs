//! Which header fields pass, which are added and which refuse a request: pure functions over header maps.
//!
//! Messages are always re-framed by hyper, never relayed raw; what is decided here is what one connection may say
//! about the next (RFC 9110 §7.6) and what would let one request be read as two.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri, Version};

mod names;
mod response;
mod trace;
mod trailers;

pub(crate) use names::{
    DEADLINE, ERROR, FRAMING_TWINS, HOP, LOAD, PORT, PRIVATE, REACHED, REPEATED, SERVED_BY, SERVICE, TUNNEL,
    TUNNEL_TCP, UPGRADE, VERSION, is_private, strip_private,
};
use names::{FORWARDED_PREFIX, KEEP_ALIVE, PROXY_CONNECTION};
pub(crate) use response::{clean_hints, clean_response, is_readable};
pub(crate) use trace::{Pseudonym, Trace};
pub(crate) use trailers::clean_trailers;

/// Why a request is refused before any pod is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// CONNECT asks for a tunnel, which a listener of one service does not give.
    Connect,
    /// No Host, or an empty one.
    NoHost,
    /// More than one Host.
    ManyHosts,
    /// Not `host[:port]`.
    BadHost,
    /// Host and the request target's authority differ.
    HostMismatch,
    /// A transfer coding other than `chunked`, or more than one: nothing here could undo or pass on another.
    Coding,
    /// The body is framed wrongly, or broke off.
    Body,
    /// A field whose name some servers read as a framing field's.
    FramingTwin,
    /// `Connection` names a field that must reach the pod.
    ConnectionNames,
    /// This cluster stands in `Via` too often.
    Loop,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// The request target has no path a pod could be asked for.
    BadTarget,
}

/// What the head said about this connection alone, kept for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// The client asks to leave HTTP for this protocol.
    pub(crate) upgrade: Option<HeaderValue>,
    /// The client takes trailers.
    pub(crate) te_trailers: bool,
    /// The client waits for 100 before it sends its body.
    pub(crate) expect_continue: bool,
}

/// Cleans a client's request head for the next hop: checks the host, removes what concerned this connection only and
/// everything of the private `x-strait-` names. The URI is left in origin form.
///
/// # Errors
/// [`Refused`]; the head may be half cleaned then.
pub(crate) fn clean_request(head: &mut Parts, max_target: usize) -> Result<Notes, Refused> {
    if head.method == Method::CONNECT {
        return Err(Refused::Connect);
    }
    check_host(head)?;
    check_framing(&head.headers)?;
    origin_form(&mut head.uri, &head.method, max_target)?;
    let mut notes = notes(head);
    notes.upgrade = notes.upgrade.filter(|_| connection_has(&head.headers, "upgrade"));
    remove_named_by_connection(&mut head.headers)?;
    remove_hop_by_hop(&mut head.headers);
    strip_private(&mut head.headers);
    one_length(&mut head.headers);
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    Ok(notes)
}

/// A length that was said more than once, and every time the same as hyper has seen to, is said once (RFC 9110 §8.6).
fn one_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    if lengths.next().is_none() && !first.as_bytes().contains(&b',') {
        return;
    }
    let first = first.as_bytes().split(|b| *b == b',').next().unwrap_or_default().trim_ascii();
    let length = HeaderValue::from_bytes(first).expect("a part of a value is one");
    headers.insert(header::CONTENT_LENGTH, length);
}

/// RFC 9113 §8.2.3: a client of HTTP/2 may split its cookies over several fields, of which servers of HTTP/1.1 read the first.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if crumbs.nth(1).is_none() {
        return;
    }
    let whole = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    let whole = HeaderValue::from_bytes(&whole).expect("field values, a semicolon and a space");
    headers.insert(header::COOKIE, whole);
}

/// A body is in chunks or has a length, said once and in words that nobody reads otherwise. hyper has read it by now and
/// refuses what contradicts itself; here goes what it puts up with and another server may not.
fn check_framing(headers: &HeaderMap) -> Result<(), Refused> {
    if FRAMING_TWINS.iter().any(|twin| headers.contains_key(twin)) {
        return Err(Refused::FramingTwin);
    }
    if chunks_alone(headers) { Ok(()) } else { Err(Refused::Coding) }
}

/// True when the body has no transfer coding but `chunked`, once: hyper undoes that and leaves any other in the body, whose
/// reader is not told of it.
fn chunks_alone(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Host is there once, well formed, and the same as `:authority` or an absolute target.
fn check_host(head: &mut Parts) -> Result<(), Refused> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refused::ManyHosts);
    }
    let authority = head.uri.authority();
    if authority.is_some_and(|a| a.as_str().contains('@')) {
        return Err(Refused::BadHost);
    }
    match (first, authority) {
        (None, None) if head.version == Version::HTTP_10 => Ok(()),
        (None, None) => Err(Refused::NoHost),
        (None, Some(authority)) => {
            let value = HeaderValue::from_str(authority.as_str()).map_err(|_| Refused::BadHost)?;
            head.headers.insert(header::HOST, value);
            Ok(())
        }
        (Some(host), None) if is_name_and_port(host.as_bytes()) => Ok(()),
        (Some(host), authority) => match (plain_authority(host)?, authority) {
            (host, Some(authority)) if host != *authority => Err(Refused::HostMismatch),
            _ => Ok(()),
        },
    }
}

/// Letters, digits, dots and hyphens with at most a port behind them: nearly every Host, and nothing to parse.
pub(crate) fn is_name_and_port(host: &[u8]) -> bool {
    let colon = host.iter().position(|b| *b == b':');
    let (name, port) = colon.map_or((host, &b"80"[..]), |at| (&host[..at], &host[at + 1..]));
    !name.is_empty()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        && (1..=5).contains(&port.len())
        && port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0, |all, digit| 10 * all + u32::from(digit - b'0')) <= u32::from(u16::MAX)
}

fn plain_authority(host: &HeaderValue) -> Result<Authority, Refused> {
    if host.is_empty() {
        return Err(Refused::NoHost);
    }
    match Authority::try_from(host.as_bytes()) {
        Ok(parsed) if !parsed.as_str().contains('@') => Ok(parsed),
        _ => Err(Refused::BadHost),
    }
}

/// `/path?query`, or `*` for OPTIONS.
fn origin_form(uri: &mut Uri, method: &Method, max: usize) -> Result<(), Refused> {
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.len() > max {
        return Err(Refused::TargetTooLong);
    }
    if !(target.starts_with('/') || (target == "*" && method == Method::OPTIONS) || target.is_empty()) {
        return Err(Refused::BadTarget);
    }
    if uri.scheme().is_some() || uri.authority().is_some() || target.is_empty() {
        let kept = uri.path_and_query().filter(|p| !p.as_str().is_empty()).cloned();
        *uri = Uri::from(kept.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    Ok(())
}

fn notes(head: &Parts) -> Notes {
    Notes {
        upgrade: (head.version == Version::HTTP_11).then(|| upgrade(&head.headers)).flatten(),
        te_trailers: tokens(&head.headers, &header::TE).any(|t| t.eq_ignore_ascii_case("trailers")),
        expect_continue: head.version >= Version::HTTP_11
            && head.headers.get(header::EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue")),
    }
}

/// What the client would rather speak. `h2c` is offered by clients that are as happy without (curl `--http2`, Java's
/// HttpClient) and is never taken up: RFC 9113 §3.1 has withdrawn it, and it smuggles requests past what reads HTTP/1.1.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::UPGRADE)?;
    let is_h2c = |token: &str| token.eq_ignore_ascii_case("h2c");
    if !tokens(headers, &header::UPGRADE).any(is_h2c) {
        return Some(offered.clone());
    }
    let rest: Vec<&str> = tokens(headers, &header::UPGRADE).filter(|t| !is_h2c(t) && !t.is_empty()).collect();
    HeaderValue::try_from(rest.join(", ")).ok().filter(|_| !rest.is_empty())
}

/// The comma-separated elements of a field, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

fn connection_has(headers: &HeaderMap, token: &str) -> bool {
    tokens(headers, &header::CONNECTION).any(|t| t.eq_ignore_ascii_case(token))
}

/// RFC 9110 §7.6.1. A client that names a field here which the pod relies on wants it removed by us but believed by
/// someone else: refused.
fn remove_named_by_connection(headers: &mut HeaderMap) -> Result<(), Refused> {
    if !headers.contains_key(header::CONNECTION) {
        return Ok(());
    }
    let named: Vec<HeaderName> =
        tokens(headers, &header::CONNECTION).filter_map(|t| HeaderName::from_bytes(t.as_bytes()).ok()).collect();
    for name in named {
        if must_stay(&name) {
            return Err(Refused::ConnectionNames);
        }
        headers.remove(&name);
    }
    Ok(())
}

fn must_stay(name: &HeaderName) -> bool {
    const STAY: [HeaderName; 9] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::AUTHORIZATION,
        header::COOKIE,
        header::VIA,
        header::FORWARDED,
        header::CACHE_CONTROL,
        header::EXPECT,
    ];
    STAY.contains(name) || name.as_str().starts_with(FORWARDED_PREFIX) || is_private(name)
}

/// What never crosses, named by `Connection` or not. `Trailer` stays: it announces what follows the body.
pub(crate) static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    names::HTTP2_SETTINGS,
];

/// Removes [`HOP_BY_HOP`]. Most heads have none of them, and one look over their few names is cheaper than nine searches.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// The absolute URI that an HTTP/2 request needs, from a head in origin form and its Host.
///
/// # Errors
/// [`Refused::NoHost`] when there is none to make `:authority` of.
pub(crate) fn absolute(target: &Uri, host: Option<&HeaderValue>) -> Result<Uri, Refused> {
    let host = host.ok_or(Refused::NoHost)?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(plain_authority(host)?);
    // `OPTIONS *` travels as an empty path (RFC 9113 §8.3.1), which the http crate spells "*".
    parts.path_and_query = target.path_and_query().cloned();
    Uri::from_parts(parts).map_err(|_| Refused::BadTarget)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
