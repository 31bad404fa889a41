//! Each way to say where a body ends, with each odd spelling of it.

use super::{HIDDEN, Rule, Verdict, after_chunks, post};

pub(super) fn all() -> Vec<Rule> {
    [lengths(), codings(), spellings(), chunks()].concat()
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
