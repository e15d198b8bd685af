//! Job rows: submission, claims, requests and ends.

use std::hash::Hash;

use scylla::statement::prepared::PreparedStatement;
use tracing::warn;
use weft_model::TriggerState;
use weft_model::{Job, JobKey, JobRun, Token};
use weft_store::{
    Attempt, AttemptResult, ClaimJob, EndJob, Freshness, JobSeen, RequestJob, StoreResult, WriteJob,
};

use crate::CassandraStore;
use crate::row::StoredRow;
use crate::values::{Values, json_text};

pub(crate) const JOBS: &str = "jobs";

/// The partition of a job, for the lock of its compare-and-sets.
pub(crate) fn partition(key: &JobKey) -> impl Hash + '_ {
    (JOBS, &key.job_type, &key.name, &key.uid)
}

impl CassandraStore {
    /// Inserts the row. A row that has this token already counts as inserted.
    pub(crate) async fn insert_job(
        &self,
        verb: &'static str,
        job: &Job,
        token: Token,
    ) -> AttemptResult<()> {
        self.compare_and_set(
            verb,
            partition(&job.key),
            &self.statements.insert_job,
            values_of(job, token),
            ("submit_token", token),
        )
        .await
    }

    pub(crate) async fn write_name(&self, verb: &'static str, key: &JobKey) -> StoreResult<()> {
        self.write(verb, &self.statements.put_name, Values::new().job_key(key))
            .await
    }

    pub(crate) async fn claim_job_row(&self, claim: &ClaimJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "claim_job";
        self.write_due(VERB, &claim.due).await?;
        let values = Values::new()
            .job_key(&claim.key)
            .set("worker_id", &claim.holder.node)
            .set("owner_inc", claim.holder.incarnation)
            .set("to_fence", claim.seen_fence + 1)
            .set("start_time", claim.now)
            .set("seen_status", claim.seen_status.as_str())
            .set("fence", claim.seen_fence);
        let (statement, token) = (&self.statements.claim_job, ("op_token", claim.token));
        let attempt = self
            .change_job(VERB, &claim.key, statement, values, token)
            .await?;
        match &claim.cut_short {
            Some(run) if attempt == Attempt::Applied => Ok(self.insert_cut_short(run).await),
            _ => Ok(attempt),
        }
    }

    /// After the claim, so that no row hides the one of a run that still ended. Until it is written, the outcome of the claim
    /// counts as unknown, and the identical claim is sent again.
    async fn insert_cut_short(&self, run: &JobRun) -> Attempt<Option<Job>> {
        match self.insert_run("claim_job", run).await {
            Ok(Attempt::Unknown(reason)) => Attempt::Unknown(reason),
            Err(error) if error.is_transient() => Attempt::Unknown(error.to_string()),
            Ok(Attempt::Applied | Attempt::Lost(())) => Attempt::Applied,
            Err(error) => {
                warn!(job.uid = run.key.uid, error = %error, "Could not record a run that was cut short: {error}");
                Attempt::Applied
            }
        }
    }

    /// Hints first, then the row: inserts it, or replaces all of the row that was seen.
    pub(crate) async fn write_job_row(&self, write: &WriteJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "write_job";
        let key = &write.job.key;
        if let Some(due) = &write.due {
            self.write_due(VERB, due).await?;
        }
        let Some(seen) = write.seen else {
            self.write_name(VERB, key).await?;
            let attempt = self.insert_job(VERB, &write.job, write.token).await?;
            let found = self.read_job(VERB, key, Freshness::Serial);
            return attempt.or_found(found).await;
        };
        let values = columns_of(&write.job)
            .set("to_fence", write.job.fence)
            .set("seen_status", seen.status.as_str())
            .set("fence", seen.fence)
            .set("seen_desired_seq", seen.desired_seq);
        let (statement, token) = (&self.statements.write_job, ("op_token", write.token));
        self.change_job(VERB, key, statement, values, token).await
    }

    pub(crate) async fn request_job_row(&self, request: &RequestJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "request_job";
        let JobSeen {
            status,
            fence,
            desired_seq,
        } = request.seen;
        let definition = request.definition.as_ref();
        let affinity = definition.map(|definition| Affinity::text(&definition.affinity));
        let policy = definition.map(|definition| json_text(&definition.policy));
        let values = Values::new()
            .job_key(&request.key)
            .set("status", request.status.as_str())
            .set("desired", request.desired.as_str())
            .set("to_desired_seq", desired_seq + 1)
            .set_or_keep("affinity", affinity.as_ref())
            .set_or_keep(
                "arguments",
                definition.map(|definition| &definition.arguments),
            )
            .set_or_keep("policy", policy.as_ref())
            .set("seen_status", status.as_str())
            .set("fence", fence)
            .set("desired_seq", desired_seq);
        let values = match definition {
            None => values
                .set_or_keep("execution_interval", None::<&String>)
                .set_or_keep("triggers", None::<&String>),
            Some(definition) => values
                .set("execution_interval", definition.execution_interval.as_ref())
                .set("triggers", triggers_text(&definition.triggers)),
        };
        let (statement, token) = (
            &self.statements.request_job,
            ("desired_token", request.token),
        );
        self.change_job(VERB, &request.key, statement, values, token)
            .await
    }

