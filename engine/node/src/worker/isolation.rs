//! Finds the entity that ends the process of its node, so that it takes down neither node after node nor its neighbours.
//!
//! A chunk on which a process has died is handled one entity at a time, and each record is flushed before the next entity
//! begins. So the first id without a record is the one that was running, and nothing else has to be recorded. `c_crashes`
//! counts the processes that died since an entity of the chunk got its record.

/// The crash after which the entity that was running is given up.
const POISONED_AT: i32 = 3;

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
            ..=0 => Self::Unneeded,
            1 => Self::OneByOne,
            _ if crashes < POISONED_AT => Self::Suspect,
            _ => Self::Poisoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_given_up_at_the_third_crash() {
        let isolations: Vec<Isolation> = (0..5).map(Isolation::of).collect();
        use Isolation::{OneByOne, Poisoned, Suspect, Unneeded};
        assert_eq!(
            isolations,
            [Unneeded, OneByOne, Suspect, Poisoned, Poisoned]
        );
    }
}
