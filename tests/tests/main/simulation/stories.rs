//! Single guarantees, each as a story in simulated time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_model::{Batch, BatchId, BatchStatus, ChunkState, EntityStatus, JobKey};
use weft_node::NodeConfig;
use weft_store::Store;
use weft_tests::sim::store::FaultPlan;
use weft_tests::sim::{Cluster, Script, extra_effects, in_simulated_time};

pub const MINUTE: Duration = Duration::from_secs(60);

/// Ids in pages, `wait_ms` before each.
pub fn paged(pages: usize, per_page: usize, wait_ms: u64, entity_ms: u64) -> Script {
    let page = |page: usize| {
        let ids = (0..per_page).map(|number| format!("e{}", page * per_page + number));
        (wait_ms, ids.collect())
    };
    Script {
        pages: (0..pages).map(page).collect(),
        ..Script::plain(0, entity_ms)
    }
}

fn handled(cluster: &Cluster, batch: BatchId) -> usize {
    let inner = cluster.store.inner();
    let chunks = inner.tables.chunks.range((batch, 0)..(batch, i64::MAX));
    chunks.map(|(_, row)| row.peek().rows.len()).sum()
}

fn begun(cluster: &Cluster) -> usize {
    cluster.effects.all().len()
}

pub fn assert_nothing_broke(cluster: &Cluster) {
    let inner = cluster.store.inner();
    assert_eq!(inner.watch.violations(), [] as [String; 0]);
}

/// Waits until so many entities were begun.
pub async fn wait_for_effects(cluster: &Cluster, count: usize) {
    let reached = cluster
        .wait(MINUTE, |cluster| begun(cluster) >= count)
        .await;
    assert!(reached, "only {} entities were begun", begun(cluster));
}

#[test]
fn a_restarted_node_resumes_at_once() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(1, false);
        let config = NodeConfig {
            heartbeat_interval: Duration::from_millis(800),
            heartbeat_miss: 12,
            ..Cluster::quick_config("n1")
        };
        cluster.add(config, 0);
        cluster.start("n1");
        let spec = cluster.spec(Script::plain(200, 100));
        let batch = cluster.submit(spec);
        wait_for_effects(&cluster, 20).await;
        cluster.kill("n1");
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = begun(&cluster);
        let restarted = cluster.store.now();
        let process = cluster.start("n1");
        process.handle.serving().await;
        // The watch over its own row, which a store of one process spares, comes first.
        let serving = cluster.store.now();
        assert!(serving - restarted <= 2 * 800 + 100, "{serving}");
        wait_for_effects(&cluster, before + 1).await;
        let took = cluster.store.now() - serving;
        assert!(took < 2_000, "went on {took} ms after it served again");
        let end = cluster.wait_for_end(batch, MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Done));
        assert_nothing_broke(&cluster);
    });
}

/// How often a node took something that another one held.
fn takeovers(cluster: &Cluster) -> Vec<String> {
    let inner = cluster.store.inner();
    inner.watch.takeovers().to_vec()
}

/// Calls of all kinds that the nodes made.
fn calls(cluster: &Cluster) -> u64 {
    let names = cluster.names();
    let processes = names.iter().filter_map(|name| cluster.process(name));
    let statistics = processes.map(|process| process.store.statistics());
    statistics
        .map(|statistics| statistics.call_total() + statistics.compare_and_set_total())
        .sum()
}

