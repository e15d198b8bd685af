//! Which nodes are alive, as this node sees it.
//!
//! A node is dead when its heartbeat has not advanced for `T_dead` on the monotonic clock of this node. Wall clocks are never
//! compared. While this node cannot reach the store, no other node ages: an outage is not a death. How long a node had been
//! silent before is kept, so that calls that fail now and then do not hide a death.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::lock::lock;
use weft_model::clock::Timestamp;
use weft_model::{Bug, Holder, Incarnation, NodeId, NodeRow, NodeState};

/// What this node has seen of the other nodes. Shared by the parts of a node session.
#[derive(Debug)]
pub struct Membership {
    me: Holder,
    dead_after: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: BTreeMap<NodeId, Seen>,
    /// Node sessions that were replaced by a later one, and since when.
    replaced: BTreeMap<Holder, Duration>,
    /// Node sessions that own rows but are in no node row yet, and since when.
    unknown: BTreeMap<Holder, Duration>,
    /// Time from here on does not count as silence, because the store did not answer this node.
    frozen_since: Option<Duration>,
    /// The last heartbeat of this node failed. Perhaps those of the other nodes do, too.
    is_heartbeat_failing: bool,
    /// The start of the last heartbeat of this node that succeeded.
    heartbeat_at: Duration,
    /// When the last observation began.
    now: Duration,
}

#[derive(Debug)]
struct Seen {
    row: NodeRow,
    advanced_at: Duration,
}

/// A node as this one sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its row.
    pub row: NodeRow,
    /// Whether its heartbeat advances.
    pub alive: bool,
}

impl Membership {
    /// Creates a membership without other nodes.
    pub fn new(me: Holder, dead_after: Duration) -> Self {
        Self {
            me,
            dead_after,
            inner: Mutex::default(),
        }
    }

    /// The node session that observes.
    pub fn me(&self) -> &Holder {
        &self.me
    }

    /// Records the node rows that a read from `asked_at` to `answered_at` gave. Answers the nodes that died since the last
    /// observation. The rows are as old as the question and as new as the answer, so a read that took long makes no node
    /// older.
    pub fn observe(
        &self,
        rows: Vec<NodeRow>,
        asked_at: Duration,
        answered_at: Duration,
    ) -> Vec<NodeRow> {
        let now = asked_at;
        let mut inner = self.lock();
        let before = inner.dead_nodes(self.dead_after);
        if let Some(since) = inner.frozen_since.take() {
            inner.leave_out(since, now, self.dead_after);
        }
        if inner.is_heartbeat_failing {
            inner.frozen_since = Some(now);
        }
        inner.now = now;
        for row in rows {
            inner.record(row, answered_at);
        }
        let after = inner.dead_nodes(self.dead_after);
        after
            .difference(&before)
            .filter_map(|node| inner.seen.get(node).map(|seen| seen.row.clone()))
            .collect()
    }

    /// How long after `now` the first node that is alive will be dead, unless its heartbeat advances.
    pub fn until_next_death(&self, now: Duration) -> Option<Duration> {
        let inner = self.lock();
        let others = inner.seen.values();
        let others = others.filter(|seen| {
            seen.row.guid != self.me.node && !inner.has_ended(seen, self.dead_after)
        });
        let deaths = others.map(|seen| seen.advanced_at + self.dead_after);
        deaths.min().map(|death| death.saturating_sub(now))
    }

    /// The rows could not be read: no node ages since the last observation until the next.
    pub fn freeze(&self) {
        let mut inner = self.lock();
        let now = inner.now;
        inner.freeze_since(now);
    }

    /// A heartbeat of this node has failed: no node ages since the last one that succeeded until the next one does.
    pub fn heartbeat_failed(&self) {
        let mut inner = self.lock();
        let since = inner.heartbeat_at;
        inner.freeze_since(since);
        inner.is_heartbeat_failing = true;
    }

    /// A heartbeat of this node that began at `started` has succeeded.
    pub fn heartbeat_succeeded(&self, started: Duration) {
        let mut inner = self.lock();
        inner.heartbeat_at = inner.heartbeat_at.max(started);
        inner.is_heartbeat_failing = false;
    }

