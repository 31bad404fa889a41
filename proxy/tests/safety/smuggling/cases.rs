//! Requests that two readers may read differently, made from a few rules: each way to say where a body ends is combined
//! with each odd spelling of it, and inside each body stands another request.
//!
//! Targets carry the case's number: `/case-007-` is what is asked, `/hidden-007-` stands in its body or in a field.

/// What has to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No backend reads anything of it whole, and the client is told so or cut off.
    Refused,
    /// The backend reads it as one request with that method and that body.
    One(&'static str, &'static str),
    /// It may be refused or read as one request; the hidden one never is.
    Either,
    /// It is two requests to every reader.
    Two,
}

pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub verdict: Verdict,
}

/// Stands for the case's number, of three digits, in what follows.
const PLACE: &[u8] = b"NNN";
const HIDDEN: &str = "GET /hidden-NNN- HTTP/1.1\r\nhost: model.ml\r\n\r\n";

/// All of them. The canary that follows each is the runner's.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, mut bytes, verdict) in
        [lengths(), codings(), spellings(), chunks(), lines(), heads(), hosts(), targets(), others()].concat()
    {
        let number = format!("{:03}", cases.len());
        bytes = replace(&bytes, PLACE, number.as_bytes());
        cases.push(Case { name, bytes, verdict });
    }
    cases
}

type Rule = (String, Vec<u8>, Verdict);

fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(what.len()).position(|w| w == what) {
        out.extend(&rest[..at]);
        out.extend(by);
        rest = &rest[at + what.len()..];
    }
    out.extend(rest);
    out
}

/// A POST with these field lines (each with its own end) and this body.
fn post(fields: &[u8], body: &str) -> Vec<u8> {
    [b"POST /case-NNN- HTTP/1.1\r\nhost: model.ml\r\n", fields, b"\r\n", body.as_bytes()].concat()
}

/// The hidden request after an end of chunks: one body by length, two requests by chunks.
fn after_chunks() -> (String, usize) {
    let body = format!("0\r\n\r\n{HIDDEN}");
    let length = body.len();
    (body, length)
}

/// Content-Length, said oddly. By chunks nothing is said, so what is read as no length leaves the hidden one standing.
fn lengths() -> Vec<Rule> {
    let length = HIDDEN.len();
    let mut rules = Vec::new();
    let odd = [
        format!("+{length}"),
        format!("-{length}"),
        format!("0x{length:x}"),
        format!("{length}, {length}"),
        format!("{length},{length}"),
        format!("{length} {length}"),
        format!("0,{length}"),
        format!("{length};"),
        format!("{length}.0"),
        format!("{length}e0"),
        format!("\"{length}\""),
        format!("{length}_"),
        format!("1_{length}"),
        String::new(),
        "18446744073709551616".to_owned(),
        "99999999999999999999999999".to_owned(),
        "-1".to_owned(),
        "NaN".to_owned(),
        format!("{length}\u{b}"),
        format!("\u{c}{length}"),
        format!("{length}\0"),
        format!("{length}\u{a0}"),
        "\u{665}".to_owned(),
    ];
    for value in odd {
        let fields = format!("content-length: {value}\r\n");
        rules.push((format!("length {value:?}"), post(fields.as_bytes(), HIDDEN), Verdict::Refused));
    }
    for (one, other) in [("0", "5"), ("5", "0"), ("5", "05x"), ("5", ""), ("", "5"), ("5", "+5"), ("5", "6")] {
        let fields = format!("content-length: {one}\r\ncontent-length: {other}\r\n");
        rules.push((format!("lengths {one:?} and {other:?}"), post(fields.as_bytes(), HIDDEN), Verdict::Refused));
    }
    for value in ["5", "05", "  5", "5  ", "\t5\t", "000000000000000005"] {
        let fields = format!("content-length: {value}\r\n");
        rules.push((format!("length {value:?}"), post(fields.as_bytes(), "hello"), Verdict::One("POST", "hello")));
    }
    let twice = b"content-length: 5\r\nContent-Length: 5\r\n";
    rules.push(("the same length twice".into(), post(twice, "hello"), Verdict::One("POST", "hello")));
    rules
}