fn outage_of(length: Duration) {
    in_simulated_time(async {
        let mut cluster = Cluster::new(2, false);
        cluster.start_quick(3);
        let batches: Vec<BatchId> = (0..3)
            .map(|_| {
                let spec = cluster.spec(Script::plain(60, 300));
                cluster.submit(spec)
            })
            .collect();
        wait_for_effects(&cluster, 15).await;
        cluster.store.inner().outage = true;
        let asked = calls(&cluster);
        tokio::time::sleep(length).await;
        let asked = calls(&cluster) - asked;
        // Three nodes ask 40 times a second each; before that, what is in flight is sent again in quick succession.
        let bound = 3 * (40 * length.as_millis() / 1_000 + 30);
        let statistics = cluster.process("n1").expect("it runs").store.statistics();
        assert!(
            u128::from(asked) <= bound,
            "{asked} calls to a store that is away: {statistics:?}"
        );
        let before = begun(&cluster);
        cluster.store.inner().outage = false;
        let back = cluster.store.now();
        wait_for_effects(&cluster, before + 1).await;
        let resumed = cluster.store.now() - back;
        assert!(resumed <= 10_000, "resumed after {resumed} ms");
        for batch in batches {
            let end = cluster.wait_for_end(batch, MINUTE * 3).await;
            assert_eq!(end, Some(BatchStatus::Done));
        }
        assert_eq!(takeovers(&cluster), [] as [String; 0]);
        assert_nothing_broke(&cluster);
    });
}

#[test]
fn a_short_outage_of_the_store_causes_no_takeover() {
    outage_of(Duration::from_millis(1_500));
}

#[test]
fn a_long_outage_of_the_store_causes_no_takeover() {
    outage_of(Duration::from_secs(30));
}

/// Three nodes with the default settings, whose workers are all busy.
async fn busy_cluster_with_defaults(seed: u64) -> (Cluster, Vec<BatchId>) {
    let mut cluster = Cluster::new(seed, false);
    for name in ["n1", "n2", "n3"] {
        let quick = Cluster::quick_config(name);
        let defaults = NodeConfig::with_defaults(quick.guid.clone(), quick.data.clone());
        let config = NodeConfig {
            heartbeat_interval: defaults.heartbeat_interval,
            heartbeat_miss: defaults.heartbeat_miss,
            poll_interval: defaults.poll_interval,
            max_workers_per_node: defaults.max_workers_per_node,
            ..quick
        };
        assert_eq!(config.dead_after(), Duration::from_secs(15));
        cluster.add(config, 0);
        cluster.start(name);
    }
    let spec = cluster.spec(Script::plain(600, 1_000));
    let batches = vec![cluster.submit(spec)];
    wait_for_effects(&cluster, 60).await;
    (cluster, batches)
}

/// The batches end, and no node took anything over or fenced itself.
async fn assert_nothing_was_taken(cluster: &Cluster, batches: Vec<BatchId>) {
    for batch in batches {
        let end = cluster.wait_for_end(batch, MINUTE * 5).await;
        assert_eq!(end, Some(BatchStatus::Done));
    }
    assert_eq!(takeovers(cluster), [] as [String; 0]);
    let sessions = cluster.store.inner().incarnations();
    assert_eq!(sessions, cluster.names().len(), "a node fenced itself");
    assert_nothing_broke(cluster);
}

