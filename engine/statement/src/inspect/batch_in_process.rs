//! BATCH_IN_PROCESS: the entities at work.

use futures::{StreamExt, TryStreamExt};
use regex::Regex;
use serde::Serialize;
use weft_lang::EntityTemplate;
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, NodeId, NodeStats};

use super::{InspectResult, Inspector, READS_AT_ONCE};
use crate::permission::Permit;

/// Which entities to show.
#[derive(Clone, Debug, Default)]
pub struct InProcessQuery {
    /// Searched for in the command of the entity and of the batch.
    pub filter: Option<Regex>,
    /// Only entities of this batch.
    pub batch: Option<BatchId>,
}

/// An entity at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InProcessItem {
    /// The node that runs it.
    pub node: NodeId,
    /// The batch.
    pub batch: BatchId,
    /// The id of the entity.
    pub entity: String,
    /// The logical unit.
    pub logical_unit: String,
    /// When it started, by its node's clock.
    pub since: Timestamp,
    /// Its duration so far, in milliseconds.
    pub millis: i64,
    /// The execution id of the batch.
    pub execution_id: String,
    /// The command with the id of the entity.
    pub command: String,
}

impl Inspector {
    /// The entities at work in the whole cluster, by node.
    ///
    /// # Errors
    /// The store failed.
    pub async fn in_process(
        &self,
        permit: &Permit<InProcessQuery>,
    ) -> InspectResult<Vec<InProcessItem>> {
        let query = permit.request();
        let mut active = self.active().await?;
        if let Some(batch) = query.batch {
            active.retain(|id, _| *id == batch);
        }
        let members = self.nodes.members().await?;
        // Ids by value: a future that borrows a key could not be sent between threads.
        let ids: Vec<BatchId> = active.keys().copied().collect();
        let reads = ids.into_iter().map(|id| self.store.node_stats(id));
        let stats: Vec<Vec<NodeStats>> = futures::stream::iter(reads)
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        let now = self.clock.now();
        let mut items: Vec<InProcessItem> = Vec::new();
        for stats in stats.into_iter().flatten() {
            let Some(batch) = active.get(&stats.batch) else {
                continue;
            };
            // A dead node runs nothing, whatever it wrote last.
            if members
                .iter()
                .any(|node| node.alive && node.row.guid == stats.node)
            {
                items.extend(items_of(batch, &stats, now, query.filter.as_ref()));
            }
        }
        items.sort_by(|one, other| (&one.node, one.since).cmp(&(&other.node, other.since)));
        Ok(items)
    }
}

fn items_of<'s>(
    batch: &'s Batch,
    stats: &'s NodeStats,
    now: Timestamp,
    filter: Option<&'s Regex>,
) -> impl Iterator<Item = InProcessItem> + 's {
    let template = EntityTemplate::parse(&batch.spec.fabric_command).ok();
    let of_batch = filter.is_none_or(|filter| filter.is_match(&batch.command));
    stats.in_process.iter().filter_map(move |entity| {
        let command = match &template {
            Some(template) => template.bind(&entity.entity).to_string(),
            None => batch.spec.fabric_command.clone(),
        };
        if !of_batch && !filter.is_some_and(|filter| filter.is_match(&command)) {
            return None;
        }
        Some(InProcessItem {
            node: stats.node.clone(),
            batch: batch.id,
            entity: entity.entity.clone(),
            logical_unit: batch.spec.logical_unit.clone(),
            since: entity.since,
            millis: now.millis_since(entity.since).max(0),
            execution_id: batch.execution_id.clone(),
            command,
        })
    })
}
