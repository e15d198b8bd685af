//! What people ask about batches, jobs and nodes, as tables with the documented columns.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weft_model::clock::Timestamp;
use weft_model::{EntityStatus, Job, NodeId};
use weft_node::affinity::{Identity, name_of};

use super::output::Output;
use super::refusal::no_such_job;
use super::{Permit, Refusal};
use crate::arguments::{DEFAULT_ENVIRONMENT, session_value};
use crate::inspect::{
    BatchInfo, BatchInfoQuery, BatchListQuery, BatchSummary, EntityItem, EntityQuery,
    InProcessQuery, Inspector, JobItem, JobQuery, JobSelection, NodeQuery, SummaryLevel,
    SummaryQuery, SummaryRow, clock_text, decimal_text,
};

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
const AFFINITY_STATUS: [&str; 8] = [
    "Status",
    "Node Id",
    "DC",
    "Affinity",
    "Recommended",
    "Max",
    "Running Jobs",
    "Node Group",
];
const DETAILS: [&str; 5] = ["Entity ID", "Node id", "Status", "Error", "Results"];
const PROCESS_TIME: &str = "Process time (ms)";
const IN_PROCESS: [&str; 7] = [
    "Node ID",
    "Batch process ID",
    "Entity ID",
    "LU type",
    "Time at work (ms)",
    "exeid",
    "command",
];
const JOB_STATUS: [&str; 16] = [
    "Type",
    "Name",
    "UID",
    "Status",
    "Creation Time",
    "Start Time",
    "End Time",
    "Affinity",
    "Is Archived",
    "Next Run",
    "Ownership Candidates Num",
    "Notes",
    "Owner",
    "Tries",
    "Why Waiting",
    "Schedule",
];
const CLUSTER_STATUS: [&str; 8] = [
    "Status",
    "Node id",
    "Logical ids",
    "DC",
    "Effective IP",
    "IPs",
    "Version",
    "Last heartbeat",
];
const NOBODY_CAN_TELL: &str = "--";

