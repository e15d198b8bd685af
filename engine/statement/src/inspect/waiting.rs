//! Why a batch or a job waits.

use weft_model::{Batch, BatchStatus, NodeState};
use weft_node::Member;
use weft_node::affinity::Identity;

/// The two affinities of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Affinities<'a> {
    /// Nodes that may handle entities.
    pub affinity: &'a [String],
    /// Nodes that may own it.
    pub job_affinity: &'a [String],
}

/// A sentence that no live node matches an affinity, if none does.
pub fn unmatched(option: &str, members: &[String], nodes: &[Member]) -> Option<String> {
    if candidates(members, nodes) > 0 {
        return None;
    }
    Some(if members.is_empty() {
        format!("no live node takes work without {option}")
    } else {
        format!("no live node matches {option} '{}'", members.join(","))
    })
}

/// How many live nodes match an affinity.
pub(super) fn candidates(members: &[String], nodes: &[Member]) -> usize {
    nodes
        .iter()
        .filter(|node| node.alive && node.row.state == NodeState::Alive)
        .filter(|node| Identity::from(&node.row).matches(members))
        .count()
}

impl Affinities<'_> {
    /// Why a batch with these affinities cannot begin, if it cannot.
    pub fn note(&self, nodes: &[Member]) -> Option<String> {
        let owner = unmatched("JOB_AFFINITY", self.job_affinity, nodes);
        let workers = unmatched("AFFINITY", self.affinity, nodes);
        match (owner, workers) {
            // Without an AFFINITY both sentences would say the same.
            (Some(owner), Some(_)) if self.affinity.is_empty() => Some(owner),
            (Some(owner), Some(workers)) => Some(format!("{owner}; {workers}")),
            (owner, workers) => owner.or(workers),
        }
    }
}

/// Why a batch waits, if something is in its way.
pub(super) fn note(batch: &Batch, nodes: &[Member]) -> Option<String> {
    if batch.status.is_final() || batch.status == BatchStatus::Paused {
        return batch.notes.clone();
    }
    let owner_lives = nodes.iter().any(|node| {
        node.alive
            && batch.owner_node.as_ref() == Some(&node.row.guid)
            && batch.owner_incarnation == Some(node.row.incarnation)
    });
    let found = if owner_lives {
        unmatched("AFFINITY", &batch.spec.affinity, nodes)
    } else {
        let affinities = Affinities {
            affinity: &batch.spec.affinity,
            job_affinity: &batch.spec.job_affinity,
        };
        affinities.note(nodes)
    };
    found.or_else(|| batch.notes.clone())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use weft_model::clock::Timestamp;
    use weft_model::{Incarnation, NodeId, NodeRow};

    fn node(ip: &str, alive: bool) -> Member {
        let row = NodeRow {
            guid: NodeId(format!("node-{ip}")),
            dc: "DC1".to_owned(),
            effective_ip: ip.to_owned(),
            ips: vec![ip.to_owned()],
            logical_ids: Vec::new(),
            incarnation: Incarnation(Uuid::from_u128(1)),
            hb_seq: 1,
            heartbeat_at: Timestamp(0),
            state: NodeState::Alive,
            version: String::new(),
            http_address: None,
            coordinates: Vec::new(),
        };
        Member { row, alive }
    }

    fn check(affinity: &[&str], job_affinity: &[&str], nodes: &[Member], expected: Option<&str>) {
        let owned =
            |list: &[&str]| -> Vec<String> { list.iter().map(|m| (*m).to_owned()).collect() };
        let (affinity, job_affinity) = (owned(affinity), owned(job_affinity));
        let affinities = Affinities {
            affinity: &affinity,
            job_affinity: &job_affinity,
        };
        assert_eq!(affinities.note(nodes).as_deref(), expected);
    }

    #[test]
    fn an_affinity_that_no_live_node_has_is_named() {
        let nodes = [node("10.0.0.1", true), node("10.0.0.2", false)];
        check(&[], &[], &nodes, None);
        check(&[], &["10.0.0.1"], &nodes, None);
        let dead = "no live node matches JOB_AFFINITY '10.0.0.2'";
        check(&[], &["10.0.0.2"], &nodes, Some(dead));
        let both = "no live node matches JOB_AFFINITY 'a,b'; no live node matches AFFINITY 'c'";
        check(&["c"], &["a", "b"], &nodes, Some(both));
        check(
            &["c"],
            &[],
            &nodes,
            Some("no live node matches AFFINITY 'c'"),
        );
        check(
            &[],
            &[],
            &[],
            Some("no live node takes work without JOB_AFFINITY"),
        );
    }
}