    /// Whether the node session `holder` has ended, so that its rows may be taken over.
    pub fn is_dead(&self, holder: &Holder) -> bool {
        if holder.node == self.me.node {
            return holder.incarnation != self.me.incarnation;
        }
        let mut inner = self.lock();
        if inner.replaced.contains_key(holder) {
            return true;
        }
        match inner.seen.get(&holder.node) {
            Some(seen) if seen.row.incarnation == holder.incarnation => {
                inner.has_ended(seen, self.dead_after)
            }
            // No row has shown this session. It may be newer than the last read, so it gets a full T_dead.
            _ => {
                let now = inner.now;
                let since = *inner.unknown.entry(holder.clone()).or_insert(now);
                now.saturating_sub(since) >= self.dead_after
            }
        }
    }

    /// Whether the node session `holder` ended by leaving, as its row says.
    pub fn has_left(&self, holder: &Holder) -> bool {
        let inner = self.lock();
        let seen = inner.seen.get(&holder.node);
        seen.is_some_and(|seen| {
            seen.row.incarnation == holder.incarnation && seen.row.state == NodeState::Left
        })
    }

    /// The last heartbeat of the node session `holder` that this node has read, by the clock of that node.
    pub fn last_heartbeat(&self, holder: &Holder) -> Option<Timestamp> {
        let inner = self.lock();
        let seen = inner.seen.get(&holder.node);
        seen.filter(|seen| seen.row.incarnation == holder.incarnation)
            .map(|seen| seen.row.heartbeat_at)
    }

    /// Whether this node may take over the rows of `holder`: that node session has ended, and a later session of the same
    /// node, if there is one, has had T_dead to resume them.
    pub fn may_take_from(&self, holder: &Holder) -> bool {
        if !self.is_dead(holder) {
            return false;
        }
        if holder.node == self.me.node {
            return true;
        }
        let inner = self.lock();
        let Some(since) = inner.replaced.get(holder) else {
            return true;
        };
        let has_later_session = inner
            .seen
            .get(&holder.node)
            .is_some_and(|seen| !inner.has_ended(seen, self.dead_after));
        !has_later_session || inner.now.saturating_sub(*since) >= self.dead_after
    }

    /// The nodes that take work now, by guid.
    pub fn live(&self) -> Vec<NodeRow> {
        self.members()
            .into_iter()
            .filter(|member| member.alive && member.row.state == NodeState::Alive)
            .map(|member| member.row)
            .collect()
    }

