//! Runs the world of one seed to its end, and reports the rules that were broken.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::check;
use super::cluster::Cluster;
use super::jobs::{JobRequest, PlannedJob};
use super::panics;
use super::scenario::{Blackout, Event, Planned, Scenario};
use super::store::{FaultPlan, PlantedBug};

/// Once all faults have ended, everything must have ended within this.
const LIVENESS: Duration = Duration::from_secs(20 * 60);

/// The result of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The rules that were broken.
    pub violations: Vec<String>,
    /// The hash of the trace.
    pub hash: u64,
    /// Steps of the trace.
    pub steps: u64,
    /// Simulated milliseconds.
    pub took_ms: u64,
    /// Answers of Unknown given.
    pub unknowns: u64,
    /// Compare-and-sets that took effect late.
    pub zombies: u64,
    /// Effects beyond the first of each entity.
    pub extra_effects: u64,
    /// The last lines of the trace, where they were kept.
    pub lines: Vec<String>,
}

/// Runs a seed on this thread, in a runtime of its own.
pub fn run(seed: u64, bug: Option<PlantedBug>, keep_lines: bool) -> Report {
    panics::watch();
    panics::take();
    let mut report = in_simulated_time(world(seed, bug, keep_lines));
    let panics = panics::take();
    if panics > 0 {
        report.violations.push(format!("{panics} tasks panicked"));
    }
    report
}

/// Runs something in simulated time on this thread.
///
/// # Panics
/// Where no runtime can be made.
pub fn in_simulated_time<T>(world: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can always be made")
        .block_on(world)
}

