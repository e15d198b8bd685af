//! The job kind CLEANUP: a clean-up with its own ages.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tracing::warn;
use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_model::{Job, job_type};
use weft_store::SharedStore;

use super::pace::Pace;
use super::{Ages, Removed, Sweep, SweepError, unbounded};
use crate::job::arguments::{self, check_names};
use crate::job::{DefinitionError, FailureKind, JobKind, Run, RunEnd, RunFailure, RunOutput};

/// A rest. It is shorter than in the pass of a node, because a user waits for the job.
const REST: Duration = Duration::from_millis(50);
/// The pause before a pass begins anew after the store did not answer.
const STORE_PAUSE: Duration = Duration::from_millis(500);
const HOUR_SECONDS: u64 = 3_600;
/// A hundred years.
const MAX_HOURS: u64 = 876_000;
const EXAMPLE: &str = r#"ARGS='{"jobs_older_than_hours":720,"batches_older_than_days":7}'"#;

/// The arguments, and the hours in one unit of each.
const ARGUMENTS: [(&str, u64); 3] = [
    ("jobs_older_than_hours", 1),
    ("batches_older_than_days", 24),
    ("history_older_than_hours", 1),
];

/// The job kind CLEANUP. The name of the job is free; its output has the counts of what was removed.
#[derive(Debug)]
pub struct Cleanup {
    store: SharedStore,
    clock: SharedClock,
    ids: Ids,
    rest: Duration,
}

impl Cleanup {
    /// A kind that cleans up this store.
    pub fn new(store: SharedStore, clock: SharedClock, ids: Ids) -> Self {
        Self {
            store,
            clock,
            ids,
            rest: REST,
        }
    }

    /// With another rest after each 200 units of work; 50 ms otherwise.
    #[must_use]
    pub fn with_rest(self, rest: Duration) -> Self {
        Self { rest, ..self }
    }
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> DefinitionError {
    DefinitionError {
        message: message.into(),
        hint: Some(hint.into()),
    }
}

fn read_ages(job: &Job) -> Result<Ages, DefinitionError> {
    let arguments = arguments::read(job)?;
    let known = ARGUMENTS.map(|(name, _)| name);
    check_names("CLEANUP has no argument", &arguments, &known)?;
    let mut ages = Ages::default();
    for (name, hours) in ARGUMENTS {
        let Some(value) = arguments.get(name) else {
            continue;
        };
        let number = match value {
            Value::Number(number) => number.as_u64(),
            // Old clients send numbers as texts.
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let most = MAX_HOURS / hours;
        let number = number
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| {
                refused(
                    format!("`{name}` is a whole number from 1 to {most}, not {value}"),
                    EXAMPLE,
                )
            })?;
        let age = Some(Duration::from_secs(number * hours * HOUR_SECONDS));
        match name {
            "jobs_older_than_hours" => ages.jobs = age,
            "batches_older_than_days" => ages.batches = age,
            _ => ages.history = age,
        }
    }
    match ages == Ages::default() {
        true => Err(refused(
            "CLEANUP needs ARGS that say what is removed",
            EXAMPLE,
        )),
        false => Ok(ages),
    }
}

fn output(removed: Removed) -> RunOutput {
    RunOutput {
        // Serialization fails only for maps whose keys are not texts.
        text: serde_json::to_string(&removed).ok(),
        exit_code: None,
    }
}

#[async_trait]
impl JobKind for Cleanup {
    fn job_type(&self) -> &'static str {
        job_type::CLEANUP
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        read_ages(job).map(drop)
    }

    async fn run(&self, run: Run) -> RunEnd {
        let ages = match read_ages(&run.job) {
            Ok(ages) => ages,
            Err(check) => {
                return RunEnd::Failed(RunFailure::new("Arguments", check.message).without_retry());
            }
        };
        let mut sweep = Sweep {
            store: self.store.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            self_fence: unbounded(self.clock.clone()),
            stop: run.stop,
            pause: self.rest,
            pace: Pace::default(),
            removed: Removed::default(),
        };
        let end = loop {
            match sweep.all(&ages).await {
                // An outage of the store fails no run: the pass begins anew, and finds less to remove.
                Err(SweepError::Store(error)) if error.is_transient() => {
                    warn!(error = %error, "The clean-up waits for the store: {error}");
                    tokio::select! {
                        biased;
                        () = sweep.stop.cancelled() => break Err(SweepError::Stopped),
                        () = tokio::time::sleep(STORE_PAUSE) => (),
                    }
                }
                end => break end,
            }
        };
        let output = output(sweep.removed);
        let Err(error) = end else {
            return RunEnd::Succeeded(output);
        };
        let kind = match &error {
            SweepError::Store(_) => "Store".into(),
            SweepError::Stopped => FailureKind::Stopped,
        };
        RunEnd::Failed(RunFailure {
            output,
            ..RunFailure::new(kind, error.to_string())
        })
    }
}
