//! Whether a node has a slot for one more job: in its pool, and of the logical id that the job's affinity names.

use crate::affinity::{ANY, Identity};

/// The slot for one more job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotOffer {
    /// A slot is free, of this logical id if a logical id limits the job.
    Free(Option<String>),
    /// Only a slot above the recommended size of this logical id is free.
    Exceptional(String),
    /// No slot is free.
    Full,
}

/// The slot that a node has for a job with this affinity. `taken` has the logical id of each running job, if one limits the
/// job; `pool_size` is K2JOBS_POOL_SIZE.
pub fn offer_slot<'a>(
    identity: &Identity<'_>,
    affinity: &[String],
    taken: impl Iterator<Item = Option<&'a str>> + Clone,
    pool_size: usize,
) -> SlotOffer {
    if taken.clone().count() >= pool_size {
        return SlotOffer::Full;
    }
    if identity.is_named_physically(affinity) {
        return SlotOffer::Free(None);
    }
    let any = [ANY.to_owned()];
    let is_any = affinity.is_empty() || affinity.iter().any(|name| name.eq_ignore_ascii_case(ANY));
    let names = if is_any { &any[..] } else { affinity };
    let mut best = if is_any {
        SlotOffer::Free(None)
    } else {
        SlotOffer::Full
    };
    for name in names {
        let Some(sizes) = identity.sizes_of(name) else {
            continue;
        };
        let used = taken
            .clone()
            .flatten()
            .filter(|other| other.eq_ignore_ascii_case(name))
            .count();
        if used < sizes.recommended {
            return SlotOffer::Free(Some(name.clone()));
        }
        best = match best {
            SlotOffer::Exceptional(other) => SlotOffer::Exceptional(other),
            _ if used < sizes.maximum => SlotOffer::Exceptional(name.clone()),
            _ => SlotOffer::Full,
        };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logical_ids: &[&str], affinity: &[&str], taken: &[Option<&str>], expected: SlotOffer) {
        let owned =
            |list: &[&str]| -> Vec<String> { list.iter().map(|x| (*x).to_owned()).collect() };
        let logical_ids = owned(logical_ids);
        let identity = Identity {
            guid: "n1",
            dc: "DC1",
            effective_ip: "10.0.0.1",
            ips: &[],
            logical_ids: &logical_ids,
        };
        let found = offer_slot(&identity, &owned(affinity), taken.iter().copied(), 3);
        assert_eq!(found, expected, "{logical_ids:?} {affinity:?} {taken:?}");
    }

    #[test]
    fn the_pool_limits_all_jobs() {
        check(&[], &[], &[None, None], SlotOffer::Free(None));
        check(&[], &[], &[None, None, None], SlotOffer::Full);
        check(&[], &["10.0.0.1"], &[None, None, None], SlotOffer::Full);
    }

    #[test]
    fn a_logical_id_limits_its_own_jobs() {
        let blue = || Some("blue".to_owned());
        check(&["blue:1"], &["blue"], &[None], SlotOffer::Free(blue()));
        check(&["blue:1"], &["blue"], &[Some("Blue")], SlotOffer::Full);
        check(
            &["blue:1"],
            &["blue", "10.0.0.1"],
            &[Some("blue")],
            SlotOffer::Free(None),
        );
        check(
            &["blue:1", "red"],
            &["blue", "red"],
            &[Some("blue")],
            SlotOffer::Free(Some("red".to_owned())),
        );
        check(
            &["blue"],
            &["blue"],
            &[Some("blue"), Some("blue")],
            SlotOffer::Free(blue()),
        );
    }

    #[test]
    fn slots_above_the_recommended_size_are_exceptional() {
        let blue = || "blue".to_owned();
        check(&["blue:1-2"], &["blue"], &[], SlotOffer::Free(Some(blue())));
        check(
            &["blue:1-2"],
            &["blue"],
            &[Some("blue")],
            SlotOffer::Exceptional(blue()),
        );
        check(
            &["blue:1 2"],
            &["blue"],
            &[Some("blue"), Some("blue")],
            SlotOffer::Full,
        );
    }

    #[test]
    fn any_limits_jobs_without_affinity() {
        check(
            &["ANY:1"],
            &[],
            &[],
            SlotOffer::Free(Some("ANY".to_owned())),
        );
        check(&["ANY:1"], &["any"], &[Some("ANY")], SlotOffer::Full);
        check(&["blue:1"], &[], &[Some("blue")], SlotOffer::Free(None));
    }
}
