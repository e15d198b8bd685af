//! No job is forgotten: outages of the whole cluster, and wall clocks that are wrong.

use std::time::Duration;

use weft_tests::sim::jobs::{PlannedJob, key_of};
use weft_tests::sim::{Cluster, in_simulated_time};

use super::stories::MINUTE;

const HOUR_MS: i64 = 3_600_000;

fn begun(cluster: &Cluster, number: usize) -> usize {
    cluster.job_effects.begun(&format!("j{number}"))
}

/// Which of the first `count` jobs were begun less than `times` times.
fn missing(cluster: &Cluster, count: usize, times: usize) -> Vec<usize> {
    (0..count)
        .filter(|number| begun(cluster, *number) < times)
        .collect()
}

/// Starts the node and ends it after its first heartbeat, before it claims anything.
async fn start_and_crash(cluster: &mut Cluster, name: &str) {
    let before = incarnations(cluster);
    cluster.start(name);
    while incarnations(cluster) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cluster.kill(name);
}

fn incarnations(cluster: &Cluster) -> usize {
    cluster.store.inner().incarnations()
}

#[test]
fn jobs_from_before_an_outage_of_all_nodes_run_although_the_first_node_crashes() {
    in_simulated_time(async {
        const JOBS: usize = 20;
        for again in [1, 3] {
            let mut cluster = Cluster::new(31, false);
            cluster.start_quick(1);
            cluster
                .process("n1")
                .expect("it runs")
                .handle
                .serving()
                .await;
            tokio::time::sleep(MINUTE).await;
            cluster.kill("n1");
            for number in 0..JOBS {
                cluster.start_job(number, PlannedJob::once(10));
            }
            for _ in 0..again {
                tokio::time::sleep(18 * MINUTE).await;
                start_and_crash(&mut cluster, "n1").await;
            }
            tokio::time::sleep(18 * MINUTE).await;
            // A node that was never here reads back as far.
            cluster.add(Cluster::quick_config("n2"), 0);
            start_and_crash(&mut cluster, "n2").await;
            assert_eq!(missing(&cluster, JOBS, 1).len(), JOBS, "none has run yet");
            tokio::time::sleep(18 * MINUTE).await;
            cluster.start("n2");
            tokio::time::sleep(MINUTE).await;
            assert_eq!(missing(&cluster, JOBS, 1), [] as [usize; 0]);
        }
    });
}

#[test]
fn jobs_that_wait_for_a_slot_after_an_outage_survive_a_further_one() {
    in_simulated_time(async {
        const JOBS: usize = 30;
        let mut cluster = Cluster::new(32, false);
        let mut config = Cluster::quick_config("n1");
        config.job_pool_size = 1;
        cluster.add(config, 0);
        cluster.start("n1");
        tokio::time::sleep(MINUTE).await;
        cluster.kill("n1");
        for number in 0..JOBS {
            cluster.start_job(number, PlannedJob::once(60_000));
        }
        // Each time one job runs, and the others wait in the memory of a node that crashes.
        for _ in 0..4 {
            tokio::time::sleep(40 * MINUTE).await;
            cluster.start("n1");
            tokio::time::sleep(Duration::from_secs(5)).await;
            cluster.kill("n1");
        }
        tokio::time::sleep(40 * MINUTE).await;
        cluster.start("n1");
        tokio::time::sleep(40 * MINUTE).await;
        assert_eq!(missing(&cluster, JOBS, 1), [] as [usize; 0]);
    });
}

