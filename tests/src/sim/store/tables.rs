//! The tables, and what each statement does to its partition.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::Value;
use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, BatchListing, ChunkHead, ChunkState, Deployment, DueHint, EntityRow, Fence,
    Incarnation, Instance, Job, JobKey, JobRun, JobStatus, NodeId, NodeRow, NodeStats, ParsedTable,
    Setting, Token,
};
use weft_store::{BatchGuard, JobSeen, PutSetting, RequestJob};

use super::bug::PlantedBug;
use super::checkpoint::Scope;
use super::row::Row;
use super::statement::{Answer, Found, ListingCopy, Plain, Swap, failed_of};
use super::watch::Watch;

/// One chunk partition.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Its static columns.
    pub head: ChunkHead,
    /// Its ids in the order of the source.
    pub ids: Vec<String>,
    /// Its handled entities.
    pub rows: BTreeMap<String, EntityRow>,
    /// The order in which they were recorded first.
    pub order: Vec<String>,
}

/// A plain row with the stamp of its writer: an older one never replaces a newer.
#[derive(Clone, Debug)]
pub struct Stamped<T> {
    /// The row.
    pub value: T,
    /// The row before, which a read that is behind still finds.
    pub before: Option<T>,
    /// When it was written, in simulated milliseconds.
    pub written_at: u64,
    stamp: u64,
}

/// Everything durable.
#[derive(Debug, Default)]
pub struct Tables {
    /// `batchprocess_list`.
    pub batches: BTreeMap<BatchId, Row<Batch>>,
    /// `jobs`.
    pub jobs: BTreeMap<JobKey, Row<Job>>,
    /// `batchprocess_entities_info`.
    pub chunks: BTreeMap<(BatchId, i64), Row<Chunk>>,
    /// `active_commands`.
    pub commands: BTreeMap<String, BatchId>,
    /// `jobs_due`, with the moment from which every reader sees the hint.
    pub due: BTreeMap<DueHint, u64>,
    /// `job_followers`.
    pub followers: BTreeMap<(String, String), BTreeSet<JobKey>>,
    /// `batchprocess_by_day`.
    pub listings: BTreeMap<(Timestamp, String), Stamped<BatchListing>>,
    /// `job_runs`.
    pub runs: BTreeMap<(JobKey, Timestamp, Fence), JobRun>,
    /// `nodes`.
    pub nodes: BTreeMap<NodeId, Stamped<NodeRow>>,
    /// All lives that ever wrote a row of `nodes`.
    pub lives: BTreeSet<Incarnation>,
    /// `batchprocess_node_info`.
    pub stats: BTreeMap<(BatchId, NodeId), Stamped<NodeStats>>,
    /// The instances of all logical units.
    pub instances: BTreeMap<(String, String), Instance>,
    /// Logical units with tables.
    pub logical_units: BTreeSet<String>,
    /// Bundles by hash.
    pub bundles: BTreeMap<String, Vec<u8>>,
    /// `checkpoints` by scope.
    pub checkpoints: BTreeMap<String, Row<Scope>>,
    /// Tables that parsers fill, by label; their rows by key.
    pub parsed: BTreeMap<String, (ParsedTable, BTreeMap<String, Vec<Value>>)>,
    /// The deployed project.
    pub deployment: Option<(Token, Deployment)>,
    /// Settings of the cluster, by name.
    pub settings: BTreeMap<String, (Token, Setting)>,
}

impl<T: Clone> Stamped<T> {
    fn put<K: Ord>(rows: &mut BTreeMap<K, Self>, key: K, value: T, stamp: u64, now: u64) {
        let before = match rows.get(&key) {
            Some(row) if row.stamp > stamp => return,
            found => found.map(|row| row.value.clone()),
        };
        let row = Self {
            value,
            before,
            written_at: now,
            stamp,
        };
        rows.insert(key, row);
    }
}

