//! The rules for tables and effects that must hold once everything is quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_model::batch_job_key;
use weft_model::{
    Batch, BatchId, BatchStatus, ChunkState, EntityRow, EntityStatus, JobKey, JobStatus,
};
use weft_node::reconcile::check_time;

use super::cluster::{Cluster, Submitted};
use super::control::BASE;
use super::jobs;
use super::scenario::Scenario;
use super::script::{Effect, Script};
use super::store::Tables;

/// A node that starts reads hints from this long before any node has read them all.
const READ_BACK: Duration = Duration::from_secs(15 * 60);

/// All rules that are broken.
pub fn all(cluster: &Cluster, scenario: &Scenario) -> Vec<String> {
    let mut violations = Vec::new();
    let submitted = cluster.submitted();
    let effects = cluster.effects.all();
    let inner = cluster.store.inner();
    violations.extend(inner.watch.violations().iter().cloned());
    let tables = &inner.tables;
    for (id, submitted) in &submitted {
        let script = cluster.scripts.of(&submitted.spec);
        let script = script.expect("every batch has a script");
        match tables.batches.get(id) {
            Some(row) => {
                let batch = row.peek();
                check_end(batch, submitted, &script, &mut violations);
                check_records(batch, tables, &script, &effects, &mut violations);
                check_job(batch, tables, &mut violations);
            }
            None if submitted.acknowledged => {
                violations.push(format!("I12: batch {id} was acknowledged and is gone"));
            }
            None => (),
        }
    }
    jobs::check(
        &cluster.jobs.snapshot(),
        &cluster.job_effects,
        tables,
        &mut violations,
    );
    let incarnations = u64::try_from(inner.incarnations()).unwrap_or(u64::MAX);
    drop(inner);
    check_effects(cluster, scenario, incarnations, &mut violations);
    check_slots(cluster, &mut violations);
    if scenario.kills_no_node() {
        let takeovers = cluster.store.inner().watch.takeovers().to_vec();
        let named = takeovers
            .iter()
            .map(|what| format!("I15: {what}, which was alive"));
        violations.extend(named);
    }
    if scenario.is_calm() {
        check_cost(cluster, &mut violations);
    }
    violations
}

fn check_end(batch: &Batch, submitted: &Submitted, script: &Script, violations: &mut Vec<String>) {
    let id = batch.id;
    let status = batch.status;
    // A batch that may not run beside another of its command is cancelled by its owner.
    let may_be_cancelled = submitted.cancelled || !submitted.spec.allow_multiple;
    let expected: &[BatchStatus] = match (script.fails, may_be_cancelled) {
        (false, false) => &[BatchStatus::Done],
        (false, true) => &[BatchStatus::Done, BatchStatus::Cancelled],
        (true, false) => &[BatchStatus::Failed],
        (true, true) => &[BatchStatus::Failed, BatchStatus::Cancelled],
    };
    if status.is_final() && !expected.contains(&status) {
        violations.push(format!(
            "I5: batch {id} ended {status} ({:?}), expected {expected:?}",
            batch.error
        ));
    }
    if status.is_final() && batch.holder().is_some() {
        violations.push(format!("batch {id} has ended and still has an owner"));
    }
}

fn check_records(
    batch: &Batch,
    tables: &Tables,
    script: &Script,
    effects: &[Effect],
    violations: &mut Vec<String>,
) {
    let id = batch.id;
    let ids = script.ids();
    let begun: BTreeSet<(&str, i64)> = effects
        .iter()
        .filter(|effect| effect.batch == id)
        .map(|effect| (effect.id.as_str(), effect.fence))
        .collect();
    let mut recorded = BTreeSet::new();
    let (mut counted, mut succeeded, mut failed) = (0, 0, 0);
    for ((_, number), row) in tables.chunks.range((id, 0)..(id, i64::MAX)) {
        let chunk = row.peek();
        counted += chunk.head.ok + chunk.head.failed;
        if batch.status == BatchStatus::Done
            && !matches!(chunk.head.state, ChunkState::Done | ChunkState::Void)
        {
            violations.push(format!(
                "I3: batch {id} is DONE, chunk {number} is {}",
                chunk.head.state
            ));
        }
        for record in chunk.rows.values() {
            if !recorded.insert(record.id.clone()) {
                violations.push(format!("I1: {} of batch {id} has two records", record.id));
            }
            check_record(record, script, &ids, &begun, violations);
            match record.status {
                EntityStatus::Failed => failed += 1,
                EntityStatus::Completed | EntityStatus::Waiting => succeeded += 1,
            }
        }
    }
    if batch.status.is_final()
        && let Some(statistics) = &batch.statistics
    {
        let total = statistics.total();
        if (total.succeeded, total.failed) != (succeeded, failed) {
            violations.push(format!(
                "I3: batch {id} ({}) says {}/{}, its records {succeeded}/{failed}",
                batch.status, total.succeeded, total.failed
            ));
        }
    }
    if batch.status == BatchStatus::Done {
        let expected = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let exact = batch.total_entities == Some(expected) && counted == expected;
        if !exact || recorded.len() != ids.len() {
            violations.push(format!(
                "I3: batch {id} is DONE with total {:?}, counts {counted}, {} records, {expected} ids",
                batch.total_entities,
                recorded.len()
            ));
        }
    }
}

