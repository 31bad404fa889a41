//! A set of the 256 buckets.

use bytes::Bytes;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BucketSet([u64; 4]);

impl BucketSet {
    pub(crate) const ALL: Self = Self([u64::MAX; 4]);

    pub(crate) const fn insert(&mut self, bucket: u8) {
        self.0[(bucket >> 6) as usize] |= 1 << (bucket & 63);
    }

    pub(crate) const fn remove(&mut self, bucket: u8) {
        self.0[(bucket >> 6) as usize] &= !(1 << (bucket & 63));
    }

    pub(crate) const fn contains(&self, bucket: u8) -> bool {
        self.0[(bucket >> 6) as usize] & (1 << (bucket & 63)) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|b| self.contains(*b))
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }

    pub(crate) fn to_wire(self) -> Bytes {
        self.iter().collect::<Vec<u8>>().into()
    }
}

impl FromIterator<u8> for BucketSet {
    fn from_iter<I: IntoIterator<Item = u8>>(buckets: I) -> Self {
        let mut set = Self::default();
        buckets.into_iter().for_each(|b| set.insert(b));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_buckets_round_trip() {
        let set: BucketSet = [0, 63, 64, 200, 255].into_iter().collect();
        assert_eq!(&set.to_wire()[..], &[0, 63, 64, 200, 255]);
        assert_eq!(set.to_wire().iter().copied().collect::<BucketSet>(), set);
        let mut rest = set;
        for b in set.iter() {
            assert!(set.contains(b) && BucketSet::ALL.contains(b));
            rest.remove(b);
        }
        assert!(rest.is_empty() && !set.is_empty());
        assert_eq!(BucketSet::ALL.iter().count(), 256);
    }
}
