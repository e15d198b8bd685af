//! Real nodes on a real Cassandra, and one on SQLite: killed, cut off, cancelled, started late.
//!
//! Each test has keyspaces of its own. The tests run in sequence, because the machine has few cores.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Mutex, MutexGuard};
use weft_cql::{CassandraOptions, CassandraStore};
use weft_store::SharedStore;
use weft_tests::cluster::{
    Cluster, Dev, LOGICAL_UNIT, Node, Proxy, cassandra, check_each_once, until,
};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
const END_LIMIT: Duration = Duration::from_secs(90);
const DOCUMENTED: &str = "BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids  limit 100') FABRIC_COMMAND=\"sync_instance AUTODATA_DELTA.?\" with JOB_AFFINITY='10.21.2.102' ASYNC='true';";

/// The Cassandra and the right to load this machine; none where the test is not run.
pub(crate) async fn turn(test: &str) -> Option<(String, MutexGuard<'static, ()>)> {
    let Some(points) = cassandra() else {
        eprintln!("NOT RUN: {test}, for WEFT_TEST_CASSANDRA is not set");
        return None;
    };
    Some((points, ONE_AT_A_TIME.lock().await))
}

/// A batch is over as it should be: sums and records, by the API and by CQL.
async fn check_done(
    cluster: &Cluster,
    asked: &Node,
    batch: &str,
    count: usize,
) -> anyhow::Result<()> {
    let summary = asked.until_ended(batch, END_LIMIT).await?;
    let wanted = u64::try_from(count)?;
    ensure!(
        (
            summary.status.as_str(),
            summary.total,
            summary.succeeded,
            summary.failed
        ) == ("DONE", wanted, wanted, 0),
        "{summary:?}, {}",
        asked.said()
    );
    check_each_once(&asked.details(batch).await?, count).context("by BATCH_DETAILS")?;
    let records = cluster.keyspaces.records(batch).await?.into_iter();
    let records: Vec<_> = records.map(|record| (record.id, record.status)).collect();
    check_each_once(&records, count).context("by CQL")?;
    asked.until_job(batch, "PROCESSED").await
}

