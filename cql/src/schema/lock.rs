//! The lock on the schema: the row `schema_lock`, whose fence grows with every holder.
//!
//! A holder shows that it is alive by advancing the row's counter `beat`. Another process waits until the counter has
//! stood still for a time on its own clock; clocks of different machines are never compared.

use std::time::Duration;

use scylla::statement::Statement;
use tracing::debug;
use weft_model::Token;
use weft_model::clock::{Clock, SystemClock};
use weft_model::ids::Ids;
use weft_store::{Attempt, StoreError, StoreResult};

use crate::connection::Connection;
use crate::request::judge;
use crate::statements::schema_lock;
use crate::values::Values;

/// A holder whose counter does not advance for this long counts as dead. A statement may take a minute, and the counter
/// advances between statements.
const DEAD_AFTER: Duration = Duration::from_secs(90);
/// Interval at which a waiting process reads the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Time after which a waiting process gives up.
const WAIT_AT_MOST: Duration = Duration::from_secs(300);
/// Number of times that a statement on the lock row is sent while its outcome is unknown.
const SENDINGS: u32 = 20;

/// The lock, held by this process.
pub(crate) struct SchemaLock<'a> {
    connection: &'a Connection,
    ids: Ids,
    holder: String,
    fence: i64,
    beat: i64,
    version: Option<i64>,
}

/// The row of the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LockRow {
    fence: Option<i64>,
    beat: Option<i64>,
    holder: Option<String>,
    version: Option<i64>,
}

impl<'a> SchemaLock<'a> {
    /// Waits until the lock is free or its holder counts as dead, and takes it.
    pub(crate) async fn acquire(connection: &'a Connection) -> StoreResult<Self> {
        let ids = Ids::from_system();
        let holder = ids.uuid().to_string();
        let started = SystemClock.monotonic();
        let mut last = LockRow::default();
        let mut unchanged_since = started;
        loop {
            let row = read(connection).await?;
            let now = SystemClock.monotonic();
            if row != last {
                last = row.clone();
                unchanged_since = now;
            }
            if row.holder.is_none() || now.saturating_sub(unchanged_since) >= DEAD_AFTER {
                let fence = row.fence.unwrap_or(0) + 1;
                let values = Values::new()
                    .set("to_fence", fence)
                    .set("holder", &holder)
                    .set("fence", row.fence)
                    .set("beat", row.beat)
                    .set("seen_holder", row.holder.as_ref());
                let statement = schema_lock::acquire(&connection.keyspaces, &connection.profiles);
                if settle(connection, &ids, &statement, values).await? {
                    return Ok(Self {
                        connection,
                        ids,
                        holder,
                        fence,
                        beat: 0,
                        version: row.version,
                    });
                }
            }
            if now.saturating_sub(started) >= WAIT_AT_MOST {
                return Err(StoreError::Unavailable(
                    "another process has held the schema lock for 5 minutes".to_owned(),
                ));
            }
            tokio::time::sleep(POLL_INTERVAL + ids.jitter(POLL_INTERVAL)).await;
        }
    }

    /// The completed schema version when the lock was taken.
    pub(crate) fn version(&self) -> Option<i64> {
        self.version
    }

    /// Runs statements that change the schema, and waits until all nodes have it.
    pub(crate) async fn run_all(&mut self, changes: Vec<Statement>) -> StoreResult<()> {
        for change in changes {
            run(self.connection, change).await?;
            self.heartbeat().await?;
        }
        self.connection.await_schema_agreement().await
    }

    async fn heartbeat(&mut self) -> StoreResult<()> {
        let values = Values::new()
            .set("to_beat", self.beat + 1)
            .set("beat", self.beat)
            .set("fence", self.fence);
        let connection = self.connection;
        let statement = schema_lock::heartbeat(&connection.keyspaces, &connection.profiles);
        self.settle_as_holder(&statement, values).await?;
        self.beat += 1;
        Ok(())
    }

    /// Releases the lock and records the completed version, if there is a new one.
    pub(crate) async fn release(&self, version: Option<i64>) -> StoreResult<()> {
        let values = Values::new()
            .set("fence", self.fence)
            .set("holder", &self.holder)
            .set_or_keep("version", version);
        let connection = self.connection;
        let statement = schema_lock::release(&connection.keyspaces, &connection.profiles);
        self.settle_as_holder(&statement, values).await
    }

    async fn settle_as_holder(&self, statement: &Statement, values: Values) -> StoreResult<()> {
        if settle(self.connection, &self.ids, statement, values).await? {
            return Ok(());
        }
        Err(StoreError::Unavailable(
            "another process took over the schema lock while the schema was changed, run it again"
                .to_owned(),
        ))
    }
}

/// Runs a statement that changes the schema. The driver then waits until all nodes have the change.
pub(crate) async fn run(connection: &Connection, change: Statement) -> StoreResult<()> {
    debug!("{}", change.contents);
    connection.query("schema", change, ()).await.map(|_| ())
}

async fn read(connection: &Connection) -> StoreResult<LockRow> {
    let statement = schema_lock::read(&connection.keyspaces, &connection.profiles);
    let rows = connection.query("schema_lock", statement, ()).await?;
    let Some(mut row) = rows.into_iter().next() else {
        return Ok(LockRow::default());
    };
    Ok(LockRow {
        fence: row.take("fence")?,
        beat: row.take("beat")?,
        holder: row.take("holder")?,
        version: row.take("version")?,
    })
}

/// Sends a statement on the lock row until its answer is definite, and returns whether it applied. The engine's
/// `settle` needs a store, which does not exist before the schema does. The rule is the same: the identical statement
/// is sent again, with the same token.
async fn settle(
    connection: &Connection,
    ids: &Ids,
    statement: &Statement,
    values: Values,
) -> StoreResult<bool> {
    const COLUMN: &str = "op_token";
    let token: Token = ids.token();
    let values = values.set(COLUMN, token);
    let mut reason = String::new();
    for _ in 0..SENDINGS {
        let session = &connection.session;
        let answer = session.query_unpaged(statement.clone(), &values).await;
        match judge(answer, COLUMN, token) {
            Ok(Attempt::Applied) => return Ok(true),
            Ok(Attempt::Lost(())) => return Ok(false),
            Ok(Attempt::Unknown(unknown)) => reason = unknown,
            Err(error) if error.is_transient() => reason = error.to_string(),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(25) + ids.jitter(POLL_INTERVAL)).await;
    }
    Err(StoreError::Unavailable(format!(
        "the schema lock does not answer: {reason}"
    )))
}
