//! RELEASE: detaches instances.

use weft_lang::Spanned;
use weft_model::Session;

use crate::commands::Execution;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;

/// The logical unit whose instance to detach; none = all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReleaseRequest(Option<String>);

needs!(None: ReleaseRequest);

pub(crate) fn lower(
    lu: Option<&Spanned<String>>,
    session: &Session,
) -> Result<ReleaseRequest, Refusal> {
    let Some(lu) = lu else {
        return Ok(ReleaseRequest(None));
    };
    let attached = session.attached.keys();
    match attached
        .clone()
        .find(|name| name.eq_ignore_ascii_case(&lu.value))
    {
        Some(name) => Ok(ReleaseRequest(Some(name.clone()))),
        None => Err(
            Refusal::not_found(format!("no instance of {} is attached", lu.value))
                .at(lu.span)
                .near(&lu.value, attached.map(String::as_str)),
        ),
    }
}

pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<ReleaseRequest>,
) -> Result<(), Refusal> {
    let attached = &mut execution.session.attached;
    match permit.request() {
        ReleaseRequest(Some(name)) => drop(attached.remove(name)),
        ReleaseRequest(None) => attached.clear(),
    }
    Ok(())
}
