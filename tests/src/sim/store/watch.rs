//! Checks every write that takes effect against rules of its own, whatever the operations say.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::{
    Batch, BatchDesired, BatchEvent, BatchId, BatchStatus, ChunkState, EntityStatus, Holder, Job,
    JobEvent, JobStatus, NodeId,
};
use weft_store::FlushChunk;

use super::partition::{Chunk, short};

/// The violations seen so far, and what is stored.
#[derive(Debug, Default)]
pub struct Watch {
    violations: Vec<String>,
    takeovers: Vec<String>,
    seen: Seen,
    lists: BTreeMap<BatchId, SourceList>,
}

/// What the watcher remembers of the rows. A store that loses writes takes it back with them.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The chunk of each id.
    places: BTreeMap<(BatchId, String), i64>,
    /// The batches at work that allow no other of their command; the simulation knows one command.
    exclusive: BTreeSet<BatchId>,
}

/// What the source of a batch gives, each time it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceList {
    /// The number of different ids.
    pub ids: i64,
    /// The number of ids beyond the first of each.
    pub duplicates: i64,
}

impl Watch {
    /// The rules that were broken.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// What nodes took over from other nodes.
    pub fn takeovers(&self) -> &[String] {
        &self.takeovers
    }

    /// What is remembered of the rows now.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The store has lost what was written after `seen`.
    pub fn restore(&mut self, seen: Seen) {
        self.seen = seen;
    }

    /// The store has lost the chunk of these ids.
    pub fn forget(&mut self, batch: BatchId, ids: &[String]) {
        for id in ids {
            self.seen.places.remove(&(batch, id.clone()));
        }
    }

    /// Notes what the source of a batch gives, which the batch must count when it is DONE.
    pub fn expect_list(&mut self, batch: BatchId, list: SourceList) {
        self.lists.insert(batch, list);
    }