/// `ids` are those of the batch; `begun` names the effects on its entities, by id and fence.
fn check_record(
    record: &EntityRow,
    script: &Script,
    ids: &BTreeSet<&str>,
    begun: &BTreeSet<(&str, i64)>,
    violations: &mut Vec<String>,
) {
    let EntityRow {
        id, status, fence, ..
    } = record;
    let error = record.error.as_deref().unwrap_or_default();
    if *status == EntityStatus::Failed && error.starts_with("poisoned: ") {
        // A process that is killed while a suspect runs looks like an entity that ends it.
        let has_run = begun.iter().any(|(of, _)| of == id);
        if record.attempt != 3 || !has_run {
            violations.push(format!("I1: {id} is blamed for deaths, and did not run"));
        }
        return;
    }
    let is_right = match status {
        EntityStatus::Completed => !script.fails_for(id),
        EntityStatus::Failed => script.fails_for(id),
        EntityStatus::Waiting => false,
    };
    if !is_right || !ids.contains(id.as_str()) {
        violations.push(format!("I1: {id} is recorded as {status}"));
    }
    if !begun.contains(&(id.as_str(), *fence)) {
        violations.push(format!(
            "I1: {id} was recorded under fence {fence} without an effect"
        ));
    }
}

fn check_job(batch: &Batch, tables: &Tables, violations: &mut Vec<String>) {
    let key = batch_job_key(batch);
    let Some(job) = tables.jobs.get(&key).map(|row| row.peek()) else {
        violations.push(format!("I12: batch {} has no job", batch.id));
        return;
    };
    let fits = match batch.status {
        BatchStatus::Done => job.status == JobStatus::Processed,
        BatchStatus::Failed => job.status == JobStatus::Failed,
        BatchStatus::Cancelled => job.status == JobStatus::Terminated,
        _ => true,
    };
    if !fits {
        violations.push(format!(
            "I5: batch {} is {}, its job {} ({:?})",
            batch.id, batch.status, job.status, job.error
        ));
    }
    let runs = tables.runs.keys().filter(|(of, _, _)| *of == key).count();
    if job.status.is_ended() && runs == 0 {
        violations.push(format!("the job of batch {} has no run", batch.id));
    }
}

/// Effects beyond the first of each entity.
pub fn extra_effects(cluster: &Cluster) -> u64 {
    let mut seen: BTreeMap<(BatchId, String), u64> = BTreeMap::new();
    for effect in cluster.effects.all() {
        *seen.entry((effect.batch, effect.id)).or_default() += 1;
    }
    seen.values().map(|count| count - 1).sum()
}

/// I11: an entity ran again only where a disturbed process lost it: at most what that process had in hand.
fn check_effects(
    cluster: &Cluster,
    scenario: &Scenario,
    incarnations: u64,
    violations: &mut Vec<String>,
) {
    let events = scenario.disturbances();
    // Each incarnation beyond the number of processes comes from a self-fence.
    let fenced = incarnations.saturating_sub(cluster.processes());
    let ambushed = cluster.store.inner().ambushed;
    let aborts = cluster.effects.aborts();
    let disturbances = u64::try_from(events).unwrap_or(u64::MAX) + fenced + ambushed + aborts;
    let in_hand = scenario
        .nodes
        .iter()
        .map(|(config, _)| config.max_workers_per_node * config.max_chunk_size.max(32))
        .max()
        .unwrap_or(0);
    let allowed = disturbances * u64::try_from(in_hand).unwrap_or(u64::MAX);
    let extra = extra_effects(cluster);
    if extra > allowed {
        violations.push(format!(
            "I11: {extra} entities ran again, {disturbances} disturbances allow {allowed}"
        ));
    }
}

