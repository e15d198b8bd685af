//! Renders everything a store holds as JSON.
//!
//! Columns keep their names in the store. Values that are stored as JSON are decoded and encoded again, so a key that this
//! program no longer reads is missing from the rendering.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value as Json, json, to_value};
use weft_model::ColumnType;
use weft_model::Value;
use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, Checkpoint, CheckpointHead, ChunkHead, Deployment, DueHint, EntityRow, Holder,
    Instance, Job, JobKey, JobRun, NodeRow, NodeStats, ParsedColumn, ParsedTable, Setting,
};
use weft_store::{Freshness, ListBatches, ListJobs, Store, StoreResult};

/// The time of the fixture: 2025-01-15 12:00:00 UTC.
pub(super) const WRITTEN_AT: Timestamp = Timestamp(1_736_942_400_000);
const DAY_MS: i64 = 86_400_000;
/// A limit above the number of rows in any table of the fixture.
const MANY: usize = 1_000;
const SETTINGS: [&str; 4] = [
    "affinity_rules",
    "node_groups:local_dc",
    "node_affinity:fixture-b",
    "node_affinity:fixture-a",
];
const COMMAND_OF_BATCH_5: &str = "66d8a4d6f150851f12f1588bc9e153a8edf97d4d1d2da9a333419093f44fd840";
const SCOPES: [&str; 3] = ["listener/arrived/orders", "emptied", "never taken"];
const LOGICAL_UNIT: &str = "CUSTOMER";

/// Reads the whole store through its verbs.
pub(super) async fn read_all(store: &dyn Store) -> StoreResult<Json> {
    Ok(json!({
        "schema_version": store.schema_version().await?,
        "nodes": store.nodes().await?.iter().map(node).collect::<Vec<_>>(),
        "settings": settings(store).await?,
        "project": project(store).await?,
        "jobs": jobs(store).await?,
        "job_followers": followers(store).await?,
        "jobs_due": due(store).await?.iter().map(hint).collect::<Vec<_>>(),
        "batches": batches(store).await?,
        "active_commands": {
            COMMAND_OF_BATCH_5: store.active_command(COMMAND_OF_BATCH_5).await?,
        },
        "checkpoints": checkpoints(store).await?,
        "instances": instances(store).await?,
        "parsed_tables": parsed_tables(store).await?,
    }))
}

/// The due hints within a day of the time of the fixture.
pub(super) async fn due(store: &dyn Store) -> StoreResult<Vec<DueHint>> {
    let from = DueHint::first_at(Timestamp(WRITTEN_AT.0 - DAY_MS));
    store
        .due(&from, Timestamp(WRITTEN_AT.0 + DAY_MS), MANY)
        .await
}

/// A value that the store keeps as JSON.
fn stored(value: &impl Serialize) -> Json {
    to_value(value).expect("it is JSON in the store")
}

fn node(row: &NodeRow) -> Json {
    json!({
        "guid": row.guid,
        "dc": row.dc,
        "effective_ip": row.effective_ip,
        "ips": row.ips,
        "logical_ids": row.logical_ids,
        "incarnation": row.incarnation,
        "hb_seq": row.hb_seq,
        "heartbeat": row.heartbeat_at,
        "state": row.state.as_str(),
        "version": row.version,
        "http_address": row.http_address,
        "coordinates": row.coordinates,
    })
}

async fn settings(store: &dyn Store) -> StoreResult<Vec<Json>> {
    let mut found = Vec::new();
    for name in SETTINGS {
        let setting = store.setting(name, Freshness::Serial).await?;
        found.push(json!({ "asked": name, "row": setting.as_ref().map(setting_row) }));
    }
    Ok(found)
}

fn setting_row(row: &Setting) -> Json {
    json!({
        "name": row.name,
        "seq": row.seq,
        "value": row.value,
        "changed_at": row.changed_at,
        "changed_by": row.changed_by,
    })
}

