//! Tests on a real Cassandra or Scylla. They run if `WEFT_TEST_CASSANDRA` names one as `host:port[,…]`.
//!
//! Each test creates its own keyspaces and drops them at the end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use uuid::Uuid;
use weft_cql::{CassandraOptions, CassandraStore, inspect, migrate};
use weft_model::clock::Timestamp;
use weft_model::{Holder, Incarnation, Job, JobKey, JobRun, JobStatus, NodeId, Token};
use weft_store::{
    Attempt, ClaimJob, EndJob, Freshness, ListJobs, SCHEMA_VERSION, Store, StoreError, WriteJob,
};

/// Options with a fresh cluster id, `None` if there is no cluster to test on.
fn options() -> Option<CassandraOptions> {
    let points = std::env::var("WEFT_TEST_CASSANDRA").ok()?;
    let mut options = CassandraOptions::at(points.split(','));
    options.cluster_id = format!("t{}", &Uuid::new_v4().simple().to_string()[..10]);
    Some(options)
}

async fn session(options: &CassandraOptions) -> Result<Session> {
    let session = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .build()
        .await?;
    Ok(session)
}

async fn drop_keyspaces(options: &CassandraOptions, units: &[&str]) -> Result<()> {
    let session = session(options).await?;
    let mut names = vec!["k2viewsystem".to_owned(), "k2batchprocess".to_owned()];
    names.extend(units.iter().map(|unit| format!("k2view_{unit}")));
    for name in names {
        let text = format!("DROP KEYSPACE IF EXISTS {name}_{}", options.cluster_id);
        let mut statement = scylla::statement::Statement::new(text);
        statement.set_request_timeout(Some(Duration::from_secs(60)));
        session.query_unpaged(statement, ()).await?;
    }
    Ok(())
}

