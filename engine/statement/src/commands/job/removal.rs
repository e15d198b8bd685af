//! Removes one archived job with its history, before the clean-up does.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use tracing::info;
use weft_model::{Job, JobKey};
use weft_store::{Decided, Decision, DeleteJob, Freshness, Trust, decide_and_settle};

use crate::frame::EndStatus;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;
use crate::services::Services;

/// How long to re-send a removal whose outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// The archived job to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoveJob(pub(crate) JobKey);

needs!(Batch: RemoveJob);

/// Removes an archived job. Its key may be used again at once.
///
/// # Errors
/// There is none, or it is not archived.
pub(crate) async fn remove(services: &Services, permit: &Permit<RemoveJob>) -> Result<(), Refusal> {
    let RemoveJob(key) = permit.request();
    let name = format!("'{}.{}.{}'", key.job_type, key.name, key.uid);
    let store = services.store.as_ref();
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    let read = store.job(key, Freshness::Serial);
    let decide = |found: Option<Job>| ready(decide_removal(key, &name, found));
    match decide_and_settle(store, &services.ids, &trust, read, decide).await? {
        Decided::Applied { .. } => {
            let principal = &permit.principal().name;
            info!(
                job.name = key.name,
                job.uid = key.uid,
                principal,
                "{principal} removed {name}"
            );
            Ok(())
        }
        Decided::Stopped(never) => match never {},
        Decided::StillUnknown(_) => {
            let message =
                format!("the store does not answer: {name} may or may not have been removed");
            Err(Refusal::new(EndStatus::Unreachable, message)
                .hint("ask again: to remove it twice does no harm"))
        }
        Decided::MovedTooFast(_) => Err(Refusal::conflict(format!(
            "{name} changes too fast to be removed; ask again"
        ))),
    }
}

fn decide_removal(
    key: &JobKey,
    name: &str,
    found: Option<Job>,
) -> Result<Decision<DeleteJob, Infallible>, Refusal> {
    let job =
        found.ok_or_else(|| Refusal::no_such_job(&key.job_type, &key.name, Some(&key.uid)))?;
    DeleteJob::of(&job).map(Decision::Settle).ok_or_else(|| {
        let message = format!(
            "{name} is {} and only an archived job is removed",
            job.status
        );
        Refusal::conflict(message).hint(format!(
            "STOPJOB {} NAME='{}' UID='{}' ends it",
            key.job_type, key.name, key.uid
        ))
    })
}
