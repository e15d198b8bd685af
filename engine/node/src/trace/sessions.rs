//! The sessions that traces end with.
//!
//! Nodes keep no sessions, so none of them reports its end: a session has ended when no statement of it has run for
//! [`SILENCE`].

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

/// How long a session may run no statement before its traces end.
pub(super) const SILENCE: Duration = Duration::from_secs(10 * 60);

/// The last activity of each session that has a trace. Times are those of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<Uuid, Activity>);

#[derive(Debug, Default)]
struct Activity {
    running_statements: usize,
    last_active: Duration,
}

impl Sessions {
    pub(super) fn add(&mut self, session: Uuid, now: Duration) {
        self.0.entry(session).or_default().last_active = now;
    }

    /// Answers whether the session has a trace.
    pub(super) fn begin_statement(&mut self, session: Uuid) -> bool {
        match self.0.get_mut(&session) {
            Some(activity) => {
                activity.running_statements += 1;
                true
            }
            None => false,
        }
    }

    pub(super) fn end_statement(&mut self, session: Uuid, now: Duration) {
        if let Some(activity) = self.0.get_mut(&session) {
            activity.running_statements = activity.running_statements.saturating_sub(1);
            activity.last_active = now;
        }
    }

    pub(super) fn remove_silent(&mut self, now: Duration) {
        self.0.retain(|_, activity| {
            activity.running_statements > 0 || now.saturating_sub(activity.last_active) <= SILENCE
        });
    }

    pub(super) fn retain(&mut self, sessions: &[Uuid]) {
        self.0.retain(|session, _| sessions.contains(session));
    }

    pub(super) fn contains(&self, session: &Uuid) -> bool {
        self.0.contains_key(session)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
