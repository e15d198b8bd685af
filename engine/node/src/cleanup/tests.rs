use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;
use uuid::Uuid;
use weft_model::clock::Clock;
use weft_model::schedule::{JobPolicy, Trigger};
use weft_model::{
    BatchId, BatchSpec, BatchStatus, ChunkState, DueHint, EntitySource, FilledChunks, Holder,
    Incarnation, Job, JobDesired, JobKey, JobRun, JobStatus, NodeId, Token,
};
use weft_sqlite::{Options, SqliteStore};
use weft_store::{ClaimCommand, ClaimJob, EndJob, JobSeen, OpenChunk, SubmitBatch, WriteJob};

use super::pace::UNITS;
use super::*;
use crate::job::{JobKind, Run, RunEnd, Slot};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_790_000_000_000;

/// A clock that the test moves.
#[derive(Debug)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().0 - START).unwrap())
    }
}

struct Bench {
    _folder: TempDir,
    clock: Arc<ManualClock>,
    store: SharedStore,
    ids: Ids,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock(AtomicI64::new(START)));
        let options = Options::new(clock.clone() as SharedClock);
        let store = SqliteStore::open(folder.path().join("weft.db"), options).unwrap();
        Self {
            _folder: folder,
            clock,
            store: Arc::new(store),
            ids: Ids::seeded(3),
        }
    }

    fn wait(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    fn sweep(&self) -> Sweep {
        Sweep {
            store: self.store.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            self_fence: unbounded(self.clock.clone()),
            stop: CancellationToken::new(),
            pause: Duration::ZERO,
            pace: Pace::default(),
            removed: Removed::default(),
        }
    }

    async fn swept(&self, ages: &Ages) -> Removed {
        let mut sweep = self.sweep();
        sweep.all(ages).await.unwrap();
        sweep.removed
    }

    async fn settle<C: Conditional>(&self, operation: &C) -> Settled<C::Found> {
        let self_fence = unbounded(self.clock.clone());
        settle(self.store.as_ref(), &self.ids, &self_fence, operation)
            .await
            .unwrap()
    }

    async fn apply<C: Conditional>(&self, operation: &C) {
        let is_applied = matches!(self.settle(operation).await, Settled::Applied);
        assert!(is_applied, "{} was refused", operation.verb());
    }

    /// A job that ran once, now, and ended.
    async fn ended(&self, uid: &str) -> Job {
        let now = self.clock.now();
        let key = JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: uid.to_owned(),
        };
        let token = self.ids.token();
        let job = Job::waiting(key.clone(), now);
        let due = DueHint {
            due_at: now,
            key: key.clone(),
        };
        self.apply(&WriteJob {
            job: job.clone(),
            seen: None,
            due: Some(due.clone()),
            token,
        })
        .await;
        self.run_once(&job, JobStatus::Processed).await
    }

    async fn run_once(&self, job: &Job, to: JobStatus) -> Job {
        let now = self.clock.now();
        let holder = Holder {
            node: NodeId("n1".to_owned()),
            incarnation: Incarnation(Uuid::from_u128(1)),
        };
        let key = job.key.clone();
        self.apply(&ClaimJob {
            cut_short: None,
            key: key.clone(),
            seen_status: job.status,
            seen_fence: job.fence,
            holder: holder.clone(),
            now,
            due: DueHint {
                due_at: now,
                key: key.clone(),
            },
            token: self.ids.token(),
        })
        .await;
        let claimed = self.job(&key).await.unwrap();
        let run = JobRun {
            key: key.clone(),
            started: now,
            ended: now,
            fence: claimed.fence,
            node: holder.node.clone(),
            status: JobStatus::Processed,
            attempt: 1,
            planned: None,
            exit_code: None,
            error: None,
            output: None,
        };
        self.apply(&EndJob {
            run: Some(run),
            ..EndJob::of(&claimed, holder, to, now, self.ids.token())
        })
        .await;
        self.job(&key).await.unwrap()
    }

    async fn job(&self, key: &JobKey) -> Option<Job> {
        self.store.job(key, Freshness::Serial).await.unwrap()
    }

    async fn runs(&self, key: &JobKey) -> usize {
        self.store.job_runs(key, 100).await.unwrap().len()
    }

    /// A batch with two chunks that has this status from now on.
    async fn batch(&self, status: BatchStatus) -> BatchId {
        let now = self.clock.now();
        let id = BatchId(self.ids.uuid());
        self.submit(Batch {
            status,
            end_time: status.is_final().then_some(now),
            chunks: 3,
            command: format!("BATCH LU.('{id}') FABRIC_COMMAND='sync_instance LU.?';"),
            ..Batch::waiting(id, spec(), now)
        })
        .await;
        for number in 0..2 {
            self.open_chunk(id, number).await;
        }
        id
    }

    /// A batch of one id that is done: 64 numbers were reserved, and one of them was filled.
    async fn tiny(&self, allow_multiple: bool) -> BatchId {
        let now = self.clock.now();
        let id = BatchId(self.ids.uuid());
        let spec = BatchSpec {
            allow_multiple,
            ..spec()
        };
        self.submit(Batch {
            status: BatchStatus::Done,
            end_time: Some(now),
            chunks: 64,
            total_entities: Some(1),
            filled: Some(FilledChunks {
                chunks: 1,
                entities: 1,
            }),
            command: format!("BATCH LU.('{id}') FABRIC_COMMAND='sync_instance LU.?';"),
            ..Batch::waiting(id, spec, now)
        })
        .await;
        self.open_chunk(id, 0).await;
        id
    }

    async fn submit(&self, batch: Batch) {
        let (id, now) = (batch.id, batch.creation_time);
        let named = batch.clone();
        let token = self.ids.token();
        let job = Job::waiting(weft_model::batch_job_key(&batch), now);
        self.apply(&SubmitBatch {
            due: DueHint {
                due_at: now,
                key: job.key.clone(),
            },
            batch,
            job,
            token,
        })
        .await;
        self.apply(&ClaimCommand {
            command_key: command_key(&named),
            batch: id,
            replaces: None,
        })
        .await;
    }

    async fn open_chunk(&self, batch: BatchId, number: i64) {
        self.apply(&OpenChunk {
            batch,
            number,
            state: ChunkState::New,
            holder: None,
            ids: vec!["a".to_owned()],
            source_position: None,
            source_read: None,
            token: Token(self.ids.uuid()),
        })
        .await;
    }

    async fn chunks(&self, id: BatchId) -> usize {
        self.store.chunk_heads(id, 0, 10).await.unwrap().len()
    }

    async fn names_a_command(&self, id: BatchId) -> bool {
        let spelled = format!("BATCH LU.('{id}') FABRIC_COMMAND='sync_instance LU.?';");
        let batch = Batch {
            command: spelled,
            ..Batch::waiting(id, spec(), Timestamp(0))
        };
        let named = self.store.active_command(&command_key(&batch)).await;
        named.unwrap().is_some()
    }

    async fn has_batch(&self, id: BatchId) -> bool {
        let row = self.store.batch(id, Freshness::Serial).await.unwrap();
        row.is_some()
    }
}