async fn world(seed: u64, bug: Option<PlantedBug>, keep_lines: bool) -> Report {
    let scenario = Scenario::of(seed);
    let mut cluster = Cluster::new(seed, keep_lines);
    {
        let mut inner = cluster.store.inner();
        inner.faults = scenario.faults.clone();
        inner.ambushes = scenario.ambushes.clone();
        inner.bug = bug;
        inner.limited = true;
    }
    for (config, skew_ms) in &scenario.nodes {
        cluster.add(config.clone(), *skew_ms);
        cluster.start(&config.guid.0);
    }
    play(&mut cluster, &scenario).await;
    let mut violations = Vec::new();
    // Where the store loses hints, a round over all jobs writes them again.
    let keeps_hints = scenario.faults.hint_lost == 0.0;
    if let Some(blackout) = &scenario.blackout {
        darken(&mut cluster, blackout, &scenario).await;
        if keeps_hints {
            violations.extend(check::jobs_without_hint(&cluster));
        }
    }
    calm(&mut cluster, &scenario);
    let began = Instant::now();
    let mut quiet_since = None;
    loop {
        if keeps_hints && violations.is_empty() {
            violations.extend(check::jobs_without_hint(&cluster));
        }
        for name in cluster.names() {
            let down = cluster.reap(&name) || cluster.process(&name).is_none();
            if down && scenario.lost.as_ref() != Some(&name) {
                cluster.start(&name);
            }
        }
        if cluster.is_quiet() {
            // Late statements get time to arrive, so that a wrong effect of theirs is seen.
            let since = *quiet_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= Duration::from_secs(8) {
                break;
            }
        } else {
            quiet_since = None;
        }
        if cluster.store.inner().spins() {
            violations.push("a loop without end".to_owned());
            break;
        }
        if began.elapsed() >= LIVENESS {
            violations.push(check::what_hangs(&cluster));
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    violations.extend(check::all(&cluster, &scenario));
    report(seed, &cluster, violations)
}

fn report(seed: u64, cluster: &Cluster, violations: Vec<String>) -> Report {
    let extra_effects = check::extra_effects(cluster);
    let took_ms = cluster.store.now();
    let inner = cluster.store.inner();
    Report {
        seed,
        violations,
        hash: inner.trace.hash(),
        steps: inner.trace.steps(),
        took_ms,
        unknowns: inner.unknowns,
        zombies: inner.zombies_applied,
        extra_effects,
        lines: inner.trace.lines().map(str::to_owned).collect(),
    }
}

enum Step<'a> {
    Submit(usize, &'a Planned),
    Cancel(usize),
    Start(usize, &'a PlannedJob),
    Request(usize, JobRequest),
    Event(&'a Event),
}

async fn play(cluster: &mut Cluster, scenario: &Scenario) {
    let started = cluster.store.started();
    let mut steps: Vec<(u64, Step<'_>)> = Vec::new();
    for (number, planned) in scenario.batches.iter().enumerate() {
        steps.push((planned.at, Step::Submit(number, planned)));
        if let Some(after) = planned.cancel_after {
            steps.push((planned.at + after, Step::Cancel(number)));
        }
    }
    for (number, planned) in scenario.jobs.iter().enumerate() {
        steps.push((planned.at, Step::Start(number, planned)));
        for (after, request) in &planned.requests {
            steps.push((planned.at + after, Step::Request(number, *request)));
        }
    }
    let events = scenario.events.iter();
    steps.extend(events.map(|(at, event)| (*at, Step::Event(event))));
    steps.sort_by_key(|(at, _)| *at);
    let mut ids = vec![None; scenario.batches.len()];
    for (at, step) in steps {
        sleep_until(started + Duration::from_millis(at)).await;
        match step {
            Step::Submit(number, planned) => {
                let mut spec = cluster.spec(planned.script.clone());
                spec.generate_entities_first = planned.generate_first;
                spec.allow_multiple = !planned.is_exclusive;
                spec.max_nodes = planned.max_nodes;
                spec.max_workers_per_node = planned.max_workers;
                spec.job_affinity.clone_from(&planned.job_affinity);
                ids[number] = Some(cluster.submit(spec));
            }
            Step::Cancel(number) => {
                if let Some(id) = ids[number] {
                    cluster.cancel(id);
                }
            }
            Step::Start(number, planned) => cluster.start_job(number, planned.clone()),
            Step::Request(number, request) => cluster.request_job(number, request),
            Step::Event(event) => carry_out(cluster, event, scenario.lost.as_ref()),
        }
    }
    if !scenario.is_calm() {
        sleep_until(started + Duration::from_millis(scenario.calm_at)).await;
    }
}

fn carry_out(cluster: &mut Cluster, event: &Event, lost: Option<&String>) {
    match event {
        Event::Kill(name) => cluster.kill(name),
        Event::Start(name) => {
            if cluster.reap(name) || cluster.process(name).is_none() {
                cluster.start(name);
            }
        }
        Event::Drain(name) => {
            if let Some(process) = cluster.process(name) {
                process.handle.drain();
                cluster.note(name, "drain");
            }
        }
        Event::Freeze(name) => {
            if let Some(process) = cluster.process(name) {
                process.control.freeze();
                cluster.note(name, "freeze");
            }
        }
        Event::Thaw(name) => {
            if let Some(process) = cluster.process(name) {
                process.control.thaw();
                cluster.note(name, "thaw");
            }
        }
        Event::Cut(name) | Event::Join(name) => {
            if let Some(process) = cluster.process(name) {
                process.control.set_cut(matches!(event, Event::Cut(_)));
                cluster.note(name, "cut or joined");
            }
        }
        Event::Revive => {
            for name in cluster.names() {
                if cluster.reap(&name) && lost != Some(&name) {
                    cluster.start(&name);
                }
            }
        }
        Event::LoseChunk => cluster.lose_chunk(),
        Event::SetClock(name, step_ms) => cluster.step_clock(name, *step_ms),
        Event::Outage | Event::Return => {
            cluster.note("store", "outage or return");
            cluster.store.inner().outage = matches!(event, Event::Outage);
        }
    }
}

/// All nodes die; then one starts and dies, as often as the blackout says.
async fn darken(cluster: &mut Cluster, blackout: &Blackout, scenario: &Scenario) {
    cluster.note("all", "dark");
    for name in cluster.names() {
        cluster.kill(&name);
    }
    let mut names = cluster.names();
    names.retain(|name| scenario.lost.as_ref() != Some(name));
    let minutes = blackout.dark_minutes;
    for (number, crash_after) in blackout.crashes_after.iter().enumerate() {
        tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
        let name = &names[number % names.len()];
        cluster.start(name);
        tokio::time::sleep(Duration::from_millis(*crash_after)).await;
        cluster.kill(name);
    }
    tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
}

/// All faults end.
fn calm(cluster: &mut Cluster, scenario: &Scenario) {
    cluster.note("all", "calm");
    for (config, skew_ms) in &scenario.nodes {
        cluster.set_skew(&config.guid.0, *skew_ms);
    }
    for name in cluster.names() {
        if let Some(process) = cluster.process(&name) {
            process.control.thaw();
            process.control.set_cut(false);
        }
    }
    let mut inner = cluster.store.inner();
    inner.outage = false;
    inner.ambushes.clear();
    inner.faults = FaultPlan::none();
}