async fn project(store: &dyn Store) -> StoreResult<Json> {
    let Some(row) = store.deployment().await? else {
        return Ok(Json::Null);
    };
    let bundle = store.bundle(&row.hash).await?;
    let Deployment {
        seq,
        hash,
        deployed_at,
        deployed_by,
        logical_units,
    } = &row;
    Ok(json!({
        "seq": seq,
        "hash": hash,
        "deployed_at": deployed_at,
        "deployed_by": deployed_by,
        "logical_units": logical_units,
        "bundle_bytes": bundle.map(|bytes| bytes.len()),
    }))
}

fn key(key: &JobKey) -> Json {
    json!([key.job_type, key.name, key.uid])
}

fn hint(hint: &DueHint) -> Json {
    json!({ "due_at": hint.due_at, "job": key(&hint.key) })
}

async fn all_jobs(store: &dyn Store) -> StoreResult<Vec<Job>> {
    let mut list = ListJobs {
        limit: MANY,
        ..ListJobs::default()
    };
    let mut jobs = Vec::new();
    loop {
        let page = store.jobs(&list).await?;
        jobs.extend(page.jobs);
        list.after = page.next;
        if list.after.is_none() {
            jobs.sort_by(|one, other| one.key.cmp(&other.key));
            return Ok(jobs);
        }
    }
}

async fn jobs(store: &dyn Store) -> StoreResult<Vec<Json>> {
    let mut found = Vec::new();
    for row in all_jobs(store).await? {
        let runs = store.job_runs(&row.key, MANY).await?;
        let by_name = ListJobs {
            job_type: Some(row.key.job_type.clone()),
            name: Some(row.key.name.clone()),
            uid: None,
            active_only: false,
            after: None,
            limit: MANY,
        };
        let named = store.jobs(&by_name).await?.jobs;
        found.push(json!({
            "row": job(&row),
            "runs": runs.iter().map(run).collect::<Vec<_>>(),
            "is_found_by_name": named.contains(&row),
        }));
    }
    Ok(found)
}

fn job(row: &Job) -> Json {
    json!({
        "type": row.key.job_type,
        "name": row.key.name,
        "uid": row.key.uid,
        "affinity": row.affinity,
        "archived": row.archived,
        "arguments": row.arguments,
        "creation_time": row.creation_time,
        "start_time": row.start_time,
        "end_time": row.end_time,
        "error_msg": row.error,
        "execution_interval": row.execution_interval,
        "output": row.output,
        "status": row.status.as_str(),
        "tries": row.tries,
        "worker_id": row.worker,
        "owner_inc": row.owner_incarnation,
        "next_run": row.next_run,
        "planned_run": row.planned_run,
        "runs": row.runs,
        "policy": stored(&row.policy),
        "created_by": row.created_by,
        "fence": row.fence,
        "op_token": row.op_token,
        "desired": row.desired.as_str(),
        "desired_seq": row.desired_seq,
        "desired_token": row.desired_token,
        "notes": row.notes,
        "triggers": stored(&row.triggers),
    })
}

fn run(row: &JobRun) -> Json {
    json!({
        "started": row.started,
        "ended": row.ended,
        "run_fence": row.fence,
        "node": row.node,
        "status": row.status.as_str(),
        "attempt": row.attempt,
        "planned": row.planned,
        "exit_code": row.exit_code,
        "error": row.error,
        "output": row.output,
    })
}

/// The followers of each job type and name that a trigger mentions.
async fn followers(store: &dyn Store) -> StoreResult<Json> {
    let jobs = all_jobs(store).await?;
    let triggers = jobs.iter().flat_map(|job| &job.policy.after);
    let conditions = triggers.flat_map(|trigger| &trigger.conditions);
    let names: BTreeSet<(&str, &str)> = conditions
        .map(|condition| (condition.job_type.as_str(), condition.name.as_str()))
        .collect();
    let mut found = Map::new();
    for (job_type, name) in names {
        let keys = store.followers(job_type, name, None, MANY).await?;
        let keys = keys.iter().map(key).collect();
        found.insert(format!("{job_type} {name}"), keys);
    }
    Ok(Json::Object(found))
}

