//! Interfaces: where ids and source rows come from.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use weft_model::Value;

/// The answer of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// How much of an answer is kept in memory. What the interface itself allows is a limit in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLimits {
    /// Rows.
    pub rows: usize,
    /// Bytes of texts and blobs, and 8 for any other value.
    pub bytes: usize,
}

impl Default for RowLimits {
    fn default() -> Self {
        Self {
            rows: usize::MAX,
            bytes: usize::MAX,
        }
    }
}

/// Parameters of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameters {
    /// For `?`, in order.
    Positional(Vec<Value>),
    /// For `:name`, each one value.
    Named(Vec<(String, Value)>),
    /// For one `:name` that stands for a set, as in `where id in (:ids)`.
    Set {
        /// The name without its colon.
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
    /// Where the source stands behind the last of them; none where it has no positions.
    pub position: Option<String>,
}

/// A stream of ids. Bounded: a source waits while nobody takes. The sender is dropped at the end; an error
/// is the last thing it sends.
pub type IdStream = mpsc::Receiver<Result<IdPage, SourceError>>;

/// A stream of rows, page by page, each with the names of its columns. Bounded and ended as an [`IdStream`] is.
pub type RowStream = mpsc::Receiver<Result<Rows, SourceError>>;

/// Why a source did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The query is wrong, returns another number of columns than wanted, or was refused.
    #[error("interface {interface}: {message}")]
    Query {
        /// The interface.
        interface: String,
        /// What is wrong, in words of the source.
        message: String,
    },
    /// The source cannot be reached or read; may be tried again.
    #[error("interface {interface} cannot be read: {message}")]
    Unavailable {
        /// The interface.
        interface: String,
        /// What is wrong.
        message: String,
    },
}

/// A deployed interface. Implementations do their blocking work on threads of their own.
#[async_trait]
pub trait Interface: Send + Sync + fmt::Debug {
    /// `sqlite`, `csv` or `jsonl`.
    fn kind(&self) -> &'static str;

    /// The ids that a one-column query gives, as a stream. `after` is a position that this interface gave
    /// before; interfaces without positions start from the beginning.
    async fn ids(
        &self,
        sql: &str,
        parameters: Vec<Value>,
        after: Option<String>,
    ) -> Result<IdStream, SourceError>;

    /// The rows of a query as a stream, however many there are.
    async fn rows(&self, sql: &str, parameters: Vec<Value>) -> Result<RowStream, SourceError>;

    /// All rows of a query, as many as the interface's own limits allow.
    async fn query(&self, sql: &str, parameters: Parameters) -> Result<Rows, SourceError> {
        self.query_within(sql, parameters, RowLimits::default())
            .await
    }

    /// All rows of a query; more than `limits` are an error that says so, before they are in memory.
    async fn query_within(
        &self,
        sql: &str,
        parameters: Parameters,
        limits: RowLimits,
    ) -> Result<Rows, SourceError>;

    /// Checks that the query can be prepared, and returns the names of its columns.
    async fn check(&self, sql: &str) -> Result<Vec<String>, SourceError>;
}

/// An interface that many share.
pub type SharedInterface = Arc<dyn Interface>;
