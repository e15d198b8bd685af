//! The scripts of a history. Each run appends one line to a file outside of the system.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The script of entities.
pub(super) const ENTITY: &str = "chaos_entity.sh";
/// The script of jobs.
pub(super) const JOB: &str = "chaos_job.sh";

/// Puts the scripts into a project. The first argument of [`ENTITY`] is the id, the second the seconds that it takes.
///
/// A line is one write to a file that is opened for appending, so lines have an order. The time is that since the start of
/// the machine, which needs no process. The name of the node is in the path of the working folder.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(project: &Path, effects: &Path, ticks: &Path) -> anyhow::Result<()> {
    let (effects, ticks) = (effects.display(), ticks.display());
    let folder = project.join("scripts");
    let entity = format!(
        "#!/bin/sh\nread -r up idle </proc/uptime\n\
         printf '%s %s %s %s %s\\n' \"$1\" \"$WEFT_FENCE\" \"$WEFT_BATCH\" \"$up\" \"$PWD\" >>'{effects}'\n\
         [ \"$2\" = 0 ] || exec sleep \"$2\"\n"
    );
    let job = format!(
        "#!/bin/sh\nread -r up idle </proc/uptime\n\
         printf '%s %s %s %s %s\\n' \"$WEFT_JOB_UID\" \"$WEFT_FENCE\" \"$WEFT_IDEMPOTENCY_KEY\" \"$up\" \"$PWD\" >>'{ticks}'\n"
    );
    for (name, text) in [(ENTITY, entity), (JOB, job)] {
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    Ok(())
}
