//! Requirements that are about tables and files rather than about what the console prints.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::Connection;
use serde_json::Value;
use tokio::process::Command;
use weft_tests::transcript::{Bench, CassandraPlace, SqlitePlace, weft};

const NODE_IP: &str = "10.21.2.102";
const THE_LINE: &str = r#"BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids  limit 100') FABRIC_COMMAND="sync_instance AUTODATA_DELTA.?" with JOB_AFFINITY='10.21.2.102' ASYNC='true';"#;
const SYNCHRONOUS: &str = r#"BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids') FABRIC_COMMAND="sync_instance AUTODATA_DELTA.?";"#;

/// The documented columns, as people select them.
const JOBS: &str = "type, name, uid, status, affinity, arguments, creation_time, start_time, end_time, error_msg, execution_interval, output, tries, worker_id";
const NODES: &str = "guid, dc, effective_ip, ips, logical_ids";
const BATCHES: &str = "bid, arguments, command, creation_time, start_time, end_time, error, extra_stats, lut_name, owner, status, total_entities";
const ENTITIES: &str =
    "entityid, status, results, error, nodeid, creation_time, start_time, end_time";

/// Starts the documented line; the id that it answers.
async fn start(bench: &Bench) -> anyhow::Result<String> {
    let rows = bench.rows(THE_LINE).await?;
    let id = rows.first().and_then(|row| row.first()?.as_str());
    Ok(id.context("a batch id")?.to_owned())
}

