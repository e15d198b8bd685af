//! What an error of the driver means. Only this module decides whether a failed compare-and-set may have applied.
//!
//! Unknown is the safe answer for every error that is not listed here: the identical statement is sent again, and its
//! token shows whether the first one applied.

use scylla::errors::{
    DbError, ExecutionError, NewSessionError, NextRowError, PagerExecutionError, PrepareError,
    RequestAttemptError,
};
use scylla::statement::Consistency;
use weft_store::StoreError;

/// The effect of a compare-and-set that failed.
#[derive(Debug)]
pub(crate) enum CompareAndSetFailure {
    /// It may have applied, or may still apply.
    Unknown(String),
    /// It has not applied and will not.
    Definite(StoreError),
}

/// Classifies the failure of a compare-and-set.
pub(crate) fn classify_compare_and_set(error: ExecutionError) -> CompareAndSetFailure {
    match &error {
        // Nothing was sent. With the fall-through policy the driver tries another node only if it has no
        // connection to the first, so an empty pool at the end means that no node received the statement.
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_) => {
            CompareAndSetFailure::Definite(from_execution(error))
        }
        ExecutionError::LastAttemptError(attempt) => classify_attempt(attempt),
        _ => CompareAndSetFailure::Unknown(error.to_string()),
    }
}

fn classify_attempt(error: &RequestAttemptError) -> CompareAndSetFailure {
    match error {
        // It never left this process, or was refused for an unknown statement id before it ran.
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_)
        | RequestAttemptError::UnableToAllocStreamId
        | RequestAttemptError::RepreparedIdChanged { .. }
        | RequestAttemptError::RepreparedIdMissingInBatch => {
            CompareAndSetFailure::Definite(attempt_error(error))
        }
        RequestAttemptError::DbError(db, _) if refused_before_proposal(db) => {
            CompareAndSetFailure::Definite(attempt_error(error))
        }
        _ => CompareAndSetFailure::Unknown(error.to_string()),
    }
}

/// Whether the server refused before any replica could accept the proposal.
fn refused_before_proposal(error: &DbError) -> bool {
    match error {
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::AlreadyExists { .. }
        | DbError::AuthenticationError
        | DbError::Unauthorized
        | DbError::ConfigError
        | DbError::Unprepared { .. }
        | DbError::ProtocolError => true,
        // At a serial level this is the check before the first round. At any other level it comes from the
        // commit after an accepted proposal (paxos v1), which another proposer will complete.
        DbError::Unavailable { consistency, .. } => {
            matches!(consistency, Consistency::Serial | Consistency::LocalSerial)
        }
        _ => false,
    }
}