#[test]
fn ten_seconds_without_the_store_take_nothing_from_a_node_with_the_default_settings() {
    // The outage begins at several places between two heartbeats. Calls fail, or have no answer until they time out.
    for (seed, hangs) in (0..4).flat_map(|seed| [(seed, false), (seed, true)]) {
        in_simulated_time(async move {
            let (cluster, batches) = busy_cluster_with_defaults(seed).await;
            tokio::time::sleep(Duration::from_millis(seed * 250)).await;
            {
                let mut inner = cluster.store.inner();
                (inner.outage, inner.hangs) = (true, hangs);
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
            cluster.store.inner().outage = false;
            assert_nothing_was_taken(&cluster, batches).await;
        });
    }
}

#[test]
fn a_store_under_full_load_takes_nothing_from_a_node_with_the_default_settings() {
    for seed in 0..4 {
        in_simulated_time(async move {
            let (cluster, batches) = busy_cluster_with_defaults(seed).await;
            // Two of three calls take up to three seconds, and some fail.
            cluster.store.inner().faults = FaultPlan {
                slow: 0.67,
                slowest: Duration::from_secs(3),
                unavailable: 0.05,
                read_failure: 0.05,
                plain_unsure: 0.05,
                ..FaultPlan::none()
            };
            tokio::time::sleep(MINUTE * 2).await;
            cluster.store.inner().faults = FaultPlan::none();
            assert_nothing_was_taken(&cluster, batches).await;
        });
    }
}

#[test]
fn an_idle_node_with_the_default_settings_makes_few_calls() {
    in_simulated_time(async {
        let (cluster, batches) = busy_cluster_with_defaults(1).await;
        for batch in batches {
            cluster.wait_for_end(batch, MINUTE * 5).await;
        }
        tokio::time::sleep(MINUTE).await;
        let before = calls(&cluster);
        tokio::time::sleep(MINUTE).await;
        // Each second a heartbeat, a read of the nodes and one of due hints; the rest is rare.
        let of_a_node = (calls(&cluster) - before) / 3;
        assert!(
            (180..=240).contains(&of_a_node),
            "{of_a_node} calls a minute"
        );
    });
}

#[test]
fn work_of_a_killed_node_continues_within_t_dead_and_two_seconds() {
    for seed in 0..8 {
        in_simulated_time(async move {
            let (mut cluster, batches) = busy_cluster_with_defaults(seed).await;
            tokio::time::sleep(Duration::from_millis(seed * 125)).await;
            cluster.kill("n1");
            let killed = cluster.store.now();
            let is_taken = |cluster: &Cluster| !takeovers(cluster).is_empty();
            assert!(cluster.wait(MINUTE * 2, is_taken).await);
            let took = cluster.store.now() - killed;
            assert!(took <= 17_000, "taken after {took} ms");
            for batch in batches {
                let end = cluster.wait_for_end(batch, MINUTE * 5).await;
                assert_eq!(end, Some(BatchStatus::Done));
            }
            assert_nothing_broke(&cluster);
        });
    }
}

#[test]
fn a_batch_waits_days_for_its_node_and_starts_soon_after_it() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(3, false);
        // The node that only waits looks rarely, or three days would take a minute.
        for (name, every) in [("n1", 20), ("n2", 1)] {
            let config = NodeConfig {
                heartbeat_interval: Duration::from_secs(5 * every),
                heartbeat_miss: 12,
                poll_interval: Duration::from_secs(every),
                reconcile_interval: Duration::from_secs(300),
                ..Cluster::quick_config(name)
            };
            cluster.add(config, 0);
        }
        cluster.start("n1");
        let mut spec = cluster.spec(Script::plain(5, 10));
        spec.job_affinity = vec!["10.0.0.2".to_owned()];
        let batch = cluster.submit(spec);
        tokio::time::sleep(Duration::from_secs(3 * 24 * 3_600)).await;
        let status = cluster.batch(batch).map(|batch| batch.status);
        assert_eq!(status, Some(BatchStatus::WaitingForJob));
        let started = cluster.store.now();
        cluster.start("n2");
        wait_for_effects(&cluster, 1).await;
        let took = cluster.store.now() - started;
        assert!(took < 15_000, "started after {took} ms");
        let end = cluster.wait_for_end(batch, MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Done));
    });
}

/// Nodes that look rarely, or simulated days would take minutes.
pub fn slow_config(name: &str) -> NodeConfig {
    NodeConfig {
        heartbeat_interval: Duration::from_secs(100),
        heartbeat_miss: 12,
        poll_interval: Duration::from_secs(20),
        reconcile_interval: Duration::from_secs(300),
        ..Cluster::quick_config(name)
    }
}

#[test]
fn what_is_old_is_removed_by_one_node() {
    for seed in 31..36 {
        what_is_old_is_removed(seed);
    }
}

