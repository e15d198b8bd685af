//! Chooses the chunk that a node takes next: pure functions over what the node has seen.
//!
//! Chunks are assigned in turn to the live nodes that may work on the batch, so that nodes rarely race for one partition, and
//! even a short batch uses all of them. A chunk that is assigned to another node is left to it for a while; then any node may
//! take it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weft_model::{BatchId, BatchSpec, ChunkHead, Fence, NodeId, NodeRow};

use super::isolation::{Isolation, crashes_at_claim};
use crate::affinity::Identity;

/// A chunk that this node could take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The fence that was read.
    pub fence: Fence,
    /// The `c_crashes` to claim with.
    pub crashes: i32,
    /// Whether nothing was ever flushed to it, so that all its ids are open.
    pub is_untouched: bool,
    /// When this node first saw it open, on the monotonic clock.
    pub since: Duration,
    /// Its ids, if this node has just generated them.
    pub ids: Option<Arc<Vec<String>>>,
    /// Whether it was created claimed by this node session, so that no claim is needed.
    pub is_claimed_here: bool,
    /// Whether this node session owns it without knowing, because the answer to a claim was lost.
    pub is_owned_here: bool,
    /// Whether an earlier session of this node owned it. It goes before other chunks.
    pub is_inherited: bool,
}

impl Candidate {
    /// A chunk found open in the store.
    pub fn found(head: &ChunkHead, since: Duration) -> Self {
        Self {
            fence: head.fence,
            crashes: crashes_at_claim(head.crashes, false),
            is_untouched: head.seq == 0,
            since,
            ids: None,
            is_claimed_here: false,
            is_owned_here: false,
            is_inherited: false,
        }
    }

    /// A chunk whose owner is over.
    pub fn of_dead_owner(head: &ChunkHead, has_crashed: bool, since: Duration) -> Self {
        Self {
            crashes: crashes_at_claim(head.crashes, has_crashed),
            ..Self::found(head, since)
        }
    }
}

impl Candidate {
    /// Whether it runs while no other chunk runs here.
    pub fn must_run_alone(&self) -> bool {
        Isolation::of(self.crashes) == Isolation::Suspect
    }
}

/// The nodes to which the chunks of a batch are assigned: the live ones that match its affinity, of which the first MAX_NODES
/// by rendezvous hashing of the bid, so that all nodes agree. Sorted by guid.
pub fn participants(batch: BatchId, spec: &BatchSpec, live: &[NodeRow]) -> Vec<NodeId> {
    let bid = batch.to_string();
    let mut nodes: Vec<NodeId> = live
        .iter()
        .filter(|row| spec.affinity.is_empty() || Identity::from(*row).matches(&spec.affinity))
        .map(|row| row.guid.clone())
        .collect();
    if let Some(max_nodes) = spec.max_nodes.and_then(|max| usize::try_from(max).ok()) {
        nodes.sort_by_cached_key(|node| {
            std::cmp::Reverse(weft_model::hash::stable(&[&bid, &node.0]))
        });
        nodes.truncate(max_nodes);
    }
    nodes.sort();
    nodes
}

/// The node that a chunk is assigned to.
pub fn assigned_to(batch: BatchId, number: i64, participants: &[NodeId]) -> Option<&NodeId> {
    if participants.is_empty() {
        return None;
    }
    let count = participants.len() as u128;
    let turn = batch
        .0
        .as_u128()
        .wrapping_add(u128::from(number.unsigned_abs()))
        % count;
    participants.get(usize::try_from(turn).unwrap_or(0))
}

/// The number that goes first, if there is one: a chunk that this node owns, or owned in an earlier session.
///
/// No other node takes a chunk of this node session, so it is chosen even if the node no longer `participates`.
pub fn choose_own(candidates: &BTreeMap<i64, Candidate>, participates: bool) -> Option<i64> {
    candidates
        .iter()
        .find(|(_, candidate)| {
            candidate.is_claimed_here
                || candidate.is_owned_here
                || (candidate.is_inherited && participates)
        })
        .map(|(number, _)| *number)
}

/// The number to take next, if one may be taken now.
pub fn choose(
    batch: BatchId,
    candidates: &BTreeMap<i64, Candidate>,
    participants: &[NodeId],
    me: &NodeId,
    now: Duration,
    patience: Duration,
) -> Option<i64> {
    if !participants.contains(me) {
        return None;
    }
    let is_mine = |number: i64| assigned_to(batch, number, participants) == Some(me);
    candidates
        .iter()
        .find(|(number, _)| is_mine(**number))
        .or_else(|| {
            candidates
                .iter()
                .find(|(_, candidate)| now.saturating_sub(candidate.since) >= patience)
        })
        .map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn candidate(since_ms: u64) -> Candidate {
        Candidate {
            fence: 1,
            crashes: 0,
            is_untouched: true,
            since: Duration::from_millis(since_ms),
            ids: None,
            is_claimed_here: false,
            is_owned_here: false,
            is_inherited: false,
        }
    }

    fn nodes(names: &[&str]) -> Vec<NodeId> {
        names
            .iter()
            .map(|name| NodeId((*name).to_owned()))
            .collect()
    }

    #[test]
    fn chunks_are_assigned_in_turn() {
        let batch = BatchId(Uuid::nil());
        let nodes = nodes(&["a", "b"]);
        let assigned: Vec<&str> = (0..4)
            .filter_map(|number| assigned_to(batch, number, &nodes))
            .map(|n| n.0.as_str())
            .collect();
        assert_eq!(assigned, ["a", "b", "a", "b"]);
    }

    #[test]
    fn a_chunk_of_an_earlier_session_goes_first() {
        let inherited = Candidate {
            is_inherited: true,
            ..candidate(0)
        };
        let candidates = BTreeMap::from([(1, candidate(0)), (2, inherited)]);
        assert_eq!(choose_own(&candidates, true), Some(2));
        assert_eq!(choose_own(&candidates, false), None);
        assert_eq!(choose_own(&BTreeMap::from([(1, candidate(0))]), true), None);
    }

    #[test]
    fn a_chunk_that_this_session_owns_is_always_chosen() {
        let held = Candidate {
            is_owned_here: true,
            ..candidate(0)
        };
        let candidates = BTreeMap::from([(3, held)]);
        assert_eq!(choose_own(&candidates, false), Some(3));
    }

    #[test]
    fn a_chunk_assigned_to_another_node_is_left_to_it_for_a_while() {
        let batch = BatchId(Uuid::nil());
        let both = nodes(&["a", "b"]);
        let me = NodeId("a".to_owned());
        let patience = Duration::from_millis(1_500);
        let pick = |candidates: &BTreeMap<i64, Candidate>, now_ms: u64, among: &[NodeId]| {
            choose(
                batch,
                candidates,
                among,
                &me,
                Duration::from_millis(now_ms),
                patience,
            )
        };
        let candidates =
            BTreeMap::from([(1, candidate(0)), (3, candidate(1_000)), (4, candidate(0))]);
        assert_eq!(pick(&candidates, 0, &both), Some(4), "its own goes first");
        let others = BTreeMap::from([(1, candidate(0)), (3, candidate(1_000))]);
        assert_eq!(pick(&others, 1_499, &both), None);
        assert_eq!(pick(&others, 1_500, &both), Some(1));
        assert_eq!(
            pick(&others, 0, &nodes(&["a"])),
            Some(1),
            "a single node takes every chunk"
        );
        assert_eq!(
            pick(&others, 9_000, &nodes(&["b"])),
            None,
            "not a participant"
        );
    }
}