fn spec() -> BatchSpec {
    BatchSpec {
        asynchronous: true,
        ..BatchSpec::new("LU", EntitySource::Stored, "sync_instance LU.?")
    }
}

fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_secs(days * 86_400))
}

#[tokio::test]
async fn old_archived_jobs_are_removed_with_their_history() {
    let bench = Bench::new();
    let old = bench.ended("old").await;
    bench.wait(DAY);
    let young = bench.ended("young").await;
    bench.wait(29 * DAY + HOUR);
    let ages = Ages {
        jobs: days(30),
        ..Ages::default()
    };
    let removed = bench.swept(&ages).await;
    assert_eq!(removed.jobs, 1);
    assert_eq!(bench.job(&old.key).await, None);
    assert_eq!(bench.runs(&old.key).await, 0);
    assert_eq!(bench.job(&young.key).await, Some(young.clone()));
    assert_eq!(bench.runs(&young.key).await, 1);
    assert_eq!(bench.swept(&ages).await, Removed::default());
}

#[tokio::test]
async fn a_recurring_job_stays_and_loses_its_old_history() {
    let bench = Bench::new();
    let ended = bench.ended("r").await;
    let waiting = Job {
        status: JobStatus::Waiting,
        archived: false,
        fence: ended.fence + 1,
        ..ended.clone()
    };
    bench
        .apply(&WriteJob {
            job: waiting.clone(),
            seen: Some(JobSeen::of(&ended)),
            due: None,
            token: bench.ids.token(),
        })
        .await;
    bench.wait(40 * DAY);
    let again = bench.run_once(&waiting, JobStatus::Scheduled).await;
    assert_eq!(bench.runs(&ended.key).await, 2);
    let removed = bench
        .swept(&Ages {
            jobs: days(30),
            history: days(30),
            batches: None,
        })
        .await;
    assert_eq!((removed.jobs, removed.runs), (0, 1));
    assert_eq!(bench.job(&again.key).await, Some(again.clone()));
    assert_eq!(bench.runs(&again.key).await, 1);
}

