//! As much of RFC 6455 as an echo needs: the handshake's key, and whole frames.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest payload that is read; longer ones are refused.
const LONGEST: u64 = 1024 * 1024;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// What a frame is; others are not spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// UTF-8.
    Text = 1,
    /// The other end leaves, or answers that we may.
    Close = 8,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: Opcode,
    /// Unmasked.
    pub payload: Vec<u8>,
}

/// What `Sec-WebSocket-Accept` must be for a `Sec-WebSocket-Key`.
#[must_use]
pub fn accept(key: &str) -> String {
    let joined = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(&sha1(joined.as_bytes()))
}

/// RFC 3174, in the one place where a protocol still asks for it and nothing depends on its strength.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64) + if padded.len() % 64 > 56 { 64 } else { 0 }, 0);
    let length = padded.len();
    padded[length - 8..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    padded.chunks(64).for_each(|block| sha1_block(&mut state, block));
    let mut out = [0; 20];
    out.chunks_mut(4).zip(state).for_each(|(four, word)| four.copy_from_slice(&word.to_be_bytes()));
    out
}

fn sha1_block(state: &mut [u32; 5], block: &[u8]) {
    let mut words = [0_u32; 80];
    for (i, four) in block.chunks(4).enumerate() {
        words[i] = four.iter().fold(0, |w, byte| w << 8 | u32::from(*byte));
    }
    for i in 16..80 {
        words[i] = (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (i, word) in words.into_iter().enumerate() {
        let (mixed, constant) = match i / 20 {
            0 => (b & c | !b & d, 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let next = [mixed, e, constant, word].into_iter().fold(a.rotate_left(5), u32::wrapping_add);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e]) {
        *word = word.wrapping_add(add);
    }
}

/// Standard alphabet, padded.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |b, byte| b << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// Writes one frame; clients mask theirs.
///
/// # Errors
/// When the connection does not take it.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &Frame, mask: Option<[u8; 4]>) -> Result<()> {
    let mut out = vec![FINAL | frame.opcode as u8];
    let masked = if mask.is_some() { MASKED } else { 0 };
    let length = frame.payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.push(masked | short),
        (_, Ok(medium)) => {
            out.push(masked | 126);
            out.extend(medium.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
    out.extend(masking(&frame.payload, mask.unwrap_or_default()));
    to.write_all(&out).await?;
    to.flush().await
}

/// Reads one frame.
///
/// # Errors
/// When the connection ends or breaks, and for frames that are fragmented, too long, or of another kind.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Frame> {
    let (first, second) = (from.read_u8().await?, from.read_u8().await?);
    let refuse = |why: String| Error::new(ErrorKind::InvalidData, why);
    let opcode = match first {
        0x81 => Opcode::Text,
        0x88 => Opcode::Close,
        other => return Err(refuse(format!("a frame that begins with {other:#04x}"))),
    };
    let length = match second & !MASKED {
        126 => u64::from(from.read_u16().await?),
        127 => from.read_u64().await?,
        short => u64::from(short),
    };
    let length = usize::try_from(length).ok().filter(|_| length <= LONGEST);
    let mut payload = vec![0; length.ok_or_else(|| refuse("a frame that is too long".to_owned()))?];
    let mut mask = [0; 4];
    if second & MASKED != 0 {
        from.read_exact(&mut mask).await?;
    }
    from.read_exact(&mut payload).await?;
    Ok(Frame { opcode, payload: masking(&payload, mask).collect() })
}

fn masking(payload: &[u8], mask: [u8; 4]) -> impl Iterator<Item = u8> {
    payload.iter().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_answered_as_the_rfc_has_it() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn digests_are_those_of_the_rfc_at_every_padding() {
        let hex = |text: &str| sha1(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(two_blocks), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        assert_eq!(
            hex(&"0123456701234567012345670123456701234567012345670123456701234567".repeat(10)),
            "dea356a2cddd90c7a7ecedc5ebb563934f460452"
        );
    }

    #[test]
    fn text_becomes_base64() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[tokio::test]
    async fn frames_of_every_length_come_through_masked_or_not() {
        for length in [0, 1, 125, 126, 65535, 65536] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let frame = Frame { opcode: Opcode::Text, payload: vec![b'x'; length] };
                let mut wire = Vec::new();
                write(&mut wire, &frame, mask).await.unwrap();
                assert_eq!(read(&mut wire.as_slice()).await.unwrap(), frame, "{length} bytes, mask {mask:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_fragment_is_refused() {
        assert_eq!(read(&mut [0x01, 0x00].as_slice()).await.unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
