//! An interface whose queries run in SQLite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Row, Rows as SqlRows, Statement};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use weft_model::Value;
use weft_model::clock::SharedClock;

use super::bad_cells;
use super::guard::{self, Failure};
use super::pager::Pager;
use super::pool::{Link, Pool, Source};
use super::{Limits, sql};
use crate::source::{
    IdPage, IdStream, Interface, Parameters, RowLimits, RowStream, Rows, SourceError,
};
use crate::sqlite_value::{from_sqlite, to_sqlite};

/// The number of pages that wait for the receiver.
const PAGES_IN_FLIGHT: usize = 4;
/// The number of rows in a page of a stream.
const ROWS_PER_PAGE: usize = 256;
/// The number of steps of SQLite's virtual machine between two checks whether the query should stop.
const STEPS_BETWEEN_CHECKS: i32 = 2_000;

/// The message that Fabric reports for such a query.
const ONE_COLUMN: &str = "The query must return one column only.";

/// Implements `Interface` over a [`Source`].
#[derive(Debug)]
pub(super) struct SqlInterface {
    name: Arc<str>,
    source: Arc<dyn Source>,
    pool: Pool,
    limits: Limits,
    clock: SharedClock,
}

impl SqlInterface {
    pub(super) fn new(
        name: &str,
        source: Arc<dyn Source>,
        limits: Limits,
        clock: SharedClock,
    ) -> Self {
        let pool = Pool::new(thread_name(name), limits.connections, Arc::clone(&source));
        Self {
            name: name.into(),
            source,
            pool,
            limits,
            clock,
        }
    }

    fn query(&self, sql: &str, parameters: Vec<Value>) -> Query {
        Query {
            name: Arc::clone(&self.name),
            source: Arc::clone(&self.source),
            sql: sql.to_owned(),
            parameters,
            runtime: Handle::try_current().ok(),
        }
    }

    /// Runs `work` on a thread of the pool, until the caller is dropped or the time limit is over.
    async fn run_on_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(sender);
        let clock = Arc::clone(&self.clock);
        let limit = Duration::from_secs(self.limits.seconds);
        let runtime = Handle::try_current().ok();
        self.pool.run(move |link| {
            // Parsed tables block on the store, which needs the runtime.
            let _inside = runtime.as_ref().map(Handle::enter);
            let until = clock.monotonic() + limit;
            let waiting = Arc::clone(&sender);
            let timed_out = {
                let clock = Arc::clone(&clock);
                move || clock.monotonic() >= until
            };
            let stop = {
                let timed_out = timed_out.clone();
                move || waiting.is_closed() || timed_out()
            };
            let answer = with_stop(link, stop, work);
            let answer = match answer {
                Err(Failure::Query(_)) if timed_out() => Err(Failure::Unavailable(format!(
                    "the query took longer than {} s",
                    limit.as_secs()
                ))),
                other => other,
            };
            if let Some(sender) = Arc::into_inner(sender) {
                // If the caller was dropped, the answer is not needed.
                let _ = sender.send(answer);
            }
        });
        match receiver.await {
            Ok(answer) => answer.map_err(|failure| error(&self.name, failure)),
            Err(_) => Err(error(
                &self.name,
                Failure::Unavailable("no thread could be started".to_owned()),
            )),
        }
    }
}

#[async_trait]
impl Interface for SqlInterface {
    fn kind(&self) -> &'static str {
        self.source.kind()
    }

    async fn ids(
        &self,
        sql: &str,
        parameters: Vec<Value>,
        _after: Option<String>,
    ) -> Result<IdStream, SourceError> {
        self.query(sql, parameters).start(Query::ids).await
    }

    async fn rows(&self, sql: &str, parameters: Vec<Value>) -> Result<RowStream, SourceError> {
        self.query(sql, parameters).start(Query::rows).await
    }

    async fn query_within(
        &self,
        sql: &str,
        parameters: Parameters,
        limits: RowLimits,
    ) -> Result<Rows, SourceError> {
        let sql = sql.to_owned();
        let limits = RowLimits {
            rows: limits.rows.min(self.limits.rows),
            ..limits
        };
        self.run_on_pool(move |connection| all_rows(connection, &sql, parameters, limits))
            .await
    }

    async fn check(&self, sql: &str) -> Result<Vec<String>, SourceError> {
        let sql = sql.to_owned();
        self.run_on_pool(move |connection| {
            let statement = guard::prepare(connection, &sql)?;
            Ok(column_names(&statement))
        })
        .await
    }
}

