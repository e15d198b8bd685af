//! HELP: describes one command or type of job, or lists the commands.

use serde_json::json;
use weft_lang::job_types::job_type;
use weft_lang::{CommandSpec, help as texts};

use crate::commands::Execution;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;

/// The command or type of job to describe; none = list the commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HelpRequest(pub(crate) Option<String>);

needs!(None: HelpRequest);

/// Shows the help.
///
/// # Errors
/// There is no such command or type of job.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<HelpRequest>,
) -> Result<(), Refusal> {
    let output = execution.output;
    let HelpRequest(topic) = permit.request();
    let Some(topic) = topic else {
        output.columns(&["Command", "Description"]).await;
        for (name, summary) in texts::overview() {
            let is_available = CommandSpec::find(name).is_none_or(|spec| spec.available);
            let summary = if is_available {
                summary.to_owned()
            } else {
                format!("{summary} (not in this version)")
            };
            output.row(vec![json!(name), json!(summary)]).await;
        }
        return Ok(());
    };
    let text = match (CommandSpec::find(topic), job_type(topic)) {
        (Some(spec), None) => texts::describe(spec),
        (Some(spec), Some(known)) => {
            let job_type = texts::describe_job_type(known);
            format!("{}\n{job_type}", texts::describe(spec))
        }
        (None, Some(known)) => texts::describe_job_type(known),
        (None, None) => {
            let message = format!("there is no command or type of job {topic}");
            return Err(Refusal::not_found(message).hint("HELP lists the commands"));
        }
    };
    output.columns(&["Help"]).await;
    for line in text.lines() {
        output.row(vec![json!(line)]).await;
    }
    Ok(())
}
