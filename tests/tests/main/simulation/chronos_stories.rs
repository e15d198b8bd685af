//! Days of recurring jobs: each time of a schedule has the run that its policy says, and no run is without a time.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weft_model::clock::Timestamp;
use weft_model::schedule::JobPolicy;
use weft_model::schedule::policy::{Misfire, Overlap};
use weft_tests::chronos::{self, Period, Rules};
use weft_tests::sim::jobs::{PlannedJob, Work};
use weft_tests::sim::{BASE, Cluster, in_simulated_time};

use super::stories::MINUTE;

const HOUR: Duration = Duration::from_secs(3_600);
/// `T_dead` is 30 s; a poll and the turns of the nodes come on top.
const EPSILON: Duration = Duration::from_secs(45);
/// The pace of the schedule of every job of these stories.
const EVERY_TEN_MINUTES: &str = "*/10 * * * *";
const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Days are long: nodes heartbeat and poll every 10 s.
fn start(cluster: &mut Cluster) {
    for name in NODES {
        let mut config = Cluster::quick_config(name);
        config.heartbeat_interval = Duration::from_secs(10);
        config.heartbeat_miss = 3;
        config.poll_interval = Duration::from_secs(10);
        config.reconcile_interval = HOUR;
        cluster.add(config, 0);
        cluster.start(name);
    }
}

/// A job of the schedule, with runs of this length.
fn job(misfire: Misfire, overlap: Overlap, length: Duration) -> PlannedJob {
    PlannedJob {
        runs: i64::MAX,
        interval: EVERY_TEN_MINUTES,
        work: Work {
            millis: u64::try_from(length.as_millis()).expect("minutes"),
            failing: 0,
            aborting: 0,
        },
        policy: Some(JobPolicy {
            misfire,
            overlap,
            ..JobPolicy::default()
        }),
        ..PlannedJob::once(0)
    }
}

fn now(cluster: &Cluster) -> Timestamp {
    BASE.plus(Duration::from_millis(cluster.store.now()))
}

/// Waits until `after` behind the next time of the schedule.
async fn wait_for_time(cluster: &Cluster, after: Duration) {
    let period = i64::try_from((10 * MINUTE).as_millis()).expect("ten minutes");
    let pause = period - now(cluster).0.rem_euclid(period);
    let pause = Duration::from_millis(u64::try_from(pause).expect("a pause"));
    tokio::time::sleep(pause + after).await;
}

/// The times of the schedule from `first` until now.
fn times(cluster: &Cluster, first: Timestamp) -> Vec<Timestamp> {
    let period = 600_000;
    let first = (first.0 / period + 1) * period;
    (first..=now(cluster).0)
        .step_by(600_000)
        .map(Timestamp)
        .collect()
}

/// Ends one node after the other, each a little after a time of the schedule, when runs have just begun or are about to, and
/// starts it again when others have taken over.
async fn disturb(cluster: &mut Cluster, hours: u32, chance: &mut StdRng) {
    for _ in 0..hours {
        let behind = Duration::from_millis(chance.random_range(0..20_000));
        wait_for_time(cluster, behind).await;
        let name = NODES[chance.random_range(0..NODES.len())];
        cluster.kill(name);
        tokio::time::sleep(4 * MINUTE).await;
        cluster.start(name);
        tokio::time::sleep(40 * MINUTE).await;
    }
}

/// All nodes are down for so long. Returns when no node ran.
async fn black_out(cluster: &mut Cluster, length: Duration) -> Period {
    // Between the times, so that no run is cut off.
    wait_for_time(cluster, 5 * MINUTE).await;
    let from = now(cluster);
    for name in NODES {
        cluster.kill(name);
    }
    tokio::time::sleep(length).await;
    for name in NODES {
        cluster.start(name);
    }
    let until = now(cluster);
    Period { from, until }
}

#[test]
fn for_two_days_every_time_has_the_run_that_the_misfire_rule_says() {
    in_simulated_time(async {
        let misfires = [Misfire::Once, Misfire::Skip, Misfire::All { cap: 3 }];
        let length = Duration::from_secs(20);
        let mut chance = StdRng::seed_from_u64(41);
        let mut cluster = Cluster::new(41, false);
        start(&mut cluster);
        let first = now(&cluster);
        for (number, misfire) in misfires.into_iter().enumerate() {
            cluster.start_job(number, job(misfire, Overlap::Skip, length));
        }
        let mut outages = Vec::new();
        for dark_minutes in [76, 4, 11, 301, 7] {
            disturb(&mut cluster, 7, &mut chance).await;
            outages.push(black_out(&mut cluster, dark_minutes * MINUTE).await);
        }
        tokio::time::sleep(2 * HOUR).await;
        for (number, misfire) in misfires.into_iter().enumerate() {
            let rules = rules(misfire, Overlap::Skip, length);
            check(&cluster, number, first, &rules, &outages);
        }
    });
}

#[test]
fn for_half_a_day_times_during_a_run_have_what_the_overlap_rule_says() {
    in_simulated_time(async {
        let overlaps = [Overlap::Skip, Overlap::Queue, Overlap::Allow];
        let length = 13 * MINUTE;
        let mut chance = StdRng::seed_from_u64(43);
        let mut cluster = Cluster::new(43, false);
        start(&mut cluster);
        let first = now(&cluster);
        for (number, overlap) in overlaps.into_iter().enumerate() {
            cluster.start_job(number, job(Misfire::Once, overlap, length));
        }
        disturb(&mut cluster, 12, &mut chance).await;
        tokio::time::sleep(HOUR).await;
        for (number, overlap) in overlaps.into_iter().enumerate() {
            let rules = rules(Misfire::Once, overlap, length);
            check(&cluster, number, first, &rules, &[]);
        }
    });
}

fn rules(misfire: Misfire, overlap: Overlap, longest_run: Duration) -> Rules {
    Rules {
        misfire,
        misfire_grace: MINUTE,
        overlap,
        epsilon: EPSILON,
        longest_run,
    }
}

fn check(cluster: &Cluster, number: usize, first: Timestamp, rules: &Rules, outages: &[Period]) {
    let tries = cluster.job_effects.tries(&format!("j{number}"));
    let times = times(cluster, first);
    assert!(tries.len() > times.len() / 3, "{} runs", tries.len());
    let mut windows = chronos::windows(&times, rules, outages, &tries);
    let now = now(cluster);
    for window in &mut windows {
        // Its run may still come, or the end of a run that covers it.
        window.is_required &= window.until.plus(rules.longest_run) < now;
    }
    let may_overlap = rules.overlap == Overlap::Allow;
    let found = chronos::compare(&windows, &tries, 5 * MINUTE, may_overlap);
    assert!(found.is_empty(), "{rules:?}: {found}");
}