/// Codings that are not plainly `chunked`, beside a length that says otherwise.
fn codings() -> Vec<Rule> {
    let (body, length) = after_chunks();
    let mut rules = Vec::new();
    let odd = [
        "identity",
        "chunked, identity",
        "identity, chunked",
        "chunked, gzip",
        "gzip, chunked",
        "gzip",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "chunked; a=b",
        "\"chunked\"",
        "'chunked'",
        "chunked,",
        ",chunked",
        " ,chunked",
        "chunked chunked",
        "chunked\tx",
        "cow",
        "",
        "chun ked",
        "chunked, chunked",
        "chunked,chunked",
        "nchunked",
        "chu\u{0}nked",
        "\u{b}chunked",
        "chunked\u{b}",
        "\u{c}chunked",
        "\u{a0}chunked",
        "chunked\u{a0}",
        "\u{1}chunked",
        "chunked\u{7f}",
        "chunked\u{85}",
        "ch\u{17f}nked",
        "chun\u{212a}ed",
    ];
    for coding in odd {
        for order in 0..3 {
            let te = format!("transfer-encoding: {coding}\r\n");
            let cl = format!("content-length: {length}\r\n");
            let fields = match order {
                0 => te,
                1 => te + &cl,
                _ => cl + &te,
            };
            rules.push((format!("coding {coding:?}, order {order}"), post(fields.as_bytes(), &body), Verdict::Either));
        }
    }
    for (one, other) in
        [("chunked", "identity"), ("identity", "chunked"), ("chunked", "chunked"), ("chunked", "x"), ("", "chunked")]
    {
        let fields = format!("transfer-encoding: {one}\r\ntransfer-encoding: {other}\r\ncontent-length: {length}\r\n");
        rules.push((format!("codings {one:?} and {other:?}"), post(fields.as_bytes(), &body), Verdict::Either));
    }
    for coding in ["chunked", "CHUNKED", "Chunked", "  chunked  ", "\tchunked"] {
        let fields = format!("transfer-encoding: {coding}\r\n");
        let body = "5\r\nhello\r\n0\r\n\r\n";
        rules.push((format!("coding {coding:?}"), post(fields.as_bytes(), body), Verdict::One("POST", "hello")));
    }
    // By its length the first four bytes are a body and a request follows; by its chunks all of it is a body.
    let inside = format!("{:x}\r\n{HIDDEN}x\r\n0\r\n\r\n", HIDDEN.len() + 1);
    let both = b"content-length: 4\r\ntransfer-encoding: chunked\r\n";
    rules.push(("chunks, and a short length".into(), post(both, &inside), Verdict::Either));
    let both = b"transfer-encoding: chunked\r\ncontent-length: 4\r\n";
    rules.push(("chunks, and a short length after them".into(), post(both, &inside), Verdict::Either));
    rules
}

/// A byte that does not belong there, at each place of the line that says `chunked`.
fn spellings() -> Vec<Rule> {
    let (body, length) = after_chunks();
    let mut rules = Vec::new();
    let odd: [&[u8]; 20] = [
        b" ", b"\t", b"\x0b", b"\x0c", b"\0", b"\x01", b"\x1f", b"\x7f", b"\x80", b"\xa0", b"\xff", b"\r", b"\n",
        b"\r\n", b"\r\n ", b"\n ", b"\"", b",", b";", b":",
    ];
    for byte in odd {
        for (place, parts) in [
            ("before the name", [&b""[..], b"Transfer-Encoding: chunked"]),
            ("in the name", [b"Transfer", b"-Encoding: chunked"]),
            ("after the name", [b"Transfer-Encoding", b": chunked"]),
            ("after the colon", [b"Transfer-Encoding:", b"chunked"]),
            ("in the value", [b"Transfer-Encoding: chun", b"ked"]),
            ("after the value", [b"Transfer-Encoding: chunked", b""]),
        ] {
            let line = [parts[0], byte, parts[1], b"\r\n"].concat();
            let fields = [format!("content-length: {length}\r\n").as_bytes(), &line].concat();
            let name = format!("{:?} {place}", String::from_utf8_lossy(byte));
            rules.push((name, post(&fields, &body), Verdict::Either));
        }
    }
    for name in
        ["Transfer_Encoding", "content_length", "Transfer Encoding", "Transfer-Encoding\u{ad}", "(Transfer-Encoding)"]
    {
        let fields = format!("content-length: {length}\r\n{name}: chunked\r\n");
        rules.push((format!("a field {name:?}"), post(fields.as_bytes(), &body), Verdict::Refused));
    }
    for name in ["XTransfer-Encoding", "Transfer.Encoding", "Transfer-Encodings", "Transfer--Encoding"] {
        let fields = format!("content-length: 5\r\n{name}: chunked\r\n");
        rules.push((format!("a field {name:?}"), post(fields.as_bytes(), "hello"), Verdict::One("POST", "hello")));
    }
    rules
}

