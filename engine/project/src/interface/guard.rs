//! Restricts queries on interfaces: one statement that only reads the interface's own tables.
//!
//! Users write the SQL, so the connection is locked down.

use std::ffi::c_int;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{CachedStatement, Connection, ErrorCode};
use weft_store::{Outage, StoreError};

use super::sql;

/// The longest query.
const SQL_BYTES: usize = 64 * 1024;
/// The longest value, which also bounds what `zeroblob` and `printf` can ask for.
const VALUE_BYTES: i32 = 16 * 1024 * 1024;
/// How long a query waits for a lock of the source.
const BUSY: Duration = Duration::from_secs(5);

/// Why a query failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The query is wrong, or was refused.
    Query(String),
    /// The source cannot be read at the moment.
    Unavailable(String),
    /// The node's own store, which holds the tables, did not answer.
    Store(Outage),
}

/// The code with which a table in the node's own store reports an outage through SQLite. SQLite itself has no error of
/// this number: its extended codes of SQLITE_IOERR end at 35.
pub(super) const STORE_OUTAGE: c_int = rusqlite::ffi::SQLITE_IOERR | (200 << 8);

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let message = match &error {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
            rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
            other => other.to_string(),
        };
        if error.sqlite_error().map(|error| error.extended_code) == Some(STORE_OUTAGE) {
            return match StoreError::Unavailable(message).into_outage() {
                Ok(outage) => Self::Store(outage),
                Err(error) => Self::Unavailable(error.to_string()),
            };
        }
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                | ErrorCode::NotADatabase
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory,
            ) => Self::Unavailable(message),
            Some(ErrorCode::AuthorizationForStatementDenied) => Self::Query(format!(
                "{message}: only a single SELECT on the interface's own tables is allowed"
            )),
            _ => Self::Query(message),
        }
    }
}

/// Makes a connection safe for untrusted SQL. It cannot be configured afterwards.
pub(super) fn lock_down(connection: &mut Connection) -> Result<(), Failure> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    ] {
        connection.set_limit(limit, value)?;
    }
    connection.set_prepared_statement_cache_capacity(32);
    connection.authorizer(Some(authorize))?;
    Ok(())
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Authorization::Allow,
        // Pragmas are also available as table-valued functions.
        AuthAction::Read { table_name, .. } => {
            allow_unless(table_name.to_ascii_lowercase().starts_with("pragma_"))
        }
        AuthAction::Function { function_name } => allow_unless(
            [
                "load_extension",
                "fts3_tokenizer",
                "writefile",
                "readfile",
                "edit",
            ]
            .iter()
            .any(|refused| function_name.eq_ignore_ascii_case(refused)),
        ),
        _ => Authorization::Deny,
    }
}

fn allow_unless(refused: bool) -> Authorization {
    if refused {
        Authorization::Deny
    } else {
        Authorization::Allow
    }
}

/// Prepares a query that only reads. Anything else is refused before it runs.
pub(super) fn prepare<'c>(
    connection: &'c Connection,
    query: &str,
) -> Result<CachedStatement<'c>, Failure> {
    let refuse = |message: &str| Err(Failure::Query(message.to_owned()));
    if query.len() > SQL_BYTES {
        return refuse("the query is longer than 64 KiB");
    }
    if query.contains('\0') {
        return refuse("the query contains a NUL character");
    }
    if sql::has_second_statement(query) {
        return refuse("the query must be a single statement");
    }
    let statement = connection.prepare_cached(query)?;
    if statement.is_explain() != 0 || !statement.readonly() {
        return refuse("only a query that reads is allowed");
    }
    if statement.column_count() == 0 {
        return refuse("the query returns no columns");
    }
    Ok(statement)
}