async fn batches(store: &dyn Store) -> StoreResult<Vec<Json>> {
    let list = ListBatches {
        from: Timestamp(WRITTEN_AT.0 - DAY_MS),
        to: Timestamp(WRITTEN_AT.0 + DAY_MS),
        before: None,
        limit: MANY,
    };
    let mut found = Vec::new();
    for listing in store.batches(&list).await?.listings {
        let row = store.batch(listing.id, Freshness::Serial).await?;
        let stats = store.node_stats(listing.id).await?;
        found.push(json!({
            "listing": {
                "bid": listing.id,
                "creation_time": listing.creation_time,
                "status": listing.status.as_str(),
                "end_time": listing.end_time,
                "command": listing.command,
                // While a batch runs, SQLite updates this copy more often than Cassandra.
                "failed": listing.status.is_final().then_some(listing.failed),
            },
            "row": row.as_ref().map(batch),
            "node_info": stats.iter().map(node_stats).collect::<Vec<_>>(),
            "chunks": chunks(store, listing.id).await?,
        }));
    }
    Ok(found)
}

fn batch(row: &Batch) -> Json {
    json!({
        "bid": row.id,
        "status": row.status.as_str(),
        "spec": stored(&row.spec),
        "arguments": row.arguments,
        "command": row.command,
        "creation_time": row.creation_time,
        "start_time": row.start_time,
        "end_time": row.end_time,
        "error": row.error,
        "extra_stats": row.extra_stats,
        "statistics": row.statistics.as_ref().map(stored),
        "owner": row.owner,
        "total_entities": row.total_entities,
        "duplicates": row.duplicates,
        "execution_id": row.execution_id,
        "fence": row.fence,
        "owner_node": row.owner_node,
        "owner_inc": row.owner_incarnation,
        "op_token": row.op_token,
        "desired": row.desired.as_str(),
        "desired_seq": row.desired_seq,
        "desired_token": row.desired_token,
        "chunks": row.chunks,
        "stats_seq": row.stats_seq,
        "notes": row.notes,
    })
}

fn node_stats(row: &NodeStats) -> Json {
    let in_process = row.in_process.iter();
    json!({
        "nodeid": row.node,
        "dc_name": row.dc,
        "updated_time": row.updated_time,
        "share": stored(&row.share),
        "slowest": stored(&row.slowest),
        "histogram": row.histogram,
        "pace_milli": row.pace_milli,
        "in_process": in_process.map(stored).collect::<Vec<_>>(),
    })
}

async fn chunks(store: &dyn Store, batch: BatchId) -> StoreResult<Vec<Json>> {
    let mut found = Vec::new();
    for head in store.chunk_heads(batch, 0, 128).await? {
        let content = store.chunk(batch, head.number).await?;
        let (ids, mut handled) = content
            .map(|content| (content.ids, content.handled))
            .unwrap_or_default();
        handled.sort();
        let mut entities = store.entities(batch, head.number).await?;
        entities.sort_by(|one, other| one.id.cmp(&other.id));
        found.push(json!({
            "head": chunk(&head),
            "ids": ids,
            "handled": handled,
            "entities": entities.iter().map(entity).collect::<Vec<_>>(),
        }));
    }
    Ok(found)
}

fn holder(holder: &Holder) -> Json {
    json!([holder.node, holder.incarnation])
}

fn chunk(head: &ChunkHead) -> Json {
    json!({
        "chunk": head.number,
        "c_state": head.state.as_str(),
        "c_owner": head.holder.as_ref().map(holder),
        "c_fence": head.fence,
        "c_seq": head.seq,
        "c_token": head.token,
        "c_total": head.total,
        "c_ok": head.ok,
        "c_failed": head.failed,
        "c_results": stored(&head.shares),
        "c_source_pos": head.source_position,
        "c_crashes": head.crashes,
    })
}

