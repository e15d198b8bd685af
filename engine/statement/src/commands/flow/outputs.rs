//! The outputs of a flow as a table.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::ResultStructure;
use crate::output::Output;
use crate::refusal::Refusal;

/// Shows the outputs.
///
/// # Errors
/// The first output is not a list, where it is to be the table.
pub(super) async fn show(
    outputs: Map<String, Value>,
    structure: ResultStructure,
    output: &Output,
) -> Result<(), Refusal> {
    match structure {
        ResultStructure::Column => {
            let columns: Vec<&String> = outputs.keys().collect();
            output.columns(&columns).await;
            output
                .row(outputs.into_iter().map(|(_, value)| value).collect())
                .await;
        }
        ResultStructure::Row => {
            output.columns(&["Name", "Value"]).await;
            for (name, value) in outputs {
                output.row(vec![json!(name), value]).await;
            }
        }
        ResultStructure::Cursor => {
            if let Some((name, value)) = outputs.into_iter().next() {
                show_cursor(&name, value, output).await?;
            }
        }
    }
    Ok(())
}

/// A list of objects has a column for each of their keys; any other list has one column.
async fn show_cursor(name: &str, value: Value, output: &Output) -> Result<(), Refusal> {
    let Value::Array(rows) = value else {
        let message = format!("its first output `{name}` is not a list of rows");
        return Err(
            Refusal::failed(message).hint("RESULT_STRUCTURE='COLUMN' shows outputs as they are")
        );
    };
    if !rows.iter().all(Value::is_object) || rows.is_empty() {
        output.columns(&[name]).await;
        for row in rows {
            output.row(vec![row]).await;
        }
        return Ok(());
    }
    let mut columns: Vec<String> = Vec::new();
    let mut known = BTreeSet::new();
    for key in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if known.insert(key.as_str()) {
            columns.push(key.clone());
        }
    }
    output.columns(&columns).await;
    for row in &rows {
        let cells = columns
            .iter()
            .map(|column| row.get(column).cloned().unwrap_or(Value::Null));
        output.row(cells.collect()).await;
    }
    Ok(())
}
