//! The sync protocol's frames: a length of four bytes, big endian, then one protobuf message.
//!
//! Field numbers are never reused. A frame of a type that this version does not know decodes to a [`Frame`] without
//! a body and is skipped; record values travel as bytes, so kinds and fields of newer versions survive the way
//! through an older daemon.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// The longest frame that is accepted, in bytes without the length.
pub const MAX_FRAME: usize = 1 << 20;
/// Bulk is sent in chunks of about this many bytes, so that a head never waits long behind one.
pub const CHUNK: usize = 64 * 1024;
/// The oldest protocol this version speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// The newest protocol this version speaks.
pub const PROTOCOL_MAX: u32 = 1;

/// Why the bytes of a session are not frames. Nothing after them can be trusted to start where a frame starts, so
/// the session ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error(
        "a frame of {length} bytes was announced, at most {MAX_FRAME} are allowed; is the other side a Strait daemon?"
    )]
    TooLong {
        /// The announced length.
        length: usize,
    },
    /// Not protobuf.
    #[error("a frame of {length} bytes does not decode: {source}; is the other side a Strait daemon?")]
    Undecodable {
        /// Its length.
        length: usize,
        /// What the decoder says.
        source: prost::DecodeError,
    },
}

/// The first frame of both sides.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Hello {
    /// The oldest protocol the sender speaks.
    #[prost(uint32, tag = "1")]
    pub protocol_min: u32,
    /// The newest protocol the sender speaks.
    #[prost(uint32, tag = "2")]
    pub protocol_max: u32,
    /// Feature bits; none are defined yet.
    #[prost(uint64, tag = "3")]
    pub features: u64,
    /// The sender's cluster; it must be the one its certificate proves.
    #[prost(string, tag = "4")]
    pub cluster: String,
    /// The sender within its cluster.
    #[prost(string, tag = "5")]
    pub daemon: String,
    /// The sender publishes nothing.
    #[prost(bool, tag = "6")]
    pub leaf: bool,
}

/// A record on the wire; its cluster is the frame's.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WireRecord {
    /// [`strait_catalog::Kind`].
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The name within the kind.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Version, first part.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Version, second part.
    #[prost(uint64, tag = "4")]
    pub revision: u64,
    /// A tombstone.
    #[prost(bool, tag = "5")]
    pub deleted: bool,
    /// The value as its owner encoded it.
    #[prost(bytes = "bytes", tag = "6")]
    pub value: Bytes,
}

/// Records of one cluster. All parts of a service that changed stand in one frame.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Push {
    /// Whose.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// In any order; the receiver shows all or none of them to its readers.
    #[prost(message, repeated, tag = "2")]
    pub records: Vec<WireRecord>,
}

/// How far one cluster's records have come at the sender, as the receiver may see them.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Head {
    /// Which cluster.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// The highest version, first part.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The highest version, second part.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
    /// Sum of the digests of all live records.
    #[prost(fixed64, tag = "4")]
    pub hash: u64,
    /// How many live records.
    #[prost(uint64, tag = "5")]
    pub count: u64,
    /// How long ago this was known to be current, residence at all daemons on the way included; absent when unknown.
    #[prost(uint64, optional, tag = "6")]
    pub age_ms: Option<u64>,
    /// Everything that changed before this head was sent before it on this session; else comparing is premature.
    #[prost(bool, tag = "7")]
    pub settled: bool,
}

/// The sender found its set equal to the one a head of the receiver spoke of.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Receipt {
    /// Which cluster.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// The hash of that head.
    #[prost(fixed64, tag = "2")]
    pub hash: u64,
}

/// All heads the receiver may know, once a second. An empty one only says that the sender lives.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Heads {
    /// At most one a cluster.
    #[prost(message, repeated, tag = "1")]
    pub heads: Vec<Head>,
    /// Answers to heads of the other side: from there on it may send changes alone instead of whole services.
    #[prost(message, repeated, tag = "2")]
    pub receipts: Vec<Receipt>,
}

/// First step of a repair, from the side whose hash differs: the hashes of its 256 buckets.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Buckets {
    /// Which cluster.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// 256 sums of digests.
    #[prost(fixed64, repeated, tag = "2")]
    pub hashes: Vec<u64>,
}

/// Second step, back: which buckets differ, so that their keys are wanted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Ask {
    /// Which cluster.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// One byte a bucket.
    #[prost(bytes = "bytes", tag = "2")]
    pub buckets: Bytes,
}

