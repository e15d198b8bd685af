//! Compares records with effects. Pure functions, so that they are tested with literals.

use std::collections::{BTreeMap, BTreeSet};

use super::effects::{Effect, Tick};
use crate::cluster::{EntityRecord, Summary};

/// The longest time for which results wait for a flush, with room for a busy machine, in milliseconds.
const UNFLUSHED_MS: i64 = 4_000;
/// The workers of a node.
const WORKERS: usize = 8;

/// The moment at which a node was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The data folder of the node.
    pub node: String,
    /// Milliseconds since the start of the machine.
    pub at_ms: i64,
}

/// What was found about a batch, or about all jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Executions beyond the first of each entity, or of each run of a job.
    pub repeated: usize,
    /// The longest time from a crash until another node ran an entity of a chunk of the dead one, in milliseconds.
    pub takeover_ms: Option<i64>,
    /// The rules that were broken.
    pub violations: Vec<String>,
}

/// Judges a batch that has ended. `crashes` is none if the faults of the history make no bound on repeated executions.
pub fn judge_batch(
    count: usize,
    summary: &Summary,
    records: &[EntityRecord],
    effects: &[Effect],
    crashes: Option<&[Crash]>,
) -> Judged {
    let mut judged = Judged::default();
    let of_records = check_records(count, summary, records, &mut judged.violations);
    let mut runs: BTreeMap<&str, Vec<&Effect>> = BTreeMap::new();
    for effect in effects {
        runs.entry(&effect.id).or_default().push(effect);
    }
    for (id, record) in &of_records {
        let of_id = runs.get(id).map_or(&[][..], Vec::as_slice);
        if of_id.is_empty() {
            judged
                .violations
                .push(format!("{id} has a record and no effect"));
        } else if !of_id.iter().any(|effect| effect.fence == record.fence) {
            judged.violations.push(format!(
                "{id} has a record under fence {} and effects under {:?}",
                record.fence,
                of_id.iter().map(|effect| effect.fence).collect::<Vec<_>>()
            ));
        }
    }
    judged.repeated = runs.values().map(|of_id| of_id.len() - 1).sum();
    check_fences(&of_records, effects, &mut judged.violations);
    if let Some(crashes) = crashes {
        let bound = crashes.iter().map(|crash| unflushed(crash, effects)).sum();
        if judged.repeated > bound {
            judged.violations.push(format!(
                "{} executions were repeated after {} crashes, and at most {bound} were not flushed",
                judged.repeated,
                crashes.len()
            ));
        }
        let takeovers = crashes.iter();
        let takeovers = takeovers.filter_map(|crash| takeover_ms(crash, &of_records, effects));
        judged.takeover_ms = takeovers.max();
    }
    judged
}

/// Judges a batch that has ended and whose command leaves no effects.
pub fn judge_records(count: usize, summary: &Summary, records: &[EntityRecord]) -> Judged {
    let mut judged = Judged::default();
    check_records(count, summary, records, &mut judged.violations);
    judged
}

fn check_records<'r>(
    count: usize,
    summary: &Summary,
    records: &'r [EntityRecord],
    violations: &mut Vec<String>,
) -> BTreeMap<&'r str, &'r EntityRecord> {
    let wanted = u64::try_from(count).unwrap_or(u64::MAX);
    let sums = (summary.total, summary.succeeded, summary.failed);
    if summary.status != "DONE" || sums != (wanted, wanted, 0) {
        violations.push(format!("the batch of {count} ended as {summary:?}"));
    }
    let mut by_id = BTreeMap::new();
    for record in records {
        if record.status != "COMPLETED" {
            violations.push(format!("{} is {}", record.id, record.status));
        }
        if by_id.insert(record.id.as_str(), record).is_some() {
            violations.push(format!("{} has two records", record.id));
        }
    }
    let missing: Vec<String> = (1..=count)
        .map(|number| format!("V{number:07}"))
        .filter(|id| !by_id.contains_key(id.as_str()))
        .collect();
    if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
        let missing = missing.len();
        violations.push(format!("{missing} ids have no record, {first} to {last}"));
    }
    by_id
}

/// Once a chunk has had an effect under a fence, none may begin under a lower one.
fn check_fences(
    records: &BTreeMap<&str, &EntityRecord>,
    effects: &[Effect],
    violations: &mut Vec<String>,
) {
    let mut highest: BTreeMap<i64, i64> = BTreeMap::new();
    for effect in effects {
        let Some(record) = records.get(effect.id.as_str()) else {
            continue;
        };
        let chunk = record.chunk;
        let highest = highest.entry(chunk).or_insert(effect.fence);
        if effect.fence < *highest {
            violations.push(format!(
                "{} began on {} under fence {} at {} ms, after its chunk {chunk} had an effect under {highest}",
                effect.id, effect.node, effect.fence, effect.at_ms
            ));
        }
        *highest = (*highest).max(effect.fence);
    }
}

