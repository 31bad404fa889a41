//! Requests that two readers may read differently, made from a few rules: each way to say where a body ends is combined
//! with each odd spelling of it, and inside each body stands another request.
//!
//! Targets carry the case's number: `/case-007-` is what is asked, `/hidden-007-` stands in its body or in a field.

mod bodies;
mod heads;

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
    for (name, mut bytes, verdict) in [bodies::all(), heads::all()].concat() {
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

fn get(fields: &str) -> Vec<u8> {
    format!("GET /case-NNN- HTTP/1.1\r\nhost: model.ml\r\n{fields}\r\n").into_bytes()
}
