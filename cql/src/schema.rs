//! The two doors of the schema (docs/design/protocol.md): migration, and the keyspaces of logical units.
//!
//! Both hold the row `schema_lock`, whose fence grows with every holder. A holder shows that it lives by a
//! beat that moves; nobody compares clocks. What is done under the lock is harmless when done twice
//! (IF NOT EXISTS with fixed ids), so a holder that was replaced while it slept breaks nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use scylla::statement::Statement;
use tracing::{debug, info};
use uuid::Uuid;
use weft_model::clock::{Clock, SystemClock};
use weft_model::ids::Ids;
use weft_model::{ParsedTable, Token};
use weft_store::{Attempt, SCHEMA_VERSION, StoreError, StoreResult};

use crate::connect::{CassandraOptions, Link, judge, rows_of};
use crate::outcome;
use crate::rows::Values;
use crate::statements::{cluster, lock, parsed, schema_change, schema_changes};

const LOCK: &str = include_str!("../schema/0000_lock.cql");
const TABLES: &str = include_str!("../schema/0001_tables.cql");
const JOB_COLUMNS: &str = include_str!("../schema/0002_jobs.cql");
const TRIGGER_COLUMNS: &str = include_str!("../schema/0004_triggers.cql");
const FOLLOWERS: &str = include_str!("../schema/0004_followers.cql");
const CHECKPOINTS: &str = include_str!("../schema/0003_checkpoints.cql");
const SETTINGS: &str = include_str!("../schema/0005_settings.cql");
const UNIT: &str = include_str!("../schema/logical_unit.cql");

/// A holder whose beat stands still so long is taken to be dead. One statement may take a minute, and a
/// beat comes between statements.
const DEAD_AFTER: Duration = Duration::from_secs(90);
/// How often the lock is looked at by those who wait.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long to wait for the lock in all.
const WAIT_AT_MOST: Duration = Duration::from_secs(300);
/// How often an uncertain statement on the lock row is sent again.
const SENDINGS: u32 = 20;

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// The version found; none where there was no schema.
    pub from: Option<i64>,
    /// The version that is complete now.
    pub to: i64,
    /// How many statements were run; 0 where nothing was to be done.
    pub statements: usize,
    /// The keyspaces of this cluster id.
    pub keyspaces: Vec<String>,
}

/// Makes the tables that are missing and writes the version last. Safe to run by several at once.
///
/// # Errors
/// [`StoreError::Schema`] where the schema is newer than this program, [`StoreError::Unavailable`] where the
/// cluster does not answer or somebody else holds the lock for minutes.
pub async fn migrate(options: &CassandraOptions) -> StoreResult<MigrationReport> {
    let link = Link::open(options).await?;
    for change in schema_changes(LOCK, &link.names, None, options.replication_factor) {
        run(&link, change).await?;
    }
    link.session
        .await_schema_agreement()
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let mut held = Held::take(&link).await?;
    let from = held.version;
    let done = bring_up(&mut held, options, from).await;
    let version = done.as_ref().ok().map(|_| SCHEMA_VERSION);
    // Also after a failure: the next one shall not have to wait until this holder is taken to be dead.
    let released = held.release(version).await;
    let statements = done?;
    released?;
    Ok(MigrationReport {
        from,
        to: SCHEMA_VERSION,
        statements,
        keyspaces: vec![link.names.system.clone(), link.names.batch.clone()],
    })
}

async fn bring_up(
    held: &mut Held<'_>,
    options: &CassandraOptions,
    from: Option<i64>,
) -> StoreResult<usize> {
    match from {
        Some(version) if version > SCHEMA_VERSION => {
            return Err(StoreError::Schema(format!(
                "the schema has version {version}, this program knows {SCHEMA_VERSION}: use a newer weft"
            )));
        }
        Some(SCHEMA_VERSION) => return Ok(0),
        _ => (),
    }
    let changes = |file| schema_changes(file, &held.link.names, None, options.replication_factor);
    let all = |files: &[&'static str]| -> Vec<_> {
        files.iter().flat_map(|file| changes(file)).collect()
    };
    let tables = all(&[TABLES, CHECKPOINTS, FOLLOWERS, SETTINGS]);
    let columns = all(&[JOB_COLUMNS, TRIGGER_COLUMNS]);
    let mut count = tables.len();
    held.run_all(tables).await?;
    let missing = missing_columns(held.link, columns).await?;
    count += missing.len();
    held.run_all(missing).await?;
    info!("The schema has version {SCHEMA_VERSION} now");
    Ok(count)
}