    /// All nodes except those that left cleanly, by guid.
    pub fn members(&self) -> Vec<Member> {
        let inner = self.lock();
        inner
            .seen
            .values()
            .filter(|seen| seen.row.state != NodeState::Left)
            .map(|seen| Member {
                row: seen.row.clone(),
                alive: seen.row.guid == self.me.node || !inner.has_ended(seen, self.dead_after),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn freeze_since(&mut self, since: Duration) {
        if Bug::OutageIsSilence.is_planted() {
            return;
        }
        let since = self.frozen_since.map_or(since, |found| found.min(since));
        self.frozen_since = Some(since);
    }

    /// Leaves out the time from `since` to `now` from the silence of each node that was not dead at the last observation.
    fn leave_out(&mut self, since: Duration, now: Duration, dead_after: Duration) {
        let observed = self.now;
        let leave_out = |last: &mut Duration| {
            if observed.saturating_sub(*last) < dead_after {
                *last = now.saturating_sub(since.saturating_sub(*last));
            }
        };
        self.seen
            .values_mut()
            .map(|seen| &mut seen.advanced_at)
            .chain(self.unknown.values_mut())
            .for_each(leave_out);
    }

    fn record(&mut self, row: NodeRow, now: Duration) {
        if self.replaced.contains_key(&holder_of(&row)) {
            // A stale read: a replaced node session never comes back.
            return;
        }
        let advanced_at = match self.seen.get(&row.guid) {
            Some(seen)
                if seen.row.incarnation == row.incarnation
                    && (seen.row.hb_seq == row.hb_seq || Bug::LeaseEnds.is_planted()) =>
            {
                seen.advanced_at
            }
            Some(seen) if seen.row.incarnation != row.incarnation => {
                let before = Holder {
                    node: row.guid.clone(),
                    incarnation: seen.row.incarnation,
                };
                self.replaced.entry(before).or_insert(now);
                now
            }
            _ => now,
        };
        self.unknown.remove(&Holder {
            node: row.guid.clone(),
            incarnation: row.incarnation,
        });
        self.seen
            .insert(row.guid.clone(), Seen { row, advanced_at });
    }

    fn has_ended(&self, seen: &Seen, dead_after: Duration) -> bool {
        if seen.row.state == NodeState::Left {
            return true;
        }
        let dead_after = match Bug::EarlyTakeover.is_planted() {
            true => dead_after / 10,
            false => dead_after,
        };
        // The last observation: while the store does not answer, no node ages.
        self.now.saturating_sub(seen.advanced_at) >= dead_after
    }

    fn dead_nodes(&self, dead_after: Duration) -> BTreeSet<NodeId> {
        self.seen
            .iter()
            .filter(|(_, seen)| self.has_ended(seen, dead_after))
            .map(|(node, _)| node.clone())
            .collect()
    }
}

/// The node session in a node row.
pub fn holder_of(row: &NodeRow) -> Holder {
    Holder {
        node: row.guid.clone(),
        incarnation: Incarnation(row.incarnation.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node_row as row;

    const T_DEAD: Duration = Duration::from_secs(60);

    impl Membership {
        /// A read that takes no time.
        fn observe_at(&self, rows: Vec<NodeRow>, now: Duration) -> Vec<NodeRow> {
            self.observe(rows, now, now)
        }
    }

    fn membership() -> Membership {
        Membership::new(holder_of(&row("me", 1, 0)), T_DEAD)
    }

    #[test]
    fn a_heartbeat_that_does_not_advance_is_a_death_after_t_dead() {
        let members = membership();
        let other = row("other", 2, 7);
        members.observe_at(vec![other.clone()], Duration::from_secs(0));
        assert!(
            members
                .observe_at(vec![other.clone()], Duration::from_secs(59))
                .is_empty()
        );
        assert!(!members.is_dead(&holder_of(&other)));
        let died = members.observe_at(vec![other.clone()], Duration::from_secs(60));
        assert_eq!(died, vec![other.clone()], "the death is reported");
        assert!(members.is_dead(&holder_of(&other)));
        assert!(
            members
                .observe_at(vec![other], Duration::from_secs(61))
                .is_empty(),
            "and reported once"
        );
    }

    #[test]
    fn the_next_death_is_that_of_the_node_that_is_silent_longest() {
        let members = membership();
        let seconds = Duration::from_secs;
        members.observe_at(vec![row("me", 1, 0)], seconds(0));
        assert_eq!(members.until_next_death(seconds(0)), None);
        members.observe_at(vec![row("a", 2, 7), row("b", 3, 7)], seconds(0));
        members.observe_at(vec![row("a", 2, 8), row("b", 3, 7)], seconds(20));
        assert_eq!(members.until_next_death(seconds(50)), Some(seconds(10)));
        members.observe_at(vec![row("a", 2, 9)], seconds(60));
        assert_eq!(members.until_next_death(seconds(60)), Some(T_DEAD));
    }

    #[test]
    fn own_outage_does_not_age_peers() {
        let members = membership();
        let other = row("other", 2, 7);
        let died = |at| members.observe_at(vec![other.clone()], Duration::from_secs(at));
        assert_eq!(died(0), []);
        assert_eq!(died(10), []);
        members.freeze();
        assert_eq!(died(600), [], "it was silent for 10 s before");
        assert_eq!(died(649), []);
        assert_eq!(died(650).len(), 1);
    }

    #[test]
    fn a_read_that_takes_long_ages_no_peer() {
        let members = membership();
        let other = row("other", 2, 7);
        let died = |asked, answered| {
            let [asked, answered] = [asked, answered].map(Duration::from_secs);
            members.observe(vec![other.clone()], asked, answered)
        };
        assert_eq!(died(0, 4), [], "its heartbeat may be of second 4");
        assert_eq!(
            died(50, 65),
            [],
            "and that of second 51 is not in this answer"
        );
        assert_eq!(died(63, 63), []);
        assert_eq!(died(64, 64).len(), 1);
    }

    #[test]
    fn no_peer_ages_while_own_heartbeats_fail() {
        let members = membership();
        let other = row("other", 2, 7);
        let died = |at| members.observe_at(vec![other.clone()], Duration::from_secs(at));
        members.heartbeat_succeeded(Duration::from_secs(5));
        assert_eq!(died(5), []);
        assert_eq!(died(20), []);
        // The heartbeat after that of second 5 fails; the rows can be read all the time.
        members.heartbeat_failed();
        for at in 21..=300 {
            assert_eq!(died(at), []);
            members.heartbeat_failed();
        }
        members.heartbeat_succeeded(Duration::from_secs(300));
        assert_eq!(died(301), []);
        assert_eq!(died(360), []);
        assert_eq!(died(361).len(), 1, "60 s after the store is back");
    }

    #[test]
    fn calls_that_fail_now_and_then_do_not_hide_a_death() {
        let members = membership();
        let other = row("other", 2, 7);
        let mut death = None;
        for at in 0..300 {
            let now = Duration::from_secs(at);
            // Every 30th read and every 30th heartbeat fail.
            if at % 30 == 7 {
                members.freeze();
                continue;
            }
            match at % 150 {
                145 => members.heartbeat_failed(),
                _ if at % 5 == 0 => members.heartbeat_succeeded(now),
                _ => (),
            }
            if !members.observe_at(vec![other.clone()], now).is_empty() {
                death.get_or_insert(at);
            }
        }
        assert!(
            death.is_some_and(|at| (60..=70).contains(&at)),
            "dead at {death:?}"
        );
    }

    #[test]
    fn an_outage_raises_no_death_again() {
        let members = membership();
        let other = row("other", 2, 7);
        let died = |at| members.observe_at(vec![other.clone()], Duration::from_secs(at));
        assert_eq!(died(0), []);
        assert_eq!(died(60).len(), 1);
        members.heartbeat_failed();
        assert!(members.is_dead(&holder_of(&other)));
        assert_eq!(died(100), []);
        assert!(members.is_dead(&holder_of(&other)));
    }

    #[test]
    fn an_earlier_session_has_ended_at_once() {
        let members = membership();
        let earlier = row("other", 2, 7);
        members.observe_at(vec![earlier.clone()], Duration::from_secs(0));
        members.observe_at(vec![row("other", 3, 8)], Duration::from_secs(1));
        assert!(members.is_dead(&holder_of(&earlier)));
        assert!(
            members.is_dead(&holder_of(&row("me", 99, 0))),
            "also the earlier session of this node"
        );
        assert!(!members.is_dead(&holder_of(&row("me", 1, 0))));
    }

    #[test]
    fn a_later_session_may_resume_the_rows_of_its_node_first() {
        let members = membership();
        let (earlier, later) = (row("other", 2, 7), row("other", 3, 8));
        members.observe_at(vec![earlier.clone()], Duration::from_secs(0));
        members.observe_at(vec![later.clone()], Duration::from_secs(1));
        assert!(!members.may_take_from(&holder_of(&earlier)));
        assert!(members.may_take_from(&holder_of(&row("me", 99, 0))));
        let later = NodeRow { hb_seq: 9, ..later };
        members.observe_at(vec![later], Duration::from_secs(61));
        assert!(
            members.may_take_from(&holder_of(&earlier)),
            "the later session had its time"
        );
    }

    #[test]
    fn a_stale_read_ends_no_session() {
        let members = membership();
        let (earlier, later) = (row("other", 2, 7), row("other", 3, 8));
        members.observe_at(vec![earlier.clone()], Duration::from_secs(0));
        members.observe_at(vec![later.clone()], Duration::from_secs(1));
        members.observe_at(vec![earlier], Duration::from_secs(2));
        members.observe_at(vec![later.clone()], Duration::from_secs(3));
        assert!(!members.is_dead(&holder_of(&later)));
    }

    #[test]
    fn a_session_in_no_row_gets_a_full_t_dead() {
        let members = membership();
        members.observe_at(Vec::new(), Duration::from_secs(5));
        let unknown = holder_of(&row("new", 4, 1));
        assert!(!members.is_dead(&unknown));
        members.observe_at(Vec::new(), Duration::from_secs(64));
        assert!(!members.is_dead(&unknown));
        members.observe_at(Vec::new(), Duration::from_secs(65));
        assert!(members.is_dead(&unknown));
    }

    #[test]
    fn a_node_that_left_has_ended_and_is_not_listed() {
        let members = membership();
        let left = NodeRow {
            state: NodeState::Left,
            ..row("other", 2, 7)
        };
        members.observe_at(vec![left.clone()], Duration::from_secs(0));
        assert!(members.is_dead(&holder_of(&left)));
        assert!(members.members().is_empty());
    }
}