impl Tables {
    /// A plain write arrives. `visible_at` is when every reader sees a hint.
    pub fn put(&mut self, plain: Plain, stamp: u64, now: u64, visible_at: u64) {
        match plain {
            Plain::Follower(of, follower) => {
                self.followers
                    .entry(of.clone())
                    .or_default()
                    .insert(follower.clone());
            }
            Plain::Due(hint) => {
                let seen = self.due.entry(hint).or_insert(visible_at);
                *seen = (*seen).min(visible_at);
            }
            Plain::Listing(listing) => {
                let key = (listing.creation_time, listing.id.to_string());
                if !self.listings.contains_key(&key) {
                    Stamped::put(&mut self.listings, key, listing, stamp, now);
                }
            }
            Plain::Copy(copy) => self.copy(copy, stamp, now),
            Plain::Run(run) => {
                let key = (run.key.clone(), run.started, run.fence);
                self.runs.entry(key).or_insert(*run);
            }
            Plain::Node(row) => {
                self.lives.insert(row.incarnation);
                Stamped::put(&mut self.nodes, row.guid.clone(), *row, stamp, now);
            }
            Plain::Stats(stats) => {
                let key = (stats.batch, stats.node.clone());
                Stamped::put(&mut self.stats, key, *stats, stamp, now);
            }
            Plain::Instances(logical_unit, instances) => {
                for instance in instances {
                    let key = (logical_unit.clone(), instance.head.id.clone());
                    let newer = self
                        .instances
                        .get(&key)
                        .is_none_or(|found| found.head.sync_version < instance.head.sync_version);
                    if newer {
                        self.instances.insert(key, instance);
                    }
                }
            }
            Plain::Parsed(table, rows) => {
                let (_, stored) = self
                    .parsed
                    .entry(table.label())
                    .or_insert_with(|| (table.as_ref().clone(), BTreeMap::new()));
                for row in &rows {
                    let key = key_text(&table, &table.to_stored_row(row));
                    stored.insert(key, table.to_stored_row(row));
                }
            }
            Plain::Bundle(hash, bytes) => {
                self.bundles.entry(hash).or_insert(bytes);
            }
            Plain::ForgetRuns(key, before) => {
                self.runs
                    .retain(|(of, started, _), _| *of != key || *started >= before);
            }
            Plain::ForgetChunks(batch, from, to) => {
                self.chunks
                    .retain(|(of, number), _| *of != batch || *number < from || *number >= to);
            }
            Plain::ForgetStats(batch) => self.stats.retain(|(of, _), _| *of != batch),
            Plain::ForgetListing(created, batch) => {
                self.listings.remove(&(created, batch.to_string()));
            }
        }
    }

    fn copy(&mut self, copy: ListingCopy, stamp: u64, now: u64) {
        let Some(batch) = self.batches.get(&copy.id) else {
            return;
        };
        let key = (batch.peek().creation_time, copy.id.to_string());
        if let Some(found) = self.listings.get(&key) {
            let mut listing = found.value.clone();
            listing.status = copy.status;
            listing.end_time = copy.end_time.or(listing.end_time);
            listing.failed = copy.failed.unwrap_or(listing.failed);
            Stamped::put(&mut self.listings, key, listing, stamp, now);
        }
    }