#[tokio::test]
async fn the_notes_of_a_removed_job_go_with_it_unless_they_are_new() {
    let bench = Bench::new();
    let ended = bench.ended("f").await;
    let waiting = Job {
        fence: ended.fence + 1,
        policy: JobPolicy {
            after: Trigger::parse_all("PROCESS one.sh ENDED AND PROCESS two.sh ENDED").unwrap(),
            ..JobPolicy::default()
        },
        ..ended.clone()
    };
    bench
        .apply(&WriteJob {
            job: waiting,
            seen: Some(JobSeen::of(&ended)),
            due: None,
            token: bench.ids.token(),
        })
        .await;
    let note = async |name: &str| {
        let noted = bench.store.put_follower("PROCESS", name, &ended.key);
        noted.await.unwrap();
    };
    let noted = async |name: &str| {
        let found = bench.store.followers("PROCESS", name, None, 10).await;
        found.unwrap().len()
    };
    note("one.sh").await;
    note("two.sh").await;
    bench.wait(40 * DAY);
    // A command that starts a job of the same key has just begun.
    note("two.sh").await;
    let removed = bench
        .swept(&Ages {
            jobs: days(30),
            ..Ages::default()
        })
        .await;
    assert_eq!(removed.jobs, 1);
    assert_eq!((noted("one.sh").await, noted("two.sh").await), (0, 1));
}

#[tokio::test]
async fn old_hints_are_removed_while_the_store_is_open() {
    let bench = Bench::new();
    let hint = |days: i64, number: i64| DueHint {
        due_at: Timestamp(START + days * DAY + number),
        key: JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: "u".to_owned(),
        },
    };
    let old = (0..1_500).map(|number| hint(0, number));
    for hint in old.chain([hint(20, 0)]) {
        bench.store.put_due(&hint).await.unwrap();
    }
    bench.wait(31 * DAY);
    let due = async || {
        let from = DueHint::first_at(Timestamp(0));
        let found = bench.store.due(&from, bench.clock.now(), 2).await;
        found.unwrap()
    };
    // They go with the jobs. A pass of batches does not wait for them.
    let batches = Ages {
        batches: days(7),
        ..Ages::default()
    };
    bench.swept(&batches).await;
    assert_eq!(due().await, [hint(0, 0), hint(0, 1)]);
    let jobs = Ages {
        jobs: days(30),
        ..Ages::default()
    };
    bench.swept(&jobs).await;
    assert_eq!(due().await, [hint(20, 0)]);
}

