//! The ways in which the store sends a statement, and what the answer to a compare-and-set means.

use std::hash::Hash;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryResult;
use scylla::serialize::batch::BatchValues;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::Row;
use uuid::Uuid;
use weft_model::Token;
use weft_store::{Attempt, AttemptResult, StoreError, StoreResult};

use crate::CassandraStore;
use crate::driver_error::{self, CompareAndSetFailure};
use crate::row::StoredRow;
use crate::values::Values;

impl CassandraStore {
    /// Sends a compare-and-set once. It writes `token` into `column`; a refusal that shows the same token means that
    /// an earlier sending applied.
    pub(crate) async fn compare_and_set(
        &self,
        verb: &'static str,
        partition: impl Hash,
        statement: &PreparedStatement,
        values: Values,
        (column, token): (&'static str, Token),
    ) -> AttemptResult<()> {
        let _lock = self.partition_locks.lock(partition).await;
        self.counters.compare_and_set(verb);
        let values = values.set(column, token);
        let session = &self.connection.session;
        judge(
            session.execute_unpaged(statement, values).await,
            column,
            token,
        )
    }

    /// Sends a batch of statements on one partition as a compare-and-set. One of them writes `token` into `column`.
    pub(crate) async fn compare_and_set_rows(
        &self,
        verb: &'static str,
        partition: impl Hash,
        batch: &Batch,
        values: impl BatchValues,
        (column, token): (&'static str, Token),
    ) -> AttemptResult<()> {
        let _lock = self.partition_locks.lock(partition).await;
        self.counters.compare_and_set(verb);
        let answer = self.connection.session.batch(batch, values).await;
        judge(answer, column, token)
    }

    /// Sends a compare-and-set without a token. `Lost` has the current text of `column`.
    pub(crate) async fn compare_and_set_text(
        &self,
        verb: &'static str,
        partition: impl Hash,
        statement: &PreparedStatement,
        values: Values,
        column: &'static str,
    ) -> AttemptResult<Option<String>> {
        let _lock = self.partition_locks.lock(partition).await;
        self.counters.compare_and_set(verb);
        let session = &self.connection.session;
        match refusal(session.execute_unpaged(statement, values).await)? {
            Attempt::Applied => Ok(Attempt::Applied),
            Attempt::Unknown(reason) => Ok(Attempt::Unknown(reason)),
            Attempt::Lost(mut rows) => {
                let found = match rows.first_mut() {
                    Some(row) => row.take(column)?,
                    None => None,
                };
                Ok(Attempt::Lost(found))
            }
        }
    }

    /// An unlogged batch for [`Self::compare_and_set_rows`].
    pub(crate) fn conditional_batch(&self) -> Batch {
        let mut batch = Batch::new(BatchType::Unlogged);
        let profile = self.connection.profiles.compare_and_set.clone();
        batch.set_execution_profile_handle(Some(profile));
        batch.set_is_idempotent(false);
        batch
    }

    /// Reads the rows of one partition, unpaged.
    pub(crate) async fn read(
        &self,
        verb: &'static str,
        table: &'static str,
        statement: &PreparedStatement,
        values: Values,
    ) -> StoreResult<Vec<StoredRow>> {
        self.counters.call(verb);
        self.connection.execute(table, statement, values).await
    }

    /// Reads one row.
    pub(crate) async fn read_one(
        &self,
        verb: &'static str,
        table: &'static str,
        statement: &PreparedStatement,
        values: Values,
    ) -> StoreResult<Option<StoredRow>> {
        let rows = self.read(verb, table, statement, values).await?;
        Ok(rows.into_iter().next())
    }

    /// Reads page by page, at most `limit` rows.
    pub(crate) async fn scan(
        &self,
        verb: &'static str,
        table: &'static str,
        statement: &PreparedStatement,
        values: Values,
        limit: usize,
    ) -> StoreResult<Vec<StoredRow>> {
        self.counters.call(verb);
        let session = &self.connection.session;
        let pager = session
            .execute_iter(statement.clone(), values)
            .await
            .map_err(driver_error::from_pager)?;
        let columns: Arc<[String]> = pager
            .column_specs()
            .iter()
            .map(|spec| spec.name().to_owned())
            .collect();
        let mut stream = pager
            .rows_stream::<Row>()
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let mut rows = Vec::new();
        while rows.len() < limit {
            match stream
                .try_next()
                .await
                .map_err(driver_error::from_next_row)?
            {
                Some(row) => rows.push(StoredRow::new(table, &columns, row)),
                None => break,
            }
        }
        Ok(rows)
    }

    /// Writes without a condition.
    pub(crate) async fn write(
        &self,
        verb: &'static str,
        statement: &PreparedStatement,
        values: Values,
    ) -> StoreResult<()> {
        self.counters.call(verb);
        let session = &self.connection.session;
        match session.execute_unpaged(statement, values).await {
            Ok(_) => Ok(()),
            Err(error) => Err(driver_error::from_execution(error)),
        }
    }

    /// Writes rows of one partition in one batch, without a condition.
    pub(crate) async fn write_rows(
        &self,
        verb: &'static str,
        statement: &PreparedStatement,
        values: Vec<Values>,
    ) -> StoreResult<()> {
        self.counters.call(verb);
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        for _ in &values {
            batch.append_statement(statement.clone());
        }
        match self.connection.session.batch(&batch, values).await {
            Ok(_) => Ok(()),
            Err(error) => Err(driver_error::from_execution(error)),
        }
    }
}

/// Awaits all futures, up to `at_once` concurrently, and returns their results in order, or the first error.
pub(crate) async fn all_of<T>(
    at_once: usize,
    futures: Vec<impl Future<Output = StoreResult<T>>>,
) -> StoreResult<Vec<T>> {
    stream::iter(futures).buffered(at_once).try_collect().await
}

/// Judges the answer to a compare-and-set that writes `token` into `column`.
pub(crate) fn judge(
    answer: Result<QueryResult, ExecutionError>,
    column: &'static str,
    token: Token,
) -> AttemptResult<()> {
    let mut rows = match refusal(answer)? {
        Attempt::Applied => return Ok(Attempt::Applied),
        Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
        Attempt::Lost(rows) => rows,
    };
    // Cassandra answers one row per condition, Scylla one per statement: any of them may have the token.
    for row in &mut rows {
        if row.take::<Uuid>(column)? == Some(token.0) {
            return Ok(Attempt::Applied);
        }
    }
    Ok(Attempt::Lost(()))
}

/// `Lost` has the rows of the refusal.
fn refusal(answer: Result<QueryResult, ExecutionError>) -> AttemptResult<Vec<StoredRow>> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            return match driver_error::classify_compare_and_set(error) {
                CompareAndSetFailure::Unknown(reason) => Ok(Attempt::Unknown(reason)),
                CompareAndSetFailure::Definite(error) => Err(error),
            };
        }
    };
    // An answer that cannot be read may say that the statement applied.
    let unreadable = |reason: String| Ok(Attempt::Unknown(reason));
    let mut rows = match StoredRow::all("compare-and-set", answer) {
        Ok(rows) => rows,
        Err(error) => return unreadable(error.to_string()),
    };
    let applied = match rows.first_mut() {
        Some(row) => row.take::<bool>("[applied]"),
        None => return unreadable("the answer has no row".to_owned()),
    };
    match applied {
        Ok(Some(true)) => Ok(Attempt::Applied),
        Ok(Some(false)) => Ok(Attempt::Lost(rows)),
        Ok(None) => unreadable("the answer does not say whether it was applied".to_owned()),
        Err(error) => unreadable(error.to_string()),
    }
}
