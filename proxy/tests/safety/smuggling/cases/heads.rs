//! Request lines, field lines, hosts and targets that two readers may read differently.

use super::{HIDDEN, Rule, Verdict, after_chunks, get, post};

pub(super) fn all() -> Vec<Rule> {
    [lines(), heads(), hosts(), targets(), others()].concat()
}

/// Field lines.
fn lines() -> Vec<Rule> {
    let mut rules = Vec::new();
    for fields in [
        " folded: x\r\n",
        "a: b\r\n folded\r\n",
        "a: b\r\n\tfolded\r\n",
        "a : b\r\n",
        "a\t: b\r\n",
        "a\u{b}: b\r\n",
        "a b: c\r\n",
        "no colon\r\n",
        ": nothing\r\n",
        "a(: b\r\n",
        "a\0b: c\r\n",
        "a: b\0c\r\n",
        "a: b\u{1}c\r\n",
        "a: b\rc: d\r\n",
        "a: b\r\r\n",
        "\u{e9}: x\r\n",
        "a: \u{7f}\r\n",
        "a\r: b\r\n",
        "\"a\": b\r\n",
        "a,b: c\r\n",
        "a: b\r\n\r: x\r\n",
        "x: y\rGET /hidden-NNN- HTTP/1.1\r\n",
        "connection: content-length\r\n",
        "connection: host\r\n",
        "connection: transfer-encoding, host\r\n",
        "connection: authorization\r\n",
    ] {
        rules.push((format!("fields {fields:?}"), get(fields), Verdict::Refused));
    }
    // A lone LF ends a line too (RFC 9112 §2.2): allowed to be read so, and never sent on.
    for fields in ["a: b\nc: d\r\n", "a: b\n", "a: b\r\n\n"] {
        rules.push((format!("fields {fields:?}"), get(fields), Verdict::Either));
    }
    for fields in [
        "a:b\r\n",
        "a:\r\n",
        "a: \t b\r\n",
        "a: \u{e9}\r\n",
        "a!#$%&'*+.^_`|~: b\r\n",
        "connection: transfer-encoding\r\n",
    ] {
        rules.push((format!("fields {fields:?}"), get(fields), Verdict::One("GET", "")));
    }
    rules
}

/// Request lines.
fn heads() -> Vec<Rule> {
    let mut rules = Vec::new();
    for line in [
        "GET  /case-NNN- HTTP/1.1",
        "GET\t/case-NNN- HTTP/1.1",
        " GET /case-NNN- HTTP/1.1",
        "GET /case-NNN-  HTTP/1.1",
        "GET /case-NNN- HTTP/1.1 ",
        "GET /case-NNN- HTTP/1.1\tx",
        "GET /case-NNN- HTTP/1.2",
        "GET /case-NNN- HTTP/2.0",
        "GET /case-NNN- HTTP/0.9",
        "GET /case-NNN- http/1.1",
        "GET /case-NNN- HTTP/1.10",
        "GET /case-NNN- HTTP/01.1",
        "GET /case-NNN- HTTP/1.1\u{b}",
        "GET /case-NNN-\u{b}HTTP/1.1",
        "GET /case-NNN-",
        "GET",
        "/case-NNN- HTTP/1.1",
        "GET /case-NNN- /hidden-NNN- HTTP/1.1",
        "GET /case-NNN- x HTTP/1.1",
        "GE(T /case-NNN- HTTP/1.1",
        "GET: /case-NNN- HTTP/1.1",
        "GET /case-NNN- HTTP/1.1\rx: y",
        "GET\0/case-NNN- HTTP/1.1",
        "\0GET /case-NNN- HTTP/1.1",
        "G\u{c9}T /case-NNN- HTTP/1.1",
        "CONNECT model.ml:80 HTTP/1.1",
        "CONNECT /case-NNN- HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET /case-NNN- HTTP/1.1\0",
        "GET /case-NNN- FTP/1.1",
        "GET /case-NNN- HTTP/1,1",
        "GET /case-NNN- HTTP /1.1",
    ] {
        let bytes = format!("{line}\r\nhost: model.ml\r\n\r\n").into_bytes();
        rules.push((format!("line {line:?}"), bytes, Verdict::Either));
    }
    for (method, line) in [
        ("GET", "\r\nGET /case-NNN- HTTP/1.1"),
        ("get", "get /case-NNN- HTTP/1.1"),
        ("X!#$%&'*+.^_`|~", "X!#$%&'*+.^_`|~ /case-NNN- HTTP/1.1"),
    ] {
        let bytes = format!("{line}\r\nhost: model.ml\r\n\r\n").into_bytes();
        rules.push((format!("line {line:?}"), bytes, Verdict::One(method, "")));
    }
    rules
}

