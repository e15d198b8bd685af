//! Finds the entity that ends the process of its node, so that it takes down neither node after node nor its neighbours.
//!
//! A chunk on which a process has died is handled one entity at a time, and each record is flushed before the next entity
//! begins. So the first id without a record is the one that was running, and nothing else has to be recorded.
//!
//! After two such deaths that entity is suspected, and runs alone. Before it does, a flush without rows sets `c_crashes` to
//! [`SUSPECT_RUNS`]. So the third death counts only if the entity was about to run or ran, and it never runs alone twice
//! without this being known.
//!
//! Older versions add one to `c_crashes` at each takeover and never set it back. So the values that blame an entity are far
//! from what they count to, and a takeover by one of them withdraws the blame.

use weft_model::Bug;

/// `c_crashes` of a chunk whose first open entity must run alone, and does not run.
const SUSPECTED: i32 = 2;
/// `c_crashes` of a chunk whose first open entity runs alone, or is about to.
pub const SUSPECT_RUNS: i32 = 1_000;
/// `c_crashes` of a chunk whose first open entity ended the process in that run too.
const POISONED: i32 = 2_000;
/// The deaths after which an entity is given up.
pub const POISONED_AT: i32 = 3;

/// How a worker handles a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// No process has died on it: results are recorded in groups.
    Unneeded,
    /// A process died while some of its entities ran: one entity after the other.
    OneByOne,
    /// A process died while its first open entity ran alone: only that entity runs, while no other chunk runs on the node.
    Suspect,
    /// Its first open entity has ended the process too often: it is FAILED without another run.
    Poisoned,
}

impl Isolation {
    /// For a chunk with this `c_crashes`.
    pub fn of(crashes: i32) -> Self {
        match crashes {
            _ if Bug::NoIsolation.is_planted() => Self::Unneeded,
            ..=0 => Self::Unneeded,
            1 => Self::OneByOne,
            POISONED => Self::Poisoned,
            _ => Self::Suspect,
        }
    }
}

/// The `c_crashes` with which a chunk is claimed, given the one in its row and whether the process of its holder died.
pub fn crashes_at_claim(crashes: i32, has_crashed: bool) -> i32 {
    match (crashes, has_crashed) {
        (SUSPECT_RUNS, true) | (POISONED, _) => POISONED,
        // The suspect did not run, so the death says nothing about it; or its run was broken off without a death.
        (SUSPECTED.., _) => SUSPECTED,
        _ => crashes.saturating_add(i32::from(has_crashed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_given_up_at_the_third_crash() {
        use Isolation::{OneByOne, Poisoned, Suspect, Unneeded};
        let mut crashes = 0;
        let mut isolations = vec![Isolation::of(crashes)];
        for _ in 0..POISONED_AT {
            if Isolation::of(crashes) == Suspect {
                crashes = SUSPECT_RUNS;
            }
            crashes = crashes_at_claim(crashes, true);
            isolations.push(Isolation::of(crashes));
        }
        assert_eq!(isolations, [Unneeded, OneByOne, Suspect, Poisoned]);
    }

    #[test]
    fn a_suspect_is_blamed_only_for_a_death_during_its_run() {
        assert_eq!(crashes_at_claim(SUSPECTED, true), SUSPECTED);
        assert_eq!(crashes_at_claim(SUSPECT_RUNS, false), SUSPECTED);
        let poisoned = crashes_at_claim(SUSPECT_RUNS, true);
        assert_eq!(Isolation::of(poisoned), Isolation::Poisoned);
        assert_eq!(crashes_at_claim(poisoned, false), poisoned);
    }

    #[test]
    fn what_older_versions_have_counted_blames_no_entity() {
        for counted in [2, 3, 4, 40, SUSPECT_RUNS + 1, POISONED + 1] {
            for has_crashed in [false, true] {
                assert_eq!(crashes_at_claim(counted, has_crashed), SUSPECTED);
            }
        }
    }
}