fn what_is_old_is_removed(seed: u64) {
    in_simulated_time(async move {
        let mut cluster = Cluster::new(seed, false);
        let names = ["n1", "n2", "n3"];
        for name in names {
            let config = NodeConfig {
                cleanup_interval: Duration::from_secs(1_800),
                job_archiving_time: Duration::from_secs(4 * 3_600),
                batch_kept: Duration::from_secs(2 * 3_600),
                ..slow_config(name)
            };
            cluster.add(config, 0);
            cluster.start(name);
        }
        cluster.store.inner().faults = FaultPlan::weighted(0.5);
        let spec = cluster.spec(paged(5, 8, 100, 50));
        let old = cluster.submit(spec);
        let end = cluster.wait_for_end(old, 60 * MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Done));
        tokio::time::sleep(90 * MINUTE).await;
        let spec = cluster.spec(Script::plain(5, 10));
        let young = cluster.submit(spec);
        let end = cluster.wait_for_end(young, 20 * MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Done));
        // Older than two hours, younger than four: the batch goes, its job stays.
        tokio::time::sleep(80 * MINUTE).await;
        let seen = |cluster: &Cluster, batch: BatchId| {
            let inner = cluster.store.inner();
            let of = |key: &JobKey| key.uid == batch.to_string();
            (
                inner.tables.batches.contains_key(&batch),
                inner
                    .tables
                    .chunks
                    .keys()
                    .filter(|(of, _)| *of == batch)
                    .count()
                    > 0,
                inner.tables.jobs.keys().any(of),
            )
        };
        assert_eq!(seen(&cluster, old), (false, false, true), "seed {seed}");
        assert_eq!(seen(&cluster, young), (true, true, true));
        tokio::time::sleep(300 * MINUTE).await;
        assert_eq!(seen(&cluster, old), (false, false, false));
        assert_eq!(seen(&cluster, young), (false, false, false));
        let inner = cluster.store.inner();
        assert!(inner.tables.listings.is_empty());
        assert!(inner.tables.stats.is_empty());
        assert!(inner.tables.runs.is_empty());
        drop(inner);
        // All of it was the work of one.
        let swept = |name: &str| {
            let statistics = cluster.process(name).expect("it runs").store.statistics();
            statistics.compare_and_sets.contains_key("delete_job")
        };
        assert_eq!(names.map(swept), [true, false, false]);
        assert_nothing_broke(&cluster);
    });
}

#[test]
fn the_first_entity_starts_before_a_blocked_source_has_finished() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(4, false);
        cluster.start_quick(1);
        let mut script = Script::plain(5, 10);
        script.pages.push((3_600_000, vec!["last".to_owned()]));
        let spec = cluster.spec(script);
        let batch = cluster.submit(spec);
        wait_for_effects(&cluster, 5).await;
        assert!(cluster.store.now() < 5_000, "{}", cluster.store.now());
        let status = cluster.batch(batch).map(|batch| batch.status);
        assert_eq!(status, Some(BatchStatus::GenerateIid));
        let end = cluster.wait_for_end(batch, 65 * MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Done));
        assert_eq!(handled(&cluster, batch), 6);
    });
}

#[test]
fn two_nodes_share_a_hundred_entities() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(5, false);
        cluster.start_quick(2);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let spec = cluster.spec(Script::plain(100, 50));
        let batch = cluster.submit(spec);
        let end = cluster.wait_for_end(batch, MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Done));
        let mut shares: BTreeMap<String, usize> = BTreeMap::new();
        for effect in cluster.effects.all() {
            *shares.entry(effect.process).or_default() += 1;
        }
        assert!(
            shares.len() == 2 && shares.values().all(|share| *share >= 25),
            "{shares:?}"
        );
    });
}

fn cancelled_while(status: BatchStatus, script: Script) {
    in_simulated_time(async move {
        let mut cluster = Cluster::new(6, false);
        cluster.start_quick(3);
        let spec = cluster.spec(script);
        let batch = cluster.submit(spec);
        wait_for_effects(&cluster, 10).await;
        let now = cluster.batch(batch).map(|batch| batch.status);
        assert_eq!(now, Some(status));
        cluster.cancel(batch);
        let asked = cluster.store.now();
        let end = cluster.wait_for_end(batch, MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Cancelled));
        let took = cluster.store.now() - asked;
        assert!(took < 5_000, "cancelled after {took} ms");
        let before = handled(&cluster, batch);
        tokio::time::sleep(MINUTE).await;
        assert_eq!(handled(&cluster, batch), before, "a row changed");
        let inner = cluster.store.inner();
        for row in inner.tables.chunks.values() {
            let state = row.peek().head.state;
            let closed = matches!(
                state,
                ChunkState::Closed | ChunkState::Void | ChunkState::Done
            );
            assert!(closed, "a chunk is still {state}");
        }
        drop(inner);
        assert_nothing_broke(&cluster);
    });
}

