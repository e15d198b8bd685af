//! What an error of the driver means: the one place that decides between "nobody can say" and "definitely not".
//!
//! Where a case is not listed here, Unknown is the safe answer: the identical statement is sent again and its token
//! tells what became of the first.

use scylla::errors::{
    ConnectionPoolError, DbError, ExecutionError, NewSessionError, NextRowError,
    PagerExecutionError, PrepareError, RequestAttemptError,
};
use scylla::statement::Consistency;
use weft_store::StoreError;

/// What a failed compare-and-set came to.
#[derive(Debug)]
pub(crate) enum CasFailure {
    /// It may have taken effect, or may still do so.
    Unknown(String),
    /// It had and will have no effect.
    Definite(StoreError),
}

/// Sorts the failure of a compare-and-set.
pub(crate) fn of_compare_and_set(error: &ExecutionError) -> CasFailure {
    match error {
        // Nothing was sent. With the fall-through policy the driver goes to another node only where it has
        // no connection to the first, so an empty pool at the end means that no node was asked.
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_) => CasFailure::Definite(of_plain(error)),
        ExecutionError::LastAttemptError(attempt) => of_attempt(attempt),
        _ => CasFailure::Unknown(error.to_string()),
    }
}

fn of_attempt(error: &RequestAttemptError) -> CasFailure {
    match error {
        // Never left this process, or was refused for an unknown id before it was run.
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_)
        | RequestAttemptError::UnableToAllocStreamId
        | RequestAttemptError::RepreparedIdChanged { .. }
        | RequestAttemptError::RepreparedIdMissingInBatch => {
            CasFailure::Definite(attempt_error(error))
        }
        RequestAttemptError::DbError(db, _) if refused_before_proposal(db) => {
            CasFailure::Definite(attempt_error(error))
        }
        _ => CasFailure::Unknown(error.to_string()),
    }
}

/// The server refused before any replica could accept the proposal.
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
        // At the serial level this is the check before the first round. At any other level it comes from
        // the commit that follows an accepted proposal (paxos v1), which another proposer will finish.
        DbError::Unavailable { consistency, .. } => {
            matches!(consistency, Consistency::Serial | Consistency::LocalSerial)
        }
        _ => false,
    }
}

/// The failure of a plain read or write. Plain writes are idempotent, so all that matters is whether trying
/// again can help.
pub(crate) fn of_plain(error: &ExecutionError) -> StoreError {
    match error {
        ExecutionError::BadQuery(bad) => StoreError::Refused(bad.to_string()),
        ExecutionError::PrepareError(prepare) => of_prepare(prepare),
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
            "a table changed under a running node, restart it: {error}"
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
            format!("the schema is not there ({message}), run: weft schema migrate"),
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

/// Guardrails of Cassandra and Scylla for full disks.
fn is_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("disk usage exceeds") || message.contains("no space left")
}

/// `unconfigured table …`, `keyspace … does not exist`, `Undefined column name …`.
fn is_absent(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("unconfigured table")
        || message.contains("does not exist")
        || message.contains("undefined column")
        || message.contains("undefined name")
        || message.contains("unrecognized name")
        || message.contains("unknown identifier")
}

/// Why a statement could not be prepared.
pub(crate) fn of_prepare(error: &PrepareError) -> StoreError {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => attempt_error(first_attempt),
        PrepareError::ConnectionPoolError(pool) => of_pool(pool),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn of_pool(error: &ConnectionPoolError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Why a paged read ended.
pub(crate) fn of_page(error: &NextRowError) -> StoreError {
    match error {
        NextRowError::RowDeserializationError(_) => StoreError::Refused(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// Why a paged read did not begin.
pub(crate) fn of_pager(error: &PagerExecutionError) -> StoreError {
    match error {
        PagerExecutionError::PrepareError(prepare) => of_prepare(prepare),
        PagerExecutionError::SerializationError(_) => StoreError::Refused(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// Why there is no session.
pub(crate) fn of_session(error: &NewSessionError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scylla::errors::{BadQuery, BrokenConnectionErrorKind, WriteType};

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

    fn is_unknown(error: &ExecutionError) {
        let failure = of_compare_and_set(error);
        assert!(
            matches!(failure, CasFailure::Unknown(_)),
            "{error}: {failure:?}"
        );
    }

    fn is_definite(error: &ExecutionError) -> StoreError {
        match of_compare_and_set(error) {
            CasFailure::Definite(definite) => definite,
            CasFailure::Unknown(reason) => panic!("{reason} should be definite"),
        }
    }

    #[test]
    fn timeouts_and_failures_of_replicas_are_unknown() {
        is_unknown(&write_timeout(WriteType::Cas));
        is_unknown(&write_timeout(WriteType::Simple));
        is_unknown(&write_timeout(WriteType::Other(
            "CAS_WRITE_UNKNOWN".to_owned(),
        )));
        is_unknown(&db(DbError::WriteFailure {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            numfailures: 1,
            write_type: WriteType::Cas,
        }));
        is_unknown(&db(DbError::ReadTimeout {
            consistency: Consistency::LocalSerial,
            received: 1,
            required: 2,
            data_present: false,
        }));
        is_unknown(&db(DbError::ReadFailure {
            consistency: Consistency::LocalSerial,
            received: 1,
            required: 2,
            numfailures: 1,
            data_present: false,
        }));
    }

    #[test]
    fn what_was_sent_and_not_answered_is_unknown() {
        is_unknown(&ExecutionError::RequestTimeout(Duration::from_secs(4)));
        is_unknown(&ExecutionError::LastAttemptError(
            RequestAttemptError::BrokenConnectionError(
                BrokenConnectionErrorKind::ChannelError.into(),
            ),
        ));
    }

    #[test]
    fn a_coordinator_in_trouble_is_unknown() {
        is_unknown(&db(DbError::Overloaded));
        is_unknown(&db(DbError::ServerError));
        is_unknown(&db(DbError::IsBootstrapping));
        is_unknown(&db(DbError::Other(0x1700)));
    }

    #[test]
    fn too_few_replicas_are_definite_before_the_proposal_only() {
        let unavailable = |consistency| {
            db(DbError::Unavailable {
                consistency,
                required: 2,
                alive: 1,
            })
        };
        assert!(is_definite(&unavailable(Consistency::LocalSerial)).is_transient());
        assert!(is_definite(&unavailable(Consistency::Serial)).is_transient());
        is_unknown(&unavailable(Consistency::LocalQuorum));
    }

    #[test]
    fn what_was_never_sent_is_definite() {
        assert!(is_definite(&ExecutionError::EmptyPlan).is_transient());
        let no_pool = ExecutionError::ConnectionPoolError(ConnectionPoolError::Initializing);
        assert!(is_definite(&no_pool).is_transient());
        let too_many = ExecutionError::BadQuery(BadQuery::TooManyQueriesInBatchStatement(70_000));
        assert!(!is_definite(&too_many).is_transient());
        let no_stream =
            ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId);
        assert!(is_definite(&no_stream).is_transient());
    }

    #[test]
    fn what_the_server_refused_is_definite_and_final() {
        for error in [
            DbError::SyntaxError,
            DbError::Invalid,
            DbError::Unauthorized,
            DbError::AuthenticationError,
            DbError::ConfigError,
            DbError::ProtocolError,
        ] {
            assert!(matches!(is_definite(&db(error)), StoreError::Refused(_)));
        }
    }

    #[test]
    fn absent_tables_and_full_disks_say_what_to_do() {
        let invalid = |message: &str| {
            is_definite(&ExecutionError::LastAttemptError(
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