async fn wait_for_the_end(bench: &Bench, batch: &str) -> anyhow::Result<()> {
    for _ in 0..200 {
        let rows = bench.rows(&format!("BATCH_SUMMARY '{batch}';")).await?;
        if rows.iter().flatten().any(|value| value == "DONE") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("batch {batch} does not end")
}

fn check_extra_stats(text: &str) -> anyhow::Result<()> {
    let stats: Value = serde_json::from_str(text)?;
    let keys: Vec<_> = stats.as_object().context("an object")?.keys().collect();
    ensure!(keys == ["slowestProcessed"], "{stats}");
    let slowest = stats["slowestProcessed"].as_array().context("a list")?;
    ensure!(slowest.len() == 10, "{stats}");
    let millis: Vec<_> = slowest
        .iter()
        .map(|entity| entity["processTimeMS"].as_i64())
        .collect();
    ensure!(millis.is_sorted() && millis[0].is_some(), "{stats}");
    for entity in slowest {
        ensure!(entity["entityId"].is_string(), "{entity}");
        ensure!(entity["status"] == "COMPLETED", "{entity}");
        let added = r#"{"Added":1,"Updated":0,"Unchanged":0}"#;
        ensure!(entity["result"] == added, "{entity}");
    }
    Ok(())
}

/// An exported instance is a database that anything can read.
async fn check_export(folder: &Path, store: &str) -> anyhow::Result<()> {
    let args = [
        "instance",
        "export",
        "AUTODATA_DELTA",
        "V0000003",
        "--out",
        "v3.db",
        "--store",
        store,
    ];
    weft(folder, &args).await?;
    let file = Connection::open(folder.join("v3.db"))?;
    let verdict: String = file.query_row("pragma integrity_check", [], |row| row.get(0))?;
    ensure!(verdict == "ok", "{verdict}");
    let id: String = file.query_row("select id from vehicle", [], |row| row.get(0))?;
    ensure!(id == "V0000003", "{id}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_status_of_a_batch_is_logged() -> anyhow::Result<()> {
    let bench = Bench::set(&SqlitePlace, 10, NODE_IP).await?;
    bench.rows(SYNCHRONOUS).await?;
    let listed = bench.rows("BATCH_LIST STATUS='ALL';").await?;
    let id = listed[0][0].as_str().context("an id")?.to_owned();
    let log = bench.node.stop().await?;
    let mut rest = log.as_str();
    for status in ["NEW", "GENERATE_IID", "IN_PROGRESS", "DONE"] {
        let line = format!("Batch process id '{id}' was changed to '{status}'");
        let found = rest.split_once(&line);
        rest = found.with_context(|| format!("no `{line}` in\n{log}"))?.1;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documented_tables_are_read_with_sqlite() -> anyhow::Result<()> {
    let bench = Bench::set(&SqlitePlace, 12, NODE_IP).await?;
    let batch = start(&bench).await?;
    let file = Connection::open(bench.folder().join("store.db"))?;
    // Both rows are there as soon as the statement has been answered.
    let query =
        "select count(*) from batchprocess_list b join jobs j on j.uid = b.bid where b.bid = ?";
    let count: i64 = file.query_row(query, [&batch], |row| row.get(0))?;
    assert_eq!(count, 1);
    wait_for_the_end(&bench, &batch).await?;
    for (table, columns, expected) in [
        ("jobs", JOBS, 1),
        ("nodes", NODES, 1),
        ("batchprocess_list", BATCHES, 1),
        ("batchprocess_entities_info", ENTITIES, 12),
    ] {
        let query = format!("select count(*) from (select {columns} from {table})");
        let count: i64 = file
            .query_row(&query, [], |row| row.get(0))
            .with_context(|| query.clone())?;
        assert_eq!(count, expected, "{table}");
    }
    let query = "select extra_stats from batchprocess_list where bid = ?";
    let stats: String = file.query_row(query, [&batch], |row| row.get(0))?;
    check_extra_stats(&stats)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documented_tables_are_read_with_cqlsh() -> anyhow::Result<()> {
    let Some(place) = CassandraPlace::of_environment().await? else {
        eprintln!("WEFT_TEST_CASSANDRA is not set: nothing is read with cqlsh");
        return Ok(());
    };
    let bench = Bench::set(&place, 12, NODE_IP).await?;
    let batch = start(&bench).await?;
    let (system, batches) = (
        format!("k2viewsystem_{}", place.cluster_id),
        format!("k2batchprocess_{}", place.cluster_id),
    );
    // Both rows are there as soon as the statement has been answered. A batch is read by its id alone; a job is a
    // partition of its own, whose key is (type, name, uid), with a directory for those who know no uid.
    let name = "type = 'BATCH PROCESS' AND name = 'BATCH_AUTODATA_DELTA'";
    for query in [
        format!("SELECT command FROM {batches}.batchprocess_list WHERE bid = '{batch}'"),
        format!("SELECT status FROM {system}.jobs WHERE {name} AND uid = '{batch}'"),
        format!("SELECT status FROM {system}.jobs WHERE {name} ALLOW FILTERING"),
        format!("SELECT uid FROM {system}.jobs_by_name WHERE {name}"),
    ] {
        let rows = place.session().query_unpaged(query.as_str(), ()).await;
        let rows = rows.with_context(|| query.clone())?;
        assert_eq!(rows.into_rows_result()?.rows_num(), 1, "{query}");
    }
    wait_for_the_end(&bench, &batch).await?;
    let entities = format!("{batches}.batchprocess_entities_info");
    let selects = [
        format!("SELECT {JOBS} FROM {system}.jobs;"),
        format!("SELECT {NODES} FROM {system}.nodes;"),
        format!("SELECT {BATCHES} FROM {batches}.batchprocess_list WHERE bid = '{batch}';"),
        format!("SELECT {ENTITIES} FROM {entities} WHERE bid = '{batch}' ALLOW FILTERING;"),
    ];
    let printed = cqlsh(&selects.join(" ")).await?;
    assert_eq!(printed.matches("(1 rows)").count(), 3, "{printed}");
    assert!(printed.contains("V0000012"), "{printed}");
    assert!(printed.contains("(12 rows)"), "{printed}");
    let query =
        format!("SELECT extra_stats FROM {batches}.batchprocess_list WHERE bid = '{batch}'");
    let rows = place.session().query_unpaged(query, ()).await?;
    let (stats,) = rows.into_rows_result()?.single_row::<(String,)>()?;
    check_extra_stats(&stats)?;
    check_export(bench.folder(), &bench.store).await?;
    drop(bench);
    place.drop_keyspaces().await
}

/// Runs statements as a person would, and answers what is printed.
async fn cqlsh(statements: &str) -> anyhow::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cassandra");
    let output = Command::new(script)
        .args(["cqlsh", "-e", statements])
        .env("WEFT_CASSANDRA", std::env::var("WEFT_TEST_CASSANDRA")?)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cqlsh: {text}\n{errors}");
    Ok(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_instance_is_a_sound_database() -> anyhow::Result<()> {
    let bench = Bench::set(&SqlitePlace, 10, NODE_IP).await?;
    bench.rows(SYNCHRONOUS).await?;
    check_export(bench.folder(), &bench.store).await
}
