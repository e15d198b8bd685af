//! BATCH_DETAILS: the entities of a batch, chunk by chunk.

use serde_json::{Value, json};
use weft_lang::BatchDetails;
use weft_model::EntityStatus;

use crate::affinity::AffinityList;
use crate::commands::literal::batch_id;
use crate::commands::{Execution, Lowering};
use crate::inspect::{EntityItem, EntityQuery};
use crate::permission::Permit;
use crate::refusal::Refusal;

const DETAILS: [&str; 5] = ["Entity ID", "Node id", "Status", "Error", "Results"];

const PROCESS_TIME: &str = "Process time (ms)";

pub(crate) fn lower(details: &BatchDetails, context: Lowering<'_>) -> Result<EntityQuery, Refusal> {
    let status = details.status.as_ref().map(|status| {
        status.value.parse().map_err(|_| {
            Refusal::usage(format!("`{}` is not a status of an entity", status.value))
                .at(status.span)
        })
    });
    let entities = details.entities.as_ref().map(|list| {
        let ids = list.value.split(',').map(|id| id.trim().to_owned());
        ids.filter(|id| !id.is_empty()).collect()
    });
    let limit = match details.limit.as_ref().map(|limit| limit.value) {
        None => Some(context.services.config.batch_detail_max_rows),
        // -1 is all of them.
        Some(limit) => usize::try_from(limit).ok(),
    };
    let affinity = details.affinity.as_ref();
    Ok(EntityQuery {
        batch: batch_id(&details.batch_id)?,
        status: status.transpose()?,
        entities,
        affinity: affinity.map_or_else(Vec::new, |text| AffinityList::read(&text.value).members),
        limit,
        after: None,
        slowest: details
            .sort_by_process_time
            .as_ref()
            .is_some_and(|sort| sort.value),
    })
}

pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<EntityQuery>,
) -> Result<(), Refusal> {
    let inspector = execution.inspector();
    let output = execution.output;
    if permit.request().slowest {
        let slowest = inspector.slowest(&permit).await?;
        let columns: Vec<&str> = DETAILS.into_iter().chain([PROCESS_TIME]).collect();
        output.columns(&columns).await;
        for item in slowest {
            let millis = item.duration_us.map(|micros| micros / 1_000);
            let mut row = details_row(item);
            row.push(json!(millis));
            output.row(row).await;
        }
        return Ok(());
    }
    let mut pages = inspector.entities(&permit).await?;
    output.columns(&DETAILS).await;
    while let Some(items) = pages.next().await? {
        for item in items {
            output.row(details_row(item)).await;
        }
        if output.is_gone() {
            return Ok(());
        }
    }
    if let Some(limit) = permit.request().limit.filter(|_| pages.is_cut()) {
        let shown = match limit {
            0 => "no entity is shown".to_owned(),
            1 => "only the first entity is shown".to_owned(),
            _ => format!("only the first {limit} entities are shown"),
        };
        let notice = format!("{shown}; LIMIT=-1 shows all of them");
        output.notice(notice).await;
    }
    Ok(())
}

fn details_row(item: EntityItem) -> Vec<Value> {
    debug_assert!(
        item.status != EntityStatus::Waiting || item.node.is_none(),
        "a waiting entity has no node"
    );
    vec![
        json!(item.id),
        json!(item.node),
        json!(item.status.as_str()),
        json!(item.error),
        json!(item.result),
    ]
}
