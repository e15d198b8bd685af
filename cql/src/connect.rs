//! The session: where the cluster is, how statements are sent, and the four ways of sending one.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::timestamp_generator::TimestampGenerator;
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::Row;
use tokio::sync::MutexGuard;
use uuid::Uuid;
use weft_model::Token;
use weft_model::clock::{Clock, SystemClock};
use weft_store::{Attempt, AttemptResult, Counters, StoreError, StoreResult};

use crate::CassandraStore;
use crate::names::Names;
use crate::outcome::{self, CasFailure};
use crate::rows::{Found, Values};
use crate::statements::{Profiles, Statements};

/// How often an idle connection is tried, and how long it may take to answer. The driver's 30 s and 30 s
/// would leave a node a minute with a connection that answers nothing.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Which level compare-and-sets and SERIAL reads use. One per cluster: mixing them on a partition breaks
/// linearizability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SerialLevel {
    /// All data centres take part.
    Serial,
    /// The local data centre alone, as Fabric; all nodes must then be bound to one data centre.
    #[default]
    LocalSerial,
}

/// Where the cluster is and how it is spoken to.
#[derive(Clone)]
pub struct CassandraOptions {
    /// `host` or `host:port` of some nodes; the driver finds the others.
    pub contact_points: Vec<String>,
    /// Appended to the names of keyspaces (`[A-Za-z0-9]{1,20}`); empty = nothing is appended.
    pub cluster_id: String,
    /// The data centre of LOCAL_QUORUM and LOCAL_SERIAL; may be none where the cluster has only one.
    pub local_dc: Option<String>,
    /// The level of compare-and-sets.
    pub serial: SerialLevel,
    /// Copies of each row per data centre, used when keyspaces are created.
    pub replication_factor: u8,
    /// The user, where the cluster asks for one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// How long one request may take. More than the server's own 2 s, so that the server's answer is
    /// usually heard.
    pub request_timeout: Duration,
}

impl CassandraOptions {
    /// The defaults: LOCAL_SERIAL, one copy, 4 s, no cluster id, no user.
    pub fn at(contact_points: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            contact_points: contact_points.into_iter().map(Into::into).collect(),
            cluster_id: String::new(),
            local_dc: None,
            serial: SerialLevel::default(),
            replication_factor: 1,
            username: None,
            password: None,
            request_timeout: Duration::from_secs(4),
        }
    }
}

impl fmt::Debug for CassandraOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraOptions")
            .field("contact_points", &self.contact_points)
            .field("cluster_id", &self.cluster_id)
            .field("local_dc", &self.local_dc)
            .field("serial", &self.serial)
            .field("replication_factor", &self.replication_factor)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

/// Timestamps of plain writes: microseconds since 1970, growing even where the clock steps back.
#[derive(Debug, Default)]
pub(crate) struct Stamps(AtomicI64);

impl Stamps {
    /// Later stamps are larger than `stamp`.
    pub(crate) fn raise_to(&self, stamp: i64) {
        self.0.fetch_max(stamp, Ordering::AcqRel);
    }
}

impl TimestampGenerator for Stamps {
    fn next_timestamp(&self) -> i64 {
        let now = SystemClock.now().0.saturating_mul(1_000);
        let next = |last: i64| now.max(last.saturating_add(1));
        let mut last = self.0.load(Ordering::Acquire);
        loop {
            match self.0.compare_exchange_weak(
                last,
                next(last),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return next(last),
                Err(other) => last = other,
            }
        }
    }
}

/// A session without statements: what a migration needs.
pub(crate) struct Link {
    pub(crate) session: Session,
    pub(crate) profiles: Profiles,
    pub(crate) names: Names,
    pub(crate) stamps: Arc<Stamps>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where nobody answers, [`StoreError::Refused`] where an option is not valid.
    pub(crate) async fn open(options: &CassandraOptions) -> StoreResult<Self> {
        let names = Names::new(&options.cluster_id)?;
        if options.contact_points.is_empty() {
            return Err(StoreError::Refused("no contact point is given".to_owned()));
        }
        let (serial, serial_read) = match options.serial {
            SerialLevel::Serial => (SerialConsistency::Serial, Consistency::Serial),
            SerialLevel::LocalSerial => (SerialConsistency::LocalSerial, Consistency::LocalSerial),
        };
        let mut balancing = DefaultPolicy::builder().token_aware(true);
        if let Some(dc) = &options.local_dc {
            balancing = balancing
                .prefer_datacenter(dc.clone())
                .permit_dc_failover(false);
        }
        let base = ExecutionProfile::builder()
            .consistency(Consistency::LocalQuorum)
            .serial_consistency(Some(serial))
            .request_timeout(Some(options.request_timeout))
            .speculative_execution_policy(None)
            .load_balancing_policy(balancing.build());
        let plain = base
            .clone()
            .retry_policy(Arc::new(DefaultRetryPolicy::new()))
            .build()
            .into_handle();
        let compare_and_set = base
            .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
            .build()
            .into_handle();
        let stamps = Arc::new(Stamps::default());
        let mut builder = SessionBuilder::new()
            .known_nodes(&options.contact_points)
            .connection_timeout(options.request_timeout)
            .keepalive_interval(KEEPALIVE)
            .keepalive_timeout(KEEPALIVE)
            .default_execution_profile_handle(plain.clone())
            .timestamp_generator(Arc::clone(&stamps) as Arc<dyn TimestampGenerator>);
        if let (Some(user), Some(password)) = (&options.username, &options.password) {
            builder = builder.user(user, password);
        }
        let session = builder
            .build()
            .await
            .map_err(|error| outcome::of_session(&error))?;
        let state = session.get_cluster_state();
        let datacentres = state
            .get_nodes_info()
            .iter()
            .filter_map(|node| node.datacenter.clone());
        check_datacentre(&datacentres.collect(), options.local_dc.as_deref())?;
        Ok(Self {
            session,
            profiles: Profiles {
                plain,
                compare_and_set,
                serial: serial_read,
            },
            names,
            stamps,
        })
    }
}

