//! Says of most ids that a chunk does not hold them.
//!
//! Filters are stored, so their form is fixed: 16 bits for each id, of which an id sets six.

use crate::hash::wide;

/// Bytes of a filter for each id.
const BYTES_PER_ID: usize = 2;
/// Bits that an id sets.
const BITS_PER_ID: u64 = 6;

/// A Bloom filter of the names in a chunk: an id that it does not have is not in the chunk. Of ids that are not, it seems to
/// have one in a thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkFilter(Vec<u8>);

impl ChunkFilter {
    /// A filter of these names.
    pub fn of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let mut filter = Self(vec![0; names.len() * BYTES_PER_ID]);
        for name in names {
            for (byte, bit) in filter.places(name) {
                filter.0[byte] |= bit;
            }
        }
        filter
    }

    /// A stored filter.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The filter as it is stored.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the chunk may hold an entity of this name.
    pub fn may_have(&self, name: &str) -> bool {
        // An empty one says nothing.
        self.0.is_empty() || self.places(name).all(|(byte, bit)| self.0[byte] & bit != 0)
    }

    /// The bits of a name: (byte, mask).
    fn places(&self, name: &str) -> impl Iterator<Item = (usize, u8)> + use<> {
        let [first, step] = halves(wide(name));
        let bits = (self.0.len() as u64 * 8).max(1);
        (0..BITS_PER_ID).map(move |round| {
            let bit = first.wrapping_add(step.wrapping_mul(round)) % bits;
            (usize::try_from(bit / 8).unwrap_or(0), 1 << (bit % 8))
        })
    }
}

/// A hash as two numbers, the second one odd.
fn halves(hash: u128) -> [u64; 2] {
    let low = u64::try_from(hash & u128::from(u64::MAX)).unwrap_or(0);
    let high = u64::try_from(hash >> 64).unwrap_or(0);
    [low, high | 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_all_its_names_and_few_others() {
        let names: Vec<String> = (0..1_000).map(|id| format!("id-{id}")).collect();
        let filter = ChunkFilter::of(names.iter().map(String::as_str));
        assert_eq!(filter.bytes().len(), 2_000);
        assert!(names.iter().all(|name| filter.may_have(name)));
        let stored = ChunkFilter::from_bytes(filter.bytes().to_vec());
        let others = (0..100_000).filter(|id| stored.may_have(&format!("other-{id}")));
        let seeming = others.count();
        assert!(seeming < 200, "{seeming} of 100,000");
        assert!(ChunkFilter::of([].into_iter()).may_have("id-1"));
    }

    /// Nodes of other versions read what this one writes.
    #[test]
    fn the_form_of_a_filter_is_fixed() {
        let filter = ChunkFilter::of(["a", "b", "c", "d"].into_iter());
        assert_eq!(filter.bytes(), [2, 6, 24, 168, 97, 135, 24, 193]);
    }
}