/// The failure of a plain read or write, or of a compare-and-set that did not apply.
pub(crate) fn from_execution(error: ExecutionError) -> StoreError {
    match &error {
        ExecutionError::BadQuery(bad) => StoreError::Refused(bad.to_string()),
        ExecutionError::PrepareError(prepare) => prepare_error(prepare),
        ExecutionError::LastAttemptError(attempt) => attempt_error(attempt),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn attempt_error(error: &RequestAttemptError) -> StoreError {
    match error {
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_)
        | RequestAttemptError::CqlResultParseError(_)
        | RequestAttemptError::UnexpectedResponse(_)
        | RequestAttemptError::RepreparedIdMissingInBatch => StoreError::Refused(error.to_string()),
        RequestAttemptError::RepreparedIdChanged { .. } => StoreError::Schema(format!(
            "a table changed while this node was running, restart the node: {error}"
        )),
        RequestAttemptError::DbError(db, message) => database_error(db, message),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn database_error(error: &DbError, message: &str) -> StoreError {
    match error {
        DbError::Invalid | DbError::ServerError | DbError::WriteFailure { .. }
            if is_full(message) =>
        {
            StoreError::Full(message.to_owned())
        }
        DbError::Invalid | DbError::ConfigError if is_absent(message) => StoreError::Schema(
            format!("the schema is missing ({message}), run: weft schema migrate"),
        ),
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::AlreadyExists { .. }
        | DbError::FunctionFailure { .. }
        | DbError::AuthenticationError
        | DbError::Unauthorized
        | DbError::ConfigError
        | DbError::ProtocolError => StoreError::Refused(format!("{error}: {message}")),
        _ => StoreError::Unavailable(format!("{error}: {message}")),
    }
}

/// Whether a message is about a full disk, on which Cassandra and Scylla refuse writes.
fn is_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("disk usage exceeds") || message.contains("no space left")
}

/// Whether a message says that a keyspace, table or column does not exist.
fn is_absent(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("unconfigured table")
        || message.contains("does not exist")
        || message.contains("undefined column")
        || message.contains("undefined name")
        || message.contains("unrecognized name")
        || message.contains("unknown identifier")
}

/// The failure to prepare a statement.
pub(crate) fn from_prepare(error: PrepareError) -> StoreError {
    prepare_error(&error)
}

fn prepare_error(error: &PrepareError) -> StoreError {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => attempt_error(first_attempt),
        // The text of the pool is shorter than that of the error around it.
        PrepareError::ConnectionPoolError(pool) => StoreError::Unavailable(pool.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The failure to read the next row of a paged read.
pub(crate) fn from_next_row(error: NextRowError) -> StoreError {
    match error {
        NextRowError::RowDeserializationError(_) => StoreError::Refused(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The failure to start a paged read.
pub(crate) fn from_pager(error: PagerExecutionError) -> StoreError {
    match &error {
        PagerExecutionError::PrepareError(prepare) => prepare_error(prepare),
        PagerExecutionError::SerializationError(_) => StoreError::Refused(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The failure to connect.
pub(crate) fn from_new_session(error: NewSessionError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scylla::errors::{BadQuery, BrokenConnectionErrorKind, ConnectionPoolError, WriteType};

    use super::*;

    fn db(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, "said so".to_owned()))
    }

    fn write_timeout(write_type: WriteType) -> ExecutionError {
        db(DbError::WriteTimeout {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            write_type,
        })
    }

    fn is_unknown(error: ExecutionError) {
        let text = error.to_string();
        let failure = classify_compare_and_set(error);
        assert!(
            matches!(failure, CompareAndSetFailure::Unknown(_)),
            "{text}: {failure:?}"
        );
    }

    fn is_definite(error: ExecutionError) -> StoreError {
        match classify_compare_and_set(error) {
            CompareAndSetFailure::Definite(definite) => definite,
            CompareAndSetFailure::Unknown(reason) => panic!("{reason} should be definite"),
        }
    }

    #[test]
    fn timeouts_and_replica_failures_are_unknown() {
        is_unknown(write_timeout(WriteType::Cas));
        is_unknown(write_timeout(WriteType::Simple));
        is_unknown(write_timeout(WriteType::Other(
            "CAS_WRITE_UNKNOWN".to_owned(),
        )));
        is_unknown(db(DbError::WriteFailure {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            numfailures: 1,
            write_type: WriteType::Cas,
        }));
        is_unknown(db(DbError::ReadTimeout {
            consistency: Consistency::LocalSerial,
            received: 1,
            required: 2,
            data_present: false,
        }));
        is_unknown(db(DbError::ReadFailure {
            consistency: Consistency::LocalSerial,
            received: 1,
            required: 2,
            numfailures: 1,
            data_present: false,
        }));
    }

    #[test]
    fn an_unanswered_request_is_unknown() {
        is_unknown(ExecutionError::RequestTimeout(Duration::from_secs(4)));
        is_unknown(ExecutionError::LastAttemptError(
            RequestAttemptError::BrokenConnectionError(
                BrokenConnectionErrorKind::ChannelError.into(),
            ),
        ));
    }

    #[test]
    fn a_coordinator_failure_is_unknown() {
        is_unknown(db(DbError::Overloaded));
        is_unknown(db(DbError::ServerError));
        is_unknown(db(DbError::IsBootstrapping));
        is_unknown(db(DbError::Other(0x1700)));
    }

    #[test]
    fn too_few_replicas_are_definite_only_before_the_proposal() {
        let unavailable = |consistency| {
            db(DbError::Unavailable {
                consistency,
                required: 2,
                alive: 1,
            })
        };
        assert!(is_definite(unavailable(Consistency::LocalSerial)).is_transient());
        assert!(is_definite(unavailable(Consistency::Serial)).is_transient());
        is_unknown(unavailable(Consistency::LocalQuorum));
    }

    #[test]
    fn an_unsent_request_is_definite() {
        assert!(is_definite(ExecutionError::EmptyPlan).is_transient());
        let no_pool = ExecutionError::ConnectionPoolError(ConnectionPoolError::Initializing);
        assert!(is_definite(no_pool).is_transient());
        let too_many = ExecutionError::BadQuery(BadQuery::TooManyQueriesInBatchStatement(70_000));
        assert!(!is_definite(too_many).is_transient());
        let no_stream =
            ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId);
        assert!(is_definite(no_stream).is_transient());
    }

    #[test]
    fn a_refusal_by_the_server_is_definite_and_final() {
        for error in [
            DbError::SyntaxError,
            DbError::Invalid,
            DbError::Unauthorized,
            DbError::AuthenticationError,
            DbError::ConfigError,
            DbError::ProtocolError,
        ] {
            assert!(matches!(is_definite(db(error)), StoreError::Refused(_)));
        }
    }

    #[test]
    fn missing_tables_and_full_disks_are_recognised() {
        let invalid = |message: &str| {
            is_definite(ExecutionError::LastAttemptError(
                RequestAttemptError::DbError(DbError::Invalid, message.to_owned()),
            ))
        };
        let absent = invalid("unconfigured table jobs");
        assert!(
            matches!(&absent, StoreError::Schema(text) if text.contains("weft schema migrate"))
        );
        assert!(matches!(
            invalid("Write disallowed: disk usage exceeds failure threshold"),
            StoreError::Full(_)
        ));
    }
}