    /// Writes the hint, the history row, then the job row. If the last write is refused, the hint causes only an
    /// extra look, and the history row belongs to this fence alone.
    pub(crate) async fn end_job_row(&self, end: &EndJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "end_job";
        if let Some(due) = &end.due {
            self.write_due(VERB, due).await?;
        }
        if let Some(run) = &end.run
            && let Attempt::Unknown(reason) = self.insert_run(VERB, run).await?
        {
            return Ok(Attempt::Unknown(reason));
        }
        let values = Values::new()
            .job_key(&end.key)
            .set("status", end.to.as_str())
            .set("archived", end.to.is_ended())
            .set("to_fence", end.to_fence)
            .set("end_time", end.now)
            .set_or_keep("output", end.output.as_ref())
            .set("error_msg", end.error.as_ref())
            .set("tries", end.tries)
            .set("next_run", end.next_run)
            .set("notes", end.notes.as_ref())
            .set("worker_id", &end.holder.node)
            .set("owner_inc", end.holder.incarnation)
            .set("fence", end.fence)
            .set("desired_seq", end.desired_seq)
            .set("seen_status", end.seen_status.as_str())
            .set("desired", end.desired.as_str())
            .set("runs", end.runs)
            .set("planned_run", end.planned_run)
            .set("triggers", triggers_text(&end.triggers))
            .set(
                "to_worker_id",
                (!end.forget_worker).then_some(&end.holder.node),
            )
            .set(
                "to_owner_inc",
                (!end.forget_worker).then_some(end.holder.incarnation),
            );
        let (statement, token) = (&self.statements.end_job, ("op_token", end.token));
        self.change_job(VERB, &end.key, statement, values, token)
            .await
    }

    /// Sends a compare-and-set on the row of a job. A refusal has the row that is there: the answer is already definite, so a
    /// read may follow it.
    async fn change_job(
        &self,
        verb: &'static str,
        key: &JobKey,
        statement: &PreparedStatement,
        values: Values,
        token: (&'static str, Token),
    ) -> AttemptResult<Option<Job>> {
        let attempt = self
            .compare_and_set(verb, partition(key), statement, values, token)
            .await?;
        let found = self.read_job(verb, key, Freshness::Serial);
        attempt.or_found(found).await
    }

    pub(crate) async fn read_job(
        &self,
        verb: &'static str,
        key: &JobKey,
        freshness: Freshness,
    ) -> StoreResult<Option<Job>> {
        let statement = self.statements.job.at(freshness);
        self.read_one(verb, JOBS, statement, Values::new().job_key(key))
            .await?
            .map(job_of)
            .transpose()
    }
}

fn values_of(job: &Job, token: Token) -> Values {
    columns_of(job)
        .set("fence", job.fence)
        .set("op_token", token)
        .set("submit_token", token)
}

/// All columns except the fence and the tokens of the owner.
fn columns_of(job: &Job) -> Values {
    Values::new()
        .job_key(&job.key)
        .set("affinity", Affinity::text(&job.affinity))
        .set("archived", job.archived)
        .set("arguments", &job.arguments)
        .set("creation_time", job.creation_time)
        .set("start_time", job.start_time)
        .set("end_time", job.end_time)
        .set("error_msg", job.error.as_ref())
        .set("execution_interval", job.execution_interval.as_ref())
        .set("output", job.output.as_ref())
        .set("status", job.status.as_str())
        .set("tries", job.tries)
        .set("worker_id", job.worker.as_ref())
        .set("next_run", job.next_run)
        .set("planned_run", job.planned_run)
        .set("runs", job.runs)
        .set_json("policy", &job.policy)
        .set("created_by", &job.created_by)
        .set("triggers", triggers_text(&job.triggers))
        .set("owner_inc", job.owner_incarnation)
        .set("desired", job.desired.as_str())
        .set("desired_seq", job.desired_seq)
        .set("desired_token", job.desired_token)
        .set("notes", job.notes.as_ref())
}

pub(crate) fn job_of(mut row: StoredRow) -> StoreResult<Job> {
    Ok(Job {
        key: row.take_job_key()?,
        status: row.take_parsed("status")?,
        affinity: affinity_of(&mut row)?,
        archived: row.take("archived")?.unwrap_or(false),
        arguments: row.require("arguments")?,
        creation_time: row.require("creation_time")?,
        start_time: row.take("start_time")?,
        end_time: row.take("end_time")?,
        error: row.take("error_msg")?,
        execution_interval: row.take("execution_interval")?,
        output: row.take("output")?,
        tries: row.take("tries")?.unwrap_or(0),
        worker: row.take("worker_id")?,
        owner_incarnation: row.take("owner_inc")?,
        next_run: row.take("next_run")?,
        planned_run: row.take("planned_run")?,
        runs: row.take("runs")?.unwrap_or(0),
        policy: row.take_json("policy")?.unwrap_or_default(),
        created_by: row.take("created_by")?.unwrap_or_default(),
        triggers: row.take_json("triggers")?.unwrap_or_default(),
        fence: row.require("fence")?,
        op_token: row.take("op_token")?,
        desired: row.take_parsed("desired")?,
        desired_seq: row.require("desired_seq")?,
        desired_token: row.take("desired_token")?,
        notes: row.take("notes")?,
    })
}

/// The column is null for a job without triggers.
fn triggers_text(triggers: &TriggerState) -> Option<String> {
    (!triggers.is_empty()).then(|| json_text(triggers))
}

/// The text of the column, in Fabric's format: `{"Affinity":["ANY"]}`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Affinity {
    #[serde(rename = "Affinity", default)]
    nodes: Vec<String>,
}

impl Affinity {
    fn text(nodes: &[String]) -> String {
        json_text(&Self {
            nodes: nodes.to_vec(),
        })
    }
}

fn affinity_of(row: &mut StoredRow) -> StoreResult<Vec<String>> {
    let affinity: Option<Affinity> = row.take_json("affinity")?;
    Ok(affinity.map(|affinity| affinity.nodes).unwrap_or_default())
}
