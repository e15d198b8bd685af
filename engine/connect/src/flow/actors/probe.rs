//! Probe: records for tests which actors ran, in which order, and which at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Map, json};
use tokio::sync::Barrier;
use weft_node::flow::FlowFailure;

use crate::flow::actor::{Actor, ActorResult, ActorRun, ActorSpec};
use crate::flow::input::{InputKind, Inputs, optional, required};

#[derive(Debug)]
pub(in crate::flow) struct Probe;

const SPEC: ActorSpec = ActorSpec {
    name: "Probe",
    aliases: &[],
    summary: "records its calls for tests",
    inputs: &[
        required("diary", InputKind::Text, "the diary to write to"),
        required("say", InputKind::Any, "the entry, which it also returns"),
        optional("fail", InputKind::Flag, "it fails"),
        optional("stop", InputKind::Flag, "it stops the flow"),
        optional(
            "meet",
            InputKind::Whole(1, 64),
            "it waits until this many calls of its diary act at once",
        ),
        optional(
            "bytes",
            InputKind::Whole(0, 1 << 30),
            "the length of the text to return as `large`",
        ),
    ],
    outputs: &[("said", "the entry"), ("large", "the text")],
};

static DIARIES: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());
static MEETINGS: Mutex<BTreeMap<String, Arc<Barrier>>> = Mutex::new(BTreeMap::new());

/// Takes the entries of a diary.
pub(in crate::flow) fn seen(diary: &str) -> Vec<String> {
    DIARIES.lock().unwrap().remove(diary).unwrap_or_default()
}

#[async_trait]
impl Actor for Probe {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
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
        let said = crate::flow::value::text_of(inputs.value("say"));
        let mut diaries = DIARIES.lock().unwrap();
        diaries.entry(diary).or_default().push(said.clone());
        drop(diaries);
        if inputs.flag("stop") {
            run.stop.cancel();
        }
        if inputs.flag("fail") {
            return Err(FlowFailure::new("Probe", format!("{said} failed")));
        }
        let large = "x".repeat(usize::try_from(inputs.whole("bytes").unwrap_or(0)).unwrap());
        Ok(Map::from_iter([
            ("said".to_owned(), inputs.value("say").clone()),
            ("large".to_owned(), json!(large)),
        ]))
    }
}
