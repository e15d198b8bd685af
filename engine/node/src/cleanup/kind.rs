//! CLEANUP: the clean-up as a job, with ages of its own.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_model::{Job, job_type};
use weft_store::SharedStore;

use super::{Ages, Removed, Sweep, SweepError, unbounded};
use crate::job::arguments::{self, check_names};
use crate::job::{DefinitionError, FailureKind, JobKind, Run, RunEnd, RunFailure, RunOutput};

/// Between two pages: a person waits for it, so it goes faster than the pass of the node.
const PAUSE: Duration = Duration::from_millis(50);
const HOUR_SECONDS: u64 = 3_600;
/// A hundred years.
const MOST_HOURS: u64 = 876_000;
const EXAMPLE: &str = r#"ARGS='{"jobs_older_than_hours":720,"batches_older_than_days":7}'"#;

/// An argument and how many hours its number counts.
const ARGUMENTS: [(&str, u64); 3] = [
    ("jobs_older_than_hours", 1),
    ("batches_older_than_days", 24),
    ("history_older_than_hours", 1),
];

/// The kind CLEANUP. Its name is free; its output says how much was removed.
#[derive(Debug)]
pub struct Cleanup {
    store: SharedStore,
    clock: SharedClock,
    ids: Ids,
}

impl Cleanup {
    /// Cleans up this store.
    pub fn new(store: SharedStore, clock: SharedClock, ids: Ids) -> Self {
        Self { store, clock, ids }
    }
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> DefinitionError {
    DefinitionError {
        message: message.into(),
        hint: Some(hint.into()),
    }
}

fn ages_of(job: &Job) -> Result<Ages, DefinitionError> {
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
            // Arguments of old forms are texts.
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let most = MOST_HOURS / hours;
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
        // Only maps with other keys than texts cannot be written.
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
        ages_of(job).map(drop)
    }

    async fn run(&self, run: Run) -> RunEnd {
        let ages = match ages_of(&run.job) {
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
            pause: PAUSE,
            removed: Removed::default(),
        };
        let end = sweep.all(&ages).await;
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