    /// A compare-and-set arrives. Committed reads may miss what it writes until `hidden_until`.
    pub fn swap(
        &mut self,
        swap: &Swap,
        hidden_until: u64,
        bug: Option<PlantedBug>,
        watch: &mut Watch,
    ) -> Answer {
        match swap {
            Swap::InsertBatch(batch, token) => {
                if let Some(row) = self.batches.get_mut(&batch.id) {
                    let found = row.serial();
                    if found.op_token == Some(*token) {
                        return Answer::Applied;
                    }
                    return Answer::Lost(Found::Batch(Some(Box::new(found.clone()))));
                }
                let batch = Batch {
                    op_token: Some(*token),
                    ..batch.as_ref().clone()
                };
                watch.batch(None, &batch);
                self.batches.insert(batch.id, Row::new(batch, hidden_until));
                Answer::Applied
            }
            Swap::InsertJob(job, token) => self.insert_job(job, *token, hidden_until, watch),
            Swap::ClaimCommand(claim) => {
                let found = self.commands.get(&claim.command_key).copied();
                if found == Some(claim.batch) {
                    return Answer::Applied;
                }
                if found != claim.replaces {
                    return Answer::Lost(Found::Command(found));
                }
                self.commands.insert(claim.command_key.clone(), claim.batch);
                Answer::Applied
            }
            Swap::ReleaseCommand(release) => {
                match self.commands.get(&release.command_key).copied() {
                    Some(found) if found != release.batch => {
                        return Answer::Lost(Found::Command(Some(found)));
                    }
                    _ => self.commands.remove(&release.command_key),
                };
                Answer::Applied
            }
            Swap::ClaimJob(claim) => self.change_job(
                &claim.key,
                claim.token,
                hidden_until,
                watch,
                |job| job.status == claim.seen_status && job.fence == claim.seen_fence,
                |job| {
                    job.status = JobStatus::InProcess;
                    job.worker = Some(claim.holder.node.clone());
                    job.owner_incarnation = Some(claim.holder.incarnation);
                    job.fence = claim.seen_fence + 1;
                    job.start_time = Some(claim.now);
                },
            ),
            Swap::EndJob(end) => self.change_job(
                &end.key,
                end.token,
                hidden_until,
                watch,
                |job| {
                    job.status == end.seen_status
                        && job.worker.as_ref() == Some(&end.holder.node)
                        && job.owner_incarnation == Some(end.holder.incarnation)
                        && job.fence == end.fence
                        && job.desired_seq == end.desired_seq
                },
                |job| {
                    job.status = end.to;
                    job.archived = end.to.is_ended();
                    job.fence = end.to_fence;
                    job.end_time = Some(end.now);
                    if end.output.is_some() {
                        job.output.clone_from(&end.output);
                    }
                    job.error.clone_from(&end.error);
                    job.tries = end.tries;
                    job.next_run = end.next_run;
                    job.notes.clone_from(&end.notes);
                    job.desired = end.desired;
                    job.runs = end.runs;
                    job.planned_run = end.planned_run;
                    job.triggers = end.triggers.clone();
                    if end.forget_worker {
                        job.worker = None;
                        job.owner_incarnation = None;
                    }
                },
            ),
            Swap::WriteJob(write) => match write.seen {
                None => self.insert_job(&write.job, write.token, hidden_until, watch),
                Some(seen) => self.change_job(
                    &write.job.key,
                    write.token,
                    hidden_until,
                    watch,
                    |job| JobSeen::of(job) == seen,
                    |job| *job = write.job.clone(),
                ),
            },
            Swap::RequestJob(request) => self.request_job(request, hidden_until, watch),
            Swap::DeleteJob(delete) => {
                let Some(row) = self.jobs.get_mut(&delete.key) else {
                    return Answer::Applied;
                };
                let found = row.serial();
                if JobSeen::of(found) != delete.seen || found.op_token != delete.seen_token {
                    return Answer::Lost(Found::Job(Some(Box::new(found.clone()))));
                }
                watch.removed_job(found);
                self.jobs.remove(&delete.key);
                Answer::Applied
            }
            Swap::DeleteBatch(delete) => {
                let Some(row) = self.batches.get_mut(&delete.id) else {
                    return Answer::Applied;
                };
                let found = row.serial();
                let is_as_seen = found.status == delete.seen_status
                    && found.fence == delete.seen_fence
                    && found.desired_seq == delete.desired_seq;
                if !is_as_seen {
                    return Answer::Lost(Found::Batch(Some(Box::new(found.clone()))));
                }
                watch.removed_batch(found);
                self.batches.remove(&delete.id);
                Answer::Applied
            }
            Swap::Deploy(deploy) => self.deploy(deploy),
            Swap::PutSetting(put) => self.put_setting(put),
            Swap::TakeCheckpoints(_) | Swap::SaveCheckpoints(_) | Swap::ForgetCheckpoints(_) => {
                self.swap_checkpoints(swap, hidden_until)
            }
            Swap::ClaimBatch(_)
            | Swap::MoveBatch(_)
            | Swap::Reserve(_)
            | Swap::SaveStatistics(_)
            | Swap::Request(_) => self.swap_batch(swap, hidden_until, watch),
            Swap::Open(_) | Swap::ClaimChunk(_) | Swap::Flush(_) | Swap::ChangeChunk(_) => {
                self.swap_chunk(swap, hidden_until, bug, watch)
            }
        }
    }

