//! The name of a question: parsed in place, bounded, compared without regard to case.

/// Longest name on the wire, the root's octet included (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;

/// Most labels that fit into [`MAX_NAME`] octets, the root not counted.
const MAX_LABELS: usize = 127;

/// Longest label (RFC 1035 §2.3.4); greater length octets are compression pointers or reserved.
pub(crate) const MAX_LABEL: u8 = 63;

/// A name as a question carries it, in lower case, with the places of its labels. Made without allocation.
#[derive(Clone, Debug)]
pub struct QueryName {
    lower: [u8; MAX_NAME],
    len: u8,
    starts: [u8; MAX_LABELS],
    labels: u8,
}

impl QueryName {
    /// Reads a name from the start of `bytes`. `None` when it is cut short, longer than [`MAX_NAME`], or holds a
    /// compression pointer: there is nothing before a question that it could point to.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut name = Self { lower: [0; MAX_NAME], len: 0, starts: [0; MAX_LABELS], labels: 0 };
        let mut at: u8 = 0;
        loop {
            let length = *bytes.get(usize::from(at))?;
            if length == 0 {
                break;
            }
            // The root's octet must still fit behind this label.
            let next = at.checked_add(length)?.checked_add(1).filter(|next| *next < u8::MAX)?;
            if length > MAX_LABEL || bytes.len() <= usize::from(next) {
                return None;
            }
            *name.starts.get_mut(usize::from(name.labels))? = at;
            name.labels += 1;
            at = next;
        }
        name.len = at + 1;
        let wire = usize::from(name.len);
        name.lower[..wire].copy_from_slice(&bytes[..wire]);
        // Length octets are at most 63 and so never letters.
        name.lower[..wire].make_ascii_lowercase();
        Some(name)
    }

    /// The whole name on the wire in lower case, the root's octet included.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.lower[..usize::from(self.len)]
    }

    /// How many octets the name takes on the wire, 1 to [`MAX_NAME`].
    #[must_use]
    pub fn wire_len(&self) -> usize {
        usize::from(self.len)
    }

    /// How many labels it has, the root not counted.
    #[must_use]
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// The label at that place, counted from the left, in lower case; empty behind the last.
    #[must_use]
    pub fn label(&self, at: usize) -> &[u8] {
        let start = self.offset(at);
        let length = usize::from(self.lower[start]);
        &self.lower[start + 1..start + 1 + length]
    }

    /// The name that begins with that label, on the wire, in lower case.
    #[must_use]
    pub fn suffix(&self, at: usize) -> &[u8] {
        &self.as_wire()[self.offset(at)..]
    }

    /// Where that label's length octet stands within the name; the root's octet behind the last label.
    #[must_use]
    pub fn offset(&self, at: usize) -> usize {
        if at < self.labels() { usize::from(self.starts[at]) } else { self.wire_len() - 1 }
    }
}

/// Writes dotted text as a name on the wire in lower case. `None` when a label is empty or longer than 63 octets, or
/// the whole is longer than [`MAX_NAME`].
pub(crate) fn to_wire(text: &str) -> Option<Box<[u8]>> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    for label in text.strip_suffix('.').unwrap_or(text).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|l| (1..=MAX_LABEL).contains(l))?;
        wire.push(length);
        wire.extend_from_slice(label.to_ascii_lowercase().as_bytes());
    }
    wire.push(0);
    (wire.len() <= MAX_NAME).then(|| wire.into_boxed_slice())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_lowered_and_found() {
        let name = QueryName::parse(b"\x05Model\x02NS\x03svc\x00rest").unwrap();
        assert_eq!(name.labels(), 3);
        assert_eq!((name.label(0), name.label(1), name.label(2)), (&b"model"[..], &b"ns"[..], &b"svc"[..]));
        assert_eq!(name.label(3), b"");
        assert_eq!(name.suffix(1), b"\x02ns\x03svc\x00");
        assert_eq!(name.as_wire().len(), name.wire_len());
        assert_eq!(name.suffix(3), b"\x00");
    }

    #[test]
    fn the_root_has_no_labels() {
        let root = QueryName::parse(b"\x00").unwrap();
        assert_eq!((root.labels(), root.wire_len(), root.suffix(0)), (0, 1, &b"\x00"[..]));
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in [&b""[..], b"\x01", b"\x01a", b"\xc0\x0c", b"\x01a\xc0\x0c", b"\x40aaaa\x00", b"\x80\x00"] {
            assert!(QueryName::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_longest_name_is_read_and_one_more_octet_refused() {
        let mut longest = Vec::new();
        for _ in 0..127 {
            longest.extend_from_slice(b"\x01a");
        }
        longest.push(0);
        assert_eq!(longest.len(), MAX_NAME);
        assert_eq!(QueryName::parse(&longest).unwrap().labels(), 127);

        let mut longer = b"\x02aa".to_vec();
        longer.extend_from_slice(&longest[2..]);
        assert_eq!(longer.len(), MAX_NAME + 1);
        assert!(QueryName::parse(&longer).is_none());
    }

    #[test]
    fn text_becomes_wire() {
        assert_eq!(*to_wire("ClusterSet.local.").unwrap(), *b"\x0aclusterset\x05local\x00");
        for bad in ["", ".", "a..b", &"x".repeat(64), &"abc.".repeat(64)] {
            assert!(to_wire(bad).is_none(), "{bad:?}");
        }
    }
}
