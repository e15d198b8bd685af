//! Simulated jobs: a kind whose runs only take time, a record of those runs, and what must hold for it.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weft_model::clock::{Clock, Timestamp};
use weft_model::ids::Ids;
use weft_model::schedule::{JobPolicy, Trigger};
use weft_model::{DueHint, Fence, IllegalMove, Job, JobKey, JobStatus};
use weft_node::job::Step;
use weft_node::job::change::{self, Update};
use weft_node::job::{DefinitionError, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_store::SelfFence;
use weft_store::{
    Decided, Decision, Freshness, JobDefinition, Settled, Store, StoreResult, WriteJob,
    decide_and_settle, settle,
};

use super::control::{BASE, Control, SimClock};
use super::store::{SimHandle, SimStore, Tables};
use crate::chronos::Try;

/// The type of simulated jobs.
pub const JOB_TYPE: &str = "PROCESS";
/// The name of simulated jobs.
const NAME: &str = "simulated";
/// How long a client waits for a definite answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// The largest step of a wall clock that a node believes at once.
const STEP_MS: i64 = 1_000;
/// A client reads a row again after this.
const PAUSE: Duration = Duration::from_millis(200);

/// A job to come.
#[derive(Clone, Debug)]
pub struct PlannedJob {
    /// When it is started.
    pub at: u64,
    /// The work of its runs.
    pub work: Work,
    /// Runs in all; more than one makes it a job of a schedule.
    pub runs: i64,
    /// That schedule.
    pub interval: &'static str,
    /// The nodes that may run it; none = all.
    pub affinity: Vec<String>,
    /// What clients request of it, each so long after its start.
    pub requests: Vec<(u64, JobRequest)>,
    /// Another job waits for the ends of its runs.
    pub is_followed: bool,
    /// Its policy; none = five attempts of each run, and `runs` runs in all.
    pub policy: Option<JobPolicy>,
}

/// A request of a client about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobRequest {
    /// STOPJOB.
    Stop,
    /// RESTARTJOB.
    Restart,
    /// RESUMEJOB.
    Resume,
    /// KILL.
    Kill,
    /// UPDATEJOB with another interval, where the job has a schedule.
    Update,
}

/// The work of a run, as the arguments of its job.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Work {
    /// How long it takes.
    pub millis: u64,
    /// How many of its first tries fail.
    pub failing: i32,
    /// How many of the tries that begin first end the process of their node.
    #[serde(default)]
    pub aborting: usize,
}

impl PlannedJob {
    /// Runs once, at once, on any node, for this long.
    pub fn once(millis: u64) -> Self {
        Self {
            at: 0,
            work: Work {
                millis,
                failing: 0,
                aborting: 0,
            },
            runs: 1,
            interval: "00:00:01",
            affinity: Vec::new(),
            requests: Vec::new(),
            is_followed: false,
            policy: None,
        }
    }

    /// The first `aborting` tries end the process of their node.
    #[must_use]
    pub fn with_aborting_tries(mut self, aborting: usize) -> Self {
        self.work.aborting = aborting;
        self
    }

    /// Tries of all its runs.
    pub fn tries(&self) -> u64 {
        let each = i64::from(self.work.failing) + 1;
        u64::try_from(self.runs * each).unwrap_or(0)
    }

    /// Drawn at random.
    pub fn drawn(is_calm: bool, chance: &mut StdRng) -> Self {
        let requests = match !is_calm && chance.random_bool(0.4) {
            true => (0..chance.random_range(1..=3))
                .map(|_| (chance.random_range(0..10_000), drawn_request(chance)))
                .collect(),
            false => Vec::new(),
        };
        Self {
            at: chance.random_range(0..9_000),
            work: Work {
                millis: [0, 20, 400, 3_000, 12_000][chance.random_range(0..5)],
                failing: [0, 0, 1, 2][chance.random_range(0..4)],
                aborting: 0,
            },
            runs: [1, 1, 3][chance.random_range(0..3)],
            interval: ["00:00:01", "00:00:01; 0/2 * * * * ?; 0 0 * * * OFF"]
                [chance.random_range(0..2)],
            affinity: Vec::new(),
            requests,
            is_followed: chance.random_bool(0.5),
            policy: None,
        }
    }
}

