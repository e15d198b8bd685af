//! Interfaces: the sources of ids and rows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use weft_model::Value;
use weft_store::Outage;

/// The answer of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// The reasons of rows with a cell that cannot be read, by the index of the row. Empty unless [`RowLimits::bad_rows`]
    /// asks for them.
    pub bad: BTreeMap<usize, String>,
}

/// Limits of one answer in memory, in addition to the limits of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLimits {
    /// The most rows.
    pub rows: usize,
    /// The most bytes: the length of texts and blobs, and 8 for any other value.
    pub bytes: usize,
    /// Whether rows with a cell that cannot be read are returned, with the reason; otherwise the first of them is an error.
    pub bad_rows: bool,
}

impl Default for RowLimits {
    fn default() -> Self {
        Self {
            rows: usize::MAX,
            bytes: usize::MAX,
            bad_rows: false,
        }
    }
}

/// Parameters of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameters {
    /// Values for `?`, in order.
    Positional(Vec<Value>),
    /// Values for `:name`, one each.
    Named(Vec<(String, Value)>),
    /// A set for one `:name`, as in `where id in (:ids)`.
    Set {
        /// The name without the colon.
        name: String,
        /// The members.
        values: Vec<Value>,
    },
}

/// A page of ids from a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdPage {
    /// The ids, in the order of the source.
    pub ids: Vec<String>,
    /// The position of the source after the last id; none if it has no positions.
    pub position: Option<String>,
}

/// A bounded stream of ids. The source waits for the receiver, and drops the sender at the end. An error is the last
/// item.
pub type IdStream = mpsc::Receiver<Result<IdPage, SourceError>>;

/// A bounded stream of pages of rows, each with the names of its columns. It ends like an [`IdStream`].
pub type RowStream = mpsc::Receiver<Result<Rows, SourceError>>;

/// Why a source did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The query is wrong, has the wrong number of columns, or was refused.
    #[error("interface {interface}: {message}")]
    Query {
        /// The interface.
        interface: String,
        /// The message of the source.
        message: String,
    },
    /// The source cannot be reached or read. A retry may succeed.
    #[error("interface {interface} cannot be read: {message}")]
    Unavailable {
        /// The interface.
        interface: String,
        /// The reason.
        message: String,
    },
    /// The source is a table in the node's own store, which did not answer.
    #[error("interface {interface} waits for the store: {outage}")]
    Store {
        /// The interface.
        interface: String,
        /// What the store said.
        outage: Outage,
    },
}

impl SourceError {
    /// Separates an outage of the node's own store from an error of the source.
    ///
    /// # Errors
    /// The error of the source.
    pub fn into_outage(self) -> Result<Outage, Self> {
        match self {
            Self::Store { outage, .. } => Ok(outage),
            other => Err(other),
        }
    }
}

/// A deployed interface. Implementations do blocking work on their own threads.
#[async_trait]
pub trait Interface: Send + Sync + fmt::Debug {
    /// `sqlite`, `csv` or `jsonl`.
    fn kind(&self) -> &'static str;

    /// Streams the ids of a query with one column. `after` is a position from an earlier stream of this interface.
    /// Interfaces without positions start from the beginning.
    async fn ids(
        &self,
        sql: &str,
        parameters: Vec<Value>,
        after: Option<String>,
    ) -> Result<IdStream, SourceError>;

    /// Streams the rows of a query, without a limit on their number.
    async fn rows(&self, sql: &str, parameters: Vec<Value>) -> Result<RowStream, SourceError>;

    /// Returns all rows of a query, within the limits of the interface.
    async fn query(&self, sql: &str, parameters: Parameters) -> Result<Rows, SourceError> {
        self.query_within(sql, parameters, RowLimits::default())
            .await
    }

    /// Returns all rows of a query. More than `limits` is an error, reported before the rows fill the memory.
    async fn query_within(
        &self,
        sql: &str,
        parameters: Parameters,
        limits: RowLimits,
    ) -> Result<Rows, SourceError>;

    /// Checks that the query can be prepared, and returns the names of its columns.
    async fn check(&self, sql: &str) -> Result<Vec<String>, SourceError>;
}

/// A shared interface.
pub type SharedInterface = Arc<dyn Interface>;
