//! SYNC_INSTANCE.

use super::InstanceName;
use super::sync::{COUNTS, sync};
use crate::commands::Execution;
use crate::permission::Permit;
use crate::refusal::Refusal;

/// Syncs the instance and shows what changed.
///
/// # Errors
/// Why the instance could not be synced.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<InstanceName>,
) -> Result<(), Refusal> {
    let Execution {
        services,
        session,
        output,
        stop,
    } = execution;
    let counts = sync(services, session, permit.request(), stop).await?;
    output.one_row(&COUNTS, counts).await;
    Ok(())
}
