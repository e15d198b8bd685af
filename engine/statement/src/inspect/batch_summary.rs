//! BATCH_SUMMARY: the work of nodes, data centres and the cluster on a batch.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, BatchStatus, NodeId, NodeShare, NodeStats};

use super::batch_list::known_total;
use super::figures::per_second;
use super::{CommandType, InspectResult, Inspector, progress_percent, share_percent, waiting};
use crate::permission::Permit;

/// The note of a batch that no node has claimed; clients wait for it to go.
const WAITING: &str = "Batch process is waiting to be taken by a job";

/// The batch to sum up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryQuery(pub BatchId);

/// The scope of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SummaryLevel {
    /// One node.
    Node,
    /// One data centre.
    #[serde(rename = "DC")]
    DataCentre,
    /// The whole cluster.
    Cluster,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryRow {
    /// The scope.
    pub level: SummaryLevel,
    /// The node or data centre; none for the cluster.
    pub name: Option<String>,
    /// The status of the batch; only for the cluster.
    pub status: Option<BatchStatus>,
    /// Start of the first entity; of the batch for the cluster.
    pub start_time: Option<Timestamp>,
    /// End of the last entity, once the batch has ended; of the batch for the cluster.
    pub end_time: Option<Timestamp>,
    /// The working time, in milliseconds.
    pub duration_ms: i64,
    /// The remaining time at this pace, in milliseconds; none where it is unknown.
    pub remaining_ms: Option<i64>,
    /// Entities still to handle. Unknown for nodes and data centres of a running batch, because chunks are not assigned
    /// in advance.
    pub remaining: Option<i64>,
    /// All entities; only for the cluster, once they are known.
    pub total: Option<i64>,
    /// COMPLETED entities.
    pub succeeded: i64,
    /// FAILED entities.
    pub failed: i64,
    /// Sums of the numbers in the results, by key.
    pub aggregated: BTreeMap<String, i64>,
    /// Cluster: the completed share. Node and data centre: their part of the work. 0 to 100.
    pub completed_percent: f64,
    /// Entities per second in the last window.
    pub pace: f64,
    /// Entities per second over the whole time.
    pub average: f64,
}

/// The summary of a batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchSummary {
    /// Node rows, then data centre rows, then the cluster; empty until a node has claimed the batch.
    pub rows: Vec<SummaryRow>,
    /// The keys of `aggregated` that are shown as columns.
    pub keys: Vec<String>,
    /// Why the batch waits, if something is in its way.
    pub note: Option<String>,
}

impl Inspector {
    /// The summary of a batch.
    ///
    /// # Errors
    /// There is no such batch, or the store failed.
    pub async fn summary(&self, permit: &Permit<SummaryQuery>) -> InspectResult<BatchSummary> {
        let SummaryQuery(id) = *permit.request();
        let batch = self.existing(id).await?;
        let members = self.nodes.members().await?;
        let note = waiting::note(&batch, &members);
        if batch.status == BatchStatus::WaitingForJob {
            let why = note.map(|note| format!("{WAITING}: {note}"));
            return Ok(BatchSummary {
                rows: Vec::new(),
                keys: Vec::new(),
                note: Some(why.unwrap_or_else(|| WAITING.to_owned())),
            });
        }
        let stats = self.store.node_stats(id).await?;
        let mut data_centres: BTreeMap<NodeId, String> = members
            .into_iter()
            .map(|member| (member.row.guid, member.row.dc))
            .collect();
        data_centres.extend(
            stats
                .iter()
                .map(|stats| (stats.node.clone(), stats.dc.clone())),
        );
        let summing = Summing {
            batch: &batch,
            now: self.clock.now(),
            paces: paces(&batch, &stats),
            shares: shares(&batch, &stats),
            data_centres,
        };
        let mut summary = summing.sum(self.config.max_aggregation_keys);
        summary.note = note;
        Ok(summary)
    }
}

/// The share of each node: exact once the batch has ended, until then as the nodes last wrote it.
fn shares(batch: &Batch, stats: &[NodeStats]) -> BTreeMap<NodeId, NodeShare> {
    let ended = batch
        .statistics
        .as_ref()
        .filter(|_| batch.status.is_final());
    match ended {
        Some(statistics) => statistics.nodes.clone(),
        None => stats
            .iter()
            .map(|stats| (stats.node.clone(), stats.share.clone()))
            .collect(),
    }
}

/// Thousandths of entities per second; an ended batch keeps the pace of its last window.
fn paces(batch: &Batch, stats: &[NodeStats]) -> BTreeMap<NodeId, i64> {
    let works = batch.status.admits_work() || batch.status.is_final();
    let working = stats.iter().filter(|_| works);
    working
        .map(|stats| (stats.node.clone(), stats.pace_milli))
        .collect()
}

