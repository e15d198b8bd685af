//! BATCH_IN_PROCESS: the entities at work.

use serde_json::json;
use weft_lang::Spanned;

use crate::commands::Execution;
use crate::commands::literal::regex;
use crate::inspect::InProcessQuery;
use crate::permission::Permit;
use crate::refusal::Refusal;

const IN_PROCESS: [&str; 7] = [
    "Node ID",
    "Batch process ID",
    "Entity ID",
    "LU type",
    "Time at work (ms)",
    "exeid",
    "command",
];

pub(crate) fn lower(filter: Option<&Spanned<String>>) -> Result<InProcessQuery, Refusal> {
    // Fabric puts `.*` in front. A search finds the same, wherever it begins.
    let filter = filter.map(|filter| regex(filter, ".*"));
    Ok(InProcessQuery {
        filter: filter.transpose()?,
        batch: None,
    })
}

pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<InProcessQuery>,
) -> Result<(), Refusal> {
    let items = execution.inspector().in_process(&permit).await?;
    let output = execution.output;
    output.columns(&IN_PROCESS).await;
    for item in items {
        let row = vec![
            json!(item.node),
            json!(item.batch),
            json!(item.entity),
            json!(item.logical_unit),
            json!(item.millis),
            json!(item.execution_id),
            json!(item.command),
        ];
        output.row(row).await;
    }
    Ok(())
}