#[tokio::test]
async fn a_job_that_was_resumed_in_between_stays() {
    let bench = Bench::new();
    let ended = bench.ended("r").await;
    let delete = DeleteJob::of(&ended).unwrap();
    let resumed = Job {
        status: JobStatus::Waiting,
        archived: false,
        desired: JobDesired::Run,
        fence: ended.fence + 1,
        ..ended.clone()
    };
    bench
        .apply(&WriteJob {
            job: resumed,
            seen: Some(JobSeen::of(&ended)),
            due: None,
            token: bench.ids.token(),
        })
        .await;
    assert!(matches!(
        bench.settle(&delete).await,
        Settled::Lost(Some(_))
    ));
    let job = bench.job(&ended.key).await.unwrap();
    assert_eq!(job.status, JobStatus::Waiting);
    assert_eq!(DeleteJob::of(&job), None);
}

#[tokio::test]
async fn old_batches_are_removed_completely_and_others_stay() {
    let bench = Bench::new();
    let done = bench.batch(BatchStatus::Done).await;
    let cancelled = bench.batch(BatchStatus::Cancelled).await;
    let paused = bench.batch(BatchStatus::Paused).await;
    bench.wait(3 * DAY);
    let young = bench.batch(BatchStatus::Done).await;
    bench.wait(4 * DAY + HOUR);
    let removed = bench
        .swept(&Ages {
            batches: days(7),
            ..Ages::default()
        })
        .await;
    assert_eq!(removed.batches, 2);
    for gone in [done, cancelled] {
        assert!(!bench.has_batch(gone).await);
        assert_eq!(bench.chunks(gone).await, 0);
        assert!(!bench.names_a_command(gone).await);
    }
    for stays in [paused, young] {
        assert!(bench.has_batch(stays).await);
        assert!(bench.names_a_command(stays).await);
        assert_eq!(bench.chunks(stays).await, 2);
    }
}

#[tokio::test]
async fn the_end_of_a_batch_counts_and_not_its_submission() {
    let bench = Bench::new();
    let now = bench.clock.now();
    let id = BatchId(bench.ids.uuid());
    bench
        .submit(Batch {
            status: BatchStatus::Done,
            end_time: Some(now.plus(Duration::from_secs(10 * 86_400))),
            ..Batch::waiting(id, spec(), now)
        })
        .await;
    bench.wait(10 * DAY + HOUR);
    let ages = Ages {
        batches: days(7),
        ..Ages::default()
    };
    assert_eq!(bench.swept(&ages).await, Removed::default());
    assert!(bench.has_batch(id).await);
    bench.wait(7 * DAY);
    assert_eq!(bench.swept(&ages).await.batches, 1);
}

/// Cassandra reads slowly over lines that were removed, so a pass must not begin among them.
#[tokio::test]
async fn a_pass_begins_where_the_last_one_ended() {
    let bench = Bench::new();
    bench.batch(BatchStatus::Done).await;
    let paused = bench.batch(BatchStatus::Paused).await;
    bench.wait(8 * DAY);
    let ages = Ages {
        batches: days(7),
        ..Ages::default()
    };
    assert_eq!(bench.swept(&ages).await.batches, 1);
    let now = bench.clock.now();
    let noted = RemovedBatches::read(bench.store.as_ref(), now).await;
    let (noted, _) = noted.unwrap();
    assert_eq!(noted.before, Timestamp(now.0 - 7 * DAY));
    assert_eq!(noted.left, [(Timestamp(START), paused)]);
    // Among the lines that were removed; no node submits there.
    bench.clock.0.store(START, Ordering::Relaxed);
    let hidden = bench.batch(BatchStatus::Done).await;
    bench.clock.0.store(START + 2 * DAY, Ordering::Relaxed);
    let ended = bench.batch(BatchStatus::Done).await;
    bench.clock.0.store(START + 10 * DAY, Ordering::Relaxed);
    assert_eq!(bench.swept(&ages).await.batches, 1);
    assert!(bench.has_batch(hidden).await);
    assert!(!bench.has_batch(ended).await);
    assert!(bench.has_batch(paused).await);
}

