//! BATCH_LIST.

use serde_json::json;
use weft_lang::BatchList;

use crate::commands::Execution;
use crate::commands::literal::{Edge, moment, regex};
use crate::inspect::{BatchListQuery, StatusFilter};
use crate::output::time_cell;
use crate::permission::Permit;
use crate::refusal::Refusal;

const BATCH_LIST: [&str; 10] = [
    "Id",
    "Command",
    "Start date",
    "End date",
    "Status",
    "Created by",
    "Completion %",
    "Execution id",
    "Error",
    "Notes",
];
/// How many ended batches BATCH_LIST shows at most.
const ENDED_BATCHES: usize = 10_000;

pub(crate) fn lower(list: &BatchList) -> Result<BatchListQuery, Refusal> {
    let status = match &list.status {
        None => StatusFilter::Active,
        Some(status) if status.value.eq_ignore_ascii_case("ALL") => StatusFilter::All,
        Some(status) => {
            let known = status.value.parse();
            StatusFilter::Is(known.map_err(|_| {
                Refusal::usage(format!("`{}` is not a status of a batch", status.value))
                    .at(status.span)
            })?)
        }
    };
    let from = list
        .from_date
        .as_ref()
        .map(|date| moment(date, Edge::Start));
    let to = list.to_date.as_ref().map(|date| moment(date, Edge::End));
    let filter = list.filter.as_ref().map(|filter| regex(filter, ""));
    let query = BatchListQuery {
        status,
        from: from.transpose()?,
        to: to.transpose()?,
        filter: filter.transpose()?,
        before: None,
        limit: ENDED_BATCHES,
    };
    if let (Some(from), Some(to), Some(date)) = (query.from, query.to, &list.to_date)
        && to <= from
    {
        return Err(Refusal::usage("TO_DATE is before FROM_DATE").at(date.span));
    }
    Ok(query)
}

/// Shows the batches. The column Command has the whole command as typed, as the documented output shows it.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<BatchListQuery>,
) -> Result<(), Refusal> {
    let page = execution.inspector().batches(&permit).await?;
    let output = execution.output;
    output.columns(&BATCH_LIST).await;
    for item in page.items {
        let batch = item.batch;
        #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
        let percent = item.completed_percent.floor() as i64;
        let row = vec![
            json!(batch.id),
            json!(batch.command),
            time_cell(batch.start_time),
            time_cell(batch.end_time),
            json!(batch.status.as_str()),
            json!(batch.owner),
            json!(percent),
            json!(batch.execution_id),
            json!(batch.error),
            json!(item.note),
        ];
        output.row(row).await;
    }
    if page.next.is_some() {
        let limit = permit.request().limit;
        output
            .notice(format!(
                "only the newest {limit} ended batches are shown; FROM_DATE and TO_DATE show others"
            ))
            .await;
    }
    Ok(())
}