/// Those of the statements `ALTER TABLE keyspace.table ADD column type` whose column is not there yet. Only the
/// holder of the lock changes columns, and not every server knows IF NOT EXISTS here.
async fn missing_columns(link: &Link, changes: Vec<Statement>) -> StoreResult<Vec<Statement>> {
    let mut missing = Vec::new();
    for change in changes {
        let words: Vec<&str> = change.contents.split_whitespace().collect();
        let (Some((keyspace, table)), Some(column)) = (
            words.get(2).and_then(|name| name.split_once('.')),
            words.get(4),
        ) else {
            return Err(StoreError::Schema(format!(
                "`{}` adds no column",
                change.contents
            )));
        };
        let values = Values::new()
            .set("keyspace_name", keyspace)
            .set("table_name", table);
        let answer = link
            .session
            .query_unpaged(cluster::COLUMNS, values)
            .await
            .map_err(|error| outcome::of_plain(&error))?;
        let mut is_there = false;
        for mut row in rows_of("system_schema.columns", answer)? {
            is_there |= row.need::<String>("column_name")? == *column;
        }
        if !is_there {
            missing.push(change);
        }
    }
    Ok(missing)
}

/// Makes the keyspaces of logical units that are not there yet.
pub(crate) async fn make_units(
    link: &Link,
    options: &CassandraOptions,
    logical_units: &[String],
) -> StoreResult<()> {
    let mut keyspaces: Vec<(String, &String)> = Vec::new();
    for logical_unit in logical_units {
        let keyspace = link.names.unit(logical_unit)?;
        match keyspaces.iter().find(|(known, _)| *known == keyspace) {
            Some((_, other)) if *other != logical_unit => {
                return Err(StoreError::Refused(format!(
                    "logical units {other} and {logical_unit} would share the keyspace {keyspace}"
                )));
            }
            Some(_) => (),
            None => keyspaces.push((keyspace, logical_unit)),
        }
    }
    let mut missing = Vec::new();
    for (keyspace, _) in keyspaces {
        if !is_complete(link, &keyspace).await? {
            missing.push(keyspace);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut held = Held::take(link).await?;
    let mut changes = Vec::new();
    for keyspace in &missing {
        changes.extend(schema_changes(
            UNIT,
            &link.names,
            Some(keyspace),
            options.replication_factor,
        ));
    }
    let done = held.run_all(changes).await;
    let released = held.release(None).await;
    done.and(released)
}

/// Makes the tables of parsers that are not there yet, and adds columns that are new.
pub(crate) async fn make_parsed(link: &Link, tables: &[ParsedTable]) -> StoreResult<()> {
    if changes_of(link, tables).await?.is_empty() {
        return Ok(());
    }
    let mut held = Held::take(link).await?;
    let done = match changes_of(link, tables).await {
        Ok(changes) => held.run_all(changes).await,
        Err(error) => Err(error),
    };
    let released = held.release(None).await;
    done.and(released)
}

/// What is missing of these tables. Columns are added by the holder of the lock alone.
async fn changes_of(link: &Link, tables: &[ParsedTable]) -> StoreResult<Vec<Statement>> {
    let mut changes = Vec::new();
    for table in tables {
        let keyspace = link.names.unit(&table.logical_unit)?;
        let values = Values::new()
            .set("keyspace_name", keyspace.as_str())
            .set("table_name", table.name.as_str());
        let answer = link
            .session
            .query_unpaged(cluster::COLUMNS, values)
            .await
            .map_err(|error| outcome::of_plain(&error))?;
        let mut found = BTreeMap::new();
        for mut row in rows_of("system_schema.columns", answer)? {
            let column: String = row.need("column_name")?;
            let (kind, role): (String, String) = (row.need("type")?, row.need("kind")?);
            found.insert(column, (kind, role));
        }
        if found.is_empty() {
            let id = link.names.table_id(&keyspace, &table.name).to_string();
            changes.push(schema_change(parsed::create(&keyspace, table, &id)));
            continue;
        }
        let partition = parsed::partition_key(table);
        let role = |column: &str| match column {
            _ if partition.contains(&column) => "partition_key",
            _ if parsed::clustering_key(table).contains(&column) => "clustering",
            _ => "regular",
        };
        for (column, (_, found_role)) in &found {
            if found_role != "regular" && found_role != role(column) {
                return Err(StoreError::conflicting_parsed_table(table, column));
            }
        }
        for (column, kind) in parsed::columns(table) {
            match found.get(column) {
                Some((found, found_role)) if found == kind && found_role == role(column) => {}
                None if role(column) == "regular" => {
                    changes.push(schema_change(parsed::add(&keyspace, table, column, kind)));
                }
                _ => return Err(StoreError::conflicting_parsed_table(table, column)),
            }
        }
    }
    Ok(changes)
}

/// Both tables of the keyspace are there.
async fn is_complete(link: &Link, keyspace: &str) -> StoreResult<bool> {
    let answer = link
        .session
        .query_unpaged(
            cluster::TABLES,
            Values::new().set("keyspace_name", keyspace),
        )
        .await
        .map_err(|error| outcome::of_plain(&error))?;
    Ok(rows_of("system_schema.tables", answer)?.len() >= 2)
}

async fn run(link: &Link, change: Statement) -> StoreResult<()> {
    debug!("{}", change.contents);
    // The driver waits for agreement behind each change of the schema.
    link.session
        .query_unpaged(change, ())
        .await
        .map(|_| ())
        .map_err(|error| outcome::of_plain(&error))
}

/// The lock, held.
struct Held<'a> {
    link: &'a Link,
    ids: Ids,
    holder: String,
    fence: i64,
    beat: i64,
    version: Option<i64>,
}

/// The row of the lock as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    fence: Option<i64>,
    beat: Option<i64>,
    holder: Option<String>,
    version: Option<i64>,
}