#[tokio::test]
async fn the_oldest_batches_are_removed_first() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    for _ in 0..500 {
        ids.push(bench.tiny(true).await);
        bench.wait(HOUR);
    }
    bench.wait(8 * DAY);
    let mut sweep = bench.sweep();
    sweep.stop.cancel();
    let ages = Ages {
        batches: days(7),
        ..Ages::default()
    };
    let error = sweep.all(&ages).await.unwrap_err();
    assert_eq!(error.to_string(), "a stop was requested");
    assert!(sweep.removed.batches > 0);
    for id in &ids[250..] {
        assert!(bench.has_batch(*id).await);
    }
    assert_eq!(
        sweep.removed.batches + bench.swept(&ages).await.batches,
        ids.len()
    );
}

/// What the removal of a batch of one chunk costs: no call for a number that was never filled.
#[tokio::test]
async fn the_removal_of_a_tiny_batch_has_a_fixed_cost() {
    for (allow_multiple, compare_and_sets) in [(true, 2), (false, 3)] {
        let bench = Bench::new();
        for _ in 0..20 {
            bench.tiny(allow_multiple).await;
        }
        bench.wait(8 * DAY);
        let before = bench.store.statistics();
        let ages = Ages {
            batches: days(7),
            ..Ages::default()
        };
        assert_eq!(bench.swept(&ages).await.batches, 20);
        let after = bench.store.statistics();
        let sent = after.compare_and_set_total() - before.compare_and_set_total();
        // The note how far it is.
        assert_eq!(sent, 1 + 20 * compare_and_sets);
        let calls = after.call_total() - before.call_total();
        // How far the last pass came, and the list; of each batch its row and its chunk.
        assert_eq!(calls, 2 + 20 * 2);
    }
}

/// Time is virtual, and only rests take some.
#[tokio::test(start_paused = true)]
async fn a_million_tiny_batches_a_day_are_removed_gently() {
    let bench = Bench::new();
    let count = 150;
    for _ in 0..count {
        bench.tiny(true).await;
    }
    bench.wait(8 * DAY);
    let started = tokio::time::Instant::now();
    let mut sweep = bench.sweep();
    sweep.pause = Duration::from_secs(1);
    let ages = Ages {
        batches: days(7),
        ..Ages::default()
    };
    sweep.all(&ages).await.unwrap();
    assert_eq!(sweep.removed.batches, count);
    let seconds = started.elapsed().as_secs();
    let units = i64::try_from(count).unwrap() * (1 + BATCH_UNITS + 1);
    let least = u64::try_from(units / UNITS - 1).unwrap();
    assert!(seconds >= least, "{seconds} s of rests");
    let count = u64::try_from(count).unwrap();
    // Rests leave half of the time to the work itself.
    assert!(86_400 * count / seconds >= 2_000_000, "{seconds} s");
}

/// Removals side by side rest together.
#[tokio::test(start_paused = true)]
async fn a_second_has_a_bounded_amount_of_work() {
    let pace = Pace::default();
    let started = tokio::time::Instant::now();
    let spend = || async {
        for _ in 0..UNITS {
            let rest = async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            };
            pace.spend(1, rest).await.unwrap();
        }
    };
    futures::future::join_all([spend(), spend(), spend()]).await;
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn an_interrupted_removal_is_continued() {
    let bench = Bench::new();
    let id = bench.batch(BatchStatus::Done).await;
    bench.wait(8 * DAY);
    let row = bench.store.batch(id, Freshness::Serial).await.unwrap();
    let marked = bench.sweep().mark(row.unwrap()).await.unwrap().unwrap();
    bench.store.forget_chunks(id, 1, 3).await.unwrap();
    assert_eq!(bench.chunks(id).await, 1);
    // No other request is possible now: the row has the request to remove it.
    let row = bench.store.batch(id, Freshness::Serial).await.unwrap();
    let row = row.unwrap();
    assert_eq!(row.desired, BatchDesired::Remove);
    assert_eq!(row.desired_seq, marked.desired_seq);
    let ages = Ages {
        batches: days(7),
        ..Ages::default()
    };
    assert_eq!(bench.swept(&ages).await.batches, 1);
    assert!(!bench.has_batch(id).await);
    assert_eq!(bench.chunks(id).await, 0);
}