#[test]
fn a_batch_cancelled_while_its_list_is_made_changes_no_more() {
    cancelled_while(BatchStatus::GenerateIid, paged(100, 8, 300, 100));
}

#[test]
fn a_batch_cancelled_at_work_changes_no_more() {
    cancelled_while(BatchStatus::InProgress, Script::plain(400, 250));
}

#[test]
fn a_hung_entity_does_not_hold_up_a_cancel() {
    cancelled_while(BatchStatus::InProgress, Script::plain(400, 3_600_000));
}

#[test]
fn a_cancel_frees_every_slot_that_hung_entities_hold() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(5, false);
        cluster.start_quick(2);
        let slots = 2 * Cluster::quick_config("n1").max_workers_per_node;
        let hung = cluster.spec(Script::plain(400, 3_600_000));
        let hung = cluster.submit(hung);
        wait_for_effects(&cluster, slots).await;
        cluster.cancel(hung);
        let end = cluster.wait_for_end(hung, MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Cancelled));
        let next = cluster.spec(Script::plain(400, 3_600_000));
        cluster.submit(next);
        let asked = cluster.store.now();
        wait_for_effects(&cluster, 2 * slots).await;
        let took = cluster.store.now() - asked;
        assert!(took < 5_000, "the slots were free after {took} ms");
        assert_nothing_broke(&cluster);
    });
}

#[test]
fn a_node_that_leaves_hands_back_entities_that_outlast_its_grace() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(6, false);
        cluster.start_quick(1);
        let spec = cluster.spec(Script::plain(400, 3_600_000));
        let batch = cluster.submit(spec);
        let slots = Cluster::quick_config("n1").max_workers_per_node;
        wait_for_effects(&cluster, slots).await;
        let process = cluster.process("n1").expect("it runs").clone();
        process.handle.drain();
        process.handle.ended().await.expect("it leaves cleanly");
        let inner = cluster.store.inner();
        let chunks = inner.tables.chunks.range((batch, 0)..(batch, i64::MAX));
        let held: Vec<i64> = chunks
            .filter(|(_, row)| row.peek().head.state == ChunkState::InProgress)
            .map(|((_, number), _)| *number)
            .collect();
        assert_eq!(held, [] as [i64; 0], "chunks were not handed back");
        drop(inner);
        assert_nothing_broke(&cluster);
    });
}

