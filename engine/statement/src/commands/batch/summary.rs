//! BATCH_SUMMARY. All values are texts but the sums of results, as clients expect it.

use serde_json::{Value, json};
use weft_lang::{Spanned, Text};

use crate::commands::Execution;
use crate::commands::literal::batch_id;
use crate::inspect::{
    BatchSummary, SummaryLevel, SummaryQuery, SummaryRow, clock_text, decimal_text,
};
use crate::output::time_cell;
use crate::permission::Permit;
use crate::refusal::Refusal;

const UNKNOWN: &str = "--";

pub(crate) fn lower(id: &Spanned<Text>) -> Result<SummaryQuery, Refusal> {
    batch_id(id).map(SummaryQuery)
}

pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<SummaryQuery>,
) -> Result<(), Refusal> {
    let summary = execution.inspector().summary(&permit).await?;
    let output = execution.output;
    output.columns(&summary_columns(&summary)).await;
    for row in &summary.rows {
        output.row(summary_row(row, &summary.keys)).await;
    }
    if let Some(note) = summary.note {
        output.notice(note).await;
    }
    Ok(())
}

fn summary_columns(summary: &BatchSummary) -> Vec<String> {
    let before = [
        "Level",
        "Name",
        "Status",
        "Start time",
        "End time",
        "Duration",
        "Remaining dur.",
        "Remaining",
        "Total",
        "Succeeded",
        "Failed",
    ];
    let after = ["% Completed", "Ent./sec (pace)", "Ent./sec (avg.)"];
    let keys = match (summary.rows.is_empty(), summary.keys.is_empty()) {
        // A batch that no node has claimed has the columns of a sync.
        (true, true) => ["Added", "Updated", "Unchanged"]
            .map(str::to_owned)
            .to_vec(),
        (true | false, _) => summary.keys.clone(),
    };
    let before = before.into_iter().map(str::to_owned);
    before.chain(keys).chain(after.map(str::to_owned)).collect()
}

fn summary_row(row: &SummaryRow, keys: &[String]) -> Vec<Value> {
    let level = match row.level {
        SummaryLevel::Node => "Node",
        SummaryLevel::DataCentre => "DC",
        SummaryLevel::Cluster => "Cluster",
    };
    let count = |number: Option<i64>| match number {
        Some(number) => json!(number.to_string()),
        None => json!(UNKNOWN),
    };
    let name = row.name.as_deref().unwrap_or(UNKNOWN);
    let remaining = row
        .remaining_ms
        .map_or_else(|| UNKNOWN.to_owned(), clock_text);
    let mut values = vec![
        json!(level),
        json!(name),
        json!(row.status.map_or("", |status| status.as_str())),
        time_cell(row.start_time),
        time_cell(row.end_time),
        json!(clock_text(row.duration_ms)),
        json!(remaining),
        count(row.remaining),
        count(row.total),
        json!(row.succeeded.to_string()),
        json!(row.failed.to_string()),
    ];
    values.extend(
        keys.iter()
            .map(|key| json!(row.aggregated.get(key).copied().unwrap_or(0))),
    );
    values.extend(
        [row.completed_percent, row.pace, row.average].map(|number| json!(decimal_text(number))),
    );
    values
}