/// The number of executions of a node that may not have been flushed when it crashed.
fn unflushed(crash: &Crash, effects: &[Effect]) -> usize {
    let is_recent = |effect: &&Effect| {
        effect.node == crash.node
            && (crash.at_ms - UNFLUSHED_MS..=crash.at_ms + 100).contains(&effect.at_ms)
    };
    effects.iter().filter(is_recent).count() + WORKERS
}

/// The longest time until a chunk on which the node was working had an effect under a higher fence.
fn takeover_ms(
    crash: &Crash,
    records: &BTreeMap<&str, &EntityRecord>,
    effects: &[Effect],
) -> Option<i64> {
    let chunk = |effect: &Effect| records.get(effect.id.as_str()).map(|record| record.chunk);
    // By chunk, the last effect before the crash.
    let mut last: BTreeMap<i64, &Effect> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| effect.at_ms <= crash.at_ms) {
        if let Some(chunk) = chunk(effect) {
            last.insert(chunk, effect);
        }
    }
    let held = last
        .into_iter()
        .filter(|(_, effect)| effect.node == crash.node);
    let taken = held.filter_map(|(held, before)| {
        let next = effects.iter().find(|effect| {
            effect.at_ms > crash.at_ms && effect.fence > before.fence && chunk(effect) == Some(held)
        });
        next.map(|effect| effect.at_ms - crash.at_ms)
    });
    taken.max()
}

/// The jobs of a history.
#[derive(Clone, Debug, Default)]
pub struct JobPlan {
    /// Jobs that run once, by UID, with the moment at which they are due.
    pub once: BTreeMap<String, i64>,
    /// Jobs that run at equal distances, by UID, with the milliseconds between two runs.
    pub recurring: BTreeMap<String, i64>,
    /// From when to when recurring jobs run.
    pub span: (i64, i64),
    /// How long after it is due a run may begin: the faults of the history, and the time to take over.
    pub lateness_ms: i64,
    /// Whether a run may have more than one try: a node was killed, or lost the store.
    pub may_repeat: bool,
}

/// Judges the runs of jobs: missed, early, late or repeated without a reason.
pub fn judge_jobs(plan: &JobPlan, ticks: &[Tick]) -> Judged {
    let mut judged = Judged::default();
    let mut keys: BTreeMap<&str, Vec<&Tick>> = BTreeMap::new();
    for tick in ticks {
        keys.entry(&tick.key).or_default().push(tick);
    }
    judged.repeated = keys.values().map(|tries| tries.len() - 1).sum();
    for tries in keys.values().filter(|tries| tries.len() > 1) {
        let fences: BTreeSet<i64> = tries.iter().map(|tick| tick.fence).collect();
        if !plan.may_repeat || fences.len() < tries.len() {
            let uid = &tries[0].uid;
            let times: Vec<_> = tries.iter().map(|tick| (tick.at_ms, tick.fence)).collect();
            judged
                .violations
                .push(format!("a run of {uid} was tried at {times:?} (ms, fence)"));
        }
    }
    let of = |uid: &str| -> Vec<&Tick> { ticks.iter().filter(|tick| tick.uid == uid).collect() };
    for (uid, due) in &plan.once {
        check_once(
            uid,
            *due,
            plan.lateness_ms,
            &of(uid),
            &mut judged.violations,
        );
    }
    for (uid, interval) in &plan.recurring {
        check_recurring(uid, *interval, plan, &of(uid), &mut judged.violations);
    }
    judged
}

fn check_once(uid: &str, due: i64, lateness: i64, ticks: &[&Tick], violations: &mut Vec<String>) {
    let Some(first) = ticks.first() else {
        violations.push(format!("the job {uid} was missed"));
        return;
    };
    // The scripts' clock has steps of 10 ms.
    let late = first.at_ms - due;
    if late < -20 {
        violations.push(format!("the job {uid} began {} ms early", -late));
    }
    if late > lateness {
        violations.push(format!("the job {uid} began {late} ms late"));
    }
    if ticks.iter().any(|tick| tick.key != first.key) {
        violations.push(format!("the job {uid} ran more than once"));
    }
}

