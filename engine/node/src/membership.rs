//! Which nodes are alive, as this node sees it.
//!
//! A node is dead when its heartbeat has not moved for `T_dead` on *my* monotonic clock. Wall clocks are
//! never compared. While I cannot reach the store myself nobody grows older: an outage is not a death.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weft_model::{Holder, Incarnation, NodeId, NodeRow, NodeState};

/// What this node has seen of the others. Shared by the parts of a node session.
#[derive(Debug)]
pub struct Membership {
    me: Holder,
    dead_after: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: BTreeMap<NodeId, Seen>,
    /// Lives that were followed by another one, and since when.
    past: BTreeMap<Holder, Duration>,
    /// Holders found in rows whose life no node row has shown yet, and since when.
    strangers: BTreeMap<Holder, Duration>,
    frozen: bool,
    now: Duration,
}

#[derive(Debug)]
struct Seen {
    row: NodeRow,
    moved_at: Duration,
}

/// A node as the others judge it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What it says of itself.
    pub row: NodeRow,
    /// Whether its heartbeat moves.
    pub alive: bool,
}

impl Membership {
    /// Nothing seen yet.
    pub fn new(me: Holder, dead_after: Duration) -> Self {
        Self {
            me,
            dead_after,
            inner: Mutex::default(),
        }
    }

    /// The life that observes.
    pub fn me(&self) -> &Holder {
        &self.me
    }

    /// The nodes as just read. Answers the nodes that died since the last observation.
    pub fn observe(&self, rows: Vec<NodeRow>, now: Duration) -> Vec<NodeRow> {
        let mut inner = self.lock();
        let before = inner.dead_nodes(self.dead_after);
        if inner.frozen {
            // The store was away for me, perhaps for them: everybody gets a full T_dead again.
            inner.frozen = false;
            for seen in inner.seen.values_mut() {
                seen.moved_at = now;
            }
            for since in inner.strangers.values_mut() {
                *since = now;
            }
        }
        inner.now = now;
        for row in rows {
            inner.see(row, now);
        }
        let after = inner.dead_nodes(self.dead_after);
        after
            .difference(&before)
            .filter_map(|node| inner.seen.get(node).map(|seen| seen.row.clone()))
            .collect()
    }

    /// The store did not answer me: suspicion stands still until it does.
    pub fn freeze(&self) {
        self.lock().frozen = true;
    }

    /// The life of `holder` is over, so that what it holds may be taken.
    pub fn is_dead(&self, holder: &Holder) -> bool {
        if holder.node == self.me.node {
            return holder.incarnation != self.me.incarnation;
        }
        let mut inner = self.lock();
        if inner.past.contains_key(holder) {
            return true;
        }
        match inner.seen.get(&holder.node) {
            Some(seen) if seen.row.incarnation == holder.incarnation => {
                inner.is_over(seen, self.dead_after)
            }
            // A life that no row has shown: perhaps newer than my last look, so it gets its time.
            _ => {
                let now = inner.now;
                let since = *inner.strangers.entry(holder.clone()).or_insert(now);
                !inner.frozen && now.saturating_sub(since) >= self.dead_after
            }
        }
    }

    /// What `holder` holds may be taken by this node: its life is over, and where its node lives on, that
    /// one had its time to go on with what was its own.
    pub fn may_take_from(&self, holder: &Holder) -> bool {
        if !self.is_dead(holder) {
            return false;
        }
        if holder.node == self.me.node {
            return true;
        }
        let inner = self.lock();
        let Some(since) = inner.past.get(holder) else {
            return true;
        };
        let lives_on = inner
            .seen
            .get(&holder.node)
            .is_some_and(|seen| !inner.is_over(seen, self.dead_after));
        !lives_on || inner.now.saturating_sub(*since) >= self.dead_after
    }

    /// Nodes that take work now, by guid.
    pub fn live(&self) -> Vec<NodeRow> {
        self.members()
            .into_iter()
            .filter(|member| member.alive && member.row.state == NodeState::Alive)
            .map(|member| member.row)
            .collect()
    }