/// Runs a batch in which these entities end the process of their node, on `nodes` nodes that are started again whenever they
/// died. Answers how many processes died.
fn poisoned_batch(nodes: usize, poison: &[usize]) -> u64 {
    in_simulated_time(async {
        let mut cluster = Cluster::new(9, false);
        cluster.start_quick(nodes);
        let poison: BTreeSet<String> = poison.iter().map(|number| format!("e{number}")).collect();
        let spec = cluster.spec(Script {
            aborting: poison.clone(),
            ..paged(3, 40, 100, 40)
        });
        let batch = cluster.submit(spec);
        let mut limit = 2_000;
        while !cluster
            .batch(batch)
            .is_some_and(|row| row.status.is_final())
        {
            for name in cluster.names() {
                if cluster.reap(&name) {
                    cluster.start(&name);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            limit -= 1;
            assert!(limit > 0, "{}", weft_tests::sim::what_hangs(&cluster));
        }
        let inner = cluster.store.inner();
        let chunks = inner.tables.chunks.range((batch, 0)..(batch, i64::MAX));
        let rows = chunks.flat_map(|(_, row)| row.peek().rows.values().cloned());
        let (failed, completed): (Vec<_>, Vec<_>) =
            rows.partition(|row| row.status == EntityStatus::Failed);
        let names: BTreeSet<String> = failed.iter().map(|row| row.id.clone()).collect();
        assert_eq!(names, poison, "only the poison fails");
        for row in failed {
            let error = row.error.unwrap_or_default();
            assert!(error.starts_with("poisoned: "), "{error}");
            assert_eq!(row.attempt, 3);
        }
        assert_eq!(completed.len(), 120 - poison.len());
        drop(inner);
        let effects = cluster.effects.all();
        for id in &poison {
            let runs = effects.iter().filter(|effect| effect.id == *id).count();
            assert!(runs <= 3, "{id} was run {runs} times");
        }
        assert_nothing_broke(&cluster);
        cluster.processes() - u64::try_from(nodes).expect("a few")
    })
}

#[test]
fn an_entity_that_ends_the_process_fails_at_the_third_crash_and_the_others_complete() {
    assert_eq!(poisoned_batch(1, &[57]), 3);
    assert_eq!(poisoned_batch(3, &[57]), 3);
}

/// The end of a batch of one chunk whose holder died, with this `c_crashes` in the chunk.
fn end_after_death_with(crashes: i32) -> Vec<EntityStatus> {
    in_simulated_time(async move {
        let mut cluster = Cluster::new(3, false);
        cluster.start_quick(1);
        let spec = cluster.spec(Script::plain(1, 3_000));
        let batch = cluster.submit(spec);
        wait_for_effects(&cluster, 1).await;
        cluster.kill("n1");
        {
            let mut inner = cluster.store.inner();
            let row = inner
                .tables
                .chunks
                .get_mut(&(batch, 0))
                .expect("it is stored");
            let mut chunk = row.peek().clone();
            chunk.head.crashes = crashes;
            row.write(chunk, 0);
        }
        cluster.start("n1");
        let end = cluster.wait_for_end(batch, MINUTE).await;
        assert_eq!(end, Some(BatchStatus::Done));
        assert_nothing_broke(&cluster);
        let inner = cluster.store.inner();
        let chunks = inner.tables.chunks.range((batch, 0)..(batch, i64::MAX));
        let rows = chunks.flat_map(|(_, row)| row.peek().rows.values().cloned());
        rows.map(|row| row.status).collect()
    })
}

#[test]
fn a_death_before_a_suspect_runs_is_not_blamed_on_it() {
    assert_eq!(end_after_death_with(2), [EntityStatus::Completed]);
    assert_eq!(end_after_death_with(1_000), [EntityStatus::Failed]);
}

#[test]
fn what_older_versions_have_counted_is_blamed_on_no_entity() {
    for counted in [3, 4, 1_001] {
        assert_eq!(end_after_death_with(counted), [EntityStatus::Completed]);
    }
}

/// Starts the nodes whose process ended until these batches have. Answers their rows.
async fn revive_until_ended(cluster: &mut Cluster, batches: &[BatchId]) -> Vec<Batch> {
    for _ in 0..4_000 {
        let rows = batches.iter().filter_map(|batch| cluster.batch(*batch));
        let ended: Vec<Batch> = rows.filter(|row| row.status.is_final()).collect();
        if ended.len() == batches.len() {
            assert_nothing_broke(cluster);
            return ended;
        }
        for name in cluster.names() {
            if cluster.reap(&name) || cluster.process(&name).is_none() {
                cluster.start(&name);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{}", weft_tests::sim::what_hangs(cluster));
}

/// Runs a batch whose source ends the process of its node after these pages, beside others. Answers its row, and how many
/// processes died.
fn batch_of_an_aborting_source(nodes: usize, script: Script) -> (Batch, u64) {
    in_simulated_time(async move {
        let mut cluster = Cluster::new(11, false);
        cluster.start_quick(nodes);
        let aborting = cluster.spec(Script {
            aborts: true,
            ..script
        });
        let quick = cluster.spec(paged(3, 4, 300, 50));
        // It gives no id before its owner dies along with the one of the source that aborts.
        let slow = cluster.spec(paged(2, 4, 20_000, 50));
        let batches = [aborting, quick, slow].map(|spec| cluster.submit(spec));
        let mut ended = revive_until_ended(&mut cluster, &batches).await;
        let others = ended.split_off(1);
        for other in others {
            assert_eq!((other.status, other.error), (BatchStatus::Done, None));
        }
        let started = u64::try_from(nodes).expect("a few");
        (ended.remove(0), cluster.processes() - started)
    })
}

#[test]
fn a_source_that_ends_the_process_fails_its_batch_at_the_third_death() {
    for nodes in [1, 3] {
        for pages in [0, 3] {
            let script = paged(pages, 4, 300, 50);
            let (batch, deaths) = batch_of_an_aborting_source(nodes, script);
            let reason = "the process of its node died 3 times in a row while the ids were read, without a new id";
            assert_eq!(
                (batch.status, batch.error.as_deref()),
                (BatchStatus::Failed, Some(reason))
            );
            assert_eq!(deaths, 3, "{nodes} nodes, {pages} pages");
        }
    }
}

/// Its first id takes longer than any of its owners lives, until the last one.
#[test]
fn kills_from_outside_fail_no_batch_whose_source_is_slow() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(12, false);
        cluster.start_quick(1);
        let spec = cluster.spec(paged(2, 4, 20_000, 50));
        let batch = cluster.submit(spec);
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_secs(15)).await;
            cluster.kill("n1");
            cluster.start("n1");
        }
        let ended = revive_until_ended(&mut cluster, &[batch]).await.remove(0);
        assert_eq!((ended.status, ended.error), (BatchStatus::Done, None));
    });
}