/// I17: no entity runs once every batch has ended.
fn check_slots(cluster: &Cluster, violations: &mut Vec<String>) {
    for node in cluster.names() {
        let running = cluster
            .process(&node)
            .filter(|process| !process.control.is_dead())
            .map_or(0, |process| cluster.effects.running_in(&process.name));
        if running > 0 {
            violations.push(format!("I17: {running} entities still run on {node}"));
        }
    }
}

/// Without faults a batch costs at most 12 compare-and-sets and 8 for each chunk.
fn check_cost(cluster: &Cluster, violations: &mut Vec<String>) {
    let sent: u64 = cluster.names().iter().fold(0, |sum, name| {
        let process = cluster.process(name).expect("no process was removed");
        use weft_store::Store;
        sum + process.store.statistics().compare_and_set_total()
    });
    let inner = cluster.store.inner();
    let batches = inner.tables.batches.len() as u64;
    let chunks = inner.tables.chunks.len() as u64;
    let seconds = cluster
        .effects
        .all()
        .last()
        .map_or(0, |last| last.at / 1_000);
    // A claim, a history row and an end for each try of a job.
    let jobs = cluster.jobs.snapshot();
    let tries: u64 = jobs.values().map(|asked| asked.planned.tries()).sum();
    // Each end with a follower takes a notification, its acknowledgement and a run of the follower; one notification may
    // have to be repeated.
    let followed = jobs.values().filter(|asked| asked.planned.is_followed);
    let ends: i64 = followed.map(|asked| asked.planned.runs + 1).sum();
    let notifications = 5 * u64::try_from(ends).unwrap_or(0);
    let allowed = 12 * batches + 8 * chunks + batches * seconds / 10 + 3 * tries + notifications;
    if sent > allowed {
        violations.push(format!(
            "cost: {sent} compare-and-sets for {batches} batches with {chunks} chunks and {tries} tries of jobs, \
             {allowed} are allowed"
        ));
    }
}

/// I14: every job that is not at rest has a hint that a node will read, even if all nodes die now.
pub fn jobs_without_hint(cluster: &Cluster) -> Vec<String> {
    let inner = cluster.store.inner();
    let tables = &inner.tables;
    let read_until = tables
        .nodes
        .values()
        .map(|row| row.value.heartbeat_at)
        .max();
    let Some(from) = read_until.map(|moment| moment.minus(READ_BACK)) else {
        return Vec::new();
    };
    let hints = tables.due.keys().filter(|hint| hint.due_at >= from);
    let hinted: BTreeSet<&JobKey> = hints.map(|hint| &hint.key).collect();
    let now = BASE.plus(Duration::from_millis(cluster.store.now()));
    let jobs = tables.jobs.values().map(|row| row.peek());
    jobs.filter(|job| check_time(job, now).is_some() && !hinted.contains(&job.key))
        .map(|job| {
            let JobKey { name, uid, .. } = &job.key;
            format!(
                "I14: no hint leads to job {name} {uid}, {}; hints were read until {read_until:?}",
                job.status
            )
        })
        .collect()
}

/// I12: what has not ended although there are no more faults.
pub fn what_hangs(cluster: &Cluster) -> String {
    let inner = cluster.store.inner();
    let mut hanging = Vec::new();
    for row in inner.tables.batches.values() {
        let batch = row.peek();
        if !batch.status.is_final() {
            let chunks: Vec<String> = inner
                .tables
                .chunks
                .range((batch.id, 0)..(batch.id, i64::MAX))
                .filter(|(_, row)| {
                    !matches!(row.peek().head.state, ChunkState::Done | ChunkState::Void)
                })
                .map(|((_, number), row)| {
                    let head = &row.peek().head;
                    format!("{number} {} {:?}", head.state, head.holder)
                })
                .collect();
            hanging.push(format!(
                "batch {} {} owned by {:?} fence {} desired {} chunks {} open: {chunks:?}",
                batch.id, batch.status, batch.owner_node, batch.fence, batch.desired, batch.chunks
            ));
        }
    }
    for row in inner.tables.jobs.values() {
        let job = row.peek();
        if !jobs::rests(job) {
            hanging.push(format!(
                "job {} {} by {:?} fence {} next {:?} {:?} {:?}",
                job.key.uid,
                job.status,
                job.worker,
                job.fence,
                job.next_run,
                job.error,
                job.triggers
            ));
        }
    }
    format!("I12: hangs: {}", hanging.join("; "))
}