struct Summing<'b> {
    batch: &'b Batch,
    now: Timestamp,
    shares: BTreeMap<NodeId, NodeShare>,
    paces: BTreeMap<NodeId, i64>,
    data_centres: BTreeMap<NodeId, String>,
}

/// The sum under one name.
#[derive(Default)]
struct Sum {
    share: NodeShare,
    pace_milli: i64,
}

impl Summing<'_> {
    fn sum(&self, most_keys: usize) -> BatchSummary {
        let mut by_dc: BTreeMap<&str, Sum> = BTreeMap::new();
        let mut cluster = Sum::default();
        let mut rows = Vec::new();
        let total: i64 = self.shares.values().map(|share| share.handled()).sum();
        for (node, share) in &self.shares {
            let pace_milli = self.paces.get(node).copied().unwrap_or(0);
            let dc = self.data_centres.get(node).map_or("", String::as_str);
            for sum in [by_dc.entry(dc).or_default(), &mut cluster] {
                sum.share.merge(share);
                sum.pace_milli += pace_milli;
            }
            let sum = Sum {
                share: share.clone(),
                pace_milli,
            };
            rows.push(self.part(SummaryLevel::Node, &node.0, sum, total));
        }
        for (dc, sum) in by_dc {
            rows.push(self.part(SummaryLevel::DataCentre, dc, sum, total));
        }
        rows.push(self.cluster(cluster));
        BatchSummary {
            keys: keys(self.batch, &rows, most_keys),
            rows,
            note: None,
        }
    }

    fn part(&self, level: SummaryLevel, name: &str, sum: Sum, handled_by_all: i64) -> SummaryRow {
        let handled = sum.share.handled();
        let ended = self.batch.status.is_final();
        let end_time = sum.share.last_end.filter(|_| ended);
        let start_time = sum.share.first_start;
        SummaryRow {
            name: Some(name.to_owned()),
            status: None,
            start_time,
            end_time,
            remaining_ms: ended.then_some(0),
            remaining: ended.then_some(0),
            total: None,
            completed_percent: share_percent(handled, handled_by_all),
            ..self.row(level, sum, start_time, end_time)
        }
    }

    fn cluster(&self, sum: Sum) -> SummaryRow {
        let batch = self.batch;
        let handled = sum.share.handled();
        let is_done = batch.status == BatchStatus::Done;
        let total = known_total(batch, handled);
        let remaining = total.map(|total| (total - handled).max(0));
        let row = self.row(SummaryLevel::Cluster, sum, batch.start_time, batch.end_time);
        SummaryRow {
            status: Some(batch.status),
            remaining_ms: remaining_ms(remaining, &row, batch.status.is_final()),
            remaining,
            total,
            completed_percent: progress_percent(handled, total, is_done),
            ..row
        }
    }

    /// The common part of all rows.
    fn row(
        &self,
        level: SummaryLevel,
        sum: Sum,
        start_time: Option<Timestamp>,
        end_time: Option<Timestamp>,
    ) -> SummaryRow {
        let until = end_time.unwrap_or(self.now);
        let duration_ms = start_time.map_or(0, |start| until.millis_since(start).max(0));
        let handled = sum.share.handled();
        #[expect(clippy::cast_precision_loss, reason = "a pace for people to read")]
        let pace = sum.pace_milli as f64 / 1_000.0;
        SummaryRow {
            level,
            name: None,
            status: None,
            start_time,
            end_time,
            duration_ms,
            remaining_ms: None,
            remaining: None,
            total: None,
            succeeded: sum.share.succeeded,
            failed: sum.share.failed,
            aggregated: sum.share.aggregated,
            completed_percent: 0.0,
            pace,
            average: per_second(handled, duration_ms),
        }
    }
}

/// At the current pace, or at the average one where there is none.
fn remaining_ms(remaining: Option<i64>, row: &SummaryRow, is_final: bool) -> Option<i64> {
    if is_final || remaining == Some(0) {
        return Some(0);
    }
    let rate = if row.pace > 0.0 {
        row.pace
    } else {
        row.average
    };
    let remaining = remaining.filter(|_| rate > 0.0)?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an estimate in milliseconds"
    )]
    Some((remaining as f64 / rate * 1_000.0) as i64)
}

/// Added, Updated and Unchanged for a sync; otherwise the keys of the results.
fn keys(batch: &Batch, rows: &[SummaryRow], most: usize) -> Vec<String> {
    if CommandType::of(&batch.spec.fabric_command) == CommandType::Sync {
        return ["Added", "Updated", "Unchanged"]
            .map(str::to_owned)
            .to_vec();
    }
    let found: BTreeSet<&String> = rows.iter().flat_map(|row| row.aggregated.keys()).collect();
    found.into_iter().take(most).cloned().collect()
}