fn entity(row: &EntityRow) -> Json {
    json!({
        "entityid": row.id,
        "status": row.status.as_str(),
        "results": row.result,
        "error": row.error,
        "nodeid": row.node,
        "start_time": row.start_time,
        "end_time": row.end_time,
        "duration_us": row.duration_us,
        "attempt": row.attempt,
        "fence": row.fence,
    })
}

async fn checkpoints(store: &dyn Store) -> StoreResult<Json> {
    let mut found = Map::new();
    for scope in SCOPES {
        let head = store.checkpoint_head(scope, Freshness::Serial).await?;
        let items = store.checkpoints(scope, None, MANY).await?;
        let head = head.as_ref().map(checkpoint_head);
        let items: Vec<_> = items.iter().map(checkpoint).collect();
        found.insert(scope.to_owned(), json!({ "head": head, "items": items }));
    }
    Ok(Json::Object(found))
}

fn checkpoint_head(head: &CheckpointHead) -> Json {
    json!({
        "s_fence": head.fence,
        "s_seq": head.seq,
        "s_holder": head.holder,
        "s_token": head.token,
    })
}

fn checkpoint(row: &Checkpoint) -> Json {
    json!({ "item": row.item, "value": row.value, "updated_at": row.updated_at })
}

async fn instances(store: &dyn Store) -> StoreResult<Vec<Json>> {
    let mut ids = store.instance_ids(LOGICAL_UNIT, None, MANY).await?;
    ids.sort();
    let heads = store.instance_heads(LOGICAL_UNIT, &ids).await?;
    let mut found = Vec::new();
    for id in &ids {
        let row = store.instance(LOGICAL_UNIT, id).await?;
        let is_its_head = row.as_ref().map(|row| &row.head) == heads.get(id);
        found.push(json!({ "row": row.as_ref().map(instance), "is_its_head": is_its_head }));
    }
    Ok(found)
}

fn instance(row: &Instance) -> Json {
    json!({
        "id": row.head.id,
        "content_hash": hex(&row.head.content_hash),
        "schema_hash": hex(&row.head.schema_hash),
        "sync_version": row.head.sync_version,
        "batch_id": row.batch,
        "data": hex(&row.image),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tables that the two parsers of the project declare.
fn tables() -> [ParsedTable; 2] {
    let column = |name: &str, kind, from: &str| ParsedColumn {
        name: name.to_owned(),
        kind,
        from: from.to_owned(),
    };
    let orders = ParsedTable {
        logical_unit: LOGICAL_UNIT.to_owned(),
        name: "orders".to_owned(),
        columns: vec![
            column("id", ColumnType::Integer, "id"),
            column("customer", ColumnType::Text, "customer"),
            column("amount", ColumnType::Real, "amount"),
            column("scan", ColumnType::Blob, "scan"),
        ],
        key: vec!["id".to_owned()],
    };
    let remarks = ParsedTable {
        logical_unit: LOGICAL_UNIT.to_owned(),
        name: "remarks".to_owned(),
        columns: vec![
            column("customer", ColumnType::Text, "customer"),
            column("remark", ColumnType::Text, "text"),
        ],
        key: Vec::new(),
    };
    [orders, remarks]
}

async fn parsed_tables(store: &dyn Store) -> StoreResult<Json> {
    let mut found = Map::new();
    for table in tables() {
        // Refused if the existing table has other columns.
        store
            .ensure_parsed_tables(std::slice::from_ref(&table))
            .await?;
        let page = store.parsed_rows(&table, None, MANY).await?;
        let mut rows: Vec<Json> = page.rows.iter().map(|row| values(row)).collect();
        rows.sort_by_key(Json::to_string);
        found.insert(table.name, Json::Array(rows));
    }
    Ok(Json::Object(found))
}

fn values(row: &[Value]) -> Json {
    let value = |value: &Value| match value {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::Real(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!({ "bytes": hex(bytes) }),
    };
    row.iter().map(value).collect()
}