fn thread_name(interface: &str) -> String {
    format!("weft-interface-{interface}")
}

fn error(interface: &str, failure: Failure) -> SourceError {
    let interface = interface.to_owned();
    match failure {
        Failure::Query(message) => SourceError::Query { interface, message },
        Failure::Unavailable(message) => SourceError::Unavailable { interface, message },
        Failure::Store(outage) => SourceError::Store { interface, outage },
    }
}

/// Runs `work` on the connection of the link, and interrupts it when `stop` returns true.
fn with_stop<T>(
    link: &mut Link,
    stop: impl FnMut() -> bool + Send + 'static,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    bad_cells::begin();
    let connection = link.connection()?;
    connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(stop))?;
    let answer = work(connection);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    // A source that was overwritten can also look malformed, or without its tables.
    link.check_version()?;
    answer.map_err(|failure| link.explain(failure))
}

fn all_rows(
    connection: &Connection,
    query: &str,
    parameters: Parameters,
    limits: RowLimits,
) -> Result<Rows, Failure> {
    let (mut statement, values) = match parameters {
        Parameters::Positional(values) => (guard::prepare(connection, query)?, values),
        Parameters::Set { name, values } => {
            if !sql::named_parameters(query).contains(&name) {
                return Err(Failure::Query(format!(
                    "the query has no parameter :{name}"
                )));
            }
            let (expanded, values) = sql::expand_set(query, &name, values);
            (guard::prepare(connection, &expanded)?, values)
        }
        Parameters::Named(named) => {
            let statement = guard::prepare(connection, query)?;
            let values = named_values(&statement, named)?;
            (statement, values)
        }
    };
    let columns = column_names(&statement);
    let mut answer = Rows {
        columns,
        ..Rows::default()
    };
    let mut rows = bind(&mut statement, &values)?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if answer.rows.len() == limits.rows {
            return Err(Failure::Query(format!(
                "the query returns more than {} rows",
                limits.rows
            )));
        }
        let values = match row_values(row, &answer.columns, answer.rows.len())? {
            Ok(values) => values,
            Err(reason) if limits.bad_rows => {
                answer.bad.insert(answer.rows.len(), reason);
                readable_values(row, answer.columns.len())?
            }
            Err(reason) => return Err(Failure::Query(reason)),
        };
        bytes += values.iter().map(size_of_value).sum::<usize>();
        if bytes > limits.bytes {
            return Err(Failure::Query(format!(
                "the query returns more than {} bytes",
                limits.bytes
            )));
        }
        answer.rows.push(values);
    }
    match bad_cells::used() {
        Some(reason) => Err(Failure::Query(reason)),
        None => Ok(answer),
    }
}

/// The values of a row, or the reason why a cell of it cannot be read. `index` counts the rows of the answer.
fn row_values(
    row: &Row<'_>,
    columns: &[String],
    index: usize,
) -> Result<Result<Vec<Value>, String>, Failure> {
    let mut values = Vec::with_capacity(columns.len());
    for (at, name) in columns.iter().enumerate() {
        let cell = row.get_ref(at)?;
        if let ValueRef::Blob(blob) = cell
            && let Some(reason) = bad_cells::reason_of(blob)
        {
            return Ok(Err(reason));
        }
        match from_sqlite(cell) {
            Ok(value) => values.push(value),
            Err(_) => {
                let row = index + 1;
                return Ok(Err(format!("row {row}, column `{name}`: not UTF-8")));
            }
        }
    }
    Ok(Ok(values))
}

