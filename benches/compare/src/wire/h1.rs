//! HTTP/1.1, one request at a time.

use std::net::SocketAddr;
use std::time::Instant;

use super::Answered;

/// One connection.
pub struct Wire {
    request: Vec<u8>,
    body: usize,
    due: Option<Instant>,
    /// What came of a head that is not whole.
    head: Vec<u8>,
    /// What is missing of the body, once the head is read.
    left: Option<usize>,
}

impl Wire {
    /// Asks for so many bytes again and again, with so many in each request.
    pub fn new(at: SocketAddr, body: usize, upload: usize) -> Self {
        let request = match upload {
            0 => format!("GET /{body} HTTP/1.1\r\nhost: {at}\r\n\r\n"),
            _ => {
                let head = format!("POST /{body} HTTP/1.1\r\nhost: {at}\r\ncontent-length: {upload}\r\n\r\n");
                head + &"x".repeat(upload)
            }
        };
        let request = request.into_bytes();
        Self { request, body, due: None, head: Vec::new(), left: None }
    }

    pub fn ask(&mut self, due: Instant, out: &mut Vec<u8>) {
        debug_assert!(self.due.is_none(), "one at a time");
        self.due = Some(due);
        out.extend_from_slice(&self.request);
    }

    pub fn take(&mut self, bytes: &[u8], answered: &mut Answered) -> Result<(), String> {
        let mut bytes = bytes;
        if self.left.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(end) = self.head.windows(4).skip(before.saturating_sub(3)).position(|w| w == b"\r\n\r\n") else {
                return Ok(());
            };
            let end = before.saturating_sub(3) + end + 4;
            check(&self.head[..end], self.body).map_err(|wrong| {
                // What comes with it often says why.
                let said: String = String::from_utf8_lossy(&self.head[end..]).chars().take(120).collect();
                format!("{wrong} {said}").trim_end().to_owned()
            })?;
            self.left = Some(self.body);
            bytes = &bytes[end - before..];
            self.head.clear();
        }
        let left = self.left.unwrap_or(0);
        if bytes.len() > left {
            return Err(format!("{} bytes more than announced", bytes.len() - left));
        }
        self.left = Some(left - bytes.len());
        if self.left == Some(0) {
            self.left = None;
            answered.push(self.due.take().ok_or("an answer that nobody asked for")?);
        }
        Ok(())
    }
}

/// The status must be 200 and the length the one that was asked for.
fn check(head: &[u8], body: usize) -> Result<(), String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("status line {status:?}"));
    }
    let length = lines.find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) if length == body => Ok(()),
        other => Err(format!("content-length {other:?} instead of {body}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(pieces: &[&[u8]]) -> Result<usize, String> {
        let mut wire = Wire::new("127.0.0.1:1".parse().unwrap(), 3, 0);
        wire.ask(Instant::now(), &mut Vec::new());
        let mut answered = Vec::new();
        pieces.iter().try_for_each(|p| wire.take(p, &mut answered))?;
        Ok(answered.len())
    }

    #[test]
    fn an_answer_counts_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(answers(&[whole]), Ok(1));
        assert_eq!(answers(&[&whole[..whole.len() - 1]]), Ok(0));
        let single: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(answers(&single), Ok(1));
    }

    #[test]
    fn wrong_answers_are_no_answers() {
        assert!(answers(&[b"HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\nabc"]).unwrap_err().contains("503"));
        assert!(answers(&[b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd"]).unwrap_err().contains("Some(4)"));
        assert!(answers(&[b"HTTP/1.1 200 OK\r\n\r\nabc"]).unwrap_err().contains("None"));
        assert!(answers(&[b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd"]).is_err());
    }
}
