//! Whether a node has room for one more job: its pool, and the slots of the logical id that the job comes by.

use crate::affinity::{ANY, Identity};

/// What there is for one more job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// A slot; of the logical id named here, if one limits it.
    Free(Option<String>),
    /// A slot above the recommended size of the logical id.
    Exceptional(String),
    /// None.
    Full,
}

/// The room of a node for a job with this affinity. `taken` names the logical id of each job that runs, if one
/// limits it; `pool_size` is K2JOBS_POOL_SIZE.
pub fn room<'a>(
    identity: &Identity<'_>,
    affinity: &[String],
    taken: impl Iterator<Item = Option<&'a str>> + Clone,
    pool_size: usize,
) -> Room {
    if taken.clone().count() >= pool_size {
        return Room::Full;
    }
    if identity.is_named_physically(affinity) {
        return Room::Free(None);
    }
    let any = [ANY.to_owned()];
    let is_any = affinity.is_empty() || affinity.iter().any(|name| name.eq_ignore_ascii_case(ANY));
    let names = if is_any { &any[..] } else { affinity };
    let mut best = if is_any { Room::Free(None) } else { Room::Full };
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
            return Room::Free(Some(name.clone()));
        }
        best = match best {
            Room::Exceptional(other) => Room::Exceptional(other),
            _ if used < sizes.maximum => Room::Exceptional(name.clone()),
            _ => Room::Full,
        };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logical_ids: &[&str], affinity: &[&str], taken: &[Option<&str>], expected: Room) {
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
        let found = room(&identity, &owned(affinity), taken.iter().copied(), 3);
        assert_eq!(found, expected, "{logical_ids:?} {affinity:?} {taken:?}");
    }

    #[test]
    fn the_pool_bounds_all_jobs() {
        check(&[], &[], &[None, None], Room::Free(None));
        check(&[], &[], &[None, None, None], Room::Full);
        check(&[], &["10.0.0.1"], &[None, None, None], Room::Full);
    }

    #[test]
    fn a_logical_id_bounds_its_own_jobs() {
        let blue = || Some("blue".to_owned());
        check(&["blue:1"], &["blue"], &[None], Room::Free(blue()));
        check(&["blue:1"], &["blue"], &[Some("Blue")], Room::Full);
        check(
            &["blue:1"],
            &["blue", "10.0.0.1"],
            &[Some("blue")],
            Room::Free(None),
        );
        check(
            &["blue:1", "red"],
            &["blue", "red"],
            &[Some("blue")],
            Room::Free(Some("red".to_owned())),
        );
        check(
            &["blue"],
            &["blue"],
            &[Some("blue"), Some("blue")],
            Room::Free(blue()),
        );
    }

    #[test]
    fn above_the_recommended_size_there_is_exceptional_room() {
        let blue = || "blue".to_owned();
        check(&["blue:1-2"], &["blue"], &[], Room::Free(Some(blue())));
        check(
            &["blue:1-2"],
            &["blue"],
            &[Some("blue")],
            Room::Exceptional(blue()),
        );
        check(
            &["blue:1 2"],
            &["blue"],
            &[Some("blue"), Some("blue")],
            Room::Full,
        );
    }

    #[test]
    fn any_bounds_jobs_without_affinity() {
        check(&["ANY:1"], &[], &[], Room::Free(Some("ANY".to_owned())));
        check(&["ANY:1"], &["any"], &[Some("ANY")], Room::Full);
        check(&["blue:1"], &[], &[Some("blue")], Room::Free(None));
    }
}
