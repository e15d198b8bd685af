//! SET, RELEASE, HELP, ECHO, CLUSTERID: what needs no batch and no instance.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use weft_lang::job_types::job_type;
use weft_lang::{CommandSpec, help as texts};
use weft_model::Session;

use super::Refusal;
use super::output::Output;
use super::request::SetRequest;
use super::secret::masked;

/// Sets values of the session, or lists them.
pub(super) async fn set(session: &mut Session, request: SetRequest, output: &Output) {
    if request.values.is_empty() && request.attached.is_empty() {
        output.columns(&["Name", "Value"]).await;
        for (name, value) in &session.scope {
            output
                .row(vec![json!(name), json!(masked(name, value))])
                .await;
        }
        return;
    }
    for (name, value) in request.values {
        // One name, however it is written.
        session
            .scope
            .retain(|known, _| !known.eq_ignore_ascii_case(&name));
        if !value.is_empty() {
            session.scope.insert(name, value);
        }
    }
    let attached = request.attached.into_iter();
    session
        .attached
        .extend(attached.map(|instance| (instance.logical_unit, instance.id)));
}

/// Lets instances go.
pub(super) fn release(session: &mut Session, logical_unit: Option<&str>) {
    match logical_unit {
        Some(name) => drop(session.attached.remove(name)),
        None => session.attached.clear(),
    }
}

/// Describes one command or type of job, or names the commands.
///
/// # Errors
/// There is neither.
pub(super) async fn help(topic: Option<&str>, output: &Output) -> Result<(), Refusal> {
    let Some(topic) = topic else {
        output.columns(&["Command", "Description"]).await;
        for (name, summary) in texts::overview() {
            let there = CommandSpec::find(name).is_none_or(|spec| spec.available);
            let summary = if there {
                summary.to_owned()
            } else {
                format!("{summary} (not in this version)")
            };
            output.row(vec![json!(name), json!(summary)]).await;
        }
        return Ok(());
    };
    let text = match (CommandSpec::find(topic), job_type(topic)) {
        (Some(spec), _) => texts::describe(spec),
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

/// Answers the text, after a while.
///
/// # Errors
/// The caller stopped waiting.
pub(super) async fn echo(
    text: &str,
    delay: Duration,
    output: &Output,
    stop: &CancellationToken,
) -> Result<(), Refusal> {
    tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Refusal::failed("stopped")),
        () = tokio::time::sleep(delay), if !delay.is_zero() => (),
        () = std::future::ready(()), if delay.is_zero() => (),
    }
    output.one_row(&["Echo"], vec![json!(text)]).await;
    Ok(())
}