#[test]
fn several_entities_that_end_the_process_are_told_apart_from_their_neighbours() {
    let crashes = poisoned_batch(2, &[3, 41, 42, 99]);
    assert!(crashes <= 3 * 4, "{crashes} processes died");
}

#[test]
fn a_drained_node_leaves_nothing_to_be_done_again() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(7, false);
        cluster.start_quick(3);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let batches: Vec<BatchId> = (0..3)
            .map(|_| {
                let spec = cluster.spec(paged(10, 12, 200, 150));
                cluster.submit(spec)
            })
            .collect();
        // A rolling restart under load.
        for (name, effects) in [("n1", 20), ("n2", 60), ("n3", 120)] {
            wait_for_effects(&cluster, effects).await;
            let process = cluster.process(name).expect("it runs").clone();
            let asked = cluster.store.now();
            process.handle.drain();
            process.handle.ended().await.expect("it leaves cleanly");
            let took = cluster.store.now() - asked;
            assert!(took < 7_000, "{name} left after {took} ms");
            cluster.reap(name);
            cluster.start(name);
        }
        for batch in batches {
            let end = cluster.wait_for_end(batch, MINUTE).await;
            assert_eq!(end, Some(BatchStatus::Done));
            assert_eq!(handled(&cluster, batch), 120);
        }
        assert_eq!(extra_effects(&cluster), 0, "entities ran again");
        assert_nothing_broke(&cluster);
    });
}

/// Both start where no row of the node exists, so neither is refused.
#[test]
fn of_two_processes_with_one_node_id_one_ends() {
    in_simulated_time(async {
        for seed in 41..49 {
            let mut cluster = Cluster::new(seed, false);
            cluster.add(Cluster::quick_config("n1"), 0);
            let processes = [cluster.start("n1"), cluster.start("n1")];
            for process in &processes {
                process.handle.serving().await;
            }
            let spec = cluster.spec(Script::plain(60, 100));
            let batch = cluster.submit(spec);
            tokio::time::sleep(Duration::from_secs(10)).await;
            let ended: Vec<_> = processes
                .iter()
                .filter(|process| {
                    process.handle.not_ready().as_deref() == Some("the node has ended")
                })
                .collect();
            assert_eq!(ended.len(), 1, "seed {seed}");
            let reason = ended[0].handle.ended().await.expect_err("it was refused");
            assert!(reason.contains("node.id is in use"), "{reason}");
            let end = cluster.wait_for_end(batch, MINUTE).await;
            assert_eq!(end, Some(BatchStatus::Done));
            assert_nothing_broke(&cluster);
        }
    });
}
