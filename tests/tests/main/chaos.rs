//! A few histories of `scripts/chaos`. The seeds are those that are short and hit the work while it runs.

use anyhow::ensure;
use weft_tests::chaos::{self, Kind, Means};

use crate::cluster::turn;

/// Runs these seeds and prints one line for each.
async fn check(test: &str, kind: Kind, seeds: &[u64]) -> anyhow::Result<()> {
    let Some((points, _turn)) = turn(test).await else {
        return Ok(());
    };
    if points.contains(',') && matches!(kind, Kind::Cut | Kind::Outage) {
        eprintln!("NOT RUN: {test}, for a proxy stands before one server only");
        return Ok(());
    }
    let means = Means {
        points,
        servers: None,
        earlier: None,
        entities: 1_500,
    };
    for seed in seeds {
        let outcome = chaos::run(kind, *seed, &means).await?;
        eprintln!("{}", outcome.line());
        ensure!(outcome.violations.is_empty(), "{outcome:#?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_nodes_lose_nothing_and_double_nothing() -> anyhow::Result<()> {
    let test = "killed_nodes_lose_nothing_and_double_nothing";
    check(test, Kind::Kill, &[1, 2]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_slept_begins_nothing_under_an_old_fence() -> anyhow::Result<()> {
    let test = "a_node_that_slept_begins_nothing_under_an_old_fence";
    check(test, Kind::Pause, &[2]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_without_a_store_go_on_when_it_is_back() -> anyhow::Result<()> {
    let test = "nodes_without_a_store_go_on_when_it_is_back";
    check(test, Kind::Outage, &[2]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_runs_no_entity_again() -> anyhow::Result<()> {
    let test = "a_rolling_restart_runs_no_entity_again";
    check(test, Kind::Rolling, &[1, 2]).await
}