    fn insert_job(
        &mut self,
        job: &Job,
        token: Token,
        hidden_until: u64,
        watch: &mut Watch,
    ) -> Answer {
        if let Some(row) = self.jobs.get_mut(&job.key) {
            let found = row.serial();
            if found.op_token == Some(token) {
                return Answer::Applied;
            }
            return Answer::Lost(Found::Job(Some(Box::new(found.clone()))));
        }
        let job = Job {
            op_token: Some(token),
            ..job.clone()
        };
        watch.job(None, &job);
        self.jobs
            .insert(job.key.clone(), Row::new(job, hidden_until));
        Answer::Applied
    }

    fn change_job(
        &mut self,
        key: &JobKey,
        token: Token,
        hidden_until: u64,
        watch: &mut Watch,
        condition: impl FnOnce(&Job) -> bool,
        change: impl FnOnce(&mut Job),
    ) -> Answer {
        let Some(row) = self.jobs.get_mut(key) else {
            return Answer::Lost(Found::Job(None));
        };
        let before = row.serial().clone();
        if before.op_token == Some(token) {
            return Answer::Applied;
        }
        if !condition(&before) {
            return Answer::Lost(Found::Job(Some(Box::new(before))));
        }
        let mut after = before.clone();
        change(&mut after);
        after.op_token = Some(token);
        watch.job(Some(&before), &after);
        row.write(after, hidden_until);
        Answer::Applied
    }

    /// `op_token` belongs to the owner alone.
    fn request_job(
        &mut self,
        request: &RequestJob,
        hidden_until: u64,
        watch: &mut Watch,
    ) -> Answer {
        let Some(row) = self.jobs.get_mut(&request.key) else {
            return Answer::Lost(Found::Job(None));
        };
        let before = row.serial().clone();
        if before.desired_token == Some(request.token) {
            return Answer::Applied;
        }
        if JobSeen::of(&before) != request.seen {
            return Answer::Lost(Found::Job(Some(Box::new(before))));
        }
        let mut after = before.clone();
        after.status = request.status;
        after.desired = request.desired;
        after.desired_seq += 1;
        after.desired_token = Some(request.token);
        if let Some(definition) = &request.definition {
            after.affinity.clone_from(&definition.affinity);
            after.arguments.clone_from(&definition.arguments);
            after
                .execution_interval
                .clone_from(&definition.execution_interval);
            after.policy = definition.policy.clone();
            after.triggers = definition.triggers.clone();
        }
        watch.job(Some(&before), &after);
        row.write(after, hidden_until);
        Answer::Applied
    }

    fn swap_batch(&mut self, swap: &Swap, hidden_until: u64, watch: &mut Watch) -> Answer {
        let id = match swap {
            Swap::ClaimBatch(claim) => claim.id,
            Swap::MoveBatch(change) => change.guard.id,
            Swap::Reserve(reserve) => reserve.guard.id,
            Swap::SaveStatistics(save) => save.guard.id,
            Swap::Request(request) => request.id,
            _ => unreachable!("not a statement on a batch row"),
        };
        let Some(row) = self.batches.get_mut(&id) else {
            return Answer::Lost(Found::Batch(None));
        };
        let before = row.serial().clone();
        let (token, known) = match swap {
            Swap::ClaimBatch(claim) => (claim.token, before.op_token),
            Swap::MoveBatch(change) => (change.token, before.op_token),
            Swap::Reserve(reserve) => (reserve.token, before.op_token),
            Swap::SaveStatistics(save) => (save.token, before.op_token),
            // `op_token` belongs to the owner alone.
            Swap::Request(request) => (request.token, before.desired_token),
            _ => unreachable!("not a statement on a batch row"),
        };
        if known == Some(token) {
            return Answer::Applied;
        }
        let Some(after) = changed_batch(swap, &before) else {
            return Answer::Lost(Found::Batch(Some(Box::new(before))));
        };
        watch.batch(Some(&before), &after);
        row.write(after, hidden_until);
        Answer::Applied
    }