/// BATCH_LIST. The column Command has the whole command as typed, as the documented output shows it.
pub(super) async fn batch_list(
    inspector: &Inspector,
    permit: &Permit<BatchListQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    let page = inspector.batches(permit).await?;
    output.columns(&BATCH_LIST).await;
    for item in page.items {
        let batch = item.batch;
        #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
        let percent = item.completed_percent.floor() as i64;
        let row = vec![
            json!(batch.id),
            json!(batch.command),
            time(batch.start_time),
            time(batch.end_time),
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

/// BATCH_INFO: names and values.
pub(super) async fn batch_info(
    inspector: &Inspector,
    permit: &Permit<BatchInfoQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    let info = inspector.batch(permit).await?;
    output.columns(&["Name", "Value"]).await;
    for (name, value) in facts(&info) {
        output.row(vec![json!(name), value]).await;
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
        (
            "Max No. of Nodes",
            spec.max_nodes
                .map_or_else(|| json!("All"), |nodes| json!(nodes)),
        ),
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
        ("Creation time", time(Some(batch.creation_time))),
        ("Start time", time(batch.start_time)),
        ("End time", time(batch.end_time)),
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

/// BATCH_SUMMARY. All values are texts but the sums of results, as clients have it.
pub(super) async fn batch_summary(
    inspector: &Inspector,
    permit: &Permit<SummaryQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    let summary = inspector.summary(permit).await?;
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
        // A batch that nobody has taken has the columns of a sync.
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
        None => json!(NOBODY_CAN_TELL),
    };
    let name = row.name.as_deref().unwrap_or(NOBODY_CAN_TELL);
    let remaining = row
        .remaining_ms
        .map_or_else(|| NOBODY_CAN_TELL.to_owned(), clock_text);
    let mut values = vec![
        json!(level),
        json!(name),
        json!(row.status.map_or("", |status| status.as_str())),
        time(row.start_time),
        time(row.end_time),
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

/// BATCH_DETAILS, chunk by chunk.
pub(super) async fn batch_details(
    inspector: &Inspector,
    permit: &Permit<EntityQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    if permit.request().slowest {
        let slowest = inspector.slowest(permit).await?;
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
    let mut pages = inspector.entities(permit).await?;
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
        let notice =
            format!("only the first {limit} entities are shown; LIMIT=-1 shows all of them");
        output.notice(notice).await;
    }
    Ok(())
}

fn details_row(item: EntityItem) -> Vec<Value> {
    debug_assert!(
        item.status != EntityStatus::Waiting || item.node.is_none(),
        "what waits has run nowhere"
    );
    vec![
        json!(item.id),
        json!(item.node),
        json!(item.status.as_str()),
        json!(item.error),
        json!(item.result),
    ]
}

/// BATCH_IN_PROCESS.
pub(super) async fn batch_in_process(
    inspector: &Inspector,
    permit: &Permit<InProcessQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    let items = inspector.in_process(permit).await?;
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

/// JOBSTATUS.
pub(super) async fn job_status(
    inspector: &Inspector,
    permit: &Permit<JobQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    let mut page = inspector.jobs(permit).await?;
    // A store has an order of its own; people look for names.
    page.items
        .sort_by(|one, other| one.job.key.cmp(&other.job.key));
    output.columns(&JOB_STATUS).await;
    let shown = page.items.len();
    for item in page.items {
        output.row(job_row(item)).await;
    }
    if page.next.is_some() {
        let notice = match shown == permit.request().limit {
            true => {
                format!("only {shown} of the jobs are shown; name a type or a job to see others")
            }
            false => "there are more jobs than were looked at; name a type and a job to see others"
                .to_owned(),
        };
        output.notice(notice).await;
    }
    if let JobSelection::Of {
        job_type,
        name,
        uid,
    } = &permit.request().selection
        && shown == 0
    {
        let notice = super::lower::about_type(job_type).or_else(|| {
            let refusal = no_such_job(job_type, name.as_deref()?, uid.as_deref());
            let hint = refusal.advice().unwrap_or_default();
            Some(format!("{}; {hint}", refusal.message()))
        });
        if let Some(notice) = notice {
            output.notice(notice).await;
        }
    }
    Ok(())
}

fn job_row(item: JobItem) -> Vec<Value> {
    let why = item.why_waiting().unwrap_or_default().to_owned();
    let job = item.job;
    // The form of JOBSTATUS, blanks between the parts of the date; never is the epoch.
    let moment = |time: Option<Timestamp>| {
        let time = time.unwrap_or_default().to_utc();
        json!(time.format("%Y %m %d %H:%M:%S").to_string())
    };
    let notes = item.error.or(item.note).unwrap_or_default();
    let owner = job.worker.map_or_else(String::new, |worker| worker.0);
    vec![
        json!(job.key.job_type),
        json!(job.key.name),
        json!(job.key.uid),
        json!(job.status.as_str()),
        moment(Some(job.creation_time)),
        moment(job.start_time),
        moment(job.end_time),
        json!(job.affinity.join(",")),
        json!(job.archived),
        json!(item.next_run.text()),
        json!(item.candidates),
        json!(notes),
        json!(owner),
        json!(job.tries),
        json!(why),
        json!(item.schedule.unwrap_or_default()),
    ]
}

/// CLUSTERSTATUS.
pub(super) async fn cluster_status(
    inspector: &Inspector,
    permit: &Permit<NodeQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    let nodes = inspector.nodes(permit).await?;
    output.columns(&CLUSTER_STATUS).await;
    for node in nodes {
        let row = vec![
            json!(node.status),
            json!(node.row.guid),
            json!(node.row.logical_ids.join(",")),
            json!(node.row.dc),
            json!(node.row.effective_ip),
            json!(node.row.ips.join(",")),
            json!(node.row.version),
            time(Some(node.row.heartbeat_at)),
        ];
        output.row(row).await;
    }
    Ok(())
}

/// What there is to say of nodes besides their rows.
pub(super) struct Groups<'a> {
    /// The jobs that run.
    pub running: &'a [Job],
    /// Which node is in which group.
    pub groups: &'a BTreeMap<NodeId, String>,
}

/// CLUSTERSTATUS NODE_AFFINITY_STATUS: the logical ids of each node, how many jobs it runs for them, and how many it should
/// and may.
pub(super) async fn affinity_status(
    inspector: &Inspector,
    permit: &Permit<NodeQuery>,
    Groups { running, groups }: &Groups<'_>,
    output: &Output,
) -> Result<(), Refusal> {
    let nodes = inspector.nodes(permit).await?;
    output.columns(&AFFINITY_STATUS).await;
    for node in nodes {
        let identity = Identity::from(&node.row);
        for written in &node.row.logical_ids {
            let name = name_of(written);
            // Without a number there is no limit.
            let size = |size: usize| match size {
                usize::MAX => Value::Null,
                size => json!(size),
            };
            let sizes = identity.sizes_of(name);
            let names_it = |job: &&Job| {
                let is_here = job
                    .holder()
                    .is_some_and(|holder| holder.node == node.row.guid);
                let mut members = job.affinity.iter();
                is_here && members.any(|member| member.eq_ignore_ascii_case(name))
            };
            let row = vec![
                json!(node.status),
                json!(node.row.guid),
                json!(node.row.dc),
                json!(name),
                sizes.map_or(Value::Null, |sizes| size(sizes.recommended)),
                sizes.map_or(Value::Null, |sizes| size(sizes.maximum)),
                json!(running.iter().filter(names_it).count()),
                json!(groups.get(&node.row.guid)),
            ];
            output.row(row).await;
        }
    }
    Ok(())
}

fn time(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| json!(time.to_seconds_text()))
}