#[tokio::test]
async fn a_sweep_reports_that_it_was_stopped() {
    let bench = Bench::new();
    for number in 0..=PAGE {
        bench.ended(&format!("{number:04}")).await;
    }
    bench.wait(31 * DAY);
    let mut sweep = bench.sweep();
    sweep.stop.cancel();
    let ages = Ages {
        jobs: days(30),
        ..Ages::default()
    };
    let error = sweep.all(&ages).await.unwrap_err();
    assert_eq!(error.to_string(), "a stop was requested");
    assert_eq!(sweep.removed.jobs, PAGE);
    assert_eq!(bench.swept(&ages).await.jobs, 1);
}

fn job_with(arguments: &str) -> Job {
    let key = JobKey {
        job_type: "CLEANUP".to_owned(),
        name: "tidy".to_owned(),
        uid: "1".to_owned(),
    };
    Job {
        arguments: arguments.to_owned(),
        ..Job::waiting(key, Timestamp(START))
    }
}

#[tokio::test]
async fn the_job_removes_by_its_arguments_and_counts() {
    let bench = Bench::new();
    bench.ended("old").await;
    let batch = bench.batch(BatchStatus::Done).await;
    bench.wait(10 * DAY);
    let kind = Cleanup::new(bench.store.clone(), bench.clock.clone(), bench.ids.clone());
    let run = |arguments: &str| {
        let run = Run {
            job: job_with(arguments),
            stop: CancellationToken::new(),
            slot: Slot::default(),
        };
        kind.run(run)
    };
    let RunEnd::Succeeded(output) = run(r#"{"jobs_older_than_hours":24}"#).await else {
        panic!("it failed");
    };
    let counts = r#"{"jobs":1,"runs":0,"batches":0}"#;
    assert_eq!(output.text.as_deref(), Some(counts));
    assert!(bench.has_batch(batch).await);
    let RunEnd::Succeeded(output) = run(r#"{"batches_older_than_days":"9"}"#).await else {
        panic!("it failed");
    };
    let counts = r#"{"jobs":0,"runs":0,"batches":1}"#;
    assert_eq!(output.text.as_deref(), Some(counts));
}

#[tokio::test]
async fn invalid_arguments_are_named_in_the_error() {
    let bench = Bench::new();
    let kind = Cleanup::new(bench.store.clone(), bench.clock.clone(), bench.ids.clone());
    let refusal = |arguments: &'static str| {
        let kind = &kind;
        async move { kind.check(&job_with(arguments)).await.unwrap_err() }
    };
    let check = refusal("{}").await;
    assert_eq!(check.message, "CLEANUP needs ARGS that say what is removed");
    let check = refusal(r#"{"job_older_than_hours":3}"#).await;
    assert_eq!(
        check.message,
        "CLEANUP has no argument `job_older_than_hours`"
    );
    assert_eq!(
        check.hint.as_deref(),
        Some("did you mean `jobs_older_than_hours`?")
    );
    for value in ["0", "-1", "1.5", "true", "\"soon\"", "40000"] {
        let arguments = format!(r#"{{"batches_older_than_days":{value}}}"#);
        let check = kind.check(&job_with(&arguments)).await.unwrap_err();
        assert_eq!(
            check.message,
            format!("`batches_older_than_days` is a whole number from 1 to 36500, not {value}")
        );
    }
    let with_session = r#"{"history_older_than_hours":5,"session_scope":"{}"}"#;
    assert_eq!(kind.check(&job_with(with_session)).await, Ok(()));
}
