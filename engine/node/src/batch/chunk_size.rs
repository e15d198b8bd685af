//! The number of ids in a chunk.
//!
//! Sizes ramp up: small chunks at the start spread a short batch over nodes and workers, and large ones later keep the
//! number of chunks low. Each size is used for several chunks, which gives nodes that take turns equal shares. A worker
//! handles the entities of a chunk in sequence, so a chunk never exceeds about two seconds of one worker's work.

use std::time::Duration;

const FIRST: usize = 2;
const CHUNKS_PER_SIZE: i64 = 4;
const WHILE_TIME_IS_UNKNOWN: usize = 256;
const LONGEST_WORK: Duration = Duration::from_secs(2);

/// The size of chunk `number`, given the mean time of an entity on this node, if it is known.
pub fn size_of(number: i64, entity_time: Option<Duration>, largest: usize) -> usize {
    let doublings = u32::try_from(number / CHUNKS_PER_SIZE)
        .unwrap_or(u32::MAX)
        .min(16);
    let ramp = FIRST << doublings;
    let by_time = entity_time.map_or(WHILE_TIME_IS_UNKNOWN, |time| {
        let entities = LONGEST_WORK.as_micros() / time.as_micros().max(1);
        usize::try_from(entities).unwrap_or(usize::MAX)
    });
    ramp.min(by_time).clamp(1, largest.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_ramp_up_and_stay_within_two_seconds_of_one_worker() {
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(size_of(0, None, 1_000), 2);
        assert_eq!(size_of(3, None, 1_000), 2);
        assert_eq!(size_of(4, None, 1_000), 4);
        assert_eq!(
            size_of(40, None, 1_000),
            256,
            "the time of an entity is not known"
        );
        assert_eq!(size_of(40, Some(Duration::from_micros(3)), 1_000), 1_000);
        assert_eq!(size_of(40, millis(20), 1_000), 100);
        assert_eq!(
            size_of(40, millis(9_000), 1_000),
            1,
            "very slow entities come one by one"
        );
        assert_eq!(
            size_of(40, millis(1), 1),
            1,
            "the limit of the configuration holds"
        );
    }
}
