//! Says of most hashes that they were never added.

/// Two bits for each hash. If one of them is missing, the hash was never added.
#[derive(Debug)]
pub(super) struct Filter(Vec<u64>);

impl Filter {
    pub(super) fn with_bytes(bytes: usize) -> Self {
        Self(vec![0; (bytes / 8).max(1)])
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len() * 8
    }

    /// The places of a hash: (word, bit) from each half of its low half.
    fn places(&self, hash: u128) -> [(usize, u64); 2] {
        let place = |part: u128| {
            let part = usize::try_from(part & 0xffff_ffff).unwrap_or(0);
            (part / 64 % self.0.len(), 1 << (part % 64))
        };
        [place(hash), place(hash >> 32)]
    }

    pub(super) fn add(&mut self, hash: u128) {
        for (word, bit) in self.places(hash) {
            self.0[word] |= bit;
        }
    }

    pub(super) fn may_have(&self, hash: u128) -> bool {
        self.places(hash)
            .iter()
            .all(|(word, bit)| self.0[*word] & bit != 0)
    }
}