    fn swap_chunk(
        &mut self,
        swap: &Swap,
        hidden_until: u64,
        bug: Option<PlantedBug>,
        watch: &mut Watch,
    ) -> Answer {
        let key = match swap {
            Swap::Open(open) => (open.batch, open.number),
            Swap::ClaimChunk(claim) => (claim.batch, claim.number),
            Swap::Flush(flush) => (flush.batch, flush.number),
            Swap::ChangeChunk(change) => (change.batch, change.number),
            _ => unreachable!("not a statement on a chunk"),
        };
        let status = self.batches.get(&key.0).map(|row| row.peek().status);
        let Some(row) = self.chunks.get_mut(&key) else {
            let Swap::Open(open) = swap else {
                return Answer::Lost(Found::Chunk(None));
            };
            let head = ChunkHead {
                batch: open.batch,
                number: open.number,
                state: open.state,
                holder: open.holder.clone(),
                fence: 1,
                seq: 0,
                token: Some(open.token),
                total: i64::try_from(open.ids.len()).unwrap_or(i64::MAX),
                ok: 0,
                failed: 0,
                shares: BTreeMap::new(),
                source_position: open.source_position.clone(),
                crashes: 0,
            };
            let chunk = Chunk {
                head,
                ids: open.ids.clone(),
                rows: BTreeMap::new(),
                order: Vec::new(),
            };
            watch.chunk(None, &chunk, status);
            self.chunks.insert(key, Row::new(chunk, hidden_until));
            return Answer::Applied;
        };
        let before = row.serial().clone();
        let token = match swap {
            Swap::Open(open) => open.token,
            Swap::ClaimChunk(claim) => claim.token,
            Swap::Flush(flush) => flush.token,
            Swap::ChangeChunk(change) => change.token,
            _ => unreachable!("not a statement on a chunk"),
        };
        if before.head.token == Some(token) {
            return Answer::Applied;
        }
        let Some(mut after) = changed_chunk(swap, &before, bug) else {
            return Answer::Lost(Found::Chunk(Some(Box::new(before.head))));
        };
        after.head.token = Some(token);
        watch.chunk(Some(&before), &after, status);
        if let Swap::Flush(flush) = swap {
            watch.flush(flush, &before);
        }
        row.write(after, hidden_until);
        Answer::Applied
    }

    fn deploy(&mut self, deploy: &weft_store::Deploy) -> Answer {
        let seq = match &self.deployment {
            Some((token, _)) if *token == deploy.token => return Answer::Applied,
            Some((_, found)) => found.seq,
            None => 0,
        };
        if seq != deploy.deployment.seq - 1 {
            let found = self.deployment.as_ref().map(|(_, found)| found.clone());
            return Answer::Lost(Found::Deployment(found));
        }
        self.deployment = Some((deploy.token, deploy.deployment.clone()));
        Answer::Applied
    }

    /// One setting.
    pub fn setting(&self, name: &str) -> Option<Setting> {
        self.settings.get(name).map(|(_, setting)| setting.clone())
    }

    fn put_setting(&mut self, put: &PutSetting) -> Answer {
        let found = self.settings.get(&put.setting.name);
        let seq = match found {
            Some((token, _)) if *token == put.token => return Answer::Applied,
            Some((_, found)) => found.seq,
            None => 0,
        };
        if seq != put.setting.seq - 1 {
            return Answer::Lost(Found::Setting(self.setting(&put.setting.name)));
        }
        let row = (put.token, put.setting.clone());
        self.settings.insert(put.setting.name.clone(), row);
        Answer::Applied
    }
}

fn guarded(batch: &Batch, guard: &BatchGuard) -> bool {
    batch.holder().as_ref() == Some(&guard.holder)
        && batch.fence == guard.fence
        && batch.status == guard.status
        && batch.desired_seq == guard.desired_seq
}

