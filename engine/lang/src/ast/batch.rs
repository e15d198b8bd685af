//! Batches: starting, listing, looking into and cancelling them.

use super::template::EntityTemplate;
use super::{Family, Text};
use crate::options::BatchOptions;
use crate::span::Spanned;

/// BATCH, BATCHF, MIGRATE and MIGRATEF.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// MIGRATE is BATCH with `sync_instance` as its command.
    pub family: Family,
    /// The logical unit.
    pub lu: Spanned<String>,
    /// The data centre after `@`.
    pub dc: Option<Spanned<String>>,
    /// The function of BATCHF and MIGRATEF that makes an entity id from a raw id.
    pub function: Option<Spanned<String>>,
    /// Where the entity ids come from.
    pub source: EntitySource,
    /// The command for each entity, as text; for MIGRATE, `sync_instance <LU>.?`.
    pub fabric_command: Spanned<Text>,
    /// The same command, parsed; `None` while it is a parameter.
    pub template: Option<EntityTemplate>,
    /// What follows WITH.
    pub options: BatchOptions,
}

/// Where the entity ids of a batch come from.
#[derive(Clone, Debug, PartialEq)]
pub enum EntitySource {
    /// All instances of the logical unit, by its root table's query.
    LogicalUnit,
    /// The ids of an instance group.
    InstanceGroup(Spanned<String>),
    /// A list of ids.
    Ids(Spanned<Vec<Spanned<Text>>>),
    /// FROM an interface USING its query.
    Query {
        /// The interface.
        interface: Spanned<String>,
        /// The query; for a message queue, a topic.
        query: Spanned<Text>,
    },
    /// FROM fabric: the stored instances.
    Fabric,
    /// FROM fabric USING a query on common tables or attached instances.
    FabricQuery {
        /// The query.
        query: Spanned<Text>,
    },
    /// FROM fabric USING a BROADWAY command.
    FabricFlow {
        /// The command as text, including the word BROADWAY.
        command: Spanned<String>,
    },
}

/// BATCH_LIST and MIGRATE_LIST.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchList {
    /// Which of the two.
    pub family: Family,
    /// One of [`BATCH_STATUS`](crate::names::BATCH_STATUS), in its canonical spelling.
    pub status: Option<Spanned<String>>,
    /// The first day or moment.
    pub from_date: Option<Spanned<String>>,
    /// The last day or moment.
    pub to_date: Option<Spanned<String>>,
    /// A regular expression over commands and execution ids.
    pub filter: Option<Spanned<String>>,
}

/// BATCH_DETAILS and MIGRATE_DETAILS.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchDetails {
    /// Which of the two.
    pub family: Family,
    /// The batch.
    pub batch_id: Spanned<Text>,
    /// One of [`ENTITY_STATUS`](crate::names::ENTITY_STATUS), in its canonical spelling.
    pub status: Option<Spanned<String>>,
    /// Entity ids, separated by commas.
    pub entities: Option<Spanned<String>>,
    /// Nodes and data centres, separated by commas.
    pub affinity: Option<Spanned<String>>,
    /// Maximum number of rows; -1 for all of them.
    pub limit: Option<Spanned<i64>>,
    /// Whether to show the slowest entities instead.
    pub sort_by_process_time: Option<Spanned<bool>>,
}

/// The command that cancels a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelSpelling {
    /// BATCH_CANCEL; without an id: the last asynchronous batch of the session.
    BatchCancel,
    /// CANCEL BATCH; without an id: the last batch that this node started.
    CancelBatch,
    /// KILL, always with an id.
    Kill,
}

impl CancelSpelling {
    pub(super) fn keyword(self) -> &'static str {
        match self {
            Self::BatchCancel => "BATCH_CANCEL",
            Self::CancelBatch => "CANCEL BATCH",
            Self::Kill => "KILL",
        }
    }
}