fn drawn_request(chance: &mut StdRng) -> JobRequest {
    [
        JobRequest::Stop,
        JobRequest::Stop,
        JobRequest::Restart,
        JobRequest::Resume,
        JobRequest::Kill,
        JobRequest::Update,
    ][chance.random_range(0..6)]
}

/// A try was begun, or finished: the effect of a job on the outside world, where no fence protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The job.
    pub uid: String,
    /// The fence it ran under.
    pub fence: Fence,
    /// The same for all tries of one run.
    pub key: Uuid,
    /// It finished its work.
    pub succeeded: bool,
    /// It was begun before its time, by the clock of its node.
    pub early: bool,
    /// When, by a clock that is right.
    pub at: Timestamp,
    /// Its process was stopped at some time: then what it does late is no fault.
    pub was_frozen: bool,
}

/// All effects, in order. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Effects(Arc<Mutex<Vec<Effect>>>);

impl Effects {
    /// How many tries of a job were begun.
    pub fn begun(&self, uid: &str) -> usize {
        let begun = |effect: &&Effect| effect.uid == uid && !effect.succeeded;
        self.lock().iter().filter(begun).count()
    }

    /// The tries of a job and of its parallel runs; one that did not succeed has no end.
    pub fn tries(&self, uid: &str) -> Vec<Try> {
        let parallel = format!("{uid}@");
        let effects = self.lock();
        let own: Vec<&Effect> = effects
            .iter()
            .filter(|effect| effect.uid == uid || effect.uid.starts_with(&parallel))
            .collect();
        let begun = own.iter().filter(|effect| !effect.succeeded);
        begun
            .map(|begun| {
                let is_its_end = |other: &&&Effect| {
                    other.succeeded && other.uid == begun.uid && other.fence == begun.fence
                };
                Try {
                    start: begun.at,
                    end: own.iter().find(is_its_end).map(|end| end.at),
                    key: begun.key.to_string(),
                }
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Effect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that a client requested.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it was.
    pub planned: PlannedJob,
    /// The client knows that it is stored.
    pub started: bool,
    /// What clients requested of it since.
    pub requests: Vec<JobRequest>,
    /// The client knew that the follower is stored, before it asked for this one.
    pub is_followed: bool,
}

/// The requests of clients, by uid. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AllAsked(Arc<Mutex<BTreeMap<String, Asked>>>);

impl AllAsked {
    /// The current record.
    pub fn snapshot(&self) -> BTreeMap<String, Asked> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kind in one process.
#[derive(Debug)]
pub struct SimKind {
    /// Where effects go.
    pub effects: Effects,
    /// The process.
    pub control: Arc<Control>,
    /// Its clock.
    pub clock: Arc<SimClock>,
    /// Its name: node and number.
    pub process: String,
    /// For the trace.
    pub store: SimStore,
}

impl SimKind {
    /// Whether this time has not come by the clock of the node, if that is right, or by any clock that may start jobs.
    fn is_early(&self, next_run: Timestamp) -> bool {
        let now = BASE.plus(Duration::from_millis(self.store.now()));
        let own = self.clock.now();
        let most = i64::try_from(weft_node::FAR_OFF.as_millis()).unwrap_or(i64::MAX);
        // A node believes small steps at once, and others when it next compares the clocks.
        let was_set = self.store.inner().clocks_set;
        let slack = if was_set { STEP_MS } else { 0 };
        let is_right = !was_set && own.millis_since(now).abs() < most;
        next_run.millis_since(now) > most + slack || (is_right && own < next_run)
    }
}

#[async_trait]
impl JobKind for SimKind {
    fn job_type(&self) -> &'static str {
        JOB_TYPE
    }

    async fn check(&self, _job: &Job) -> Result<(), DefinitionError> {
        Ok(())
    }

    async fn run(&self, run: Run) -> RunEnd {
        self.control.running().await;
        let job = &run.job;
        let work: Work = serde_json::from_str(&job.arguments).expect("the arguments of a client");
        let early = job.next_run.is_some_and(|next_run| self.is_early(next_run));
        let effect = |succeeded| Effect {
            uid: job.key.uid.clone(),
            fence: job.fence,
            key: run.idempotency_key(),
            succeeded,
            early,
            at: BASE.plus(Duration::from_millis(self.store.now())),
            was_frozen: self.control.was_frozen(),
        };
        let now = self.store.now();
        let head = &job.key.uid;
        self.store
            .inner()
            .trace
            .note(now, &self.process, "run", head);
        self.effects.lock().push(effect(false));
        if self.effects.begun(&job.key.uid) <= work.aborting {
            self.control.die();
        }
        tokio::select! {
            biased;
            () = run.stop.cancelled() => {
                return RunEnd::Failed(RunFailure::stopped());
            }
            () = tokio::time::sleep(Duration::from_millis(work.millis)) => (),
        }
        self.control.running().await;
        if run.attempt() <= work.failing {
            return RunEnd::Failed(RunFailure::new("Oops", "the script says so"));
        }
        self.effects.lock().push(effect(true));
        RunEnd::Succeeded(RunOutput::default())
    }
}

/// A client of the store, with what it needs.
pub struct Client {
    /// Its view of the store.
    pub store: Arc<SimHandle>,
    /// Its clock.
    pub clock: Arc<SimClock>,
    /// Its ids.
    pub ids: Ids,
}

impl Client {
    /// Starts a job in the background.
    pub fn start(self, uid: String, planned: PlannedJob, all: AllAsked) {
        let asked = Asked {
            planned: planned.clone(),
            started: false,
            requests: Vec::new(),
            is_followed: false,
        };
        all.lock().insert(uid.clone(), asked);
        tokio::spawn(async move {
            let is_followed = planned.is_followed && self.follow(&uid).await;
            let defined = Job {
                arguments: arguments_of(planned.work),
                affinity: planned.affinity.clone(),
                execution_interval: (planned.runs > 1).then(|| planned.interval.to_owned()),
                policy: planned.policy.clone().unwrap_or(JobPolicy {
                    max_attempts: 5,
                    retry_delay_ms: 300,
                    max_runs: Some(planned.runs),
                    ..JobPolicy::default()
                }),
                ..Job::waiting(key_of(&uid), self.clock.now())
            };
            let started = self.begin(defined).await;
            if let Some(asked) = all.lock().get_mut(&uid) {
                asked.started = started;
                asked.is_followed = is_followed;
            }
        });
    }

    /// Starts the job that runs whenever this one has ended; answers whether it is stored.
    async fn follow(&self, uid: &str) -> bool {
        let key = follower_of(uid);
        let followed = self.store.put_follower(JOB_TYPE, NAME, &key).await;
        let after = format!("{JOB_TYPE} {NAME} {uid} ENDED");
        let quick = Work {
            millis: 30,
            failing: 0,
            aborting: 0,
        };
        let defined = Job {
            arguments: arguments_of(quick),
            policy: JobPolicy {
                after: Trigger::parse_all(&after).expect("a trigger"),
                ..JobPolicy::default()
            },
            ..Job::waiting(key, self.clock.now())
        };
        followed.is_ok() && self.begin(defined).await
    }

    async fn begin(&self, defined: Job) -> bool {
        let now = self.clock.now();
        let job = change::begin(defined, now).expect("it can begin");
        let write = WriteJob {
            due: Some(DueHint {
                due_at: now,
                key: job.key.clone(),
            }),
            job,
            seen: None,
            token: self.ids.token(),
        };
        let self_fence = SelfFence::for_duration(self.clock.clone(), PATIENCE);
        let settled = settle(self.store.as_ref(), &self.ids, &self_fence, &write).await;
        matches!(settled, Ok(Settled::Applied))
    }

    /// Requests something of a job in the background.
    pub fn request(self, uid: String, request: JobRequest, all: AllAsked) {
        if let Some(asked) = all.lock().get_mut(&uid) {
            asked.requests.push(request);
        }
        tokio::spawn(async move {
            let self_fence = SelfFence::for_duration(self.clock.clone(), PATIENCE);
            while !self.request_once(&key_of(&uid), request, &self_fence).await
                && self_fence.wait(PAUSE).await
            {}
        });
    }

    /// Answers whether nothing is left to do.
    async fn request_once(
        &self,
        key: &JobKey,
        request: JobRequest,
        self_fence: &SelfFence,
    ) -> bool {
        let store = self.store.as_ref();
        let decide = |row: Option<Job>| {
            let (now, token) = (self.clock.now(), self.ids.token());
            let operation = row.and_then(|row| {
                let step = request.decide(&row, now);
                step.expect("the table has every move that a command offers")
                    .operation(&row, now, token)
            });
            ready(StoreResult::Ok(
                operation.map_or(Decision::Stop(()), Decision::Settle),
            ))
        };
        let read = store.job(key, Freshness::Serial);
        match decide_and_settle(store, &self.ids, self_fence, read, decide).await {
            Ok(Decided::Applied { .. } | Decided::Stopped(()) | Decided::StillUnknown(_)) => true,
            Ok(Decided::MovedTooFast(_)) | Err(_) => false,
        }
    }
}

impl JobRequest {
    fn decide(self, row: &Job, now: Timestamp) -> Result<Step, IllegalMove> {
        match self {
            Self::Stop => change::stop(row, now),
            Self::Restart => change::restart(row),
            Self::Resume => change::resume(row, now),
            Self::Kill => Ok(change::kill(row)),
            Self::Update => {
                let mut definition = JobDefinition::of(row);
                let is_scheduled = definition.execution_interval.is_some();
                definition.execution_interval = is_scheduled.then(|| "00:00:02".to_owned());
                let update = Update {
                    definition,
                    reschedules: is_scheduled,
                    runs_now: false,
                };
                change::update(row, update, now)
            }
        }
    }
}

/// The key of a simulated job.
pub fn key_of(uid: &str) -> JobKey {
    JobKey {
        job_type: JOB_TYPE.to_owned(),
        name: NAME.to_owned(),
        uid: uid.to_owned(),
    }
}

/// The job that waits for the ends of this one.
fn follower_of(uid: &str) -> JobKey {
    JobKey {
        job_type: JOB_TYPE.to_owned(),
        name: "follower".to_owned(),
        uid: format!("{uid}-after"),
    }
}

fn arguments_of(work: Work) -> String {
    serde_json::to_string(&work).expect("two numbers")
}

/// Whether this row stays as it is: it has ended, or waits for another to end, and has no dependents left to notify.
pub fn rests(job: &Job) -> bool {
    let awaits = job.status == JobStatus::Scheduled && job.next_run.is_none();
    (job.status.is_ended() || awaits) && job.triggers.pending_notifications.is_empty()
}

/// The rules that the jobs break once everything is quiet.
pub fn check(
    asked: &BTreeMap<String, Asked>,
    effects: &Effects,
    tables: &Tables,
    violations: &mut Vec<String>,
) {
    let effects = effects.lock().clone();
    for (uid, asked) in asked {
        let key = key_of(uid);
        let Some(job) = tables.jobs.get(&key).map(|row| row.peek()) else {
            if asked.started {
                violations.push(format!("I12: job {uid} was acknowledged and is gone"));
            }
            continue;
        };
        check_end(job, asked, crashes_of(&key, tables), violations);
        check_runs(&key, &effects, tables, violations);
        let follower = follower_of(uid);
        check_runs(&follower, &effects, tables, violations);
        let follower = tables.jobs.get(&follower).map(|row| row.peek());
        // A restart counts as a run and is no end; what is resumed counts its runs anew.
        let counts_anew = [JobRequest::Restart, JobRequest::Resume];
        if asked.is_followed && !asked.requests.iter().any(|it| counts_anew.contains(it)) {
            check_follower(job, follower, violations);
        }
    }
}

/// The follower was notified of each end of a run, and ran for each end, or once for several.
fn check_follower(job: &Job, follower: Option<&Job>, violations: &mut Vec<String>) {
    let uid = &job.key.uid;
    let Some(follower) = follower else {
        violations.push(format!("I12: the follower of job {uid} is gone"));
        return;
    };
    let known = follower.triggers.known_ends.values().flatten().next();
    let (runs, ends) = (follower.runs, job.runs);
    if job.status == JobStatus::Processed && known.is_none_or(|known| known.run != ends) {
        violations.push(format!(
            "job {uid} ended {ends} times, its follower was notified of {known:?}"
        ));
    }
    let fits = match known {
        Some(_) => (1..=ends).contains(&runs),
        None => runs == 0,
    };
    if !fits || follower.triggers.fired_for.is_some() {
        violations.push(format!(
            "job {uid} ended {ends} times and was followed {runs} times"
        ));
    }
}

/// The effects of a job match its records.
fn check_runs(key: &JobKey, effects: &[Effect], tables: &Tables, violations: &mut Vec<String>) {
    let uid = &key.uid;
    let own: Vec<&Effect> = effects.iter().filter(|effect| effect.uid == *uid).collect();
    for (number, effect) in own.iter().enumerate() {
        // A node that takes over a run continues a time that began on another clock.
        let is_first = own[..number].iter().all(|other| other.key != effect.key);
        if effect.early && is_first {
            violations.push(format!("job {uid} ran before its time"));
        }
        // I8: the self-fence ends a run before another node takes it over.
        let is_overtaken = own[..number]
            .iter()
            .any(|other| other.fence > effect.fence && !other.succeeded);
        if effect.succeeded && is_overtaken && !effect.was_frozen {
            let fence = effect.fence;
            violations.push(format!(
                "I8: the run of job {uid} under fence {fence} went on beside its successor"
            ));
        }
        let same =
            |other: &&&Effect| other.fence == effect.fence && other.succeeded == effect.succeeded;
        if own.iter().filter(same).count() > 1 {
            let fence = effect.fence;
            violations.push(format!("I4: job {uid} ran twice under fence {fence}"));
        }
    }
    let runs = tables.runs.iter().filter(|((of, ..), _)| of == key);
    let processed = runs.filter(|(_, run)| run.status == JobStatus::Processed);
    for ((_, _, fence), _) in processed {
        let did = own
            .iter()
            .any(|effect| effect.fence == *fence && effect.succeeded);
        if !did {
            violations.push(format!(
                "job {uid} is recorded under fence {fence} and did nothing"
            ));
        }
    }
}

/// How many of its runs were cut short by the death of their process.
fn crashes_of(key: &JobKey, tables: &Tables) -> usize {
    let runs = tables.runs.iter().filter(|((of, ..), _)| of == key);
    let errors = runs.filter_map(|(_, run)| run.error.as_ref());
    errors.filter(|error| error.contains("\"Crashed\"")).count()
}

fn check_end(job: &Job, asked: &Asked, crashes: usize, violations: &mut Vec<String>) {
    let uid = &job.key.uid;
    let requests = &asked.requests;
    let fits = match job.status {
        // A restart begins another run.
        JobStatus::Processed => {
            job.runs == asked.planned.runs || requests.contains(&JobRequest::Restart)
        }
        JobStatus::Terminated => requests.contains(&JobRequest::Stop),
        JobStatus::Failed => crashes >= 3,
        _ => false,
    };
    if job.status.is_ended() && !fits {
        violations.push(format!(
            "I5: job {uid} ended {} after {} of {} runs ({:?})",
            job.status, job.runs, asked.planned.runs, job.error
        ));
    }
}