async fn table_ids(options: &CassandraOptions) -> Result<Vec<(String, Uuid)>> {
    let session = session(options).await?;
    let mut tables = Vec::new();
    for keyspace in ["k2viewsystem", "k2batchprocess"] {
        let keyspace = format!("{keyspace}_{}", options.cluster_id);
        let rows = session
            .query_unpaged(
                "SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?",
                (&keyspace,),
            )
            .await?
            .into_rows_result()?;
        for row in rows.rows::<(String, Uuid)>()? {
            let (table, id) = row?;
            tables.push((format!("{keyspace}.{table}"), id));
        }
    }
    Ok(tables)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_concurrent_migrations_make_one_schema() -> Result<()> {
    let Some(options) = options() else {
        return Ok(());
    };
    let reports = try_join_all((0..5).map(|_| {
        let options = options.clone();
        tokio::spawn(async move { migrate(&options).await })
    }))
    .await?
    .into_iter()
    .collect::<Result<Vec<_>, _>>()?;
    let worked = reports
        .iter()
        .filter(|report| report.statements > 0)
        .count();
    ensure!(
        worked == 1,
        "{worked} of five migrations created the tables: {reports:?}"
    );
    ensure!(reports.iter().all(|report| report.to == SCHEMA_VERSION));
    let tables = table_ids(&options).await?;
    ensure!(tables.len() >= 15, "{tables:?}");
    for (table, id) in &tables {
        ensure!(id.get_version_num() == 5, "{table} has a random id {id}");
    }
    // A further migration has nothing to do and changes no id.
    let again = migrate(&options).await?;
    ensure!(again.statements == 0 && again.from == Some(SCHEMA_VERSION));
    ensure!(table_ids(&options).await? == tables);
    let store = CassandraStore::connect(options.clone()).await?;
    ensure!(store.schema_version().await? == Some(SCHEMA_VERSION));
    drop_keyspaces(&options, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_schema_is_reported_with_a_hint() -> Result<()> {
    let Some(options) = options() else {
        return Ok(());
    };
    let error = CassandraStore::connect(options.clone()).await.err();
    match error {
        Some(StoreError::Schema(reason)) => {
            ensure!(reason.contains("weft schema migrate"), "{reason}")
        }
        other => anyhow::bail!("{other:?}"),
    }
    let found = inspect(&options).await?;
    ensure!(found.schema_version.is_none());
    ensure!(found.keyspaces.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_create_the_keyspaces_of_logical_units() -> Result<()> {
    let Some(options) = options() else {
        return Ok(());
    };
    migrate(&options).await?;
    let store = CassandraStore::connect(options.clone()).await?;
    let units = ["Customer".to_owned(), "ORDERS_2".to_owned()];
    let absent = store.instance("Customer", "1").await.err();
    ensure!(matches!(absent, Some(StoreError::Schema(_))), "{absent:?}");
    let both = futures::future::join(
        store.ensure_logical_units(&units),
        store.ensure_logical_units(&units),
    )
    .await;
    both.0?;
    both.1?;
    ensure!(store.instance("Customer", "1").await?.is_none());
    let clash = ["Customer".to_owned(), "CUSTOMER".to_owned()];
    ensure!(store.ensure_logical_units(&clash).await.is_err());
    drop_keyspaces(&options, &["customer", "orders_2"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn inspection_reports_nodes_and_keyspaces() -> Result<()> {
    let Some(options) = options() else {
        return Ok(());
    };
    migrate(&options).await?;
    let found = inspect(&options).await?;
    ensure!(found.schema_version == Some(SCHEMA_VERSION));
    ensure!(found.keyspaces.len() == 2, "{found:?}");
    ensure!(
        found
            .keyspaces
            .iter()
            .all(|keyspace| !keyspace.copies.is_empty() && !keyspace.tablets),
        "{found:?}"
    );
    // Three copies where there are three servers, although no option names them.
    let wanted = match found.nodes.len() {
        1 => 1,
        _ => 3,
    };
    let copies = found.keyspaces.iter().flat_map(|keyspace| &keyspace.copies);
    ensure!(
        copies.clone().all(|(_, copies)| *copies == wanted),
        "{found:?}"
    );
    let node = found.nodes.first().context("there is a node")?;
    ensure!(node.live && node.server_version.is_some(), "{node:?}");
    let commit_log = node.commitlog_sync.as_deref();
    ensure!(
        matches!(commit_log, Some("batch" | "group" | "periodic")),
        "{node:?}"
    );
    let store = CassandraStore::connect(options.clone()).await?;
    let logs = store.commit_logs().await;
    ensure!(
        logs.len() == found.nodes.len() && logs[0].1.as_deref() == commit_log,
        "{logs:?}"
    );
    ensure!(
        node.clock_offset_ms
            .is_some_and(|offset| offset.abs() < 5_000),
        "{node:?}"
    );
    drop_keyspaces(&options, &[]).await
}

/// A row without a status blocks its own job and hides no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_status_hides_no_other() -> Result<()> {
    let Some(options) = options() else {
        return Ok(());
    };
    migrate(&options).await?;
    let store = CassandraStore::connect(options.clone()).await?;
    let key = |uid: &str| JobKey {
        job_type: "PROCESS".to_owned(),
        name: "a.sh".to_owned(),
        uid: uid.to_owned(),
    };
    for uid in ["1", "2", "3"] {
        let write = WriteJob {
            job: Job::waiting(key(uid), Timestamp(0)),
            seen: None,
            due: None,
            token: Token(Uuid::new_v4()),
        };
        let written = store.write_job(&write).await?;
        ensure!(written == Attempt::Applied, "{written:?}");
    }
    let text = format!(
        "DELETE status FROM k2viewsystem_{}.jobs WHERE type = 'PROCESS' AND name = 'a.sh' AND uid = '2'",
        options.cluster_id
    );
    session(&options).await?.query_unpaged(text, ()).await?;
    let mut list = ListJobs {
        limit: 1,
        ..ListJobs::default()
    };
    let mut found = Vec::new();
    loop {
        let page = store.jobs(&list).await?;
        found.extend(page.jobs.into_iter().map(|job| job.key.uid));
        list.after = page.next;
        if list.after.is_none() {
            break;
        }
    }
    found.sort();
    ensure!(found == ["1", "3"], "{found:?}");
    let broken = store.job(&key("2"), Freshness::Committed).await;
    ensure!(
        matches!(broken, Err(StoreError::Corrupt { .. })),
        "{broken:?}"
    );
    drop_keyspaces(&options, &[]).await
}

/// The sizes of the partitions of a table with runs.
async fn runs_by_partition(session: &Session, table: &str, bucket: &str) -> Result<Vec<i64>> {
    let text = format!("SELECT count(*) FROM {table} GROUP BY type, name, uid, {bucket}");
    let rows = session.query_unpaged(text, ()).await?.into_rows_result()?;
    let counts = rows.rows::<(i64,)>()?;
    Ok(counts
        .map(|row| row.map(|(count,)| count))
        .collect::<Result<_, _>>()?)
}

/// A run of 64 KiB a minute makes GiB a month; 512 of them are 32 MiB. A run raises the fence by one or more.
#[tokio::test(flavor = "multi_thread")]
async fn runs_lie_in_partitions_of_512_fences() -> Result<()> {
    let Some(options) = options() else {
        return Ok(());
    };
    migrate(&options).await?;
    let store = CassandraStore::connect(options.clone()).await?;
    let key = JobKey {
        job_type: "PROCESS".to_owned(),
        name: "often.sh".to_owned(),
        uid: "1".to_owned(),
    };
    let first = 508;
    let job = Job {
        fence: first,
        ..Job::waiting(key.clone(), Timestamp(0))
    };
    let holder = Holder {
        node: NodeId("n".to_owned()),
        incarnation: Incarnation(Uuid::new_v4()),
    };
    let write = WriteJob {
        job: job.clone(),
        seen: None,
        due: None,
        token: Token(Uuid::new_v4()),
    };
    ensure!(store.write_job(&write).await? == Attempt::Applied);
    let now = Timestamp(1_700_000_000_000);
    let last = 513;
    for fence in first..last {
        let claim = ClaimJob {
            cut_short: None,
            key: key.clone(),
            seen_status: JobStatus::Waiting,
            seen_fence: fence,
            holder: holder.clone(),
            now,
            due: weft_model::DueHint::first_at(now),
            token: Token(Uuid::new_v4()),
        };
        ensure!(store.claim_job(&claim).await? == Attempt::Applied);
        let claimed = Job {
            fence: fence + 1,
            status: JobStatus::InProcess,
            ..job.clone()
        };
        let run = JobRun {
            key: key.clone(),
            started: now,
            ended: now,
            fence: fence + 1,
            node: holder.node.clone(),
            status: JobStatus::Processed,
            attempt: 1,
            planned: None,
            exit_code: None,
            error: None,
            output: None,
        };
        let token = Token(Uuid::new_v4());
        let end = EndJob {
            to_fence: fence + 1,
            run: Some(run),
            ..EndJob::of(&claimed, holder.clone(), JobStatus::Waiting, now, token)
        };
        ensure!(store.end_job(&end).await? == Attempt::Applied);
    }
    let session = session(&options).await?;
    let system = format!("k2viewsystem_{}", options.cluster_id);
    let monthly = runs_by_partition(&session, &format!("{system}.job_runs"), "month").await?;
    ensure!(monthly.is_empty(), "{monthly:?}");
    let mut buckets =
        runs_by_partition(&session, &format!("{system}.job_history"), "bucket").await?;
    buckets.sort_unstable();
    // 509 to 511, and 512 and 513.
    ensure!(buckets == [2, 3], "{buckets:?}");
    let read = store.job_runs(&key, 1_000).await?;
    let fences: Vec<i64> = read.iter().map(|run| run.fence).collect();
    ensure!(
        fences == (first + 1..=last).rev().collect::<Vec<_>>(),
        "{fences:?}"
    );
    drop_keyspaces(&options, &[]).await
}