/// LOCAL levels mean the data centre of whichever node is asked. With several of them and none chosen,
/// compare-and-sets of one partition would be decided in different places.
fn check_datacentre(found: &BTreeSet<String>, chosen: Option<&str>) -> StoreResult<()> {
    let names = || found.iter().cloned().collect::<Vec<_>>().join(", ");
    match chosen {
        Some(dc) if !found.is_empty() && !found.contains(dc) => Err(StoreError::Refused(format!(
            "the cluster has no data centre {dc}, it has {}",
            names()
        ))),
        None if found.len() > 1 => Err(StoreError::Refused(format!(
            "the cluster has several data centres ({}), choose the local one",
            names()
        ))),
        _ => Ok(()),
    }
}

/// One compare-and-set in flight per partition and process: racing with ourselves halves the throughput of
/// a partition and turns answers into Unknown.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<tokio::sync::Mutex<()>>);

impl Lanes {
    const COUNT: u16 = 1_024;

    pub(crate) fn new() -> Self {
        Self(
            (0..Self::COUNT)
                .map(|_| tokio::sync::Mutex::new(()))
                .collect(),
        )
    }

    async fn enter(&self, partition: impl Hash) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        partition.hash(&mut hasher);
        let lane = hasher.finish() % u64::from(Self::COUNT);
        self.0[usize::try_from(lane).unwrap_or(0)].lock().await
    }
}

impl CassandraStore {
    /// Connects and prepares every statement.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where nobody answers, [`StoreError::Schema`] where a table is absent,
    /// [`StoreError::Refused`] where an option is not valid.
    pub async fn connect(options: CassandraOptions) -> StoreResult<Self> {
        let link = Link::open(&options).await?;
        let statements = Statements::prepare(&link.session, &link.profiles, &link.names).await?;
        Ok(Self {
            link,
            statements,
            options,
            counters: Counters::default(),
            lanes: Lanes::new(),
            units: Mutex::default(),
            parsed: Mutex::default(),
            projected: Mutex::default(),
            stamped: tokio::sync::Mutex::default(),
        })
    }

