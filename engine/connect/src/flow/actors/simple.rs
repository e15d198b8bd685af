//! Const, Log and Sleep.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, json};
use tokio::time::sleep;
use tracing::{info, warn};
use weft_node::flow::FlowFailure;
use weft_node::job::FailureKind;

use crate::flow::actor::{Actor, ActorResult, ActorRun, ActorSpec, CheckContext, WrittenInputs};
use crate::flow::input::{InputKind, Inputs, optional, required};

/// The rest of a longer message is not logged.
const MESSAGE_BYTES: usize = 4 * 1024;
const DAY_MS: u64 = 86_400_000;

#[derive(Debug)]
pub(super) struct Const;

const CONST: ActorSpec = ActorSpec {
    name: "Const",
    aliases: &[],
    summary: "returns a value",
    inputs: &[required(
        "value",
        InputKind::Any,
        "the value, with or without links",
    )],
    outputs: &[("value", "the value")],
};

#[async_trait]
impl Actor for Const {
    fn spec(&self) -> &'static ActorSpec {
        &CONST
    }

    async fn act(&self, inputs: Inputs, _run: ActorRun<'_>) -> ActorResult {
        Ok(inputs.into_map())
    }
}

#[derive(Debug)]
pub(super) struct Log;

const LOG: ActorSpec = ActorSpec {
    name: "Log",
    aliases: &["Logger"],
    summary: "writes a message into the log of the node",
    inputs: &[
        required("message", InputKind::Text, "the message"),
        optional("level", InputKind::Fixed, "info or warn; info by default"),
    ],
    outputs: &[],
};

#[async_trait]
impl Actor for Log {
    fn spec(&self) -> &'static ActorSpec {
        &LOG
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        if let Some((level, spot)) = inputs.text("level")
            && !["info", "warn"].contains(&level)
        {
            let message = format!("must be info or warn, not `{level}`");
            context.findings.add(spot, message);
        }
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let message = inputs.text("message");
        let message = &message[..message.floor_char_boundary(MESSAGE_BYTES)];
        let (flow, path) = (run.flow, run.path);
        match inputs.optional_text("level") {
            Some("warn") => warn!(flow = %flow, actor = path, "{flow} {path}: {message}"),
            Some(_) | None => info!(flow = %flow, actor = path, "{flow} {path}: {message}"),
        }
        Ok(Map::new())
    }
}

#[derive(Debug)]
pub(super) struct Sleep;

const SLEEP: ActorSpec = ActorSpec {
    name: "Sleep",
    aliases: &[],
    summary: "waits, and lends its job slot meanwhile",
    inputs: &[required(
        "ms",
        InputKind::Whole(0, DAY_MS),
        "how long, in milliseconds",
    )],
    outputs: &[("ms", "how long it waited")],
};

#[async_trait]
impl Actor for Sleep {
    fn spec(&self) -> &'static ActorSpec {
        &SLEEP
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let millis = inputs.whole("ms").unwrap_or_default();
        let _lent = run.slot.lend();
        tokio::select! {
            biased;
            () = run.stop.cancelled() => Err(FlowFailure::new(FailureKind::Stopped, "it was stopped while it slept")),
            () = sleep(Duration::from_millis(millis)) => {
                Ok(Map::from_iter([("ms".to_owned(), json!(millis))]))
            }
        }
    }
}
