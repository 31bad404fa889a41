//! HTTP/2 frames as bytes: what the client and the pod of the comparison have in common (RFC 9113 §4 and §6).

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest payload that may be sent to somebody who has not said otherwise, in bytes.
pub const LONGEST: usize = 16_384;
/// The window of a connection, and of a stream until settings say otherwise, in bytes.
pub const WINDOW: i64 = 65_535;
/// The window that is given to the other end: nothing that is asked for here waits for more of it.
const WIDE: u32 = 16 << 20;

/// Frame types.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// END_STREAM of DATA and HEADERS; ACK of SETTINGS and PING.
pub const END_STREAM: u8 = 0x1;
/// ACK of SETTINGS and PING.
pub const ACK: u8 = 0x1;
/// END_HEADERS of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it carries, without padding and priority.
    pub payload: &'a [u8],
    /// How much of a window it takes.
    pub weight: usize,
}

impl Frame<'_> {
    /// Whether it has a flag.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Four bytes of the payload as a number, the highest bit apart.
    pub fn number(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4).and_then(|b| b.try_into().ok()).unwrap_or_default();
        u32::from_be_bytes(bytes) & 0x7fff_ffff
    }

    /// SETTINGS_INITIAL_WINDOW_SIZE, when it is among the settings.
    pub fn initial_window(&self) -> Option<i64> {
        let mut settings = self.payload.chunks_exact(6);
        let at = settings.rposition(|s| s[..2] == [0, 4])?;
        Some(i64::from(self.number(at * 6 + 2)))
    }
}

/// Takes the first frame off a buffer that is whole; the rest of the buffer comes with it.
///
/// # Errors
/// When no peer may send such a frame here.
pub fn first(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>, String> {
    let Some((head, rest)) = bytes.split_at_checked(9) else { return Ok(None) };
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    if length > LONGEST {
        return Err(format!("a frame of {length} bytes"));
    }
    let Some((payload, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    let (kind, flags) = (head[3], head[4]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
    let payload = bare(kind, flags, payload).ok_or("a frame shorter than its padding")?;
    Ok(Some((Frame { kind, flags, stream, payload, weight: length }, rest)))
}

/// Without padding and priority.
fn bare(kind: u8, flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let mut payload = payload;
    if matches!(kind, kind::DATA | kind::HEADERS) && flags & PADDED != 0 {
        let (length, rest) = payload.split_first()?;
        payload = rest.get(..rest.len().checked_sub(usize::from(*length))?)?;
    }
    if kind == kind::HEADERS && flags & PRIORITY != 0 {
        payload = payload.get(5..)?;
    }
    Some(payload)
}

/// Writes the head of a frame whose payload follows.
pub fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Writes a frame.
pub fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    head(out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
}

/// Gives more of a window; stream 0 is the connection.
pub fn give(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    put(out, kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

/// The first frames of either end: no push, wide windows.
pub fn open(out: &mut Vec<u8>) {
    let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
    settings.extend_from_slice(&WIDE.to_be_bytes());
    put(out, kind::SETTINGS, 0, 0, &settings);
    give(out, 0, WIDE);
}

/// A header field by the index of its name in HPACK's static table, or by a new name; never indexed, so that no end has
/// to remember it (RFC 7541 §6.2.2).
pub fn field(out: &mut Vec<u8>, name: Name<'_>, value: &[u8]) {
    match name {
        Name::Static(index) if index < 15 => out.push(index),
        Name::Static(index) => out.extend_from_slice(&[15, index - 15]),
        Name::New(name) => {
            out.push(0);
            text(out, name.as_bytes());
        }
    }
    text(out, value);
}

/// A field's name.
#[derive(Clone, Copy, Debug)]
pub enum Name<'a> {
    /// Its index in the static table.
    Static(u8),
    /// Itself, in lower case.
    New(&'a str),
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() < 127, "a longer one has its length in more bytes");
    out.push(u8::try_from(bytes.len()).unwrap_or(126));
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read() {
        let mut out = Vec::new();
        put(&mut out, kind::DATA, END_STREAM, 3, b"abc");
        give(&mut out, 0, 70_000);
        let (frame, rest) = first(&out).unwrap().unwrap();
        assert_eq!((frame.kind, frame.stream, frame.payload), (kind::DATA, 3, &b"abc"[..]));
        assert!(frame.has(END_STREAM));
        let (frame, rest) = first(rest).unwrap().unwrap();
        assert_eq!((frame.kind, frame.number(0)), (kind::WINDOW_UPDATE, 70_000));
        assert!(rest.is_empty());
        assert_eq!(first(&out[..5]), Ok(None));
        assert_eq!(first(&out[..11]), Ok(None));
    }

    #[test]
    fn padding_is_not_content_and_more_of_it_than_frame_is_refused() {
        let mut out = Vec::new();
        put(&mut out, kind::DATA, PADDED, 1, &[2, b'x', 0, 0]);
        let (frame, _) = first(&out).unwrap().unwrap();
        assert_eq!((frame.payload, frame.weight), (&b"x"[..], 4));
        let mut out = Vec::new();
        put(&mut out, kind::DATA, PADDED, 1, &[9, b'x']);
        assert!(first(&out).is_err());
    }

    #[test]
    fn fields_are_read_by_a_decoder() {
        let mut block = vec![0x88];
        field(&mut block, Name::Static(28), b"128");
        field(&mut block, Name::New("grpc-status"), b"0");
        let fields = loona_hpack::Decoder::new().decode(&block).unwrap();
        let read = |n: &str| fields.iter().find(|(name, _)| name == n.as_bytes()).map(|(_, value)| value.clone());
        assert_eq!(read(":status"), Some(b"200".to_vec()));
        assert_eq!(read("content-length"), Some(b"128".to_vec()));
        assert_eq!(read("grpc-status"), Some(b"0".to_vec()));
    }

    #[test]
    fn the_last_initial_window_counts() {
        let mut settings = Vec::new();
        for (id, value) in [(4_u16, 1_u32), (3, 7), (4, 99)] {
            settings.extend_from_slice(&id.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        let mut out = Vec::new();
        put(&mut out, kind::SETTINGS, 0, 0, &settings);
        assert_eq!(first(&out).unwrap().unwrap().0.initial_window(), Some(99));
    }
}