/// Two nodes work on 3,000 slow entities; the owner of the batch or the other node is killed during the work.
async fn one_of_two_is_killed(points: &str, is_owner: bool) -> anyhow::Result<()> {
    let cluster = Cluster::new(points, 3_000).await?;
    let mut nodes = cluster.start_all(&["a", "b"], &[]).await?;
    let batch = nodes[0].submit_first(3_000, "ECHO ? DELAY_MS=20").await?;
    until("both nodes have worked", END_LIMIT, async || {
        let share = nodes[0].share(&batch, &nodes[0]).await?;
        let other = nodes[1].share(&batch, &nodes[0]).await?;
        Ok((share > 0 && other > 0).then_some(()))
    })
    .await?;
    let seen = nodes[0].until_succeeded(&batch, 1_000).await?;
    let owner = nodes[0].job(&batch, "Owner").await?;
    let found = nodes.iter().position(|node| (node.id == owner) == is_owner);
    let victim = nodes.swap_remove(found.context("one of two owns the batch")?);
    let victim_id = victim.id.clone();
    victim.kill()?;
    let survivor = &nodes[0];
    check_done(&cluster, survivor, &batch, 3_000)
        .await
        .with_context(|| format!("killed at {seen:?}"))?;
    let records = cluster.keyspaces.records(&batch).await?;
    let kept = records
        .iter()
        .filter(|record| record.node == victim_id)
        .count();
    ensure!(kept > 0 && kept < 3_000, "the killed node did {kept}");
    let last_owner = survivor.job(&batch, "Owner").await?;
    ensure!(
        last_owner.is_empty() || last_owner == survivor.id || !is_owner,
        "{last_owner}"
    );
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_outlives_its_owner() -> anyhow::Result<()> {
    let Some((points, _turn)) = turn("a_batch_outlives_its_owner").await else {
        return Ok(());
    };
    one_of_two_is_killed(&points, true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_outlives_a_worker() -> anyhow::Result<()> {
    let Some((points, _turn)) = turn("a_batch_outlives_a_worker").await else {
        return Ok(());
    };
    one_of_two_is_killed(&points, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_a_batch_at_a_bounded_cost() -> anyhow::Result<()> {
    let Some((points, _turn)) = turn("two_nodes_share_a_batch_at_a_bounded_cost").await else {
        return Ok(());
    };
    let cluster = Cluster::new(&points, 2_000).await?;
    // A chunk that is dealt to a node is left to it for one and a half of these intervals, which must be longer than
    // what the scheduler of a busy machine does to one of the two.
    let as_usual = ["--set", "fabric_cluster.POLL_INTERVAL_MS=1000"];
    let nodes = cluster.start_all(&["a", "b"], &as_usual).await?;
    for (count, command) in [
        (100, "ECHO ? DELAY_MS=20"),
        (2_000, "ECHO ? DELAY_MS=20"),
        (2_000, "ECHO ?"),
    ] {
        let before = lwt(&nodes).await?;
        let batch = nodes[0].submit_first(count, command).await?;
        check_done(&cluster, &nodes[0], &batch, count).await?;
        let spent = lwt(&nodes).await? - before;
        let chunks = cluster.keyspaces.chunks(&batch).await?;
        ensure!(chunks.values().all(|state| state == "DONE"), "{chunks:?}");
        let chunks = u64::try_from(chunks.len())?;
        eprintln!("{count} × {command}: {spent} LWT for {chunks} chunks");
        if command == "ECHO ?" {
            ensure!(spent <= 12 + 8 * chunks, "{spent} LWT for {chunks} chunks");
        }
        let mut sum = 0;
        for node in &nodes {
            let share = node.share(&batch, &nodes[0]).await?;
            eprintln!("{count} × {command}: {share}");
            sum += share;
            // Where entities take no time, a node may be through before the other one has had its turn on the processor.
            let is_even = 4 * share >= u64::try_from(count)?;
            ensure!(
                is_even || command == "ECHO ?",
                "{share} of {count} on {}",
                node.id
            );
        }
        ensure!(
            sum == u64::try_from(count)?,
            "the shares sum up to {sum}, not {count}"
        );
    }
    drop(nodes);
    cluster.end().await
}

async fn lwt(nodes: &[Node]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for node in nodes {
        sum += node.counter("store_lwt_total{", "").await?;
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_line_waits_for_its_node_and_copies_every_row() -> anyhow::Result<()> {
    let test = "the_documented_line_waits_for_its_node_and_copies_every_row";
    let Some((points, _turn)) = turn(test).await else {
        return Ok(());
    };
    let cluster = Cluster::new(&points, 150).await?;
    let first = cluster.start_all(&["a"], &[]).await?.swap_remove(0);
    let batch = first.submit(DOCUMENTED).await?;
    check_waiting_is_explained(&first, &batch).await?;

    let second = cluster.start("b", &["--node-ip", "10.21.2.102"]).await?;
    until("the batch starts", Duration::from_secs(15), async || {
        let status = second.summary(&batch).await?.status;
        Ok((status != "WAITING_FOR_JOB").then_some(()))
    })
    .await?;
    ensure!(second.job(&batch, "Owner").await? == second.id);
    check_done(&cluster, &second, &batch, 100).await?;
    check_results(
        &second,
        &batch,
        "{\"Added\":1,\"Updated\":0,\"Unchanged\":0}",
    )
    .await?;
    check_instances(&cluster, &points).await?;

    let nodes = [first, second];
    let (writes, saves) = (
        cluster.keyspaces.instance_writes().await?,
        saves(&nodes).await?,
    );
    ensure!(writes.len() == 100, "{} instances", writes.len());
    let again = nodes[0].submit(DOCUMENTED).await?;
    check_done(&cluster, &nodes[0], &again, 100).await?;
    check_results(
        &nodes[0],
        &again,
        "{\"Added\":0,\"Updated\":0,\"Unchanged\":1}",
    )
    .await?;
    ensure!(
        cluster.keyspaces.instance_writes().await? == writes,
        "an unchanged instance was written"
    );
    ensure!(
        self::saves(&nodes).await? == saves,
        "an unchanged instance was sent"
    );
    drop(nodes);
    cluster.end().await
}

async fn saves(nodes: &[Node]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for node in nodes {
        sum += node
            .counter("store_calls_total{", "op=\"save_instances\"")
            .await?;
    }
    Ok(sum)
}

/// All three lists say why nothing happens.
async fn check_waiting_is_explained(node: &Node, batch: &str) -> anyhow::Result<()> {
    let why = "no live node matches JOB_AFFINITY '10.21.2.102'";
    let list = node.run("BATCH_LIST;").await?;
    ensure!(
        list.cell("Id", batch, "Status") == "WAITING_FOR_JOB",
        "{list:?}"
    );
    ensure!(list.cell("Id", batch, "Notes") == why, "{list:?}");
    let info = node.run(&format!("BATCH_INFO '{batch}';")).await?;
    ensure!(info.cell("Name", "Notes", "Value") == why, "{info:?}");
    let jobs = node.run("JOBSTATUS;").await?;
    ensure!(jobs.cell("UID", batch, "Status") == "WAITING", "{jobs:?}");
    ensure!(jobs.cell("UID", batch, "Notes") == why, "{jobs:?}");
    Ok(())
}

async fn check_results(node: &Node, batch: &str, wanted: &str) -> anyhow::Result<()> {
    let answer = node
        .run(&format!("BATCH_DETAILS '{batch}' LIMIT=-1;"))
        .await?;
    for result in answer.column("Results") {
        ensure!(result == wanted, "{result}");
    }
    Ok(())
}

/// The first hundred stored instances hold the rows of their sources, no more and no fewer.
async fn check_instances(cluster: &Cluster, points: &str) -> anyhow::Result<()> {
    let mut options = CassandraOptions::at(points.split(','));
    options.cluster_id.clone_from(&cluster.keyspaces.cluster_id);
    let store: SharedStore = Arc::new(CassandraStore::connect(options).await?);
    let data = cluster.project().join("data");
    let sources = Sources::open(&data)?;
    for number in 1..=100 {
        let id = format!("V{number:07}");
        let found = store.instance(LOGICAL_UNIT, &id).await?;
        let path = cluster.folder().join(format!("{id}.db"));
        weft_project::sync::export(&found.with_context(|| id.clone())?, &path)?;
        sources.check(&id, &path).with_context(|| id.clone())?;
    }
    Ok(())
}

/// Where the example's rows come from.
struct Sources {
    garage: Connection,
    cars: Vec<Vec<String>>,
}

impl Sources {
    fn open(data: &Path) -> anyhow::Result<Self> {
        let garage = Connection::open_with_flags(
            data.join("garage.sqlite"),
            OpenFlags::SQLITE_OPEN_READ_ONLY,
        )?;
        let cars = std::fs::read_to_string(data.join("cars.csv"))?;
        let cells = |line: &str| line.split(',').map(ToOwned::to_owned).collect();
        let cars = cars.lines().skip(1).map(cells).collect();
        Ok(Self { garage, cars })
    }

    fn check(&self, id: &str, path: &Path) -> anyhow::Result<()> {
        let instance = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        for (table, order, of_id) in [
            ("vehicle", "id", "id = ?1"),
            ("service_history", "id", "vehicle_id = ?1"),
            (
                "part",
                "service_id, position",
                "service_id IN (SELECT id FROM service_history WHERE vehicle_id = ?1)",
            ),
        ] {
            let columns = columns(&instance, table)?;
            let select = format!("SELECT {columns} FROM {table}");
            let found = rows(&instance, &format!("{select} ORDER BY {order}"), &[])?;
            let wanted = rows(
                &self.garage,
                &format!("{select} WHERE {of_id} ORDER BY {order}"),
                &[id],
            )?;
            ensure!(found == wanted, "{table}: {found:?} instead of {wanted:?}");
            ensure!(
                table != "vehicle" || found.len() == 1,
                "{} vehicles",
                found.len()
            );
        }
        let car = rows(
            &self.garage,
            "SELECT car_id FROM vehicle WHERE id = ?1",
            &[id],
        )?;
        let models = rows(&instance, "SELECT * FROM model", &[])?;
        let wanted = self.cars.iter().find(|cells| cells[0] == car[0][0]);
        let wanted = vec![wanted.context("every vehicle has a model")?.clone()];
        ensure!(models == wanted, "model: {models:?} instead of {wanted:?}");
        Ok(())
    }
}

fn columns(connection: &Connection, table: &str) -> anyhow::Result<String> {
    let statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
    Ok(statement.column_names().collect::<Vec<_>>().join(", "))
}

/// Every cell as text, so that 18 in a file and 18.0 in a REAL column are the same.
fn rows(
    connection: &Connection,
    query: &str,
    parameters: &[&str],
) -> anyhow::Result<Vec<Vec<String>>> {
    let mut statement = connection.prepare(query)?;
    let width = statement.column_count();
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| {
        (0..width)
            .map(|index| {
                Ok(match row.get_ref(index)? {
                    rusqlite::types::ValueRef::Null => String::new(),
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    rusqlite::types::ValueRef::Real(number) => number.to_string(),
                    text => text.as_str().unwrap_or("a blob").to_owned(),
                })
            })
            .collect()
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cancel_nothing_changes_any_more() -> anyhow::Result<()> {
    let Some((points, _turn)) = turn("after_a_cancel_nothing_changes_any_more").await else {
        return Ok(());
    };
    let cluster = Cluster::new(&points, 3_000).await?;
    let nodes = cluster.start_all(&["a", "b"], &[]).await?;
    let batch = nodes[0].submit_first(3_000, "ECHO ? DELAY_MS=100").await?;
    nodes[0].until_succeeded(&batch, 200).await?;
    nodes[1].run(&format!("BATCH_CANCEL '{batch}';")).await?;
    let summary = nodes[0].until_ended(&batch, END_LIMIT).await?;
    ensure!(summary.status == "CANCELLED", "{summary:?}");
    let records = cluster.keyspaces.records(&batch).await?;
    let chunks = cluster.keyspaces.chunks(&batch).await?;
    ensure!(
        (200..3_000).contains(&records.len()),
        "{} records",
        records.len()
    );
    ensure!(
        !chunks
            .values()
            .any(|state| state == "NEW" || state == "IN_PROGRESS"),
        "{chunks:?}"
    );
    // Waits long enough for many flushes, until every node has sent five more heartbeats.
    let before = cluster.keyspaces.heartbeats().await?;
    until("heartbeats continue", Duration::from_secs(60), async || {
        let now = cluster.keyspaces.heartbeats().await?;
        let is_on =
            |(id, number): (&String, &i64)| now.get(id).is_some_and(|new| *new >= number + 5);
        Ok(before.iter().all(is_on).then_some(()))
    })
    .await?;
    ensure!(
        cluster.keyspaces.records(&batch).await? == records,
        "a record has changed"
    );
    ensure!(
        cluster.keyspaces.chunks(&batch).await? == chunks,
        "a chunk has changed"
    );
    ensure!(
        nodes[0].summary(&batch).await? == summary,
        "the sums have changed"
    );
    drop(nodes);
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cut_off_from_the_store_loses_its_batch_and_comes_back() -> anyhow::Result<()> {
    let test = "a_node_cut_off_from_the_store_loses_its_batch_and_comes_back";
    let Some((points, _turn)) = turn(test).await else {
        return Ok(());
    };
    if points.contains(',') {
        eprintln!("NOT RUN: {test}, for a proxy stands before one server only");
        return Ok(());
    }
    let proxy = Proxy::to(&points).await?;
    let cluster = Cluster::new(&points, 3_000).await?;
    let cut_off = cluster.start_at("a", &proxy.address, &[]).await?;
    cluster.deploy(&cut_off).await?;
    // The only node owns the batch.
    let batch = cut_off.submit_first(3_000, "ECHO ? DELAY_MS=20").await?;
    cut_off.until_succeeded(&batch, 1).await?;
    let other = cluster.start("b", &[]).await?;
    cut_off.until_succeeded(&batch, 500).await?;
    proxy.cut();
    until(
        "the other node takes over",
        Duration::from_secs(45),
        async || {
            let owner = other.job(&batch, "Owner").await?;
            Ok((owner == other.id).then_some(()))
        },
    )
    .await
    .with_context(|| other.said())?;
    ensure!(
        !cut_off.is_ready().await,
        "it trusts itself without a store"
    );
    proxy.mend();
    check_done(&cluster, &other, &batch, 3_000).await?;
    cut_off.until_ready().await?;
    // It is of use again.
    let batch = other.submit_first(500, "ECHO ? DELAY_MS=5").await?;
    check_done(&cluster, &cut_off, &batch, 500).await?;
    drop((cut_off, other));
    cluster.end().await
}

/// Two nodes lose the store at the same time, long enough to give up themselves and all they hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_outlives_an_outage_of_the_store() -> anyhow::Result<()> {
    let Some((points, _turn)) = turn("a_batch_outlives_an_outage_of_the_store").await else {
        return Ok(());
    };
    if points.contains(',') {
        eprintln!("NOT RUN: an outage, for a proxy stands before one server only");
        return Ok(());
    }
    let proxy = Proxy::to(&points).await?;
    let cluster = Cluster::new(&points, 3_000).await?;
    let mut nodes = Vec::new();
    for name in ["a", "b"] {
        nodes.push(cluster.start_at(name, &proxy.address, &[]).await?);
    }
    cluster.deploy(&nodes[0]).await?;
    cluster.see_each_other(&nodes).await?;
    let batch = nodes[0].submit_first(3_000, "ECHO ? DELAY_MS=20").await?;
    nodes[1].until_succeeded(&batch, 1_000).await?;
    proxy.cut();
    for node in &nodes {
        until("a node gives up", Duration::from_secs(30), async || {
            Ok((!node.is_ready().await).then_some(()))
        })
        .await?;
    }
    let before = cluster.keyspaces.records(&batch).await?;
    ensure!(before.len() < 3_000, "nothing was left to do");
    proxy.mend();
    for node in &nodes {
        node.until_ready().await?;
    }
    check_done(&cluster, &nodes[0], &batch, 3_000).await?;
    let after = cluster.keyspaces.records(&batch).await?;
    let is_kept = |record| after.binary_search(record).is_ok();
    ensure!(before.iter().all(is_kept), "a record has changed");
    drop(nodes);
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_outlives_the_death_of_all_nodes() -> anyhow::Result<()> {
    let Some((points, _turn)) = turn("a_batch_outlives_the_death_of_all_nodes").await else {
        return Ok(());
    };
    let cluster = Cluster::new(&points, 3_000).await?;
    let nodes = cluster.start_all(&["a", "b"], &[]).await?;
    let batch = nodes[0].submit_first(3_000, "ECHO ? DELAY_MS=20").await?;
    // Early: the list of ids is not complete yet, or has just become so.
    nodes[1].until_succeeded(&batch, 100).await?;
    for node in nodes {
        node.kill()?;
    }
    let before = cluster.keyspaces.records(&batch).await?;
    let (one, other) = (cluster.start("a", &[]), cluster.start("b", &[]));
    let (one, other) = tokio::try_join!(one, other)?;
    check_done(&cluster, &one, &batch, 3_000).await?;
    let after = cluster.keyspaces.records(&batch).await?;
    let is_kept = |record| after.binary_search(record).is_ok();
    ensure!(before.iter().all(is_kept), "a record has changed");
    drop((one, other));
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_dev_continues_where_it_was() -> anyhow::Result<()> {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(folder.path(), 2_000).await?;
    let batch = dev.submit_first(2_000, "ECHO ? DELAY_MS=20").await?;
    dev.until_succeeded(&batch, 700).await?;
    dev.kill()?;

    let killed = sqlite_records(folder.path(), &batch)?;
    ensure!(
        (1..2_000).contains(&killed.len()),
        "{} records",
        killed.len()
    );
    let dev = Dev::start(folder.path(), 2_000).await?;
    let ready_ms = chrono::Utc::now().timestamp_millis();
    let summary = dev.until_ended(&batch, END_LIMIT).await?;
    ensure!(
        (
            summary.status.as_str(),
            summary.total,
            summary.succeeded,
            summary.failed
        ) == ("DONE", 2_000, 2_000, 0),
        "{summary:?}"
    );
    check_each_once(&dev.details(&batch).await?, 2_000)?;
    dev.until_job(&batch, "PROCESSED").await?;

    let records = sqlite_records(folder.path(), &batch)?;
    let of_all: Vec<_> = records
        .iter()
        .map(|(id, status, _)| (id.clone(), status.clone()))
        .collect();
    check_each_once(&of_all, 2_000).context("by SQL")?;
    ensure!(
        killed.iter().all(|record| records.contains(record)),
        "a record that was there has changed"
    );
    let later = records.iter().filter(|record| !killed.contains(record));
    let first_ms = later
        .map(|record| record.2)
        .min()
        .context("something was left")?;
    let waited_ms = first_ms - ready_ms;
    eprintln!(
        "{} of 2000 were there; went on {waited_ms} ms after it was ready",
        killed.len()
    );
    ensure!(waited_ms <= 2_000, "it went on after {waited_ms} ms");
    Ok(())
}

/// Id, status and start of every entity of a batch that has ended.
fn sqlite_records(folder: &Path, batch: &str) -> anyhow::Result<Vec<(String, String, i64)>> {
    let path = folder.join("dev").join("weft.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags)?;
    let mut statement = connection.prepare(
        "SELECT entityid, status, CAST(ROUND((julianday(start_time) - 2440587.5) * 86400000.0) AS INTEGER) \
         FROM batchprocess_entities_info WHERE bid = ?1 AND status <> 'WAITING' ORDER BY entityid",
    )?;
    let rows = statement.query_map([batch], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
