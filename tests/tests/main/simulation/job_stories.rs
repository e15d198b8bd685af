//! Single guarantees about jobs, each as a story in simulated time.

use std::time::Duration;

use weft_model::{DueHint, Job, JobRun, JobStatus, NodeId};
use weft_node::NodeConfig;
use weft_tests::sim::jobs::{PlannedJob, Work, key_of};
use weft_tests::sim::store::FaultPlan;
use weft_tests::sim::{BASE, Cluster, in_simulated_time};

use super::stories::{MINUTE, slow_config};

fn uid(number: usize) -> String {
    format!("j{number}")
}

fn begun(cluster: &Cluster, number: usize) -> usize {
    cluster.job_effects.begun(&uid(number))
}

async fn wait_for_tries(cluster: &Cluster, number: usize, tries: usize, limit: Duration) {
    let reached = cluster
        .wait(limit, |cluster| begun(cluster, number) >= tries)
        .await;
    assert!(
        reached,
        "job {number} was begun {} times",
        begun(cluster, number)
    );
}

/// Who runs a job, and under which fence.
fn holder(cluster: &Cluster, number: usize) -> (Option<NodeId>, i64) {
    let inner = cluster.store.inner();
    let job = inner.tables.jobs[&key_of(&uid(number))].peek();
    (job.holder().map(|holder| holder.node), job.fence)
}

fn node(name: &str) -> Option<NodeId> {
    Some(NodeId(name.to_owned()))
}

/// As it is outside, but for names and addresses.
fn usual_config(name: &str) -> NodeConfig {
    let quick = Cluster::quick_config(name);
    NodeConfig {
        heartbeat_interval: Duration::from_secs(5),
        heartbeat_miss: 12,
        poll_interval: Duration::from_secs(1),
        ..quick
    }
}

#[test]
fn a_job_submitted_where_it_may_not_run_starts_elsewhere_within_two_seconds() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(21, false);
        // The other node's clock is behind, so that what is due is due later for it.
        for (name, skew_ms) in [("n1", 0), ("n2", -150)] {
            cluster.add(usual_config(name), skew_ms);
            cluster.start(name).handle.serving().await;
        }
        cluster.store.inner().faults = FaultPlan {
            slow: 0.05,
            slowest: Duration::from_millis(100),
            ..FaultPlan::none()
        };
        let submitter = cluster.process("n1").expect("it runs").clone();
        let mut slowest = 0;
        for number in 0..1_000 {
            // Never at the same place between two polls.
            tokio::time::sleep(Duration::from_millis(37 * (number as u64 % 27))).await;
            let asked = cluster.store.now();
            cluster.start_job(
                number,
                PlannedJob {
                    affinity: vec!["10.0.0.2".to_owned()],
                    ..PlannedJob::once(0)
                },
            );
            // The submitting node is woken at once but may not run the job.
            submitter.handle.context().wake.due(DueHint {
                due_at: weft_model::clock::Timestamp(BASE.0 + asked as i64),
                key: key_of(&uid(number)),
            });
            let reached = cluster
                .wait(MINUTE, |cluster| begun(cluster, number) > 0)
                .await;
            assert!(reached, "job {number} never started");
            let took = cluster.store.now() - asked;
            assert!(took <= 2_000, "job {number} started after {took} ms");
            slowest = slowest.max(took);
        }
        assert!(slowest > 100, "no job had to wait: {slowest} ms");
        let inner = cluster.store.inner();
        let mut runs = inner.tables.runs.values();
        assert!(runs.all(|run| run.node.0 == "n2"));
        assert_eq!(inner.watch.violations(), [] as [String; 0]);
    });
}

#[test]
fn a_job_waits_days_for_its_node_and_starts_soon_after_it() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(22, false);
        cluster.add(slow_config("n1"), 0);
        cluster.add(usual_config("n2"), 0);
        cluster.start("n1");
        cluster.start_job(
            0,
            PlannedJob {
                affinity: vec!["10.0.0.2".to_owned()],
                ..PlannedJob::once(10)
            },
        );
        tokio::time::sleep(Duration::from_secs(3 * 24 * 3_600)).await;
        assert_eq!(begun(&cluster, 0), 0);
        let started = cluster.store.now();
        cluster.start("n2");
        wait_for_tries(&cluster, 0, 1, MINUTE).await;
        let took = cluster.store.now() - started;
        assert!(took < 15_000, "started after {took} ms");
    });
}