/// One record that the sender holds.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Entry {
    /// [`strait_catalog::Kind`].
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The name within the kind.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Version, first part.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Version, second part.
    #[prost(uint64, tag = "4")]
    pub revision: u64,
    /// Digest of the record as the receiver may see it.
    #[prost(fixed64, tag = "5")]
    pub digest: u64,
    /// A tombstone.
    #[prost(bool, tag = "6")]
    pub deleted: bool,
}

/// Third step: everything the sender holds in those buckets. The answer is a [`Push`] of what is newer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Keys {
    /// Which cluster.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// One byte a bucket; the entries are complete for each of them.
    #[prost(bytes = "bytes", tag = "2")]
    pub buckets: Bytes,
    /// What is held.
    #[prost(message, repeated, tag = "3")]
    pub entries: Vec<Entry>,
}

/// The sender leaves on purpose.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Bye {
    /// Why, for the log.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// What a frame holds.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Body {
    /// Introduction.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// Records.
    #[prost(message, tag = "2")]
    Push(Push),
    /// Liveness and set hashes.
    #[prost(message, tag = "3")]
    Heads(Heads),
    /// Repair, first step.
    #[prost(message, tag = "4")]
    Buckets(Buckets),
    /// Repair, second step.
    #[prost(message, tag = "5")]
    Ask(Ask),
    /// Repair, third step.
    #[prost(message, tag = "6")]
    Keys(Keys),
    /// Farewell.
    #[prost(message, tag = "7")]
    Bye(Bye),
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Frame {
    /// `None` for a type that this version does not know.
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub body: Option<Body>,
}

impl From<Body> for Frame {
    fn from(body: Body) -> Self {
        Self { body: Some(body) }
    }
}

impl Frame {
    /// The frame as it goes over the wire, length included.
    #[must_use]
    pub fn to_wire(&self) -> Bytes {
        let length = self.encoded_len();
        debug_assert!(length <= MAX_FRAME, "frames are cut to size when they are made");
        let mut out = BytesMut::with_capacity(4 + length);
        out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        self.encode_raw(&mut out);
        out.freeze()
    }

    /// Takes the next whole frame from the front of what was read; `None` when more has to be read first.
    ///
    /// # Errors
    /// [`FrameError`] when no frame can come of it.
    pub fn take(buffer: &mut BytesMut) -> Result<Option<Self>, FrameError> {
        let Some(length) = buffer.first_chunk::<4>().map(|b| u32::from_be_bytes(*b) as usize) else {
            return Ok(None);
        };
        if length > MAX_FRAME {
            return Err(FrameError::TooLong { length });
        }
        if buffer.len() < 4 + length {
            buffer.reserve(4 + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(4);
        let body = buffer.split_to(length).freeze();
        Self::decode(body).map(Some).map_err(|source| FrameError::Undecodable { length, source })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn push() -> Frame {
        let record = WireRecord {
            kind: 3,
            name: "a/b/c".into(),
            epoch: 0,
            revision: 7,
            deleted: false,
            value: Bytes::from_static(b"xyz"),
        };
        Body::Push(Push { cluster: "us-west".into(), records: vec![record] }).into()
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let wire = [push().to_wire(), push().to_wire()].concat();
        for cut in 0..wire.len() {
            let mut buffer = BytesMut::from(&wire[..cut]);
            let mut found = Vec::new();
            while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                found.push(frame);
            }
            buffer.extend_from_slice(&wire[cut..]);
            while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                found.push(frame);
            }
            assert_eq!(found, vec![push(), push()], "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_is_read() {
        let mut buffer = BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]);
        let error = Frame::take(&mut buffer).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    }

    #[test]
    fn an_unknown_type_is_a_frame_without_a_body() {
        let mut buffer = BytesMut::new();
        // Field 99, length-delimited, three bytes.
        buffer.put_slice(&[0, 0, 0, 6, 0x9a, 0x06, 3, 1, 2, 3]);
        assert_eq!(Frame::take(&mut buffer).unwrap(), Some(Frame { body: None }));
        assert!(buffer.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_frames_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let mut steps = 0;
            while let Ok(Some(_)) = Frame::take(&mut buffer) {
                steps += 1;
                prop_assert!(steps <= bytes.len());
            }
        }
    }
}