/// The row after the statement; none where its condition does not hold.
fn changed_batch(swap: &Swap, before: &Batch) -> Option<Batch> {
    let mut after = before.clone();
    match swap {
        Swap::ClaimBatch(claim) => {
            if before.fence != claim.seen_fence || claim.seen_fence >= claim.to_fence {
                return None;
            }
            after.fence = claim.to_fence;
            after.owner_node = Some(claim.holder.node.clone());
            after.owner_incarnation = Some(claim.holder.incarnation);
            after.op_token = Some(claim.token);
        }
        Swap::MoveBatch(change) => {
            if !guarded(before, &change.guard) {
                return None;
            }
            let to = &change.to;
            after.status = to.status;
            after.start_time = to.start_time.or(before.start_time);
            after.end_time = to.end_time.or(before.end_time);
            after.error = to.error.clone().or(after.error);
            if let Some((total, duplicates)) = to.totals {
                after.total_entities = Some(total);
                after.duplicates = duplicates;
            }
            after.extra_stats = to.extra_stats.clone().or(after.extra_stats);
            after.statistics = to.statistics.clone().or(after.statistics);
            if to.release {
                after.owner_node = None;
                after.owner_incarnation = None;
            }
            if let Some(desired) = to.desired {
                after.desired = desired;
                after.desired_seq += 1;
            }
            after.op_token = Some(change.token);
        }
        Swap::Reserve(reserve) => {
            if !guarded(before, &reserve.guard) || before.chunks != reserve.from {
                return None;
            }
            after.chunks = reserve.to;
            after.op_token = Some(reserve.token);
        }
        Swap::SaveStatistics(save) => {
            if !guarded(before, &save.guard) || before.stats_seq != save.seq - 1 {
                return None;
            }
            after.stats_seq = save.seq;
            after.extra_stats = Some(save.extra_stats.clone());
            after.statistics = Some(save.statistics.clone());
            after.op_token = Some(save.token);
        }
        Swap::Request(request) => {
            if before.desired_seq != request.seq - 1 || !request.allowed.contains(&before.status) {
                return None;
            }
            after.desired = request.desired;
            after.desired_seq = request.seq;
            after.desired_token = Some(request.token);
        }
        _ => unreachable!("not a statement on a batch row"),
    }
    Some(after)
}

/// The chunk after the statement; none where its condition does not hold.
fn changed_chunk(swap: &Swap, before: &Chunk, bug: Option<PlantedBug>) -> Option<Chunk> {
    let mut after = before.clone();
    let head = &mut after.head;
    match swap {
        Swap::ClaimChunk(claim) => {
            let open = matches!(head.state, ChunkState::New | ChunkState::InProgress);
            if head.fence != claim.seen_fence || !open {
                return None;
            }
            head.state = ChunkState::InProgress;
            head.holder = Some(claim.holder.clone());
            head.fence = claim.seen_fence + 1;
            head.crashes = claim.crashes;
        }
        Swap::ChangeChunk(change) => {
            if head.fence != change.seen_fence || head.state != change.from {
                return None;
            }
            head.state = change.to;
            head.holder = None;
            head.fence = change.seen_fence + 1;
        }
        Swap::Flush(flush) => {
            let fenced = head.fence != flush.fence && bug != Some(PlantedBug::FlushWithoutFence);
            if fenced || head.seq != flush.seq - 1 {
                return None;
            }
            head.seq = flush.seq;
            head.ok = flush.ok;
            head.failed = flush.failed;
            head.shares.clone_from(&flush.shares);
            if flush.done {
                head.state = ChunkState::Done;
            }
            for row in &flush.rows {
                if after.rows.insert(row.id.clone(), row.clone()).is_none() {
                    after.order.push(row.id.clone());
                }
            }
        }
        // A number is filled once.
        Swap::Open(_) => return None,
        _ => unreachable!("not a statement on a chunk"),
    }
    Some(after)
}

/// The key of a row of a parsed table as one text.
pub fn key_text(table: &ParsedTable, row: &[Value]) -> String {
    let columns = table.all_columns();
    let values = table.key_columns().into_iter().map(|key| {
        let at = columns.iter().position(|(name, _)| *name == key);
        &row[at.expect("a key is a column")]
    });
    values
        .map(|value| format!("{value:?}"))
        .collect::<Vec<_>>()
        .join("\0")
}

/// The listing of a batch as it is submitted.
pub fn listing_of(batch: &Batch) -> BatchListing {
    BatchListing {
        id: batch.id,
        creation_time: batch.creation_time,
        status: batch.status,
        end_time: batch.end_time,
        command: batch.command.chars().take(200).collect(),
        failed: batch.statistics.as_ref().map_or(0, failed_of),
    }
}
