//! ECHO: answers a text, after a while.

use std::time::Duration;

use serde_json::json;
use weft_lang::{Spanned, Text};

use crate::commands::Execution;
use crate::commands::literal::literal;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;

/// The text to answer, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EchoRequest {
    text: String,
    delay: Duration,
}

needs!(None: EchoRequest);

pub(crate) fn lower(
    text: &Spanned<Text>,
    delay_ms: Option<&Spanned<u64>>,
) -> Result<EchoRequest, Refusal> {
    Ok(EchoRequest {
        text: literal(text)?.to_owned(),
        delay: Duration::from_millis(delay_ms.map_or(0, |delay| delay.value)),
    })
}

/// Answers the text.
///
/// # Errors
/// The caller stopped waiting.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<EchoRequest>,
) -> Result<(), Refusal> {
    let EchoRequest { text, delay } = permit.request();
    tokio::select! {
        biased;
        () = execution.stop.cancelled() => return Err(Refusal::failed("stopped")),
        () = tokio::time::sleep(*delay), if !delay.is_zero() => (),
        () = std::future::ready(()), if delay.is_zero() => (),
    }
    execution.output.one_row(&["Echo"], vec![json!(text)]).await;
    Ok(())
}
