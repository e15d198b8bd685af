//! Probe: tells tests what ran, when, and next to what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::sync::Barrier;

use crate::flow::actor::{
    Actor, ActorError, ActorRun, ActorSpec, InputKind, Inputs, optional, required,
};

#[derive(Debug)]
pub(in crate::flow) struct Probe;

const SPEC: ActorSpec = ActorSpec {
    name: "Probe",
    aliases: &[],
    summary: "is seen by tests",
    inputs: &[
        required("diary", InputKind::Text, "where it is seen"),
        required("say", InputKind::Any, "what is seen, and given"),
        optional("fail", InputKind::Flag, "it fails"),
        optional("stop", InputKind::Flag, "it tells the flow to stop"),
        optional(
            "meet",
            InputKind::Whole(1, 64),
            "it waits for so many of its diary",
        ),
        optional(
            "bytes",
            InputKind::Whole(0, 1 << 30),
            "it gives a text so long as well",
        ),
    ],
    outputs: &[("said", "what was said"), ("large", "the text")],
};

static DIARIES: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());
static MEETINGS: Mutex<BTreeMap<String, Arc<Barrier>>> = Mutex::new(BTreeMap::new());

/// What was seen in a diary since it was asked for last.
pub(in crate::flow) fn seen(diary: &str) -> Vec<String> {
    DIARIES.lock().unwrap().remove(diary).unwrap_or_default()
}

#[async_trait]
impl Actor for Probe {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let diary = inputs.text("diary").to_owned();
        if let Some(count) = inputs.whole("meet") {
            let count = usize::try_from(count).unwrap();
            let meeting = {
                let mut meetings = MEETINGS.lock().unwrap();
                let new = || Arc::new(Barrier::new(count));
                Arc::clone(meetings.entry(diary.clone()).or_insert_with(new))
            };
            meeting.wait().await;
        }
        let said = crate::flow::expression::text_of(inputs.value("say"));
        let mut diaries = DIARIES.lock().unwrap();
        diaries.entry(diary).or_default().push(said.clone());
        drop(diaries);
        if inputs.flag("stop") {
            run.stop.cancel();
        }
        if inputs.flag("fail") {
            return Err(ActorError::new("Probe", format!("{said} failed")));
        }
        let large = "x".repeat(usize::try_from(inputs.whole("bytes").unwrap_or(0)).unwrap());
        Ok(Map::from_iter([
            ("said".to_owned(), inputs.value("say").clone()),
            ("large".to_owned(), json!(large)),
        ]))
    }
}
