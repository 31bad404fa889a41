//! Bytes that show by themselves where in a body they belong, so that a body of any length can be checked as it comes.

use bytes::{Bytes, BytesMut};

/// What is made at once.
const CHUNK: u64 = 64 * 1024;

/// The eight bytes at `8 * word`: splitmix64 of the number, so that no two places look alike and nothing compresses.
fn word(word: u64) -> [u8; 8] {
    let mut z = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// The byte at an offset.
fn byte(offset: u64) -> u8 {
    word(offset / 8)[usize::try_from(offset % 8).unwrap_or(0)]
}

/// What comes at an offset of a body of `total` bytes; empty at its end. Offsets are multiples of the length of a chunk.
#[must_use]
pub fn chunk(offset: u64, total: u64) -> Bytes {
    let length = usize::try_from(total.saturating_sub(offset).min(CHUNK)).unwrap_or(0);
    let mut out = BytesMut::with_capacity(length + 8);
    let mut at = offset / 8;
    while out.len() < length {
        out.extend_from_slice(&word(at));
        at += 1;
    }
    out.truncate(length);
    out.freeze()
}

/// The offset of the first byte of a piece that is not what belongs there.
#[must_use]
pub fn first_wrong(offset: u64, piece: &[u8]) -> Option<u64> {
    let mut at = offset;
    let mut rest = piece;
    // Whole words where the piece has them: a gigabyte is checked in a fraction of a second.
    while !rest.is_empty() {
        let (head, tail) = match rest.split_at_checked(8) {
            Some((head, tail)) if at.is_multiple_of(8) && head == word(at / 8) => (head, tail),
            _ if rest[0] != byte(at) => return Some(at),
            _ => rest.split_at(1),
        };
        at += head.len() as u64;
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_chunks_is_right_however_it_is_cut() {
        let total = 2 * CHUNK + 13;
        let body: Vec<u8> = [0, CHUNK, 2 * CHUNK].into_iter().flat_map(|o| chunk(o, total)).collect();
        assert_eq!((body.len() as u64, chunk(3 * CHUNK, total).len()), (total, 0));
        for size in [1, 7, 8, 1000, body.len()] {
            let mut at = 0;
            for piece in body.chunks(size) {
                assert_eq!(first_wrong(at, piece), None, "pieces of {size}");
                at += piece.len() as u64;
            }
        }
    }

    #[test]
    fn a_changed_a_missing_and_a_repeated_byte_are_found_where_they_are() {
        let body = chunk(0, 4096).to_vec();
        let mut changed = body.clone();
        changed[1234] ^= 1;
        assert_eq!(first_wrong(0, &changed), Some(1234));
        let mut missing = body.clone();
        missing.remove(100);
        assert!(first_wrong(0, &missing).is_some_and(|at| (100..110).contains(&at)));
        assert_eq!(first_wrong(0, &[&body[..8], &body[..8]].concat()), Some(8));
    }
}