    /// All nodes but those that left cleanly, by guid.
    pub fn members(&self) -> Vec<Member> {
        let inner = self.lock();
        inner
            .seen
            .values()
            .filter(|seen| seen.row.state != NodeState::Left)
            .map(|seen| Member {
                row: seen.row.clone(),
                alive: seen.row.guid == self.me.node || !inner.is_over(seen, self.dead_after),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn see(&mut self, row: NodeRow, now: Duration) {
        if self.past.contains_key(&holder_of(&row)) {
            // A read that was behind: a node session that was followed by another one never comes back.
            return;
        }
        let moved_at = match self.seen.get(&row.guid) {
            Some(seen)
                if seen.row.incarnation == row.incarnation && seen.row.hb_seq == row.hb_seq =>
            {
                seen.moved_at
            }
            Some(seen) if seen.row.incarnation != row.incarnation => {
                let before = Holder {
                    node: row.guid.clone(),
                    incarnation: seen.row.incarnation,
                };
                self.past.entry(before).or_insert(now);
                now
            }
            _ => now,
        };
        self.strangers.remove(&Holder {
            node: row.guid.clone(),
            incarnation: row.incarnation,
        });
        self.seen.insert(row.guid.clone(), Seen { row, moved_at });
    }

    fn is_over(&self, seen: &Seen, dead_after: Duration) -> bool {
        if seen.row.state == NodeState::Left {
            return true;
        }
        !self.frozen && self.now.saturating_sub(seen.moved_at) >= dead_after
    }

    fn dead_nodes(&self, dead_after: Duration) -> BTreeSet<NodeId> {
        self.seen
            .iter()
            .filter(|(_, seen)| self.is_over(seen, dead_after))
            .map(|(node, _)| node.clone())
            .collect()
    }
}

/// The life a node row shows.
pub fn holder_of(row: &NodeRow) -> Holder {
    Holder {
        node: row.guid.clone(),
        incarnation: Incarnation(row.incarnation.0),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use weft_model::clock::Timestamp;

    const T_DEAD: Duration = Duration::from_secs(60);

    fn row(guid: &str, session: u128, hb_seq: i64) -> NodeRow {
        NodeRow {
            guid: NodeId(guid.to_owned()),
            dc: "DC1".to_owned(),
            effective_ip: "127.0.0.1".to_owned(),
            ips: Vec::new(),
            logical_ids: Vec::new(),
            incarnation: Incarnation(Uuid::from_u128(session)),
            hb_seq,
            heartbeat_at: Timestamp(0),
            state: NodeState::Alive,
            version: "test".to_owned(),
            http_address: None,
            coordinates: Vec::new(),
        }
    }

    fn membership() -> Membership {
        Membership::new(holder_of(&row("me", 1, 0)), T_DEAD)
    }

    #[test]
    fn a_heartbeat_that_stands_still_is_a_death_after_t_dead() {
        let members = membership();
        let other = row("other", 2, 7);
        members.observe(vec![other.clone()], Duration::from_secs(0));
        assert!(
            members
                .observe(vec![other.clone()], Duration::from_secs(59))
                .is_empty()
        );
        assert!(!members.is_dead(&holder_of(&other)));
        let died = members.observe(vec![other.clone()], Duration::from_secs(60));
        assert_eq!(died, vec![other.clone()], "the death is reported");
        assert!(members.is_dead(&holder_of(&other)));
        assert!(
            members
                .observe(vec![other], Duration::from_secs(61))
                .is_empty(),
            "and reported once"
        );
    }

    #[test]
    fn an_outage_of_my_own_makes_nobody_older() {
        let members = membership();
        let other = row("other", 2, 7);
        members.observe(vec![other.clone()], Duration::from_secs(0));
        members.freeze();
        assert!(
            members
                .observe(vec![other.clone()], Duration::from_secs(600))
                .is_empty()
        );
        assert!(
            members
                .observe(vec![other.clone()], Duration::from_secs(659))
                .is_empty()
        );
        assert_eq!(
            members.observe(vec![other], Duration::from_secs(660)).len(),
            1
        );
    }

    #[test]
    fn an_earlier_life_is_over_at_once() {
        let members = membership();
        let earlier = row("other", 2, 7);
        members.observe(vec![earlier.clone()], Duration::from_secs(0));
        members.observe(vec![row("other", 3, 8)], Duration::from_secs(1));
        assert!(members.is_dead(&holder_of(&earlier)));
        assert!(
            members.is_dead(&holder_of(&row("me", 99, 0))),
            "also my own earlier session"
        );
        assert!(!members.is_dead(&holder_of(&row("me", 1, 0))));
    }

    #[test]
    fn a_node_that_lives_on_goes_on_with_its_own() {
        let members = membership();
        let (earlier, later) = (row("other", 2, 7), row("other", 3, 8));
        members.observe(vec![earlier.clone()], Duration::from_secs(0));
        members.observe(vec![later.clone()], Duration::from_secs(1));
        assert!(!members.may_take_from(&holder_of(&earlier)));
        assert!(members.may_take_from(&holder_of(&row("me", 99, 0))));
        let later = NodeRow { hb_seq: 9, ..later };
        members.observe(vec![later], Duration::from_secs(61));
        assert!(
            members.may_take_from(&holder_of(&earlier)),
            "it had its time"
        );
    }

    #[test]
    fn a_read_that_is_behind_ends_no_life() {
        let members = membership();
        let (earlier, later) = (row("other", 2, 7), row("other", 3, 8));
        members.observe(vec![earlier.clone()], Duration::from_secs(0));
        members.observe(vec![later.clone()], Duration::from_secs(1));
        members.observe(vec![earlier], Duration::from_secs(2));
        members.observe(vec![later.clone()], Duration::from_secs(3));
        assert!(!members.is_dead(&holder_of(&later)));
    }

    #[test]
    fn a_life_that_no_row_shows_gets_its_time() {
        let members = membership();
        members.observe(Vec::new(), Duration::from_secs(5));
        let stranger = holder_of(&row("new", 4, 1));
        assert!(!members.is_dead(&stranger));
        members.observe(Vec::new(), Duration::from_secs(64));
        assert!(!members.is_dead(&stranger));
        members.observe(Vec::new(), Duration::from_secs(65));
        assert!(members.is_dead(&stranger));
    }

    #[test]
    fn a_node_that_left_is_over_and_not_listed() {
        let members = membership();
        let left = NodeRow {
            state: NodeState::Left,
            ..row("other", 2, 7)
        };
        members.observe(vec![left.clone()], Duration::from_secs(0));
        assert!(members.is_dead(&holder_of(&left)));
        assert!(members.members().is_empty());
    }
}
