//! Http: calls a server.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use weft_node::flow::FlowFailure;
use weft_node::job::{FailureKind, RunFailure};

use crate::capture::text_of;
use crate::flow::actor::{
    Actor, ActorResult, ActorRun, ActorSpec, CheckContext, OUTPUT_BYTES, WrittenInputs,
};
use crate::flow::input::{InputKind, Inputs, optional, required};
use crate::http::Answer;

#[derive(Debug)]
pub(super) struct Http;

const SECRET: &str = "secret_headers";
const SPEC: ActorSpec = ActorSpec {
    name: "Http",
    aliases: &[],
    summary: "calls a host that the node allows, as a job of type HTTP does",
    inputs: &[
        required("url", InputKind::Text, "the address"),
        optional("method", InputKind::Text, "GET by default"),
        optional("headers", InputKind::Map, "headers and their values"),
        optional(
            SECRET,
            InputKind::Map,
            "headers with values from the environment of the node, e.g. `Authorization: env:API_AUTH`; without links",
        ),
        optional("body", InputKind::Any, "a text, or a value to send as JSON"),
        optional(
            "expected_status",
            InputKind::Any,
            "`200`, `2xx` or a list of them; `2xx` by default",
        ),
        optional(
            "timeout_ms",
            InputKind::Whole(1, 86_400_000),
            "the limit for the whole call; 30000 by default",
        ),
    ],
    outputs: &[
        ("status", "the status, a number"),
        ("body", "the body as a text"),
        ("json", "the body parsed, if it is JSON"),
    ],
};

/// Whether a value refers to a variable of the node.
fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("env:"))
}

#[async_trait]
impl Actor for Http {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        let Some(secret) = inputs.get(SECRET) else {
            return;
        };
        let literal = secret.value.literal();
        let is_valid = literal
            .as_ref()
            .and_then(Value::as_object)
            .is_some_and(|headers| headers.values().all(is_reference));
        if !is_valid {
            let message = "must be a map of `env:NAME`, without links";
            context.findings.add(&secret.spot, message);
        }
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let mut arguments = inputs.into_map();
        let secret = arguments.remove(SECRET);
        let mut headers = match arguments.remove("headers") {
            Some(Value::Object(headers)) => headers,
            Some(_) | None => Map::new(),
        };
        // These values may be data, and data must not name a variable of the node.
        if let Some((name, _)) = headers.iter().find(|(_, value)| is_reference(value)) {
            let message = format!("the header `{name}` names a variable; write it into {SECRET}");
            return Err(FlowFailure::new("Header", message));
        }
        if let Some(Value::Object(secret)) = secret {
            headers.extend(secret);
        }
        if !headers.is_empty() {
            arguments.insert("headers".to_owned(), Value::Object(headers));
        }
        let http = &run.tools.http;
        let call = http.read(&arguments).map_err(|error| {
            let hint = error.hint.map(|hint| format!(" ({hint})"));
            let message = format!("{}{}", error.message, hint.unwrap_or_default());
            FlowFailure::new("Http", message)
        })?;
        let sent = tokio::select! {
            biased;
            () = run.stop.cancelled() => {
                let message = format!("it was stopped during {}", call.label());
                return Err(FlowFailure::new(FailureKind::Stopped, message));
            }
            sent = http.send(&call, run.key, OUTPUT_BYTES) => sent,
        };
        let of_run = |failure: RunFailure| FlowFailure::new(failure.kind, failure.message);
        let answer = sent.and_then(Answer::checked).map_err(of_run)?;
        if answer.is_cut {
            let message = format!(
                "{} answered more than {} MiB",
                call.label(),
                OUTPUT_BYTES / 1024 / 1024
            );
            return Err(FlowFailure::new("HttpBody", message));
        }
        let is_json = answer.content_type.is_some_and(|content_type| {
            let kind = content_type.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json")
        });
        let parsed: Option<Value> = match is_json {
            true => serde_json::from_slice(&answer.body).ok(),
            false => None,
        };
        Ok(Map::from_iter([
            ("status".to_owned(), json!(answer.status)),
            ("body".to_owned(), json!(text_of(&answer.body))),
            ("json".to_owned(), parsed.unwrap_or_default()),
        ]))
    }
}
