//! SELECT on attached instances: their images side by side, read-only, on a thread of its own.

use std::io::Cursor;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle, MAIN_DB};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weft_model::{Instance, Session, real_to_json};
use weft_project::sync::open_image;

use crate::commands::Execution;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;
use crate::services::Services;

/// How many rows are shown at most.
const ROWS: usize = 10_000;
/// How long a query may take.
const PATIENCE: Duration = Duration::from_secs(60);
const IN_FLIGHT: usize = 64;
/// The longest value, so that `zeroblob(…)` takes little memory.
const VALUE_BYTES: i32 = 16 * 1024 * 1024;
/// SQLite attaches ten databases at once unless it is built for more.
const ATTACHED: usize = 10;

/// A query, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelectRequest(pub(crate) String);

needs!(Read: SelectRequest);

enum Answer {
    /// The query can be interrupted from now on.
    Started(InterruptHandle),
    Columns(Vec<String>),
    Row(Vec<Value>),
    /// There are more rows than are shown.
    Cut,
    Failed(String),
}

/// Runs a query on the attached instances.
///
/// # Errors
/// No instance is attached, or SQLite refuses the query.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<SelectRequest>,
) -> Result<(), Refusal> {
    let Execution {
        services,
        session,
        output,
        stop,
    } = execution;
    let instances = attached(services, session).await?;
    let (sender, mut answers) = mpsc::channel(IN_FLIGHT);
    let SelectRequest(sql) = permit.request().clone();
    let started = std::thread::Builder::new()
        .name("weft-select".to_owned())
        .spawn(move || answer(&instances, &sql, &sender));
    started.map_err(|error| Refusal::failed(format!("no thread could be started: {error}")))?;
    let mut interrupt: Option<InterruptHandle> = None;
    let late = tokio::time::sleep(PATIENCE);
    tokio::pin!(late);
    let end = loop {
        let answer = tokio::select! {
            biased;
            () = stop.cancelled() => break Err(Refusal::failed("stopped")),
            () = output.gone() => break Err(Refusal::failed("stopped")),
            () = &mut late => {
                let seconds = PATIENCE.as_secs();
                break Err(Refusal::failed(format!("the query took longer than {seconds} s and was stopped")));
            }
            answer = answers.recv() => answer,
        };
        match answer {
            None => break Ok(()),
            Some(Answer::Started(handle)) => interrupt = Some(handle),
            Some(Answer::Columns(columns)) => output.columns(&columns).await,
            Some(Answer::Row(row)) => output.row(row).await,
            Some(Answer::Cut) => {
                output
                    .notice(format!("only the first {ROWS} rows are shown"))
                    .await;
            }
            Some(Answer::Failed(reason)) => break Err(Refusal::failed(reason)),
        }
    };
    if let Some(interrupt) = interrupt.filter(|_| end.is_err()) {
        interrupt.interrupt();
    }
    end
}

/// The attached instances as they are stored now.
async fn attached(
    services: &Services,
    session: &Session,
) -> Result<Vec<(String, Instance)>, Refusal> {
    if session.attached.is_empty() {
        return Err(Refusal::usage("no instance is attached").hint("GET <LU>.<id> attaches one"));
    }
    if session.attached.len() > ATTACHED {
        return Err(
            Refusal::usage(format!("more than {ATTACHED} instances are attached"))
                .hint("RELEASE <LU> lets one go"),
        );
    }
    let mut instances = Vec::new();
    for (logical_unit, id) in &session.attached {
        let stored = services.store.instance(logical_unit, id).await?;
        let stored = stored.ok_or_else(|| {
            Refusal::not_found(format!("instance {logical_unit}.{id} is not stored"))
                .hint(format!("GET {logical_unit}.'{id}' syncs and attaches it"))
        })?;
        instances.push((logical_unit.clone(), stored));
    }
    Ok(instances)
}

fn answer(instances: &[(String, Instance)], sql: &str, answers: &mpsc::Sender<Answer>) {
    if let Err(reason) = query(instances, sql, answers) {
        // The receiver may have gone.
        let _ = answers.blocking_send(Answer::Failed(reason));
    }
}

fn query(
    instances: &[(String, Instance)],
    sql: &str,
    answers: &mpsc::Sender<Answer>,
) -> Result<(), String> {
    let connection = side_by_side(instances)?;
    let say = |error: rusqlite::Error| match error {
        rusqlite::Error::SqliteFailure(_, Some(reason)) => reason,
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        other => other.to_string(),
    };
    let _ = answers.blocking_send(Answer::Started(connection.get_interrupt_handle()));
    let mut statement = connection.prepare(sql).map_err(say)?;
    if !statement.readonly() {
        return Err("instances can only be read".to_owned());
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    if answers.blocking_send(Answer::Columns(columns)).is_err() {
        return Ok(());
    }
    let mut rows = statement.query([]).map_err(say)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(say)? {
        if count == ROWS {
            let _ = answers.blocking_send(Answer::Cut);
            return Ok(());
        }
        count += 1;
        let cells = (0..width)
            .map(|at| row.get_ref(at).map(cell))
            .collect::<Result<_, _>>();
        if answers
            .blocking_send(Answer::Row(cells.map_err(say)?))
            .is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// One database with each instance under the name of its logical unit. A table needs that name only where two instances have
/// a table of its name.
fn side_by_side(instances: &[(String, Instance)]) -> Result<Connection, String> {
    let sqlite = |error: rusqlite::Error| error.to_string();
    let mut together = Connection::open_in_memory().map_err(sqlite)?;
    for (logical_unit, instance) in instances {
        let mut image = open_image(instance)
            .map_err(|error| format!("instance {logical_unit}.{}: {error}", instance.head.id))?;
        let bytes = image.serialize(MAIN_DB).map_err(sqlite)?.to_vec();
        let size = bytes.len();
        let quoted = logical_unit.replace('"', "\"\"");
        together
            .execute_batch(&format!("attach ':memory:' as \"{quoted}\""))
            .map_err(sqlite)?;
        together
            .deserialize_read_exact(logical_unit.as_str(), Cursor::new(bytes), size, true)
            .map_err(sqlite)?;
    }
    together
        .pragma_update(None, "query_only", true)
        .map_err(sqlite)?;
    together
        .set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES)
        .map_err(sqlite)?;
    // A query cannot open a file: no further database can be attached.
    together
        .set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_ATTACHED, 0)
        .map_err(sqlite)?;
    Ok(together)
}

fn cell(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => real_to_json(number),
        ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!(format!("x'{hex}'"))
        }
    }
}
