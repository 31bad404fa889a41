//! A watch's body, line by line, with a limit.

use std::io;
use std::pin::Pin;

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};

/// The longest line taken. etcd refuses objects above 1.5 MiB unless told otherwise; JSON with managed fields is
/// larger than what is stored, hence the room.
pub(super) const MAX_LINE: usize = 16 << 20;

/// Reads lines. Cancel-safe: what was read of an unfinished line stays here.
pub(super) struct Lines<R> {
    reader: Pin<Box<R>>,
    partial: Vec<u8>,
    whole: bool,
    limit: usize,
}

impl<R: AsyncBufRead> Lines<R> {
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader: Box::pin(reader), partial: Vec::new(), whole: false, limit }
    }

    /// The next line without its end; `None` at the end of the body. A last line that was cut off is not a line.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if self.whole {
            self.partial.clear();
            self.whole = false;
        }
        while !self.whole {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                return Ok(None);
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = &available[..end.unwrap_or(available.len())];
            if self.partial.len() + taken.len() > self.limit {
                return Err(io::Error::other(format!("a line is longer than {} bytes", self.limit)));
            }
            self.partial.extend_from_slice(taken);
            let consumed = taken.len() + usize::from(end.is_some());
            self.reader.as_mut().consume(consumed);
            self.whole = end.is_some();
        }
        Ok(Some(&self.partial))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::io::{BufReader, Cursor};

    use super::*;

    #[tokio::test]
    async fn lines_survive_any_chunking() {
        for chunk in [1, 2, 3, 100] {
            let mut lines = Lines::new(BufReader::with_capacity(chunk, Cursor::new("one\n\nthree\ncut of")), 10);
            let mut seen = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                seen.push(String::from_utf8(line.to_vec()).unwrap());
            }
            assert_eq!(seen, ["one", "", "three"], "chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn endless_lines_are_refused() {
        let mut lines = Lines::new(Cursor::new("12345678901\n"), 10);
        assert!(lines.next().await.unwrap_err().to_string().contains("longer than 10"));
    }
}