#[test]
fn a_clock_that_is_set_back_stops_no_recurring_job() {
    in_simulated_time(async {
        const JOBS: usize = 30;
        for step_ms in [-1_600, -4_000, -HOUR_MS] {
            let mut cluster = Cluster::new(33, false);
            cluster.start_quick(1);
            for number in 0..JOBS {
                let planned = PlannedJob {
                    runs: 20,
                    interval: "00:00:07",
                    ..PlannedJob::once(10)
                };
                cluster.start_job(number, planned);
                tokio::time::sleep(Duration::from_millis(231)).await;
            }
            for _ in 0..5 {
                cluster.step_clock("n1", step_ms);
                tokio::time::sleep(Duration::from_millis(200)).await;
                cluster.step_clock("n1", -step_ms / 2);
                tokio::time::sleep(Duration::from_secs(13)).await;
            }
            // The clock is right again.
            cluster.step_clock("n1", -5 * (step_ms - step_ms / 2));
            tokio::time::sleep(10 * MINUTE).await;
            assert_eq!(
                missing(&cluster, JOBS, 20),
                [] as [usize; 0],
                "after steps of {step_ms} ms"
            );
        }
    });
}

#[test]
fn a_job_whose_owner_had_a_slow_clock_is_taken_over() {
    in_simulated_time(async {
        for skew_ms in [-3_000, -600_000, -HOUR_MS, HOUR_MS] {
            let mut cluster = Cluster::new(34, false);
            cluster.add(Cluster::quick_config("n1"), skew_ms);
            cluster.start("n1");
            cluster.start_job(0, PlannedJob::once(20 * 60_000));
            let started = cluster.wait(MINUTE, |cluster| begun(cluster, 0) == 1).await;
            assert!(started, "a job without a time starts whatever the clock");
            cluster.kill("n1");
            cluster.add(Cluster::quick_config("n2"), 0);
            cluster.start("n2");
            let taken = cluster.wait(MINUTE, |cluster| begun(cluster, 0) == 2).await;
            assert!(taken, "skew {skew_ms}");
        }
    });
}

/// The node one hour ahead leaves jobs with a time to others, says so, and takes them when its clock is right.
#[test]
fn a_node_one_hour_ahead_starts_no_job_at_a_time() {
    in_simulated_time(async {
        const JOBS: usize = 20;
        // The first run is at once and has no time; the second one has.
        const PERIOD: u32 = 25;
        let mut cluster = Cluster::new(35, false);
        cluster.add(Cluster::quick_config("n1"), HOUR_MS);
        let ahead = cluster.start("n1").handle;
        ahead.serving().await;
        let reason = ahead.not_ready().expect("it says what is wrong");
        assert!(reason.contains("3600.0 s ahead"), "{reason}");
        for number in 0..JOBS {
            let planned = PlannedJob {
                runs: 4,
                interval: "00:25:00",
                ..PlannedJob::once(10)
            };
            cluster.start_job(number, planned);
        }
        tokio::time::sleep(2 * MINUTE).await;
        assert_eq!(missing(&cluster, JOBS, 1), [] as [usize; 0]);
        tokio::time::sleep((PERIOD + 3) * MINUTE).await;
        assert_eq!(missing(&cluster, JOBS, 2).len(), JOBS, "their time is over");
        cluster.add(Cluster::quick_config("n2"), 0);
        cluster.start("n2");
        // Hints of a node that left a job to others are at most ten minutes apart.
        tokio::time::sleep(11 * MINUTE).await;
        assert_eq!(missing(&cluster, JOBS, 2), [] as [usize; 0]);
        {
            let inner = cluster.store.inner();
            let job = inner.tables.jobs[&key_of("j0")].peek();
            let next = job.next_run.expect("a next time");
            let now = weft_tests::sim::BASE.plus(Duration::from_millis(cluster.store.now()));
            let most = i64::from(PERIOD) * 60_000;
            assert!(next.millis_since(now) <= most, "no time was left out");
        }
        // The other one is gone; the first one takes over once its clock is right.
        cluster.kill("n2");
        tokio::time::sleep(PERIOD * MINUTE).await;
        assert_eq!(missing(&cluster, JOBS, 3).len(), JOBS);
        cluster.step_clock("n1", -HOUR_MS);
        tokio::time::sleep(2 * MINUTE).await;
        assert_eq!(ahead.not_ready(), None);
        assert_eq!(missing(&cluster, JOBS, 3), [] as [usize; 0]);
    });
}
