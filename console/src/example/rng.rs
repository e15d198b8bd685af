//! Random numbers that are the same in every version, so that a seed always gives the same example.

/// SplitMix64.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number with `from <= number < to`.
    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        assert!(from < to, "there must be a number to draw");
        let drawn = self.next() % from.abs_diff(to);
        from.saturating_add_unsigned(drawn)
    }

    /// A random item.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        assert!(!items.is_empty(), "there must be an item to pick");
        let index = self.next() % items.len() as u64;
        &items[usize::try_from(index).unwrap_or(0)]
    }
}
