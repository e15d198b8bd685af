//! One partition's value, and how much of its last write a committed read may miss.

use rand::RngExt;
use rand::rngs::StdRng;

/// A value with the write that may still be under way.
///
/// A quorum read sees what was acknowledged and may miss an attempt whose answer is not out yet, or never
/// came. A compare-and-set or SERIAL read on the partition finishes such an attempt; so does a quorum read
/// that happened to see it (blocking read repair).
#[derive(Clone, Debug)]
pub struct Row<T> {
    value: T,
    hidden: Option<Hidden<T>>,
}

#[derive(Clone, Debug)]
struct Hidden<T> {
    before: Option<T>,
    until: u64,
}

impl<T: Clone> Row<T> {
    /// A row that did not exist before; committed reads may miss it until `hidden_until`.
    pub fn new(value: T, hidden_until: u64) -> Self {
        Self {
            value,
            hidden: Some(Hidden {
                before: None,
                until: hidden_until,
            }),
        }
    }

    /// The truth; finishes what is under way.
    pub fn serial(&mut self) -> &T {
        self.hidden = None;
        &self.value
    }

    /// The truth, for checks from outside: changes nothing.
    pub fn peek(&self) -> &T {
        &self.value
    }

    /// What a quorum read finds at `now`.
    pub fn committed(&mut self, now: u64, chance: &mut StdRng) -> Option<&T> {
        let misses = self
            .hidden
            .as_ref()
            .is_some_and(|hidden| now < hidden.until && chance.random_bool(0.5));
        if misses {
            return self
                .hidden
                .as_ref()
                .and_then(|hidden| hidden.before.as_ref());
        }
        self.hidden = None;
        Some(&self.value)
    }

    /// A write; committed reads may miss it until `hidden_until`.
    pub fn write(&mut self, value: T, hidden_until: u64) {
        let before = std::mem::replace(&mut self.value, value);
        self.hidden = Some(Hidden {
            before: Some(before),
            until: hidden_until,
        });
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_committed_read_may_miss_an_attempt_until_a_read_saw_it() {
        let mut chance = StdRng::seed_from_u64(1);
        let (mut missed, mut seen) = (0, 0);
        for _ in 0..100 {
            let mut row = Row::new(1, 0);
            row.write(2, 10);
            match row.committed(5, &mut chance) {
                Some(1) => missed += 1,
                Some(_) => {
                    seen += 1;
                    assert_eq!(row.committed(5, &mut chance), Some(&2), "repaired");
                }
                None => panic!("the row exists"),
            }
            assert_eq!(row.serial(), &2);
            assert_eq!(row.committed(5, &mut chance), Some(&2), "finished");
        }
        assert!(missed > 20 && seen > 20, "{missed} missed, {seen} seen");
    }

    #[test]
    fn an_acknowledged_write_is_seen() {
        let mut chance = StdRng::seed_from_u64(1);
        for _ in 0..20 {
            let mut row = Row::new(1, 10);
            assert_eq!(row.committed(10, &mut chance), Some(&1));
        }
    }
}