#[test]
fn the_node_that_ran_a_job_goes_first_when_it_is_back() {
    in_simulated_time(async {
        const JOBS: usize = 12;
        let mut cluster = Cluster::new(23, false);
        cluster.start_quick(1);
        for number in 0..JOBS {
            let planned = PlannedJob {
                runs: 4,
                interval: "00:01:00",
                ..PlannedJob::once(10)
            };
            cluster.start_job(number, planned);
        }
        for number in 0..JOBS {
            wait_for_tries(&cluster, number, 1, MINUTE).await;
        }
        // Now there are others, and the first is another process when the jobs are due again.
        for name in ["n2", "n3"] {
            cluster.add(Cluster::quick_config(name), 0);
            cluster.start(name);
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        cluster.kill("n1");
        cluster.start("n1").handle.serving().await;
        for number in 0..JOBS {
            wait_for_tries(&cluster, number, 2, 2 * MINUTE).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        // Gone for good it is missed by none: the others share what it ran.
        cluster.kill("n1");
        for number in 0..JOBS {
            wait_for_tries(&cluster, number, 3, 3 * MINUTE).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let inner = cluster.store.inner();
        let mut others = Vec::new();
        for number in 0..JOBS {
            let runs = inner.tables.runs.iter();
            let runs = runs.filter(|((key, ..), _)| key.uid == uid(number));
            let ran_on: Vec<&str> = runs.map(|(_, run)| run.node.0.as_str()).collect();
            assert_eq!(ran_on[..2], ["n1", "n1"], "job {number}");
            assert_ne!(ran_on[2], "n1", "job {number}");
            others.push(ran_on[2].to_owned());
        }
        others.sort();
        others.dedup();
        assert_eq!(others, ["n2", "n3"]);
    });
}

/// A node with one recommended place for `blue` and three in all.
fn blue_config(name: &str) -> NodeConfig {
    NodeConfig {
        logical_ids: vec!["blue:1-3".to_owned()],
        claim_exceptional_interval: Duration::from_secs(30),
        min_give_up: Duration::from_secs(120),
        max_give_up: Duration::from_secs(300),
        ..Cluster::quick_config(name)
    }
}

fn blue(millis: u64) -> PlannedJob {
    PlannedJob {
        affinity: vec!["blue".to_owned()],
        ..PlannedJob::once(millis)
    }
}

#[test]
fn a_job_above_the_recommended_size_is_given_up_and_moves_to_a_node_with_room() {
    in_simulated_time(async {
        const HOURS: u64 = 10 * 3_600_000;
        let mut cluster = Cluster::new(24, false);
        cluster.add(blue_config("n1"), 0);
        cluster.add(blue_config("n2"), 0);
        cluster.start("n1");
        cluster.start_job(0, blue(HOURS));
        wait_for_tries(&cluster, 0, 1, MINUTE).await;
        cluster.start_job(1, blue(HOURS));
        let asked = cluster.store.now();
        wait_for_tries(&cluster, 1, 1, 2 * MINUTE).await;
        let took = cluster.store.now() - asked;
        assert!(took >= 30_000, "claimed above the size after {took} ms");
        // No other node is up: the job is given up after its time and starts here again.
        let begun_at = cluster.store.now();
        wait_for_tries(&cluster, 1, 2, 8 * MINUTE).await;
        let took = cluster.store.now() - begun_at;
        assert!(
            (120_000..=340_000).contains(&took),
            "given up after {took} ms"
        );
        assert_eq!(holder(&cluster, 1).0, node("n1"));
        // The next time there is room elsewhere.
        cluster.start("n2");
        wait_for_tries(&cluster, 1, 3, 8 * MINUTE).await;
        assert_eq!(holder(&cluster, 1).0, node("n2"));
        // There it is within the size, and stays; so does the first one, which always was.
        tokio::time::sleep(10 * MINUTE).await;
        assert_eq!((begun(&cluster, 0), begun(&cluster, 1)), (1, 3));
        assert_eq!(holder(&cluster, 0), (node("n1"), 1));
        assert_eq!(holder(&cluster, 1).0, node("n2"));
        let inner = cluster.store.inner();
        let job = inner.tables.jobs[&key_of("j1")].peek();
        assert_eq!((job.status, job.tries), (JobStatus::InProcess, 0));
    });
}

#[test]
fn a_recurring_job_above_the_recommended_size_is_not_given_up() {
    in_simulated_time(async {
        const HOURS: u64 = 2 * 3_600_000;
        let mut cluster = Cluster::new(25, false);
        cluster.add(blue_config("n1"), 0);
        cluster.start("n1");
        cluster.start_job(0, blue(HOURS));
        wait_for_tries(&cluster, 0, 1, MINUTE).await;
        cluster.start_job(
            1,
            PlannedJob {
                runs: 2,
                ..blue(HOURS)
            },
        );
        wait_for_tries(&cluster, 1, 1, 2 * MINUTE).await;
        tokio::time::sleep(25 * MINUTE).await;
        assert_eq!((begun(&cluster, 0), begun(&cluster, 1)), (1, 1));
        assert_eq!(holder(&cluster, 1), (node("n1"), 1));
    });
}

/// Runs a job to its rest on one node that is started again whenever its process died. Answers the row and the errors of its
/// history, the oldest first.
fn job_on_a_dying_node(planned: PlannedJob) -> (Job, Vec<String>) {
    in_simulated_time(async {
        let mut cluster = Cluster::new(31, false);
        cluster.start_quick(1);
        cluster.start_job(0, planned);
        let key = key_of(&uid(0));
        for _ in 0..600 {
            if cluster.reap("n1") {
                cluster.start("n1");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            if begun(&cluster, 0) > 0 && cluster.is_quiet() {
                break;
            }
        }
        let inner = cluster.store.inner();
        assert_eq!(inner.watch.violations(), [] as [String; 0]);
        let runs = inner.tables.runs.values().filter(|run| run.key == key);
        let mut runs: Vec<_> = runs.cloned().collect();
        runs.sort_by_key(|run| run.fence);
        let exception = |run: &JobRun| {
            let error: serde_json::Value = serde_json::from_str(run.error.as_deref()?).ok()?;
            Some(error["exception_type"].as_str()?.to_owned())
        };
        let exceptions = runs
            .iter()
            .map(|run| exception(run).unwrap_or_else(|| run.status.to_string()));
        let job = inner.tables.jobs[&key].peek().clone();
        (job, exceptions.collect())
    })
}

#[test]
fn a_job_whose_process_dies_three_times_in_a_row_is_failed() {
    let recurring = PlannedJob {
        runs: 5,
        ..PlannedJob::once(50)
    };
    for planned in [PlannedJob::once(50), recurring] {
        let (job, history) = job_on_a_dying_node(planned.with_aborting_tries(100));
        assert_eq!(job.status, JobStatus::Failed);
        let error = job.error.unwrap_or_default();
        assert!(error.contains("during each of the last 3 tries"), "{error}");
        let expected = ["Crashed", "Crashed", "Crashed", "TooManyCrashes"];
        assert_eq!(history, expected);
    }
}

#[test]
fn a_takeover_is_no_attempt_and_a_success_clears_the_crashes() {
    let (job, history) = job_on_a_dying_node(PlannedJob::once(50).with_aborting_tries(2));
    assert_eq!((job.status, job.tries), (JobStatus::Processed, 0));
    assert_eq!(history, ["Crashed", "Crashed", "PROCESSED"]);
    // A failure between the crashes takes an attempt, a crash none.
    let (job, _) = job_on_a_dying_node(
        PlannedJob {
            work: Work {
                failing: 1,
                ..PlannedJob::once(50).work
            },
            ..PlannedJob::once(50)
        }
        .with_aborting_tries(2),
    );
    assert_eq!(job.status, JobStatus::Processed, "{:?}", job.error);
}

#[test]
fn a_node_that_loses_the_store_again_and_again_fails_no_job() {
    in_simulated_time(async {
        let mut cluster = Cluster::new(32, false);
        cluster.start_quick(1);
        cluster.start_job(0, PlannedJob::once(20_000));
        for tries in 1..=4 {
            wait_for_tries(&cluster, 0, tries, MINUTE).await;
            cluster.store.inner().outage = true;
            tokio::time::sleep(Duration::from_secs(6)).await;
            cluster.store.inner().outage = false;
        }
        wait_for_tries(&cluster, 0, 5, MINUTE).await;
        let ended = |cluster: &Cluster| cluster.is_quiet();
        assert!(cluster.wait(MINUTE, ended).await);
        let inner = cluster.store.inner();
        let job = inner.tables.jobs[&key_of(&uid(0))].peek();
        assert_eq!(job.status, JobStatus::Processed, "{:?}", job.error);
    });
}
