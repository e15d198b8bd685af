//! What a job remembers of the ends of others, and which of its own ends its followers have yet to learn.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::schedule::{Outcome, Trigger};

/// Ends that are told together at most; older ones have waited so long that one run makes up for them.
const UNTOLD: usize = 16;

/// Where a job stands with its triggers, and what it owes to those that wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerState {
    /// Conditions that are met, each with its trigger, of triggers that wait for others still.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub met: BTreeSet<(String, String)>,
    /// The ends that each condition was told of last: one of each job, the newest of them behind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, Vec<EndMark>>,
    /// A trigger fired while a run was going on: the next run is due then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired_for: Option<Timestamp>,
    /// Ends of this job that its followers have perhaps not been told of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<Ended>,
}

/// Tells one end of a job from every other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndMark {
    /// The uid of the job that ended.
    pub uid: String,
    /// When that job was started.
    pub created: Timestamp,
    /// Which of its runs it was, from 1.
    pub run: i64,
}

impl EndMark {
    /// Whether who was told of that end was told of this one, too.
    pub fn is_known_by(&self, told: &Self) -> bool {
        self.uid == told.uid && (self.created, self.run) <= (told.created, told.run)
    }
}

/// How a run of a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which end it is.
    pub mark: EndMark,
    /// How.
    pub outcome: Outcome,
}

impl TriggerState {
    /// One more end that followers are to be told of.
    pub fn owe(&mut self, ended: Ended) {
        if self.untold.len() == UNTOLD {
            self.untold.remove(0);
        }
        self.untold.push(ended);
    }

    /// What remains when the job begins anew: it waits for what is still to come.
    #[must_use]
    pub fn begun_anew(&self) -> Self {
        Self {
            met: BTreeSet::new(),
            fired_for: None,
            ..self.clone()
        }
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Forgets what belongs to triggers that the job does not have any more.
    pub fn prune(&mut self, triggers: &[Trigger]) {
        let texts: BTreeSet<String> = triggers.iter().map(ToString::to_string).collect();
        let conditions = triggers.iter().flat_map(|trigger| &trigger.conditions);
        let conditions: BTreeSet<String> = conditions.map(ToString::to_string).collect();
        self.met.retain(|(trigger, condition)| {
            texts.contains(trigger) && conditions.contains(condition)
        });
        self.told
            .retain(|condition, _| conditions.contains(condition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_ends_are_bounded() {
        let mut state = TriggerState::default();
        assert!(state.is_empty());
        for run in 0..100 {
            let mark = EndMark {
                uid: "u".to_owned(),
                created: Timestamp(0),
                run,
            };
            let outcome = Outcome::Failed;
            state.owe(Ended { mark, outcome });
        }
        assert_eq!(state.untold.len(), UNTOLD);
        assert_eq!(state.untold[0].mark.run, 100 - 16);
    }
}
