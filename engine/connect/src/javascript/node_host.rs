//! Answers functions that run on a node, with the statements of the node and the interfaces of the project.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use weft_lang::{Command, Literal, Statement, split_statements};
use weft_model::Value;
use weft_model::{Principal, Session};
use weft_node::job::Slot;
use weft_project::Project;
use weft_project::source::{Parameters, RowLimits, SourceError};
use weft_statement::{AnswerLimits, EndStatus, LateStatements, Unanswered};

use crate::retry::query_within;

use super::host::{Host, HostError, TABLE_BYTES, TABLE_ROWS, Table};

/// Answers one function, in one session.
#[derive(Debug)]
pub struct NodeHost {
    project: Arc<Project>,
    statements: LateStatements,
    principal: Principal,
    session: Mutex<Session>,
    stop: CancellationToken,
    slot: Slot,
}

impl NodeHost {
    /// Statements run with the rights of `principal` and start from `session`. A statement that only waits for other work
    /// is abandoned at `stop`, and lends `slot` meanwhile.
    pub fn new(
        project: Arc<Project>,
        statements: LateStatements,
        principal: Principal,
        session: Session,
        stop: CancellationToken,
        slot: Slot,
    ) -> Self {
        Self {
            project,
            statements,
            principal,
            session: Mutex::new(session),
            stop,
            slot,
        }
    }
}

#[async_trait]
impl Host for NodeHost {
    async fn statement(&self, sql: &str, parameters: Vec<Literal>) -> Result<Table, HostError> {
        let text = match parameters.is_empty() {
            true => sql.to_owned(),
            false => weft_lang::bind(sql, &parameters)
                .map_err(|error| HostError::new("Usage", error.message))?,
        };
        let limits = AnswerLimits {
            rows: TABLE_ROWS,
            bytes: TABLE_BYTES,
        };
        let (stop, _lent) = match only_waits(&text) {
            true => (self.stop.clone(), Some(self.slot.lend())),
            // Short statements run even after a stop was requested: the function may clean up.
            false => (CancellationToken::new(), None),
        };
        let mut session = self.session.lock().await;
        let answer = self
            .statements
            .answer(&self.principal, &text, session.clone(), limits, &stop)
            .await
            .map_err(|unanswered| to_host_error(&unanswered))?;
        *session = answer.session;
        Ok(Table {
            columns: answer.columns,
            rows: answer.rows,
        })
    }

    async fn query(
        &self,
        interface: &str,
        sql: &str,
        parameters: Vec<Literal>,
    ) -> Result<Table, HostError> {
        let interface = self
            .project
            .interface(interface)
            .map_err(|message| HostError::new("NotFound", message))?;
        let parameters = parameters.into_iter().map(value).collect();
        let limits = RowLimits {
            rows: TABLE_ROWS,
            bytes: TABLE_BYTES,
            bad_rows: false,
        };
        let parameters = Parameters::Positional(parameters);
        let rows = query_within(&interface, sql, parameters, limits, &self.stop)
            .await
            .map_err(|error| {
                let name = match &error {
                    SourceError::Query { .. } => "Query",
                    SourceError::Unavailable { .. } | SourceError::Store { .. } => "Unavailable",
                };
                HostError::new(name, error.to_string())
            })?;
        let rows_of = |row: Vec<Value>| row.into_iter().map(Value::into_json).collect();
        Ok(Table {
            columns: rows.columns,
            rows: rows.rows.into_iter().map(rows_of).collect(),
        })
    }
}

/// Whether a statement waits for work that has its own slots.
fn only_waits(text: &str) -> bool {
    let parsed = split_statements(text)
        .into_iter()
        .map(|span| Statement::parse(span.of(text)));
    parsed
        .flatten()
        .any(|statement| matches!(statement.command, Command::Batch(_) | Command::Broadway(_)))
}

/// Leaves out the quoted statement, which contains the values of the call.
fn to_host_error(unanswered: &Unanswered) -> HostError {
    let name = match unanswered.status {
        EndStatus::Ok | EndStatus::Failed => "Failed",
        EndStatus::Usage => "Usage",
        EndStatus::BatchFailed => "BatchFailed",
        EndStatus::Cancelled => "Cancelled",
        EndStatus::NotFound => "NotFound",
        EndStatus::NotAllowed => "NotAllowed",
        EndStatus::Unreachable => "Unreachable",
    };
    let mut lines = unanswered.message.lines();
    let first = lines.next().unwrap_or_default();
    let mut message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    if let Some(hint) = lines.find_map(|line| line.strip_prefix("hint: ")) {
        message.push_str("; ");
        message.push_str(hint);
    }
    HostError::new(name, message)
}

fn value(literal: Literal) -> Value {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Integer(value.into()),
        Literal::Integer(number) => Value::Integer(number),
        Literal::Real(number) => Value::Real(number),
        Literal::Text(text) => Value::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_do_not_quote_the_statement() {
        let unanswered = Unanswered {
            status: EndStatus::NotFound,
            message: "error: there is no logical unit `X`\n  get X.'secret'\n      ^\nhint: LIST LU shows them".to_owned(),
        };
        let expected = "there is no logical unit `X`; LIST LU shows them";
        assert_eq!(
            to_host_error(&unanswered),
            HostError::new("NotFound", expected)
        );
    }

    #[test]
    fn only_statements_that_wait_for_a_batch_lend_their_slot() {
        let check = |text: &str, expected: bool| assert_eq!(only_waits(text), expected, "{text}");
        check("BATCH X FABRIC_COMMAND=\"sync_instance X.?\"", true);
        check(
            "set a=1; BATCH X FABRIC_COMMAND=\"sync_instance X.?\";",
            true,
        );
        check("BATCH_LIST", false);
        check("select 1", false);
        check("'", false);
    }
}