impl<'a> Held<'a> {
    /// Waits until nobody holds it, or its holder's beat stands still.
    async fn take(link: &'a Link) -> StoreResult<Self> {
        let ids = Ids::from_system();
        let holder = ids.uuid().to_string();
        let began = SystemClock.monotonic();
        let mut last = Seen::default();
        let mut unchanged_since = began;
        loop {
            let seen = read(link).await?;
            let now = SystemClock.monotonic();
            if seen != last {
                last = seen.clone();
                unchanged_since = now;
            }
            if seen.holder.is_none() || now.saturating_sub(unchanged_since) >= DEAD_AFTER {
                let token = ids.token();
                let values = Values::new()
                    .set("to_fence", seen.fence.unwrap_or(0) + 1)
                    .set("holder", &holder)
                    .set("op_token", token)
                    .set("fence", seen.fence)
                    .set("beat", seen.beat)
                    .set("seen_holder", seen.holder.as_ref());
                let statement = lock::take(&link.names, &link.profiles);
                if settle(link, &ids, &statement, &values, token).await? {
                    return Ok(Self {
                        link,
                        ids,
                        holder,
                        fence: seen.fence.unwrap_or(0) + 1,
                        beat: 0,
                        version: seen.version,
                    });
                }
            }
            if now.saturating_sub(began) >= WAIT_AT_MOST {
                return Err(StoreError::Unavailable(
                    "somebody else has changed the schema for 5 minutes".to_owned(),
                ));
            }
            tokio::time::sleep(LOOK_EVERY + ids.jitter(LOOK_EVERY)).await;
        }
    }

    async fn run_all(&mut self, changes: Vec<Statement>) -> StoreResult<()> {
        for change in changes {
            run(self.link, change).await?;
            self.show_life().await?;
        }
        self.link
            .session
            .await_schema_agreement()
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(())
    }

    async fn show_life(&mut self) -> StoreResult<()> {
        let token = self.ids.token();
        let values = Values::new()
            .set("to_beat", self.beat + 1)
            .set("beat", self.beat)
            .set("fence", self.fence)
            .set("op_token", token);
        let statement = lock::beat(&self.link.names, &self.link.profiles);
        if !settle(self.link, &self.ids, &statement, &values, token).await? {
            return Err(replaced());
        }
        self.beat += 1;
        Ok(())
    }

    /// Lets go and writes the version that is complete, where there is a new one.
    async fn release(&self, version: Option<i64>) -> StoreResult<()> {
        let token = self.ids.token();
        let values = Values::new()
            .set("fence", self.fence)
            .set("holder", &self.holder)
            .set_or_keep("version", version)
            .set("op_token", token);
        let statement = lock::release(&self.link.names, &self.link.profiles);
        if settle(self.link, &self.ids, &statement, &values, token).await? {
            Ok(())
        } else {
            Err(replaced())
        }
    }
}

fn replaced() -> StoreError {
    StoreError::Unavailable(
        "the schema lock was taken over while the schema was changed, run it again".to_owned(),
    )
}

async fn read(link: &Link) -> StoreResult<Seen> {
    let answer = link
        .session
        .query_unpaged(lock::read(&link.names, &link.profiles), ())
        .await
        .map_err(|error| outcome::of_plain(&error))?;
    let row = rows_of("schema_lock", answer)?.into_iter().next();
    let Some(mut row) = row else {
        return Ok(Seen::default());
    };
    Ok(Seen {
        fence: row.take("fence")?,
        beat: row.take("beat")?,
        holder: row.take("holder")?,
        version: row.take("version")?,
    })
}

/// Sends a statement on the lock row until its answer is definite. The engine's `settle` is for the verbs of
/// the store, which do not work before the schema is there; the rule is the same: the identical statement.
async fn settle(
    link: &Link,
    ids: &Ids,
    statement: &Statement,
    values: &Values,
    token: Token,
) -> StoreResult<bool> {
    let mut reason = String::new();
    for _ in 0..SENDINGS {
        let answer = link.session.query_unpaged(statement.clone(), values).await;
        match judge(answer, "op_token", |found: Uuid| found == token.0) {
            Ok(Attempt::Applied) => return Ok(true),
            Ok(Attempt::Lost(())) => return Ok(false),
            Ok(Attempt::Unknown(unknown)) => reason = unknown,
            Err(error) if error.is_transient() => reason = error.to_string(),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(25) + ids.jitter(LOOK_EVERY)).await;
    }
    Err(StoreError::Unavailable(format!(
        "the schema lock does not answer: {reason}"
    )))
}