    fn taken(&mut self, what: &str, before: Option<&NodeId>, after: Option<&NodeId>) {
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            self.takeovers
                .push(format!("{what} by {after} from {before}"));
        }
    }

    fn require(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        // One broken rule breaks others; the first ones are the ones to read.
        if !holds && self.violations.len() < 20 {
            self.violations.push(violation());
        }
    }

    /// Work of a node runs although the node has left.
    pub fn left_at_work(&mut self, node: &str) {
        self.require(false, || format!("I16: {node} has left and still works"));
    }

    /// A batch row was written.
    pub fn batch(&mut self, before: Option<&Batch>, after: &Batch) {
        let Some(before) = before else {
            return;
        };
        let id = short(after.id);
        let (from, to) = (before.owner_node.as_ref(), after.owner_node.as_ref());
        self.taken(&format!("batch {id}"), from, to);
        self.require(after.fence >= before.fence, || {
            format!(
                "I4: the fence of batch {id} went from {} to {}",
                before.fence, after.fence
            )
        });
        self.require(
            before.status == after.status || batch_moves(before.status, after.status),
            || {
                format!(
                    "I5: batch {id} went from {} to {}",
                    before.status, after.status
                )
            },
        );
        let is_being_removed = after.desired == BatchDesired::Remove;
        self.require(
            !before.status.is_final() || before == after || is_being_removed,
            || format!("I2: batch {id} is {} and was written", before.status),
        );
        self.require(before.status.is_final() || !is_being_removed, || {
            format!("I2: batch {id} is {} and is being removed", before.status)
        });
        self.require(after.desired_seq >= before.desired_seq, || {
            format!("I4: desired_seq of batch {id} went down")
        });
        self.require(after.chunks >= before.chunks, || {
            format!("I4: the reservation of batch {id} went down")
        });
        let is_at_work = !after.status.is_final() && after.status != BatchStatus::WaitingForJob;
        match is_at_work && !after.spec.allow_multiple {
            true => self.seen.exclusive.insert(after.id),
            false => self.seen.exclusive.remove(&after.id),
        };
        let at_work = self.seen.exclusive.len();
        self.require(at_work <= 1, || {
            format!("I13: batch {id} began beside another of its command that allows none")
        });
    }

    /// A batch becomes DONE with these chunks.
    pub fn done<'c>(&mut self, batch: &Batch, chunks: impl Iterator<Item = &'c Chunk>) {
        let id = short(batch.id);
        let (mut counted, mut ids, mut records) = (0, BTreeSet::new(), BTreeSet::new());
        for chunk in chunks {
            counted += chunk.head.ok + chunk.head.failed;
            ids.extend(&chunk.ids);
            records.extend(chunk.rows.keys());
        }
        let total = batch.total_entities;
        let is_whole = |count: usize| i64::try_from(count).ok() == total;
        let is_exact = Some(counted) == total && is_whole(ids.len()) && ids == records;
        self.require(is_exact, || {
            format!(
                "I3: batch {id} is DONE with total {total:?}, its chunks count {counted} and have {} ids and {} records",
                ids.len(),
                records.len()
            )
        });
        if let Some(list) = self.lists.get(&batch.id).copied() {
            let counted = (total, batch.duplicates);
            self.require(counted == (Some(list.ids), list.duplicates), || {
                format!("I3: batch {id} is DONE with (ids, duplicates) {counted:?}, its source gives {list:?}")
            });
        }
    }

    /// A job row was written.
    pub fn job(&mut self, before: Option<&Job>, after: &Job) {
        let Some(before) = before else {
            return;
        };
        let uid = &after.key.uid;
        let (from, to) = (before.holder(), after.holder());
        self.taken(&format!("job {uid}"), node_of(&from), node_of(&to));
        self.require(after.fence >= before.fence, || {
            format!(
                "I4: the fence of job {uid} went from {} to {}",
                before.fence, after.fence
            )
        });
        // A job that is notified of an end, or has notified its dependents, keeps its status.
        let stays = before.status == after.status && from.is_none() && to.is_none();
        let is_notified = stays && before.triggers != after.triggers;
        let is_request = after.desired_seq > before.desired_seq && from == to;
        // KILL and UPDATEJOB leave the status of a job that a node holds.
        let keeps_status = is_request && before.status == after.status;
        self.require(
            is_notified || keeps_status || job_moves(before.status, after.status),
            || {
                format!(
                    "I5: job {uid} went from {} to {}",
                    before.status, after.status
                )
            },
        );
        // A claim or a reopening under the same fence could not be distinguished from the one before.
        let same_run = after.fence == before.fence && after.status.is_ended();
        self.require(after.fence > before.fence || same_run || is_request, || {
            format!("I4: job {uid} changed hands under fence {}", after.fence)
        });
    }

    /// A job row was removed.
    pub fn removed_job(&mut self, job: &Job) {
        self.require(job.archived && job.status.is_ended(), || {
            format!("I2: job {} is {} and was removed", job.key.uid, job.status)
        });
    }

    /// A batch row was removed.
    pub fn removed_batch(&mut self, batch: &Batch) {
        let is_marked = batch.status.is_final() && batch.desired == BatchDesired::Remove;
        self.require(is_marked, || {
            let id = short(batch.id);
            format!("I2: batch {id} is {} and was removed", batch.status)
        });
    }

    /// A chunk was written; `batch` is the status of its batch at that time.
    pub fn chunk(&mut self, before: Option<&Chunk>, after: &Chunk, batch: Option<BatchStatus>) {
        let name = format!("{}/{}", short(after.head.batch), after.head.number);
        self.require(!batch.is_some_and(BatchStatus::is_final), || {
            format!("I10: chunk {name} was written after the end of its batch")
        });
        let Some(before) = before else {
            for id in &after.ids {
                let place = (after.head.batch, id.clone());
                if let Some(other) = self.seen.places.insert(place, after.head.number) {
                    self.require(false, || format!("I13: {id} stands in {name} and {other}"));
                }
            }
            return;
        };
        let (from, to) = (&before.head.holder, &after.head.holder);
        self.taken(&format!("chunk {name}"), node_of(from), node_of(to));
        self.require(after.head.fence >= before.head.fence, || {
            format!(
                "I4: the fence of chunk {name} went from {} to {}",
                before.head.fence, after.head.fence
            )
        });
        self.require(after.head.seq >= before.head.seq, || {
            format!(
                "I4: c_seq of chunk {name} went from {} to {}",
                before.head.seq, after.head.seq
            )
        });
        self.require(chunk_moves(before.head.state, after.head.state), || {
            format!(
                "I5: chunk {name} went from {} to {}",
                before.head.state, after.head.state
            )
        });
        for (id, row) in &before.rows {
            self.require(after.rows.get(id) == Some(row), || {
                format!("I2: the record of {id} in chunk {name} changed")
            });
        }
    }

    /// A flush took effect on `before`.
    pub fn flush(&mut self, flush: &FlushChunk, before: &Chunk) {
        let name = format!("{}/{}", short(flush.batch), flush.number);
        self.require(flush.fence == before.head.fence, || {
            format!(
                "I4: a flush under fence {} was accepted by chunk {name} under fence {}",
                flush.fence, before.head.fence
            )
        });
        let mut rows = before.rows.clone();
        rows.extend(flush.rows.iter().map(|row| (row.id.clone(), row.clone())));
        let failed = rows
            .values()
            .filter(|row| row.status == EntityStatus::Failed)
            .count();
        let ok = rows.len() - failed;
        let counts = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.require(
            flush.ok == counts(ok) && flush.failed == counts(failed),
            || {
                format!(
                    "I3: chunk {name} counts {} and {}, its rows say {ok} and {failed}",
                    flush.ok, flush.failed
                )
            },
        );
        for row in &flush.rows {
            self.require(before.ids.contains(&row.id), || {
                format!(
                    "I1: {} was recorded in chunk {name}, which lacks it",
                    row.id
                )
            });
        }
        self.require(!flush.done || rows.len() == before.ids.len(), || {
            format!(
                "I3: chunk {name} is DONE with {} of {} records",
                rows.len(),
                before.ids.len()
            )
        });
    }
}

fn node_of(holder: &Option<Holder>) -> Option<&NodeId> {
    holder.as_ref().map(|holder| &holder.node)
}

fn batch_moves(from: BatchStatus, to: BatchStatus) -> bool {
    BatchEvent::ALL
        .iter()
        .any(|event| from.next(*event) == Ok(to))
}

fn job_moves(from: JobStatus, to: JobStatus) -> bool {
    JobEvent::ALL
        .iter()
        .any(|event| from.next(*event) == Ok(to))
}

fn chunk_moves(from: ChunkState, to: ChunkState) -> bool {
    use ChunkState as S;
    match from {
        S::New => matches!(to, S::InProgress | S::Closed),
        S::InProgress => matches!(to, S::InProgress | S::New | S::Done | S::Closed),
        // Only a retry opens these again.
        S::Done | S::Void | S::Closed => false,
    }
}
