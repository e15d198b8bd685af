//! The three answers of a compare-and-set, and the ways in which a store can fail.

use std::fmt;

use weft_model::ParsedTable;

use super::{AttemptResult, StoreResult};

/// The answer to one attempt at a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt<F> {
    /// It took effect, now or at an earlier sending of the identical statement.
    Applied,
    /// Its condition did not hold for what was found.
    Lost(F),
    /// The outcome is unknown. Only re-sending the identical statement settles it.
    Unknown(String),
}

impl<F> Attempt<F> {
    /// The same answer with `turn` applied to what was found.
    pub fn map_lost<G>(self, turn: impl FnOnce(F) -> G) -> Attempt<G> {
        match self {
            Self::Applied => Attempt::Applied,
            Self::Lost(found) => Attempt::Lost(turn(found)),
            Self::Unknown(reason) => Attempt::Unknown(reason),
        }
    }
}

impl Attempt<()> {
    /// The same answer with the row that `found` reads where the condition did not hold. Reading is safe there, because
    /// the answer is definite already.
    ///
    /// # Errors
    /// What the read said.
    pub async fn or_found<F>(
        self,
        found: impl Future<Output = StoreResult<F>>,
    ) -> AttemptResult<F> {
        Ok(match self {
            Self::Applied => Attempt::Applied,
            Self::Lost(()) => Attempt::Lost(found.await?),
            Self::Unknown(reason) => Attempt::Unknown(reason),
        })
    }
}

/// A store call that definitely had no effect, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No answer, or too few replicas are up; a later try may succeed.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// No space is left; reads still work.
    #[error("the store is full: {0}")]
    Full(String),
    /// A stored value cannot be read: a newer version or a person wrote it.
    #[error("{row}: {column} cannot be read: {reason}")]
    Corrupt {
        /// The table and key.
        row: String,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The schema is missing or of another version.
    #[error("{0}")]
    Schema(String),
    /// The store refused the statement, which is an error of this program.
    #[error("the store refused the statement: {0}")]
    Refused(String),
}

impl StoreError {
    /// Whether a later try may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Full(_) => true,
            Self::Corrupt { .. } | Self::Schema(_) | Self::Refused(_) => false,
        }
    }

    /// Separates an outage from what a later try cannot help.
    ///
    /// # Errors
    /// The error itself, if it is final.
    pub fn into_outage(self) -> Result<Outage, Self> {
        match self.is_transient() {
            true => Ok(Outage(self)),
            false => Err(self),
        }
    }

    /// The store already has a parsed table of this name whose `column` has another type or key.
    pub fn conflicting_parsed_table(table: &ParsedTable, column: &str) -> Self {
        Self::Refused(format!(
            "table {} is there already with another type or key for `{column}`; give the parser another table, or drop that one",
            table.label()
        ))
    }

    /// The store does not have this parsed table.
    pub fn missing_parsed_table(table: &ParsedTable) -> Self {
        Self::Schema(format!(
            "table {} is not there, deploy a project that has its parser",
            table.label()
        ))
    }
}

/// The node's own store did not answer. This says nothing about the work that needed the answer: it waits and runs again.
/// The type is all that may pass from the store to the end of an entity, a batch or a run as a reason to wait, and no such
/// end can be made of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct Outage(StoreError);

impl From<Outage> for StoreError {
    fn from(outage: Outage) -> Self {
        outage.0
    }
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// A quorum read: sees acknowledged writes, may miss an attempt under way.
    Committed,
    /// A SERIAL read: completes attempts under way and sees them.
    Serial,
}

impl<F: fmt::Debug> fmt::Display for Attempt<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied => f.write_str("applied"),
            Self::Lost(found) => write!(f, "lost to {found:?}"),
            Self::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}