/// Chunks whose size, end or extension is said oddly.
fn chunks() -> Vec<Rule> {
    let mut rules = Vec::new();
    let chunked = b"transfer-encoding: chunked\r\n";
    for size in [
        "0x5",
        "+5",
        "-5",
        "5_",
        "5 5",
        "5\r",
        "",
        " ",
        "g",
        "5g",
        "FFFFFFFFFFFFFFFFF",
        "10000000000000005",
        "5\0",
        "5\u{b}",
        "5\u{a0}",
        "5,",
        "5.",
        "\"5\"",
        "5;a\nb",
        "5;a\rb",
        "5\n",
        "5;\n",
        "\t5",
    ] {
        let body = format!("{size}\r\nhello\r\n0\r\n\r\n{HIDDEN}");
        let tail = format!("5\r\nhello\r\n{}\r\n\r\n{HIDDEN}", size.replace('5', "0"));
        for (part, body) in [("the first", body), ("the last", tail)] {
            // What is never a size; whether the last chunk is whole is another question.
            rules.push((format!("size {size:?} of {part} chunk"), post(chunked, &body), Verdict::Either));
        }
    }
    for size in ["5", "05", "0000000000000005", "5;ext", "5;ext=1", "5;ext=\"a b\"", "5 ;x"] {
        let body = format!("{size}\r\nhello\r\n0\r\n\r\n");
        rules.push((format!("size {size:?}"), post(chunked, &body), Verdict::One("POST", "hello")));
    }
    for (name, body) in [
        ("a chunk longer than it says", format!("3\r\nhello\r\n0\r\n\r\n{HIDDEN}")),
        ("a chunk that ends in LF", format!("5\r\nhello\n0\r\n\r\n{HIDDEN}")),
        ("a chunk that ends in CR", format!("5\r\nhello\r0\r\n\r\n{HIDDEN}")),
        ("a chunk that ends in nothing", format!("5\r\nhello0\r\n\r\n{HIDDEN}")),
        ("a chunk that ends in two other bytes", format!("5\r\nhelloxx0\r\n\r\n{HIDDEN}")),
        ("a size that ends in CR", format!("5\rhello\r\n0\r\n\r\n{HIDDEN}")),
    ] {
        rules.push((name.into(), post(chunked, &body), Verdict::Refused));
    }
    for trailer in ["content-length: 50", "transfer-encoding: chunked", "host: b", "x-ok: 1", "connection: x-ok"] {
        let body = format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n");
        rules.push((format!("trailer {trailer:?}"), post(chunked, &body), Verdict::One("POST", "hello")));
    }
    for trailer in [" folded: x", "no colon", "bad name: x", "x\0: y", ": x", "content-length : 5"] {
        let body = format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n{HIDDEN}");
        rules.push((format!("trailer {trailer:?}"), post(chunked, &body), Verdict::Either));
    }
    rules
}

fn get(fields: &str) -> Vec<u8> {
    format!("GET /case-NNN- HTTP/1.1\r\nhost: model.ml\r\n{fields}\r\n").into_bytes()
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
