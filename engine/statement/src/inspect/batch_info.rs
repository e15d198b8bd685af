//! BATCH_INFO: the static facts of one batch.

use std::collections::BTreeMap;

use serde::Serialize;
use weft_lang::EntityTemplate;
use weft_model::{BatchId, EntitySource};
use weft_node::worker::{merge_histograms, percentiles_us};

use super::{BatchItem, InspectResult, Inspector};
use crate::permission::Permit;

/// The batch to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchInfoQuery(pub BatchId);

/// The type of command that a batch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum CommandType {
    /// `sync_instance`.
    Sync,
    /// `broadway`.
    Broadway,
    /// `cdc_republish_instance`.
    Cdc,
    /// Anything else.
    Other,
}

/// One batch.
#[derive(Clone, Debug, Serialize)]
pub struct BatchInfo {
    /// The batch as BATCH_LIST shows it.
    #[serde(flatten)]
    pub item: BatchItem,
    /// The type of its command.
    pub command_type: CommandType,
    /// The SQL, the instance group, or the list.
    pub entity_inclusion: String,
    /// The interface that the ids come from, if any.
    pub interface: Option<String>,
    /// Percentiles of entity time in microseconds: `p50`, `p90`, `p99`, `p99.9`, `max`, `mean`.
    pub percentiles_us: BTreeMap<String, i64>,
}

impl CommandType {
    /// The type of a FABRIC_COMMAND.
    pub fn of(fabric_command: &str) -> Self {
        match EntityTemplate::parse(fabric_command) {
            Ok(EntityTemplate::SyncInstance { .. }) => Self::Sync,
            Ok(EntityTemplate::Broadway { .. }) => Self::Broadway,
            Ok(EntityTemplate::CdcRepublish { .. }) => Self::Cdc,
            Ok(
                EntityTemplate::Get { .. }
                | EntityTemplate::Echo { .. }
                | EntityTemplate::Process { .. },
            )
            | Err(_) => Self::Other,
        }
    }

    /// The text in BATCH_INFO.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "Sync",
            Self::Broadway => "Broadway",
            Self::Cdc => "CDC",
            Self::Other => "Other",
        }
    }
}

impl Inspector {
    /// One batch.
    ///
    /// # Errors
    /// There is no such batch, or the store failed.
    pub async fn batch(&self, permit: &Permit<BatchInfoQuery>) -> InspectResult<BatchInfo> {
        let BatchInfoQuery(id) = *permit.request();
        let batch = self.existing(id).await?;
        let members = self.nodes.members().await?;
        let ended = batch
            .statistics
            .as_ref()
            .filter(|_| batch.status.is_final());
        let percentiles_us = match ended {
            Some(statistics) => statistics.percentiles_us.clone(),
            None => {
                let stats = self.store.node_stats(id).await?;
                let written = stats.iter().filter_map(|stats| stats.histogram.as_deref());
                percentiles_us(&merge_histograms(written))
            }
        };
        let (entity_inclusion, interface) = inclusion(&batch.spec.source);
        Ok(BatchInfo {
            command_type: CommandType::of(&batch.spec.fabric_command),
            entity_inclusion,
            interface,
            percentiles_us,
            item: self.item(batch, &members).await?,
        })
    }
}

/// Where ids come from, for people, and the interface.
fn inclusion(source: &EntitySource) -> (String, Option<String>) {
    match source {
        EntitySource::List { ids } => (ids.join(","), None),
        EntitySource::Query {
            interface,
            sql,
            instance_group,
            parameters: _,
        } => {
            let inclusion = instance_group.as_ref().unwrap_or(sql);
            (inclusion.clone(), Some(interface.clone()))
        }
        EntitySource::Stored => ("all stored instances".to_owned(), Some("fabric".to_owned())),
    }
}
