//! BROADWAY, on a stand-in for flows.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use weft_model::{Principal, Session};
use weft_node::flow::{FlowCall, FlowEnd, FlowFailure, FlowName, FlowPart, FlowRefusal, Flows};
use weft_node::job::FailureKind;

use super::fixture::Fixture;
use crate::{EndStatus, Services, Statements};

/// Answers with its inputs, or with a prepared answer.
#[derive(Debug, Default)]
struct Echo {
    answer: Mutex<Option<Map<String, Value>>>,
    calls: Mutex<Vec<FlowCall>>,
    begun: Notify,
    waits: bool,
}

#[async_trait]
impl Flows for Echo {
    async fn check(
        &self,
        name: &FlowName,
        inputs: &Map<String, Value>,
    ) -> Result<FlowName, FlowRefusal> {
        let refused = |part, message: &str| {
            Err(FlowRefusal {
                part,
                message: message.to_owned(),
                hint: Some("look".to_owned()),
            })
        };
        match (name.flow.as_str(), inputs.get("bad")) {
            ("none", _) => refused(FlowPart::Flow, "no flow"),
            (_, Some(_)) => refused(FlowPart::Input("bad".to_owned()), "bad input"),
            _ => Ok(FlowName {
                logical_unit: name.logical_unit.to_uppercase(),
                flow: name.flow.clone(),
            }),
        }
    }

    async fn inputs(&self, _name: &FlowName) -> Result<Vec<String>, FlowRefusal> {
        Ok(Vec::new())
    }

    async fn run(&self, call: FlowCall) -> Result<FlowEnd, FlowFailure> {
        self.calls.lock().unwrap().push(call.clone());
        self.begun.notify_one();
        if self.waits {
            call.stop.cancelled().await;
            return Err(FlowFailure::new(FailureKind::Stopped, "stopped"));
        }
        let answer = self.answer.lock().unwrap().clone();
        Ok(FlowEnd {
            outputs: answer.unwrap_or(call.inputs),
        })
    }
}

async fn with(echo: Echo) -> (Fixture, Arc<Echo>) {
    let mut fixture = Fixture::new().await;
    let echo = Arc::new(echo);
    let services = fixture.statements.services().clone();
    fixture.statements = Statements::new(Services {
        flows: echo.clone(),
        ..services
    });
    (fixture, echo)
}

#[tokio::test]
async fn outputs_are_columns_rows_or_a_table() {
    let (fixture, echo) = with(Echo::default()).await;
    let answer = fixture.run("broadway lu.f a=1, b='x y'").await.ok();
    assert_eq!(answer.columns, ["a", "b"]);
    assert_eq!(answer.lines(), ["1|x y"]);
    let answer = fixture
        .run("broadway lu.f a=1 b=2 result_structure=row")
        .await
        .ok();
    assert_eq!(answer.columns, ["Name", "Value"]);
    assert_eq!(answer.lines(), ["a|1", "b|2"]);
    let cursor = async |output: Value| {
        let answer = Map::from_iter([("first".to_owned(), output), ("other".to_owned(), json!(1))]);
        *echo.answer.lock().unwrap() = Some(answer);
        fixture.run("BROADWAY lu.f RESULT_STRUCTURE=CURSOR").await
    };
    let answer = cursor(json!([{"a": 1, "b": 2}, {"c": [3], "a": 4}]))
        .await
        .ok();
    assert_eq!(answer.columns, ["a", "b", "c"]);
    assert_eq!(answer.lines(), ["1|2|null", "4|null|[3]"]);
    let answer = cursor(json!([1, {"a": 2}])).await.ok();
    assert_eq!(answer.columns, ["first"]);
    assert_eq!(answer.lines(), ["1", "{\"a\":2}"]);
    assert_eq!(cursor(json!([])).await.ok().columns, ["first"]);
    let answer = cursor(json!("text")).await;
    assert_eq!(answer.end.status, EndStatus::Failed);
    assert!(
        answer.error().contains("`first` is not a list of rows"),
        "{}",
        answer.error()
    );
    *echo.answer.lock().unwrap() = Some(Map::new());
    let answer = fixture.run("BROADWAY lu.f").await.ok();
    assert_eq!(answer.notices, ["Flow LU.f has ended; it has no outputs"]);
}

#[tokio::test]
async fn settings_are_not_inputs() {
    let (fixture, echo) = with(Echo::default()).await;
    let text = "broadway lu.f recoveryId=r, recoveryTtl=3000, recoveryMaxTries=5, a=1";
    fixture.run(text).await.ok();
    fixture.run(text).await.ok();
    fixture.run("broadway lu.f a=1").await.ok();
    let calls = echo.calls.lock().unwrap();
    let [first, second, without] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(Value::Object(first.inputs.clone()), json!({"a": "1"}));
    let recovery = first.recovery.clone().unwrap();
    assert_eq!(recovery.scope, "flow/LU.f/admin/r");
    assert_eq!(recovery.max_tries, Some(5));
    assert_eq!(recovery.time_to_live.unwrap().as_secs(), 3_000);
    assert!(!recovery.keeps_end);
    // Two tries at one run have the same id, and a run without recovery one of its own.
    assert_eq!(first.run_id, second.run_id);
    assert_ne!(first.run_id, without.run_id);
    assert!(without.recovery.is_none());
}

#[tokio::test]
async fn what_cannot_be_called_is_refused_with_its_place() {
    let (fixture, echo) = with(Echo::default()).await;
    let check = async |text: &str, status: EndStatus, expected: &str| {
        let answer = fixture.run(text).await;
        assert_eq!(answer.end.status, status, "{text}");
        assert_eq!(answer.error(), expected, "{text}");
    };
    check(
        "BROADWAY lu.none a=1",
        EndStatus::NotFound,
        "error: no flow\n  BROADWAY lu.none a=1\n              ^^^^\nhint: look",
    )
    .await;
    check(
        "BROADWAY lu.f bad=1",
        EndStatus::Usage,
        "error: bad input\n  BROADWAY lu.f bad=1\n                ^^^\nhint: look",
    )
    .await;
    check(
        "BROADWAY lu.f recoveryId=''",
        EndStatus::Usage,
        "error: recoveryId is empty\n  BROADWAY lu.f recoveryId=''\n                           ^^",
    )
    .await;
    check(
        "BROADWAY lu.f recoveryId=r recoveryMaxTries=0",
        EndStatus::Usage,
        "error: recoveryMaxTries is a whole number from 1 to 1000000, not `0`\n  BROADWAY lu.f recoveryId=r recoveryMaxTries=0\n                                              ^",
    )
    .await;
    let answer = fixture
        .run_as("eve", Session::default(), "BROADWAY lu.f")
        .await;
    assert_eq!(answer.end.status, EndStatus::NotAllowed);
    assert!(
        answer
            .error()
            .contains("eve may not do this: WRITE is needed on LU")
    );
    assert!(echo.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_flow_is_asked_to_stop_when_its_client_disconnects() {
    let waits = Echo {
        waits: true,
        ..Echo::default()
    };
    let (fixture, echo) = with(waits).await;
    let principal = Principal {
        name: "admin".to_owned(),
    };
    let (sender, receiver) = mpsc::channel(8);
    let running = fixture.statements.run(
        &principal,
        "BROADWAY lu.f",
        Session::default(),
        sender,
        CancellationToken::new(),
    );
    let leaves = async {
        echo.begun.notified().await;
        drop(receiver);
    };
    tokio::join!(running, leaves);
    assert!(echo.calls.lock().unwrap()[0].stop.is_cancelled());
}
