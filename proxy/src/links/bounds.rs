//! What both ends of a link bear, beside what they count.

/// What may be sent on one stream before it is read: 65 ms at 100 Mbit/s are 0.8 MB.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
/// The same on a connection: sixty-three streams of which nothing is read stall no other.
pub(crate) const CONNECTION_WINDOW: u32 = 64 << 20;
/// Bytes of a head. Clients and pods are held to a quarter of it, but Huffman's code makes up to three and a half times as many
/// of bytes that are rare in heads, and what is beyond a limit's CONTINUATION frames ends the connection, with all its streams.
pub(crate) const HEAD_BYTES: u32 = 256 << 10;
/// How much more than its content what is not read may cost, in bytes: h2 ends a connection when frames of less than 256
/// bytes, counted as so many each, exceed this. A dozen streams of small messages that nobody reads are within it.
pub(crate) const FRAMES_BYTES: usize = 128 << 20;