/// The values of a row that can be read, with NULL for the others.
fn readable_values(row: &Row<'_>, width: usize) -> Result<Vec<Value>, Failure> {
    let mut values = Vec::with_capacity(width);
    for at in 0..width {
        let cell = row.get_ref(at)?;
        let is_bad = matches!(cell, ValueRef::Blob(blob) if bad_cells::reason_of(blob).is_some());
        let value = if is_bad {
            Value::Null
        } else {
            from_sqlite(cell).unwrap_or_default()
        };
        values.push(value);
    }
    Ok(values)
}

/// The values of a row of a stream, which ends with the first one that cannot be read.
fn stream_values(row: &Row<'_>, columns: &[String], index: usize) -> Result<Vec<Value>, Failure> {
    let values = row_values(row, columns, index)?.map_err(Failure::Query)?;
    match bad_cells::used() {
        Some(reason) => Err(Failure::Query(reason)),
        None => Ok(values),
    }
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Integer(_) | Value::Real(_) => size_of::<i64>(),
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
    }
}

fn column_names(statement: &CachedStatement<'_>) -> Vec<String> {
    statement.column_names().map(str::to_owned).collect()
}

/// The values of named parameters, ordered by parameter number.
fn named_values(
    statement: &Statement<'_>,
    named: Vec<(String, Value)>,
) -> Result<Vec<Value>, Failure> {
    (1..=statement.parameter_count())
        .map(|number| {
            let name = statement.parameter_name(number).unwrap_or("?");
            let bare = name.trim_start_matches([':', '@', '$']);
            named
                .iter()
                .find(|(given, _)| given == bare)
                .map(|(_, value)| value.clone())
                .ok_or_else(|| Failure::Query(format!("no value for parameter {name}")))
        })
        .collect()
}

fn bind<'s>(statement: &'s mut Statement<'_>, values: &[Value]) -> Result<SqlRows<'s>, Failure> {
    let wanted = statement.parameter_count();
    if wanted != values.len() {
        let given = values.len();
        return Err(Failure::Query(format!(
            "the query has {wanted} parameters, and {given} values were given"
        )));
    }
    for (index, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(to_sqlite(value)))?;
    }
    Ok(statement.raw_query())
}

/// Reports that a query is prepared, or why it is not.
type Ready = oneshot::Sender<Result<(), SourceError>>;
/// Receives the pages of a query.
type Pages<P> = mpsc::Sender<Result<P, SourceError>>;

/// A query that streams its result from its own thread and connection.
struct Query {
    name: Arc<str>,
    source: Arc<dyn Source>,
    sql: String,
    parameters: Vec<Value>,
    runtime: Option<Handle>,
}