    /// Sends a compare-and-set once. `token` is the column and the value that this attempt writes: found in
    /// a refusal it shows that an earlier sending applied.
    pub(crate) async fn compare_and_set(
        &self,
        verb: &'static str,
        partition: impl Hash,
        statement: &PreparedStatement,
        values: Values,
        (column, token): (&'static str, Token),
    ) -> AttemptResult<()> {
        let _lane = self.lanes.enter(partition).await;
        self.counters.compare_and_set(verb);
        let answer = self.link.session.execute_unpaged(statement, values).await;
        judge(answer, column, |found| found == token.0)
    }

    /// The same for a batch of statements on one partition.
    pub(crate) async fn compare_and_set_rows(
        &self,
        verb: &'static str,
        partition: impl Hash,
        batch: &scylla::statement::batch::Batch,
        values: impl scylla::serialize::batch::BatchValues,
        (column, token): (&'static str, Token),
    ) -> AttemptResult<()> {
        let _lane = self.lanes.enter(partition).await;
        self.counters.compare_and_set(verb);
        let answer = self.link.session.batch(batch, values).await;
        judge(answer, column, |found| found == token.0)
    }

    /// A compare-and-set whose refusal is told by a text column: what stands there now.
    pub(crate) async fn compare_and_set_text(
        &self,
        verb: &'static str,
        partition: impl Hash,
        statement: &PreparedStatement,
        values: Values,
        column: &'static str,
    ) -> AttemptResult<Option<String>> {
        let _lane = self.lanes.enter(partition).await;
        self.counters.compare_and_set(verb);
        let answer = self.link.session.execute_unpaged(statement, values).await;
        match refusal(answer)? {
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

    /// Reads the rows of one partition, unpaged.
    pub(crate) async fn read(
        &self,
        verb: &'static str,
        table: &'static str,
        statement: &PreparedStatement,
        values: Values,
    ) -> StoreResult<Vec<Found>> {
        self.counters.call(verb);
        let answer = self
            .link
            .session
            .execute_unpaged(statement, values)
            .await
            .map_err(|error| outcome::of_plain(&error))?;
        rows_of(table, answer)
    }

    /// Reads one row.
    pub(crate) async fn read_one(
        &self,
        verb: &'static str,
        table: &'static str,
        statement: &PreparedStatement,
        values: Values,
    ) -> StoreResult<Option<Found>> {
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
    ) -> StoreResult<Vec<Found>> {
        self.counters.call(verb);
        let pager = self
            .link
            .session
            .execute_iter(statement.clone(), values)
            .await
            .map_err(|error| outcome::of_pager(&error))?;
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
            let row = stream
                .try_next()
                .await
                .map_err(|error| outcome::of_page(&error))?;
            match row {
                Some(row) => rows.push(Found::new(table, &columns, row)),
                None => break,
            }
        }
        Ok(rows)
    }

    /// Writes rows of one partition plainly, all at once.
    pub(crate) async fn write_rows(
        &self,
        verb: &'static str,
        batch: &scylla::statement::batch::Batch,
        values: Vec<Values>,
    ) -> StoreResult<()> {
        self.counters.call(verb);
        self.link
            .session
            .batch(batch, values)
            .await
            .map(|_| ())
            .map_err(|error| outcome::of_plain(&error))
    }

    /// Writes plainly.
    pub(crate) async fn write(
        &self,
        verb: &'static str,
        statement: &PreparedStatement,
        values: Values,
    ) -> StoreResult<()> {
        self.counters.call(verb);
        self.link
            .session
            .execute_unpaged(statement, values)
            .await
            .map(|_| ())
            .map_err(|error| outcome::of_plain(&error))
    }
}

/// The next stamp of a plain write, and larger than `least`.
pub(crate) fn stamp_above(stamps: &Stamps, least: i64) -> i64 {
    stamps.next_timestamp().max(least.saturating_add(1))
}

/// Awaits all of them, some at once, in their order; the first error ends it.
pub(crate) async fn all_of<T>(
    at_once: usize,
    futures: Vec<impl Future<Output = StoreResult<T>>>,
) -> StoreResult<Vec<T>> {
    stream::iter(futures).buffered(at_once).try_collect().await
}

/// The rows of an answer that has some; an answer without rows has none.
pub(crate) fn rows_of(table: &'static str, answer: QueryResult) -> StoreResult<Vec<Found>> {
    if !answer.is_rows() {
        return Ok(Vec::new());
    }
    let rows = answer
        .into_rows_result()
        .map_err(|error| StoreError::Refused(format!("{table}: {error}")))?;
    Found::all(table, &rows)
}

/// Judges the answer to a compare-and-set that carries a token.
pub(crate) fn judge(
    answer: Result<QueryResult, ExecutionError>,
    column: &'static str,
    is_ours: impl Fn(Uuid) -> bool,
) -> AttemptResult<()> {
    let mut rows = match refusal(answer)? {
        Attempt::Applied => return Ok(Attempt::Applied),
        Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
        Attempt::Lost(rows) => rows,
    };
    // Cassandra answers one row per condition, Scylla one per statement: any of them may name the token.
    for row in &mut rows {
        if row.take::<Uuid>(column)?.is_some_and(&is_ours) {
            return Ok(Attempt::Applied);
        }
    }
    Ok(Attempt::Lost(()))
}

/// Applied, or the rows of the refusal.
fn refusal(answer: Result<QueryResult, ExecutionError>) -> AttemptResult<Vec<Found>> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            return match outcome::of_compare_and_set(&error) {
                CasFailure::Unknown(reason) => Ok(Attempt::Unknown(reason)),
                CasFailure::Definite(error) => Err(error),
            };
        }
    };
    // An answer that cannot be read may be a yes.
    let unreadable = |reason: String| Ok(Attempt::Unknown(reason));
    let mut rows = match rows_of("compare-and-set", answer) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow() {
        let stamps = Stamps::default();
        let first = stamps.next_timestamp();
        assert!(stamps.next_timestamp() > first);
        stamps.raise_to(first + 1_000_000_000);
        assert_eq!(stamps.next_timestamp(), first + 1_000_000_001);
    }

    #[test]
    fn several_data_centres_need_a_choice() {
        let one = BTreeSet::from(["dc1".to_owned()]);
        let two = BTreeSet::from(["dc1".to_owned(), "dc2".to_owned()]);
        assert!(check_datacentre(&one, None).is_ok());
        assert!(check_datacentre(&two, None).is_err());
        assert!(check_datacentre(&two, Some("dc2")).is_ok());
        assert!(check_datacentre(&one, Some("dc2")).is_err());
    }

    #[test]
    fn a_password_is_not_shown() {
        let mut options = CassandraOptions::at(["127.0.0.1"]);
        options.password = Some("hunter2".to_owned());
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
