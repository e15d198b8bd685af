//! FabricCommand: runs statements as the console does.

use async_trait::async_trait;
use serde_json::Value;
use weft_lang::{Command, Literal, Statement, bind, split_statements};
use weft_node::flow::FlowFailure;
use weft_node::job::FailureKind;
use weft_statement::AnswerLimits;

use crate::flow::actor::{
    Actor, ActorResult, ActorRun, ActorSpec, CheckContext, OUTPUT_BYTES, WrittenInputs,
};
use crate::flow::expression::Expression;
use crate::flow::input::{InputKind, Inputs, optional, required};
use crate::flow::sql;

#[derive(Debug)]
pub(super) struct FabricCommand;

const SPEC: ActorSpec = ActorSpec {
    name: "FabricCommand",
    aliases: &[],
    summary: "runs a statement, or several separated by `;`; waits for a synchronous BATCH",
    inputs: &[
        required(
            "command",
            InputKind::Fixed,
            "the statement, with `?` for values",
        ),
        optional(
            "parameters",
            InputKind::List,
            "the values, in order; each is one literal, whatever it contains",
        ),
    ],
    outputs: &[
        ("rows", "the rows of the last table, each a map"),
        ("count", "how many rows there are"),
        ("columns", "the names of the columns"),
        ("first", "the first row, or nothing"),
        ("notices", "the notices of the statements"),
    ],
};

const LIMITS: AnswerLimits = AnswerLimits {
    rows: 100_000,
    bytes: OUTPUT_BYTES,
};

#[async_trait]
impl Actor for FabricCommand {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        let Some((command, spot)) = inputs.text("command") else {
            return;
        };
        let given = match inputs.value("parameters") {
            None => Some(0),
            Some(Expression::List(items)) => Some(items.len()),
            Some(Expression::Literal(Value::Array(items))) => Some(items.len()),
            Some(_) => None,
        };
        if let Some(count) = given
            && let Err(error) = bind(command, &vec![Literal::Null; count])
        {
            context.findings.add(spot, error.message);
        }
        for statement in split(command) {
            match Statement::parse(statement) {
                Ok(statement) if !statement.is_available() => {
                    let message =
                        format!("{} is not available in this version", statement.keyword());
                    context.findings.add(spot, message);
                }
                Ok(_) => (),
                Err(error) => context.findings.add(spot, error.message),
            }
        }
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let failed = |error: String| FlowFailure::new("Statement", error);
        let command = inputs.text("command");
        let values: Vec<Literal> = match inputs.value("parameters") {
            Value::Array(values) => values
                .iter()
                .map(sql::literal_of)
                .collect::<Result<_, _>>()
                .map_err(failed)?,
            _ => Vec::new(),
        };
        let text = bind(command, &values).map_err(|error| failed(error.message))?;
        let lent = only_waits(command).then(|| run.slot.lend());
        let statements = &run.tools.statements;
        let answer = statements
            .answer(run.principal, &text, run.session.clone(), LIMITS, run.stop)
            .await;
        drop(lent);
        let answer = answer.map_err(|error| {
            let message = error.message.trim_start_matches("error: ").to_owned();
            match run.stop.is_cancelled() {
                true => FlowFailure::new(FailureKind::Stopped, message),
                false => failed(message),
            }
        })?;
        let mut outputs = sql::table(&answer.columns, answer.rows.into_iter());
        outputs.insert("notices".to_owned(), Value::from(answer.notices));
        Ok(outputs)
    }
}

fn split(text: &str) -> Vec<&str> {
    let spans = split_statements(text);
    match spans.is_empty() {
        true => vec![text],
        false => spans.into_iter().map(|span| span.of(text)).collect(),
    }
}

/// Whether all statements wait for batches, whose work takes no job slot.
fn only_waits(command: &str) -> bool {
    split(command).into_iter().all(|statement| {
        Statement::parse(statement)
            .is_ok_and(|statement| matches!(statement.command, Command::Batch(_)))
    })
}