impl Query {
    /// Starts the thread, and returns when the query is prepared.
    async fn start<P: Send + 'static>(
        self,
        run: fn(Self, Ready, Pages<P>),
    ) -> Result<mpsc::Receiver<Result<P, SourceError>>, SourceError> {
        let (pages, stream) = mpsc::channel(PAGES_IN_FLIGHT);
        let (ready, prepared) = oneshot::channel();
        let name = Arc::clone(&self.name);
        let started = std::thread::Builder::new()
            .name(thread_name(&name))
            .spawn(move || run(self, ready, pages));
        let failed = |reason: String| error(&name, Failure::Unavailable(reason));
        started.map_err(|reason| failed(format!("no thread could be started: {reason}")))?;
        match prepared.await {
            Ok(answer) => answer.map(|()| stream),
            Err(_) => Err(failed("the reader ended early".to_owned())),
        }
    }

    fn rows(self, ready: Ready, pages: Pages<Rows>) {
        self.run(ready, &pages, |_| Ok(()), send_rows);
    }

    fn ids(self, ready: Ready, pages: Pages<IdPage>) {
        let check = |columns: &[String]| match columns {
            [_] => Ok(()),
            _ => Err(Failure::Query(ONE_COLUMN.to_owned())),
        };
        self.run(ready, &pages, check, |rows, columns, pages| {
            self.deliver(rows, &columns, pages.clone())
        });
    }

    /// Prepares the query, reports that it is prepared, and sends its result. An error goes to `ready` before that
    /// moment and to `pages` after it.
    fn run<P: Send + 'static>(
        &self,
        ready: Ready,
        pages: &Pages<P>,
        check: impl FnOnce(&[String]) -> Result<(), Failure>,
        send: impl FnOnce(SqlRows<'_>, Vec<String>, &Pages<P>) -> Result<(), Failure>,
    ) {
        let _inside = self.runtime.as_ref().map(Handle::enter);
        let mut link = Link::new(Arc::clone(&self.source));
        let receiver_gone = {
            // A weak sender would not notice that the receiver is gone after the last strong sender is dropped.
            let pages = pages.clone();
            move || pages.is_closed()
        };
        let mut ready = Some(ready);
        let outcome = with_stop(&mut link, receiver_gone, |connection| {
            let mut statement = guard::prepare(connection, &self.sql)?;
            let columns = column_names(&statement);
            check(&columns)?;
            let rows = bind(&mut statement, &self.parameters)?;
            if let Some(ready) = ready.take() {
                let _ = ready.send(Ok(()));
            }
            send(rows, columns, pages)
        });
        let Err(failure) = outcome else { return };
        let error = error(&self.name, failure);
        match ready {
            Some(ready) => {
                let _ = ready.send(Err(error));
            }
            // The receiver may be gone.
            None => {
                let _ = pages.blocking_send(Err(error));
            }
        }
    }

    fn deliver(
        &self,
        rows: SqlRows<'_>,
        columns: &[String],
        pages: Pages<IdPage>,
    ) -> Result<(), Failure> {
        let pager = Pager::new();
        let delivering = pager.clone();
        let no_thread = pages.clone();
        let delivery = std::thread::Builder::new()
            .name(thread_name(&self.name))
            .spawn(move || delivering.deliver(&pages));
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(reason) => {
                let failure = Failure::Unavailable(format!("no thread could be started: {reason}"));
                let _ = no_thread.blocking_send(Err(error(&self.name, failure)));
                return Ok(());
            }
        };
        drop(no_thread);
        let mut ending = Ending {
            pager: &pager,
            error: Some(error(
                &self.name,
                Failure::Unavailable("the reader ended early".to_owned()),
            )),
        };
        let outcome = read_ids(rows, columns, &pager);
        ending.error = outcome.err().map(|failure| error(&self.name, failure));
        drop(ending);
        // The thread ends when the last page is received or the receiver is gone.
        let _ = delivery.join();
        Ok(())
    }
}

fn send_rows(
    mut rows: SqlRows<'_>,
    columns: Vec<String>,
    pages: &Pages<Rows>,
) -> Result<(), Failure> {
    let mut page = Vec::new();
    let mut count = 0;
    loop {
        let row = rows.next()?;
        if let Some(row) = row {
            page.push(stream_values(row, &columns, count)?);
            count += 1;
        }
        let is_end = row.is_none();
        if let Some(reason) = bad_cells::used().filter(|_| is_end) {
            return Err(Failure::Query(reason));
        }
        if page.len() == ROWS_PER_PAGE || (is_end && !page.is_empty()) {
            let page = Rows {
                columns: columns.clone(),
                rows: std::mem::take(&mut page),
                bad: BTreeMap::new(),
            };
            if pages.blocking_send(Ok(page)).is_err() {
                return Ok(());
            }
        }
        if is_end {
            return Ok(());
        }
    }
}

fn read_ids(mut rows: SqlRows<'_>, columns: &[String], pager: &Pager) -> Result<(), Failure> {
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let id = stream_values(row, columns, count)?;
        count += 1;
        if id == [Value::Null] {
            return Err(Failure::Query(format!("row {count} has no id: it is NULL")));
        }
        if !id.iter().all(|id| pager.push(id.to_string())) {
            return Ok(());
        }
    }
    match bad_cells::used() {
        Some(reason) => Err(Failure::Query(reason)),
        None => Ok(()),
    }
}

/// Ends the pager even if the reader panics, so that an incomplete list never looks complete.
struct Ending<'a> {
    pager: &'a Pager,
    error: Option<SourceError>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.pager.end(self.error.take());
    }
}
