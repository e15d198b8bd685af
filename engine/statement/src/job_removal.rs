//! The removal of one archived job, with its history, before its time has come.

use std::time::Duration;

use tracing::info;
use weft_store::Trust;
use weft_store::{DeleteJob, Freshness, Settled, settle};

use super::refusal::no_such_job;
use super::request::RemoveJob;
use super::{EndStatus, Permit, Refusal, Services};

const PATIENCE: Duration = Duration::from_secs(30);

/// Removes a job that is archived. Its key may be used again at once.
///
/// # Errors
/// There is none, or it is not archived.
pub(super) async fn remove(services: &Services, permit: &Permit<RemoveJob>) -> Result<(), Refusal> {
    let RemoveJob(key) = permit.request();
    let store = services.store.as_ref();
    let found = store.job(key, Freshness::Serial).await?;
    let job = found.ok_or_else(|| no_such_job(&key.job_type, &key.name, Some(key.uid.as_str())))?;
    let name = format!("'{}.{}.{}'", key.job_type, key.name, key.uid);
    let Some(delete) = DeleteJob::of(&job) else {
        let message = format!(
            "{name} is {} and only an archived job is removed",
            job.status
        );
        return Err(Refusal::conflict(message).hint(format!(
            "STOPJOB {} NAME='{}' UID='{}' ends it",
            key.job_type, key.name, key.uid
        )));
    };
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    match settle(store, &services.ids, &trust, &delete).await? {
        Settled::Applied => {
            let principal = &permit.principal().name;
            info!(
                job.name = key.name,
                job.uid = key.uid,
                principal,
                "{principal} removed {name}"
            );
            Ok(())
        }
        Settled::Lost(_) => Err(Refusal::conflict(format!(
            "{name} was started again meanwhile and is not removed"
        ))),
        Settled::StillUnknown => {
            let message = format!("the store does not answer: nobody knows whether {name} is gone");
            Err(Refusal::new(EndStatus::Unreachable, message)
                .hint("ask again: to remove it twice does no harm"))
        }
    }
}
