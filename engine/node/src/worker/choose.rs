//! Which chunk a node takes next: a pure function over what it has seen.
//!
//! Chunks are dealt out in turn over the live nodes that may work on the batch, so that nodes rarely race
//! for one partition and a short batch is spread too. A chunk dealt to another node is left to it for a
//! while; after that anybody takes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weft_model::{BatchId, BatchSpec, ChunkHead, Fence, NodeId, NodeRow};

use crate::affinity::Identity;

/// A chunk that could be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The fence that was seen.
    pub fence: Fence,
    /// The `c_crashes` to claim with.
    pub crashes: i32,
    /// Nothing was ever flushed to it, so all its ids are open.
    pub untouched: bool,
    /// When this node first saw it open, on its own clock.
    pub since: Duration,
    /// Its ids, where this node has just generated them.
    pub ids: Option<Arc<Vec<String>>>,
    /// It is born claimed by this node session: no claim is needed.
    pub born_mine: bool,
    /// This life holds it without knowing: the answer to a claim never came.
    pub held: bool,
    /// An earlier session of this node held it: it goes on before anything else is begun.
    pub inherited: bool,
}

impl Candidate {
    /// A chunk found open in the store.
    pub fn found(head: &ChunkHead, since: Duration) -> Self {
        Self {
            fence: head.fence,
            crashes: head.crashes,
            untouched: head.seq == 0,
            since,
            ids: None,
            born_mine: false,
            held: false,
            inherited: false,
        }
    }

    /// A chunk whose holder's life is over.
    pub fn left_by_the_dead(head: &ChunkHead, since: Duration) -> Self {
        Self {
            crashes: head.crashes + 1,
            ..Self::found(head, since)
        }
    }
}

/// The nodes among which the chunks of a batch are dealt: live, named by its affinity, and the first
/// MAX_NODES of them by rendezvous on the bid, so that all nodes agree. Sorted by guid.
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

/// The node that a chunk is dealt to.
pub fn dealt_to(batch: BatchId, number: i64, participants: &[NodeId]) -> Option<&NodeId> {
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

/// The number that cannot wait, if there is one: this node has it, or had it in an earlier session.
///
/// What this node session holds nobody else will take, so it is not left lying even where the node `participates`
/// no more.
pub fn choose_own(candidates: &BTreeMap<i64, Candidate>, participates: bool) -> Option<i64> {
    candidates
        .iter()
        .find(|(_, candidate)| {
            candidate.born_mine || candidate.held || (candidate.inherited && participates)
        })
        .map(|(number, _)| *number)
}

/// The number to take next, if there is one that may be taken now.
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
    let mine = |number: i64| dealt_to(batch, number, participants) == Some(me);
    candidates
        .iter()
        .find(|(number, _)| mine(**number))
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
            untouched: true,
            since: Duration::from_millis(since_ms),
            ids: None,
            born_mine: false,
            held: false,
            inherited: false,
        }
    }

    fn nodes(names: &[&str]) -> Vec<NodeId> {
        names
            .iter()
            .map(|name| NodeId((*name).to_owned()))
            .collect()
    }

    #[test]
    fn chunks_are_dealt_in_turn() {
        let batch = BatchId(Uuid::nil());
        let nodes = nodes(&["a", "b"]);
        let dealt: Vec<&str> = (0..4)
            .filter_map(|number| dealt_to(batch, number, &nodes))
            .map(|n| n.0.as_str())
            .collect();
        assert_eq!(dealt, ["a", "b", "a", "b"]);
    }

    #[test]
    fn what_an_earlier_life_held_goes_first() {
        let inherited = Candidate {
            inherited: true,
            ..candidate(0)
        };
        let candidates = BTreeMap::from([(1, candidate(0)), (2, inherited)]);
        assert_eq!(choose_own(&candidates, true), Some(2));
        assert_eq!(choose_own(&candidates, false), None);
        assert_eq!(choose_own(&BTreeMap::from([(1, candidate(0))]), true), None);
    }

    #[test]
    fn what_this_life_holds_is_never_left_lying() {
        let held = Candidate {
            held: true,
            ..candidate(0)
        };
        let candidates = BTreeMap::from([(3, held)]);
        assert_eq!(choose_own(&candidates, false), Some(3));
    }

    #[test]
    fn a_chunk_dealt_to_another_is_left_to_it_for_a_while() {
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
        assert_eq!(pick(&candidates, 0, &both), Some(4), "mine, though behind");
        let others = BTreeMap::from([(1, candidate(0)), (3, candidate(1_000))]);
        assert_eq!(pick(&others, 1_499, &both), None);
        assert_eq!(pick(&others, 1_500, &both), Some(1));
        assert_eq!(
            pick(&others, 0, &nodes(&["a"])),
            Some(1),
            "alone everything is mine"
        );
        assert_eq!(
            pick(&others, 9_000, &nodes(&["b"])),
            None,
            "not a participant"
        );
    }
}
