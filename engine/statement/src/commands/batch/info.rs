//! BATCH_INFO: the facts of one batch, as names and values.

use serde_json::{Value, json};
use weft_lang::{Spanned, Text};

use super::arguments::{DEFAULT_ENVIRONMENT, session_value};
use crate::commands::Execution;
use crate::commands::literal::batch_id;
use crate::inspect::{BatchInfo, BatchInfoQuery, decimal_text};
use crate::output::time_cell;
use crate::permission::Permit;
use crate::refusal::Refusal;

pub(crate) fn lower(id: &Spanned<Text>) -> Result<BatchInfoQuery, Refusal> {
    batch_id(id).map(BatchInfoQuery)
}

pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<BatchInfoQuery>,
) -> Result<(), Refusal> {
    let info = execution.inspector().batch(&permit).await?;
    execution.output.columns(&["Name", "Value"]).await;
    for (name, value) in facts(&info) {
        execution.output.row(vec![json!(name), value]).await;
    }
    Ok(())
}

fn facts(info: &BatchInfo) -> Vec<(String, Value)> {
    let batch = &info.item.batch;
    let spec = &batch.spec;
    let list = |members: &[String]| match members.is_empty() {
        true => Value::Null,
        false => json!(members.join(",")),
    };
    let environment = session_value(&spec.session_scope, "ENVIRONMENT");
    let max_nodes = spec.max_nodes.map_or_else(|| json!("All"), Value::from);
    let mut facts = vec![
        ("Batch id", json!(batch.id)),
        ("Execution Status", json!(batch.status.as_str())),
        ("Fabric Command", json!(spec.fabric_command)),
        ("LU Name", json!(spec.logical_unit)),
        ("Max. No. of Workers", json!(spec.max_workers_per_node)),
        ("Entity Inclusion", json!(info.entity_inclusion)),
        ("Source interface", json!(info.interface)),
        (
            "Generate Entities First",
            json!(spec.generate_entities_first),
        ),
        ("Affinity", list(&spec.affinity)),
        ("Job Affinity", list(&spec.job_affinity)),
        ("Command Type", json!(info.command_type.as_str())),
        ("Async", json!(spec.asynchronous)),
        ("Max No. of Nodes", max_nodes),
        (
            "Allow Multiple Batch Executions",
            json!(spec.allow_multiple),
        ),
        ("Execution id", json!(batch.execution_id)),
        (
            "Environment",
            json!(environment.unwrap_or(DEFAULT_ENVIRONMENT)),
        ),
        ("Created by", json!(batch.owner)),
        ("Creation time", time_cell(Some(batch.creation_time))),
        ("Start time", time_cell(batch.start_time)),
        ("End time", time_cell(batch.end_time)),
        ("Total entities", json!(batch.total_entities)),
        ("Duplicates dropped", json!(batch.duplicates)),
        ("Error", json!(batch.error)),
        ("Notes", json!(info.item.note)),
        ("Command", json!(batch.command)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<_>>();
    for name in ["p50", "p90", "p99", "max"] {
        if let Some(micros) = info.percentiles_us.get(name) {
            facts.push((
                format!("Entity time {name} (ms)"),
                json!(millis_text(*micros)),
            ));
        }
    }
    facts
}

/// Microseconds as milliseconds with at most two decimals.
fn millis_text(micros: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a time for people to read")]
    decimal_text(micros as f64 / 1_000.0)
}