fn check_recurring(
    uid: &str,
    interval: i64,
    plan: &JobPlan,
    ticks: &[&Tick],
    violations: &mut Vec<String>,
) {
    let (from, to) = plan.span;
    let begins = ticks.iter().map(|tick| tick.at_ms);
    let points: Vec<i64> = [from].into_iter().chain(begins).chain([to]).collect();
    for pair in points.windows(2) {
        let gap = pair[1] - pair[0];
        if gap > interval + plan.lateness_ms {
            violations.push(format!("the job {uid} did not run for {gap} ms"));
        }
    }
    let runs: BTreeSet<&str> = ticks.iter().map(|tick| tick.key.as_str()).collect();
    let most = (to - from) / interval + 2;
    if i64::try_from(runs.len()).unwrap_or(i64::MAX) > most {
        let runs = runs.len();
        violations.push(format!("the job {uid} ran {runs} times instead of {most}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(id: usize, fence: i64, at_ms: i64, node: &str) -> Effect {
        Effect {
            id: format!("V{id:07}"),
            fence,
            batch: "b".to_owned(),
            at_ms,
            node: node.to_owned(),
        }
    }

    fn record(id: usize, fence: i64) -> EntityRecord {
        EntityRecord {
            chunk: 0,
            id: format!("V{id:07}"),
            status: "COMPLETED".to_owned(),
            node: "n".to_owned(),
            fence,
            end_ms: 0,
        }
    }

    fn done(count: u64) -> Summary {
        Summary {
            status: "DONE".to_owned(),
            total: count,
            succeeded: count,
            failed: 0,
        }
    }

    fn violations(records: &[EntityRecord], effects: &[Effect]) -> Vec<String> {
        judge_batch(2, &done(2), records, effects, None).violations
    }

    #[test]
    fn a_batch_with_a_takeover_is_right() {
        let effects = [
            effect(1, 1, 100, "a"),
            effect(2, 1, 110, "a"),
            effect(2, 2, 3_200, "b"),
        ];
        let crashes = [Crash {
            node: "a".to_owned(),
            at_ms: 120,
        }];
        let judged = judge_batch(
            2,
            &done(2),
            &[record(1, 1), record(2, 2)],
            &effects,
            Some(&crashes),
        );
        let expected = Judged {
            repeated: 1,
            takeover_ms: Some(3_080),
            violations: Vec::new(),
        };
        assert_eq!(judged, expected);
    }

    #[test]
    fn every_rule_about_a_batch_is_checked() {
        let effects = [effect(1, 1, 100, "a"), effect(2, 1, 110, "a")];
        let check = |records: &[EntityRecord], effects: &[Effect], expected: &str| {
            let found = violations(records, effects);
            assert!(
                found.len() == 1 && found[0].contains(expected),
                "{found:?} instead of {expected}"
            );
        };
        check(&[record(1, 1)], &effects, "1 ids have no record");
        check(
            &[record(1, 1), record(2, 1), record(2, 1)],
            &effects,
            "V0000002 has two records",
        );
        check(
            &[record(1, 1), record(2, 1)],
            &effects[..1],
            "V0000002 has a record and no effect",
        );
        check(
            &[record(1, 1), record(2, 7)],
            &effects,
            "a record under fence 7",
        );
        let late = [
            effect(1, 2, 100, "b"),
            effect(2, 2, 105, "b"),
            effect(2, 1, 110, "a"),
        ];
        check(
            &[record(1, 2), record(2, 2)],
            &late,
            "V0000002 began on a under fence 1",
        );
        let failed = EntityRecord {
            status: "FAILED".to_owned(),
            ..record(2, 1)
        };
        check(&[record(1, 1), failed], &effects, "V0000002 is FAILED");
        let short = judge_batch(2, &done(1), &[record(1, 1), record(2, 1)], &effects, None);
        assert!(short.violations[0].contains("ended as"), "{short:?}");
    }

    #[test]
    fn more_repetitions_than_a_crash_explains_are_a_violation() {
        let records = [record(1, 1), record(2, 2)];
        let mut effects = vec![effect(1, 1, 100, "a")];
        effects.extend((0..20).map(|at| effect(2, 2, 200 + at, "b")));
        let judged = judge_batch(2, &done(2), &records, &effects, Some(&[]));
        assert_eq!(judged.repeated, 19);
        assert!(
            judged.violations[0].contains("at most 0"),
            "{:?}",
            judged.violations
        );
    }

    fn tick(uid: &str, key: &str, at_ms: i64, fence: i64) -> Tick {
        Tick {
            uid: uid.to_owned(),
            fence,
            key: key.to_owned(),
            at_ms,
            node: "a".to_owned(),
        }
    }

    #[test]
    fn jobs_are_missed_early_late_or_repeated() {
        let plan = JobPlan {
            once: BTreeMap::from([("o".to_owned(), 1_000)]),
            recurring: BTreeMap::from([("r".to_owned(), 1_000)]),
            span: (0, 3_000),
            lateness_ms: 500,
            may_repeat: false,
        };
        let right = [
            tick("o", "k", 1_010, 1),
            tick("r", "1", 1_000, 1),
            tick("r", "2", 2_000, 2),
        ];
        assert_eq!(judge_jobs(&plan, &right), Judged::default());
        let check = |ticks: &[Tick], expected: &str| {
            let found = judge_jobs(&plan, ticks).violations;
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        };
        check(&right[1..], "o was missed");
        let with = |tick: Tick| [&[tick], &right[1..]].concat();
        check(&with(tick("o", "k", 900, 1)), "100 ms early");
        check(&with(tick("o", "k", 1_600, 1)), "600 ms late");
        let again = |tick: Tick| [&right[..], &[tick]].concat();
        check(
            &again(tick("o", "k", 1_020, 2)),
            "a run of o was tried at [(1010, 1), (1020, 2)]",
        );
        check(&again(tick("o", "k2", 1_020, 2)), "o ran more than once");
        check(&right[..2], "r did not run for 2000 ms");
        let many: Vec<Tick> = (0..6)
            .map(|number| tick("r", &number.to_string(), number * 500, number))
            .collect();
        check(&[&right[..1], &many[..]].concat(), "r ran 6 times");
    }
}
