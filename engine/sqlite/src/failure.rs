//! What can go wrong inside a verb, and what it means to the caller.

use rusqlite::ErrorCode;
use weft_store::StoreError;

/// Why a verb could not be carried out. Its group is rolled back, so it had no effect.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite refused a statement.
    Sqlite(rusqlite::Error),
    /// The verb itself reports what is wrong.
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => store_error(&error),
            Failure::Store(error) => error,
        }
    }
}

/// An error of SQLite for a verb that definitely had no effect.
pub(super) fn store_error(error: &rusqlite::Error) -> StoreError {
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(reason),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::OperationInterrupted
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory,
        ) => StoreError::Unavailable(reason),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
            row: "the SQLite file".to_owned(),
            column: "(whole file)",
            reason,
        },
        _ if reason.contains("no such table") => StoreError::Schema(format!(
            "the store has no schema ({reason}); hint: weft schema migrate"
        )),
        _ => StoreError::Refused(reason),
    }
}

/// Whether the connection may be in an undefined state, so that a new one is needed.
pub(super) fn needs_reopening(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::CannotOpen
                | ErrorCode::NotADatabase
        )
    )
}
