//! The same questions over HTTP/2: fields that HTTP/1.1 cannot carry, or would read as something else.

use super::cases::Verdict;
use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, block, frame};

pub struct Case {
    pub name: String,
    /// All frames of stream 1.
    pub bytes: Vec<u8>,
    pub verdict: Verdict,
}

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

/// All of them; `number` counts on from the cases of HTTP/1.1.
pub fn all(first: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, verdict, make: &dyn Fn(&str) -> Vec<u8>| {
        let number = format!("{:03}", first + cases.len());
        cases.push(Case { name, bytes: make(&number), verdict });
    };
    for value in [
        &b"a\r\nb: c"[..],
        b"a\nb",
        b"a\rb",
        b"a\0b",
        b"a\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n",
        b"\r\n",
        b"\x01",
        b"\x7f",
    ] {
        add(format!("a value {:?}", shown(value)), Verdict::Refused, &|n| with(n, &[(b"x-odd", value)]));
    }
    for name in [
        &b"x\r\ny"[..],
        b"x y",
        b"x:y",
        b"x\0",
        b"X-Upper",
        b"",
        b"x\n",
        b"transfer-encoding: chunked\r\nx",
        b"x\xe9",
        b":odd",
    ] {
        add(format!("a name {:?}", shown(name)), Verdict::Refused, &|n| with(n, &[(name, b"v")]));
    }
    for (name, value) in [
        (&b"transfer-encoding"[..], &b"chunked"[..]),
        (b"connection", b"close"),
        (b"connection", b"x-odd"),
        (b"keep-alive", b"x"),
        (b"proxy-connection", b"close"),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
        (b"te", b"trailers, chunked"),
        (b"transfer_encoding", b"chunked"),
        (b"content_length", b"3"),
        (b"host", b"other.ml"),
        (b"host", b"a b"),
        (b"content-length", b"x"),
        (b"content-length", b"-1"),
        (b"content-length", b"5"),
    ] {
        let what = format!("{:?}: {:?}", shown(name), shown(value));
        add(what.clone() + ", no body", refused(name), &|n| with(n, &[(name, value)]));
        add(what + ", a body", refused(name), &|n| with_body(n, &[(name, value)], &[b"abc"]));
    }
    for (length, body) in
        [("3", &[&b"ab"[..]][..]), ("3", &[b"ab", b"cd"]), ("0", &[b"x"]), ("3, 3", &[b"abc"]), ("03x", &[b"abc"])]
    {
        let make = |n: &str| with_body(n, &[(b"content-length", length.as_bytes())], body);
        add(format!("length {length:?} of {body:?}"), Verdict::Refused, &make);
    }
    let twice: [(&[u8], &[u8]); 2] = [(b"content-length", b"3"), (b"content-length", b"4")];
    add("two lengths".into(), Verdict::Refused, &|n| with_body(n, &twice, &[b"abc"]));
    add("its length".into(), Verdict::One("POST", "abc"), &|n| {
        with_body(n, &[(b"content-length", b"3")], &[b"a", b"bc"])
    });
    add("no length".into(), Verdict::One("POST", "abc"), &|n| with_body(n, &[], &[b"abc", b""]));
    add("chunks that are none".into(), Verdict::One("POST", "0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n"), &|n| {
        with_body(n, &[], &[b"0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n"])
    });
    pseudo(&mut add);
    cases
}

fn pseudo(add: &mut impl FnMut(String, Verdict, &dyn Fn(&str) -> Vec<u8>)) {
    for tail in ["\r\nx: y", " HTTP/1.1\r\nhost: b\r\n\r\nGET /hidden", "\0", "\n", " x", "\t", "\u{7f}"] {
        add(format!(":path with {tail:?}"), Verdict::Refused, &|n| {
            head("GET", "http", "model.ml", &format!("/case-{n}-{tail}"), &[])
        });
    }
    for before in ["", "http://model.ml", "x", "?", "*", "//b"] {
        let verdict = if before == "//b" { Verdict::Either } else { Verdict::Refused };
        let verdict = if before.is_empty() { Verdict::One("GET", "") } else { verdict };
        add(
            format!(":path after {before:?}"),
            if before == "?" || before == "http://model.ml" || before == "x" || before == "*" {
                Verdict::Either
            } else {
                verdict
            },
            &|n| head("GET", "http", "model.ml", &format!("{before}/case-{n}-"), &[]),
        );
    }
    for method in ["GET /hidden HTTP/1.1\r\n\r\nGET", "GET\r\nx: y", "G ET", "", "GET\0", "CONNECT", "G(T"] {
        add(format!(":method {method:?}"), Verdict::Refused, &|n| {
            head(method, "http", "model.ml", &format!("/case-{n}-"), &[])
        });
    }
    for authority in ["a\r\nx: y", "a b", "u@a", "a/b", "a\0", "a, b", "a?b"] {
        add(format!(":authority {authority:?}"), Verdict::Refused, &|n| {
            head("GET", "http", authority, &format!("/case-{n}-"), &[])
        });
    }
    for scheme in ["http\r\nx: y", "http ", "", "a/b", "http://model.ml/hidden?"] {
        add(format!(":scheme {scheme:?}"), Verdict::Either, &|n| {
            head("GET", scheme, "model.ml", &format!("/case-{n}-"), &[])
        });
    }
    for (name, value) in
        [(&b":path"[..], &b"/hidden"[..]), (b":method", b"POST"), (b":authority", b"b"), (b":status", b"200")]
    {
        add(format!("a second {:?}", shown(name)), Verdict::Refused, &|n| with(n, &[(name, value)]));
    }
}

/// Fields that one connection may say and the next may not hear are cut out by some and refused by others; none may
/// reach a backend as framing.
fn refused(name: &[u8]) -> Verdict {
    if matches!(name, b"transfer_encoding" | b"content_length" | b"host") { Verdict::Refused } else { Verdict::Either }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn head(method: &str, scheme: &str, authority: &str, path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(method, scheme, authority, path, more))
}

fn fields(method: &str, scheme: &str, authority: &str, path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut all: Fields<'_> = vec![
        (b":method", method.as_bytes()),
        (b":scheme", scheme.as_bytes()),
        (b":authority", authority.as_bytes()),
        (b":path", path.as_bytes()),
    ];
    all.extend(more);
    block(&all)
}

fn with(number: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    head("GET", "http", "model.ml", &format!("/case-{number}-"), more)
}

fn with_body(number: &str, more: &[(&[u8], &[u8])], body: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        frame(HEADERS, END_HEADERS, 1, &fields("POST", "http", "model.ml", &format!("/case-{number}-"), more));
    for (at, part) in body.iter().enumerate() {
        bytes.extend(frame(DATA, if at + 1 == body.len() { END_STREAM } else { 0 }, 1, part));
    }
    bytes
}

/// The request that follows on the same connection.
pub fn canary(number: usize) -> Vec<u8> {
    let path = format!("/canary-{number:03}-");
    frame(HEADERS, END_HEADERS | END_STREAM, 3, &fields("GET", "http", "model.ml", &path, &[]))
}