/// Which host is meant.
fn hosts() -> Vec<Rule> {
    let mut rules = Vec::new();
    let ask = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\n{fields}\r\n").into_bytes();
    for (target, fields) in [
        ("/case-NNN-", ""),
        ("/case-NNN-", "host:\r\n"),
        ("/case-NNN-", "host: a\r\nhost: a\r\n"),
        ("/case-NNN-", "host: a\r\nHost: b\r\n"),
        ("/case-NNN-", "host: a, b\r\n"),
        ("/case-NNN-", "host: a b\r\n"),
        ("/case-NNN-", "host: a/b\r\n"),
        ("/case-NNN-", "host: u@a\r\n"),
        ("/case-NNN-", "host: a#b\r\n"),
        ("/case-NNN-", "host: a?b\r\n"),
        ("/case-NNN-", "host: a:b:c\r\n"),
        ("/case-NNN-", "host: http://a\r\n"),
        ("/case-NNN-", "host: [::1\r\n"),
        ("/case-NNN-", "host: a\\b\r\n"),
        ("/case-NNN-", "host : a\r\n"),
        ("/case-NNN-", " host: a\r\n"),
        ("/case-NNN-", "host: a\r\n host: b\r\n"),
        ("http://a/case-NNN-", "host: b\r\n"),
        ("http://a:81/case-NNN-", "host: a:80\r\n"),
        ("http://u@a/case-NNN-", "host: a\r\n"),
        ("http://a@b/case-NNN-", "host: a\r\n"),
        ("http://a/case-NNN-", ""),
        ("http:///case-NNN-", "host: a\r\n"),
        ("http://a b/case-NNN-", "host: a\r\n"),
    ] {
        // An absolute target makes its own host; whether one is missing then is a matter of taste.
        let verdict =
            if target.starts_with("http://a/") && fields.is_empty() { Verdict::Either } else { Verdict::Refused };
        rules.push((format!("target {target:?}, fields {fields:?}"), ask(target, fields), verdict));
    }
    for (target, fields) in [
        ("http://a/case-NNN-", "host: a\r\n"),
        ("HTTP://A/case-NNN-", "host: a\r\n"),
        ("/case-NNN-", "host: a.b:80\r\n"),
        ("/case-NNN-", "host: [::1]:80\r\n"),
        ("//b/case-NNN-", "host: a\r\n"),
    ] {
        rules.push((format!("target {target:?}, fields {fields:?}"), ask(target, fields), Verdict::One("GET", "")));
    }
    rules
}

/// Targets of odd forms.
fn targets() -> Vec<Rule> {
    let mut rules = Vec::new();
    for target in [
        "case-NNN-",
        "*",
        "model.ml:80",
        "?/case-NNN-",
        "/case-NNN-#x",
        "/case-NNN-\u{e9}",
        "/case-NNN-\u{7f}",
        "/case-NNN-\u{1}",
        "/case-NNN-\\..",
        "/case-NNN-/%0d%0aGET%20/hidden-NNN-",
        "/case-NNN-/%00",
        "/case-NNN-/../x",
        "/case-NNN-;x",
        "/case-NNN-?a=b?c",
        "/case-NNN-\"<>",
        "/case-NNN-{|}^`",
        "http:/case-NNN-",
        "ftp://model.ml/case-NNN-",
        "javascript:/case-NNN-",
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nhost: model.ml\r\n\r\n").into_bytes();
        rules.push((format!("target {target:?}"), bytes, Verdict::Either));
    }
    rules
}

/// Older versions, expectations, other protocols.
fn others() -> Vec<Rule> {
    let (body, length) = after_chunks();
    let old = |fields: &str, body: &str| format!("POST /case-NNN- HTTP/1.0\r\n{fields}\r\n{body}").into_bytes();
    let both = format!("host: m\r\ncontent-length: {length}\r\ntransfer-encoding: chunked\r\n");
    vec![
        ("1.0 in chunks".into(), old("host: m\r\ntransfer-encoding: chunked\r\n", &body), Verdict::Refused),
        ("1.0 in chunks and a length".into(), old(&both, &body), Verdict::Refused),
        (
            "1.0 in chunks twice".into(),
            old("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", &body),
            Verdict::Refused,
        ),
        (
            "1.0 with a length".into(),
            old("content-length: 5\r\nconnection: keep-alive\r\n", "hello"),
            Verdict::One("POST", "hello"),
        ),
        ("1.0 without a host".into(), old("", ""), Verdict::One("POST", "")),
        ("two requests".into(), [get(""), HIDDEN.as_bytes().to_vec()].concat(), Verdict::Two),
        ("a body in a GET".into(), get_with_body(), Verdict::One("GET", "hello")),
        (
            "expected, and sent at once".into(),
            post(b"expect: 100-continue\r\ncontent-length: 5\r\n", "hello"),
            Verdict::One("POST", "hello"),
        ),
        (
            "expected in chunks".into(),
            post(b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            Verdict::One("POST", "hello"),
        ),
        ("something else expected".into(), post(b"expect: 200-ok\r\ncontent-length: 5\r\n", "hello"), Verdict::Either),
        (
            "expected twice".into(),
            post(b"expect: 100-continue\r\nexpect: x\r\ncontent-length: 5\r\n", "hello"),
            Verdict::Either,
        ),
        // Nobody takes the upgrade up, so what follows is the next request: to the proxy and to the backend alike.
        ("bytes after an upgrade that is refused".into(), upgrade("websocket"), Verdict::Two),
        ("bytes after an upgrade to h2c".into(), upgrade("h2c"), Verdict::Two),
        (
            "an upgrade with a body".into(),
            post(b"connection: upgrade\r\nupgrade: x\r\ncontent-length: 5\r\n", "hello"),
            Verdict::One("POST", "hello"),
        ),
    ]
}

fn get_with_body() -> Vec<u8> {
    let mut bytes = get("content-length: 5\r\n");
    bytes.extend(b"hello");
    bytes
}

fn upgrade(to: &str) -> Vec<u8> {
    let mut bytes =
        get(&format!("connection: upgrade, http2-settings\r\nupgrade: {to}\r\nhttp2-settings: AAMAAABk\r\n"));
    bytes.extend(HIDDEN.as_bytes());
    bytes
}
