//! Http: one call of another server.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::capture::text_of;
use crate::flow::actor::{
    Actor, ActorError, ActorRun, ActorSpec, Checking, InputKind, Inputs, OUTPUT_BYTES,
    WrittenInputs, optional, required,
};

#[derive(Debug)]
pub(super) struct Http;

const SECRET: &str = "secret_headers";
const SPEC: ActorSpec = ActorSpec {
    name: "Http",
    aliases: &[],
    summary: "calls a host that the node allows, as a job of type HTTP does",
    inputs: &[
        required("url", InputKind::Text, "the address"),
        optional("method", InputKind::Text, "GET where it is left out"),
        optional("headers", InputKind::Map, "headers and their values"),
        optional(
            SECRET,
            InputKind::Map,
            "headers whose values the node takes from its environment, as in `Authorization: env:API_AUTH`; without links",
        ),
        optional(
            "body",
            InputKind::Any,
            "a text, or JSON, which is sent as such",
        ),
        optional(
            "expected_status",
            InputKind::Any,
            "`200`, `2xx` or a list of them; `2xx` where it is left out",
        ),
        optional(
            "timeout_ms",
            InputKind::Whole(1, 86_400_000),
            "for all of it; 30000 where it is left out",
        ),
    ],
    outputs: &[
        ("status", "the status, a number"),
        ("body", "the body as a text"),
        ("json", "the body, where it is JSON"),
    ],
};
const REFERENCE: &str = "env:";

#[async_trait]
impl Actor for Http {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, at: Checking<'_>) {
        let Some(secret) = inputs.get(SECRET) else {
            return;
        };
        let literal = secret.value.literal();
        let is_reference = |value: &Value| {
            value
                .as_str()
                .is_some_and(|text| text.starts_with(REFERENCE))
        };
        let is_right = literal
            .as_ref()
            .and_then(Value::as_object)
            .is_some_and(|headers| headers.values().all(is_reference));
        if !is_right {
            let message = "must be a map of `env:NAME`, without links";
            at.findings.add(&secret.spot, message);
        }
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let mut arguments = inputs.into_map();
        let secret = arguments.remove(SECRET);
        let mut headers = match arguments.remove("headers") {
            Some(Value::Object(headers)) => headers,
            Some(_) | None => Map::new(),
        };
        // A value that comes from anywhere must not name a variable of the node.
        let named = headers.iter().find(|(_, value)| {
            value
                .as_str()
                .is_some_and(|text| text.starts_with(REFERENCE))
        });
        if let Some((name, _)) = named {
            let message = format!("the header `{name}` names a variable; write it into {SECRET}");
            return Err(ActorError::new("Header", message));
        }
        if let Some(Value::Object(secret)) = secret {
            headers.extend(secret);
        }
        if !headers.is_empty() {
            arguments.insert("headers".to_owned(), Value::Object(headers));
        }
        let http = &run.runner.tools.http;
        let call = http.read(&arguments).map_err(|check| {
            let hint = check.hint.map(|hint| format!(" ({hint})"));
            let message = format!("{}{}", check.message, hint.unwrap_or_default());
            ActorError::new("Http", message)
        })?;
        let sent = tokio::select! {
            biased;
            () = run.stop.cancelled() => {
                let message = format!("{} was broken off: it was told to stop", call.label());
                return Err(ActorError::stopped(message));
            }
            sent = http.send(&call, run.key, OUTPUT_BYTES) => sent,
        };
        let answer = sent.map_err(|failure| ActorError::new(failure.kind, failure.message))?;
        if let Some(message) = answer.not_expected {
            return Err(ActorError::new("HttpStatus", message));
        }
        if let Some(failure) = answer.broke_off {
            return Err(ActorError::new(failure.kind, failure.message));
        }
        if answer.is_cut {
            let message = format!(
                "{} answered more than {} MiB",
                call.label(),
                OUTPUT_BYTES / 1024 / 1024
            );
            return Err(ActorError::new("HttpBody", message));
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
