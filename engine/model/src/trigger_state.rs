//! The trigger state of a job: the ends of other jobs that it knows, and the ends of its own to report to followers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::schedule::{RunOutcome, Trigger};

/// The most pending notifications. Older ones are dropped: they have waited so long that one run makes up for them.
const MAX_PENDING: usize = 16;

/// The state of a job's triggers, and the notifications that it owes to its followers.
///
/// Stored as JSON; the keys keep the names under which rows were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerState {
    /// Conditions that are met while their triggers still wait for others, as pairs of trigger and condition.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub met: BTreeSet<(String, String)>,
    /// The last known end of each job that a condition is about, by condition. The newest end is the last one.
    #[serde(rename = "told", skip_serializing_if = "BTreeMap::is_empty")]
    pub known_ends: BTreeMap<String, Vec<EndMark>>,
    /// The due time of the next run, if a trigger fired during the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fired_for: Option<Timestamp>,
    /// Ends of this job that its followers may not have been notified of.
    #[serde(rename = "untold", skip_serializing_if = "Vec::is_empty")]
    pub pending_notifications: Vec<JobEnd>,
}

/// Identifies one end of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndMark {
    /// The uid of the job that ended.
    pub uid: String,
    /// The creation time of that job: a job that is started again has a new one.
    pub created: Timestamp,
    /// The number of the run that ended, from 1.
    pub run: i64,
}

impl EndMark {
    /// Whether a follower that knows the end `known` was also notified of this one.
    pub fn is_covered_by(&self, known: &Self) -> bool {
        self.uid == known.uid && (self.created, self.run) <= (known.created, known.run)
    }
}

/// The end of a run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// Identifies the end.
    pub mark: EndMark,
    /// Whether the run succeeded.
    pub outcome: RunOutcome,
}

impl TriggerState {
    /// Adds an end that followers have to be notified of.
    pub fn add_pending(&mut self, end: JobEnd) {
        if self.pending_notifications.len() == MAX_PENDING {
            self.pending_notifications.remove(0);
        }
        self.pending_notifications.push(end);
    }

    /// The state after a restart of the job, which waits for future ends only.
    #[must_use]
    pub fn for_restart(&self) -> Self {
        Self {
            met: BTreeSet::new(),
            fired_for: None,
            ..self.clone()
        }
    }

    /// Whether the state is the default one.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Removes what belongs to triggers that the job no longer has.
    pub fn prune(&mut self, triggers: &[Trigger]) {
        let texts: BTreeSet<String> = triggers.iter().map(ToString::to_string).collect();
        let conditions = triggers.iter().flat_map(|trigger| &trigger.conditions);
        let conditions: BTreeSet<String> = conditions.map(ToString::to_string).collect();
        self.met.retain(|(trigger, condition)| {
            texts.contains(trigger) && conditions.contains(condition)
        });
        self.known_ends
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
            let outcome = RunOutcome::Failed;
            state.add_pending(JobEnd { mark, outcome });
        }
        assert_eq!(state.pending_notifications.len(), MAX_PENDING);
        assert_eq!(state.pending_notifications[0].mark.run, 100 - 16);
    }

    #[test]
    fn stored_keys_keep_their_names() {
        let json = r#"{"met":[["t","c"]],"told":{"c":[{"uid":"u","created":1,"run":2}]},"fired_for":3,"untold":[{"mark":{"uid":"u","created":1,"run":2},"outcome":"Failed"}]}"#;
        let state: TriggerState = serde_json::from_str(json).unwrap();
        assert_eq!(
            state.known_ends["c"],
            [state.pending_notifications[0].mark.clone()]
        );
        assert_eq!(serde_json::to_string(&state).unwrap(), json);
    }
}
