//! Both stores read what commit da1c307 wrote, value by value, and a node continues from it.
//!
//! `tests/fixtures/da1c307/README.md` says what the fixture holds and how it was made.

mod fixture;
mod snapshot;
mod takeover;

use anyhow::ensure;
use serde_json::Value;
use weft_store::{SCHEMA_VERSION, Store};
use weft_tests::cluster::cassandra;

use self::fixture::Copy;
use self::snapshot::read_all;
use self::takeover::check_takeover;

/// Compares two JSON values and reports the first lines that differ.
fn check_same(expected: &Value, found: &Value) -> anyhow::Result<()> {
    let lines = |value: &Value| -> anyhow::Result<Vec<String>> {
        let text = serde_json::to_string_pretty(value)?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let (expected, found) = (lines(expected)?, lines(found)?);
    let pairs = expected.iter().zip(&found);
    let same = pairs.take_while(|(one, other)| one == other).count();
    let shown = |lines: &[String], from: usize| {
        let to = (same + 12).min(lines.len());
        lines[from.min(to)..to].join("\n")
    };
    ensure!(
        expected == found,
        "line {same} of the snapshot differs, behind\n{}\nexpected:\n{}\nfound:\n{}",
        expected[same.saturating_sub(30)..same].join("\n"),
        shown(&expected, same),
        shown(&found, same)
    );
    Ok(())
}

async fn check_reads(store: &dyn Store) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(fixture::folder().join("snapshot.json"))?;
    let mut expected: Value = serde_json::from_str(&text)?;
    // All that a migration changes.
    expected["schema_version"] = SCHEMA_VERSION.into();
    check_same(&expected, &read_all(store).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_file_of_da1c307_reads_back() -> anyhow::Result<()> {
    let copy = Copy::sqlite()?;
    check_reads(copy.open().await?.as_ref()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_over_the_store_file_of_da1c307() -> anyhow::Result<()> {
    check_takeover(&Copy::sqlite()?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyspaces_of_da1c307_read_back() -> anyhow::Result<()> {
    let Some(points) = cassandra() else {
        eprintln!("NOT RUN: WEFT_TEST_CASSANDRA is not set");
        return Ok(());
    };
    let copy = Copy::cassandra(&points).await?;
    check_reads(copy.open().await?.as_ref()).await?;
    copy.remove().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_over_the_keyspaces_of_da1c307() -> anyhow::Result<()> {
    let Some(points) = cassandra() else {
        eprintln!("NOT RUN: WEFT_TEST_CASSANDRA is not set");
        return Ok(());
    };
    let copy = Copy::cassandra(&points).await?;
    check_takeover(&copy).await?;
    copy.remove().await
}
