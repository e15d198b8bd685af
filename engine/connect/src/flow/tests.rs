//! Flows: errors are reported with their position, and stages run in order, once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::NodeId;
use weft_model::clock::{Clock, SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{Principal, Session};
use weft_node::NodeConfig;
use weft_node::flow::{FlowCall, FlowFailure, FlowName, FlowPart, Flows, Recovery};
use weft_node::job::{CheckpointHolder, CheckpointStore, Slot};
use weft_project::interface::{Environment, InterfaceContext};
use weft_project::{CatalogueError, Project, Validator, Validators};
use weft_sqlite::{Options, SqliteStore};
use weft_statement::LateStatements;

use super::actors::probe::seen;
use super::{FlowRunner, FlowValidator, Tools};
use crate::DeployedProject;
use crate::files::Files;
use crate::http::Http;
use crate::javascript::{JavaScript, Limits};

const LU: &str = "\
root: car
tables:
  car:
    interface: cars
    query: select id, name from cars where id in (:ids)
    id_column: id
    columns: {id: TEXT, name: TEXT}
";

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn environment() -> Environment {
    Environment::from_map(BTreeMap::new())
}

/// Loads a project with these flows; fails with the reported errors.
async fn load(folder: &Path, flows: &[(&str, &str)]) -> Result<Project, Vec<String>> {
    let project = folder.join("project");
    let _ = fs::remove_dir_all(&project);
    write(
        &project,
        "interfaces/cars.yaml",
        &format!("type: csv\npath: {}\n", folder.join("data").display()),
    );
    write(folder, "data/cars.csv", "id,name\n1,one\n2,two\n3,three\n");
    write(&project, "logical_units/CAR/lu.yaml", LU);
    for (name, text) in flows {
        let path = format!("logical_units/CAR/flows/{name}.yaml");
        write(&project, &path, text);
    }
    let surroundings = InterfaceContext {
        clock: Arc::new(SystemClock),
        base: project.clone(),
        scratch: folder.join("scratch"),
        environment: environment(),
        store: None,
    };
    let validators = Validators::new([Arc::new(FlowValidator) as Arc<dyn Validator>]);
    let loaded = Project::load(&project, &surroundings, &validators).await;
    loaded.map_err(|errors| {
        let shorten = |error: String| error.replace("logical_units/CAR/flows/", "");
        errors
            .iter()
            .map(|error| shorten(error.to_string()))
            .collect()
    })
}

/// The errors of a flow.
async fn errors_of(flow: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    load(folder.path(), &[("f", flow)])
        .await
        .err()
        .unwrap_or_default()
}

#[derive(Debug)]
struct Loaded(std::sync::Mutex<Arc<Project>>);

#[async_trait]
impl DeployedProject for Loaded {
    async fn folder(&self) -> Result<Option<std::path::PathBuf>, CatalogueError> {
        Ok(None)
    }

    async fn project(&self) -> Result<Option<Arc<Project>>, CatalogueError> {
        Ok(Some(Arc::clone(&self.0.lock().unwrap())))
    }
}

/// A clock that tests advance.
#[derive(Debug, Default)]
struct TestClock(std::sync::atomic::AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let later = self.0.load(std::sync::atomic::Ordering::SeqCst);
        Timestamp(SystemClock.now().0 + later)
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

struct Bench {
    folder: tempfile::TempDir,
    projects: Arc<Loaded>,
    runner: FlowRunner,
    clock: Arc<TestClock>,
}

impl Bench {
    async fn new(flow: &str) -> Self {
        Self::with(&[("f", flow)]).await
    }

    async fn with(flows: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = load(folder.path(), flows).await.unwrap();
        let projects = Arc::new(Loaded(std::sync::Mutex::new(Arc::new(project))));
        let clock = Arc::new(TestClock::default());
        let shared: SharedClock = clock.clone();
        let options = Options::new(Arc::clone(&shared));
        let store = SqliteStore::open(folder.path().join("weft.db"), options).unwrap();
        let config = NodeConfig::with_defaults(NodeId("n1".to_owned()), folder.path().join("data"));
        let tools = Tools {
            statements: LateStatements::default(),
            http: Http::new(&[], environment()),
            java_script: JavaScript::new(Limits::default(), 4),
            files: Files::new(&[folder.path().to_path_buf()]),
        };
        let checkpoints = CheckpointStore::new(Arc::new(store), Ids::seeded(1), shared);
        let runner = FlowRunner::new(projects.clone(), config, checkpoints, tools);
        Self {
            folder,
            projects,
            runner,
            clock,
        }
    }

    async fn deploy(&self, flow: &str) {
        let project = load(self.folder.path(), &[("f", flow)]).await.unwrap();
        *self.projects.0.lock().unwrap() = Arc::new(project);
    }

    fn call(&self, inputs: Value) -> FlowCall {
        FlowCall {
            name: FlowName {
                logical_unit: "car".to_owned(),
                flow: "F".to_owned(),
            },
            inputs: inputs.as_object().unwrap().clone(),
            principal: Principal {
                name: "admin".to_owned(),
            },
            session: Session::default(),
            run_id: Uuid::from_u128(1),
            recovery: None,
            stop: CancellationToken::new(),
            slot: Slot::default(),
        }
    }

    /// A try at the run `run`, of a job.
    fn attempt(&self, run: u128, fence: i64) -> FlowCall {
        FlowCall {
            run_id: Uuid::from_u128(run),
            recovery: Some(Recovery {
                scope: "job/1".to_owned(),
                holder: CheckpointHolder {
                    job: "j".to_owned(),
                    created: Timestamp(1),
                    fence,
                    node: "n1".to_owned(),
                },
                max_tries: None,
                time_to_live: None,
                keeps_end: true,
            }),
            ..self.call(json!({}))
        }
    }

    async fn run(&self, call: FlowCall) -> Result<Value, FlowFailure> {
        let ran = tokio::time::timeout(Duration::from_secs(60), self.runner.run(call));
        let end = ran.await.expect("the flow ends")?;
        Ok(Value::Object(end.outputs))
    }

    async fn outputs(&self, inputs: Value) -> Value {
        self.run(self.call(inputs)).await.unwrap()
    }

    async fn failure(&self, inputs: Value) -> FlowFailure {
        self.run(self.call(inputs)).await.unwrap_err()
    }
}

#[tokio::test]
async fn stages_run_in_order_and_their_actors_side_by_side() {
    let bench = Bench::new(
        "\
inputs: {who: {default: you}}
stages:
  - name: first
    actors:
      - {name: a, actor: Probe, inputs: {diary: order, say: one, meet: 2}}
      - {name: b, actor: Probe, inputs: {diary: order, say: one, meet: 2}}
  - name: second
    actors:
      - {name: c, actor: Probe, inputs: {diary: order, say: 'two after ${a.said} for ${who}'}}
outputs: {last: '${c.said}', raw: 5, all: ['${a.said}', '${b.said}']}
",
    )
    .await;
    // Each of the two ends only after the other has started.
    let outputs = bench.outputs(json!({})).await;
    assert_eq!(seen("order"), ["one", "one", "two after one for you"]);
    let expected = json!({"last": "two after one for you", "raw": 5, "all": ["one", "one"]});
    assert_eq!(outputs, expected);
}

#[tokio::test]
async fn queries_give_rows_and_links_keep_their_types() {
    let bench = Bench::new(
        "\
inputs: {limit: {required: true, type: number}}
stages:
  - name: read
    actors:
      - {name: cars, actor: SQL, inputs: {interface: cars, sql: 'select id, name from cars order by id limit :n', parameters: {n: '${limit}'}}}
      - {name: set, actor: DbCommand, inputs: {interface: cars, sql: 'select count(*) c from cars where id in (:ids)', parameters: {ids: ['1', '3', 'x']}}}
      - {name: none, actor: DbCommand, inputs: {interface: cars, sql: select id from cars where name = ?, parameters: [\"x' or '1'='1\"]}}
outputs: {rows: '${cars.rows}', second: '${cars.rows.1.name}', set: '${set.first.c}', count: '${none.count}', first: '${none.first}'}
",
    )
    .await;
    let expected = json!({
        "rows": [{"id": "1", "name": "one"}, {"id": "2", "name": "two"}],
        "second": "two", "set": 2, "count": 0, "first": null,
    });
    assert_eq!(bench.outputs(json!({"limit": "2"})).await, expected);
}

#[tokio::test]
async fn a_condition_skips_a_stage() {
    let bench = Bench::new(
        "\
inputs: {n: {default: 0}}
stages:
  - name: some
    condition: ${n} > 1
    actors: [{name: a, actor: Probe, inputs: {diary: condition, say: '${n}'}}]
outputs: {said: '${a.said}'}
",
    )
    .await;
    assert_eq!(bench.outputs(json!({"n": 1})).await, json!({"said": null}));
    assert_eq!(bench.outputs(json!({"n": "2"})).await, json!({"said": "2"}));
    assert_eq!(seen("condition"), ["2"]);
}

#[tokio::test]
async fn loops_run_over_lists_and_queries() {
    let bench = Bench::new(
        "\
stages:
  - name: each
    loop: {over: [3, 1, 2, 5], as: row, parallel: 2, collect: {said: '${a.said}'}}
    actors: [{name: a, actor: Probe, inputs: {diary: loop, say: 'row ${row}', meet: 2}}]
  - name: ids
    loop: {query: {interface: cars, sql: select id from cars where id <> ? order by id, parameters: ['2']}, as: id, collect: {ids: '${id}', names: '${inner.first.name}'}}
    stages:
      - name: look
        actors: [{name: inner, actor: DbCommand, inputs: {interface: cars, sql: select name from cars where id = ?, parameters: ['${id}']}}]
  - name: nothing
    loop: {over: '${ids.missing}', as: none}
    actors: [{name: never, actor: Probe, inputs: {diary: loop, say: never}}]
outputs: {said: '${each.said}', count: 'Loop executed ${each.count} times', ids: '${ids.ids}', names: '${ids.names}', none: '${nothing.count}'}
"
        .replace("${ids.missing}", "${each.said.9}")
        .as_str(),
    )
    .await;
    let expected = json!({
        "said": ["row 3", "row 1", "row 2", "row 5"], "count": "Loop executed 4 times",
        "ids": ["1", "3"], "names": ["one", "three"], "none": 0,
    });
    assert_eq!(bench.outputs(json!({})).await, expected);
    let mut seen = seen("loop");
    seen.sort();
    assert_eq!(seen, ["row 1", "row 2", "row 3", "row 5"]);
}

#[tokio::test]
async fn after_an_error_handler_a_flow_fails_or_continues() {
    let flow = |then: &str| {
        format!(
            "\
stages:
  - name: risky
    actors:
      - {{name: good, actor: Probe, inputs: {{diary: handler, say: good}}}}
      - {{name: bad, actor: Probe, inputs: {{diary: handler, say: bad, fail: true}}}}
    on_error:
      actors:
        - {{name: note, actor: Probe, inputs: {{diary: handler, say: 'saw ${{error.message}} (${{error.type}} in ${{error.stage}})'}}}}
        - {{name: more, actor: Probe, inputs: {{diary: handler, say: 'after ${{note.said}}'}}}}
      then: {then}
outputs: {{good: '${{good.said}}', bad: '${{bad.said}}'}}
"
        )
    };
    let bench = Bench::new(&flow("continue")).await;
    assert_eq!(
        bench.outputs(json!({})).await,
        json!({"good": "good", "bad": null})
    );
    let saw = "saw stage risky: bad: bad failed (Probe in risky)";
    let expected = ["good", "bad", saw, &format!("after {saw}")];
    assert_eq!(seen("handler"), expected);
    let bench = Bench::new(&flow("fail")).await;
    let failure = bench.failure(json!({})).await;
    assert_eq!(failure.exception_type(), "Probe");
    assert_eq!(failure.message, "stage risky: bad: bad failed");
    assert_eq!(seen("handler").len(), 4);
}

#[tokio::test]
async fn the_failure_of_a_handler_includes_the_handled_one() {
    let bench = Bench::new(
        "\
stages:
  - name: risky
    actors:
      - {name: a, actor: Probe, inputs: {diary: throws, say: first, fail: true}}
      - {name: b, actor: Probe, inputs: {diary: throws, say: second, fail: true}}
    on_error:
      actors: [{name: c, actor: Probe, inputs: {diary: throws, say: third, fail: true}}]
      then: continue
",
    )
    .await;
    let failure = bench.failure(json!({})).await;
    assert_eq!(
        failure.message,
        "stage risky: a: first failed; and b: second failed; and its error handler failed: c: third failed"
    );
}

#[tokio::test]
async fn a_loop_handles_each_row_and_starts_none_after_a_failure() {
    let flow = |handler: &str| {
        format!(
            "\
stages:
  - name: each
    loop: {{over: [1, 2, 3], as: row, collect: {{said: '${{a.said}}'}}}}
    stages:
      - name: step
        actors: [{{name: a, actor: Probe, inputs: {{diary: rows, say: '${{row}}', fail: '${{flags.${{row}}}}'}}}}]
{handler}
outputs: {{said: '${{each.said}}', count: '${{each.count}}'}}
"
        )
        .replace("'${flags.${row}}'", "'${row.bad}'")
        .replace("[1, 2, 3]", "[{n: 1}, {n: 2, bad: true}, {n: 3}]")
        .replace("say: '${row}'", "say: '${row.n}'")
    };
    let handler = "    on_error: {then: continue, actors: [{name: h, actor: Probe, inputs: {diary: rows, say: 'handled ${row.n}'}}]}";
    let bench = Bench::new(&flow(handler)).await;
    let outputs = bench.outputs(json!({})).await;
    assert_eq!(outputs, json!({"said": [1, null, 3], "count": 3}));
    assert_eq!(seen("rows"), ["1", "2", "handled 2", "3"]);
    let bench = Bench::new(&flow("")).await;
    let failure = bench.failure(json!({})).await;
    assert_eq!(failure.message, "stage step: a: 2 failed");
    assert_eq!(seen("rows"), ["1", "2"]);
}

#[tokio::test]
async fn a_stopped_flow_ends_between_two_stages() {
    let bench = Bench::new(
        "\
stages:
  - name: first
    actors: [{name: a, actor: Probe, inputs: {diary: stop, say: first, stop: true}}]
    on_error: {then: continue}
  - name: second
    actors: [{name: b, actor: Probe, inputs: {diary: stop, say: second}}]
",
    )
    .await;
    let failure = bench.failure(json!({})).await;
    assert_eq!(failure.exception_type(), "Stopped");
    assert_eq!(failure.message, "it was stopped before stage second");
    assert_eq!(seen("stop"), ["first"]);
    let sleeps = Bench::new(
        "\
stages:
  - name: long
    actors:
      - {name: s, actor: Sleep, inputs: {ms: 80000000}}
      - {name: a, actor: Probe, inputs: {diary: sleep, say: x, stop: true}}
    on_error: {then: continue}
",
    )
    .await;
    let failure = sleeps.failure(json!({})).await;
    assert_eq!(failure.exception_type(), "Stopped", "{}", failure.message);
}

#[tokio::test]
async fn no_name_that_a_function_throws_skips_error_handlers() {
    for name in ["Stopped", "Recovery"] {
        let diary = format!("thrown {name}");
        let throws = format!(
            "{{actor: JavaScript, name: js, inputs: {{script: \"const e = new Error('no'); e.name = '{name}'; throw e\"}}}}"
        );
        let bench = Bench::new(&format!(
            "\
stages:
  - name: outer
    stages:
      - name: risky
        loop: {{over: [1], as: row}}
        actors: [{throws}]
    on_error:
      actors: [{{name: note, actor: Probe, inputs: {{diary: {diary}, say: '${{error.type}}'}}}}]
      then: continue
  - name: next
    actors: [{{name: more, actor: Probe, inputs: {{diary: {diary}, say: next}}}}]
"
        ))
        .await;
        bench.outputs(json!({})).await;
        assert_eq!(seen(&diary), [name, "next"]);
        // Without a handler, and in a handler, the name is only shown.
        let bench = Bench::new(&format!(
            "\
stages:
  - name: risky
    actors: [{{name: bad, actor: Probe, inputs: {{diary: {diary}, say: bad, fail: true}}}}]
    on_error: {{actors: [{throws}]}}
"
        ))
        .await;
        let failure = bench.failure(json!({})).await;
        assert_eq!(failure.exception_type(), "Probe");
        let bench = Bench::new(&format!("stages: [{{name: s, actors: [{throws}]}}]\n")).await;
        let failure = bench.failure(json!({})).await;
        assert_eq!(failure.exception_type(), name);
    }
}

const THREE: &str = "\
stages:
  - name: one
    actors: [{name: a, actor: Probe, inputs: {diary: DIARY, say: 1, bytes: 600000}}]
  - name: group
    stages:
      - {name: two, actors: [{name: b, actor: Probe, inputs: {diary: DIARY, say: 2}}]}
      - {name: three, actors: [{name: c, actor: Probe, inputs: {diary: DIARY, say: '${b.said} then 3', fail: FAIL}}]}
outputs: {c: '${c.said}', large: '${a.said}'}
";

fn three(diary: &str, fails: bool) -> String {
    THREE
        .replace("DIARY", diary)
        .replace("FAIL", &format!("'{fails}'"))
}

#[tokio::test]
async fn another_try_continues_after_the_finished_stages() {
    let bench = Bench::new(
        "\
stages:
  - name: one
    actors: [{name: a, actor: Probe, inputs: {diary: again, say: 1, bytes: 600000}}]
  - name: group
    stages:
      - {name: two, actors: [{name: b, actor: Probe, inputs: {diary: again, say: 2}}]}
      - {name: last, actors: [{name: r, actor: FileRead, inputs: {path: flag.txt}}]}
  - name: end
    actors: [{name: c, actor: Probe, inputs: {diary: again, say: '${b.said} and ${r.text}'}}]
outputs: {c: '${c.said}', large: '${a.large}'}
",
    )
    .await;
    let failure = bench.run(bench.attempt(1, 1)).await.unwrap_err();
    assert!(failure.message.contains("it does not exist"), "{failure}");
    assert_eq!(seen("again"), ["1", "2"]);
    fs::write(bench.folder.path().join("flag.txt"), "go").unwrap();
    let outputs = bench.run(bench.attempt(1, 2)).await.unwrap();
    // The outputs of stage one were saved, though they are longer than one write.
    assert_eq!(outputs["large"].as_str().unwrap().len(), 600_000);
    assert_eq!(outputs["c"], "2 and go");
    assert_eq!(seen("again"), ["2 and go"]);
    // A new run of the job starts over.
    bench.run(bench.attempt(2, 3)).await.unwrap();
    assert_eq!(seen("again"), ["1", "2", "2 and go"]);
}

#[tokio::test]
async fn a_try_after_the_end_returns_the_same_outputs() {
    let bench = Bench::new(&three("kept", false)).await;
    let first = bench.run(bench.attempt(1, 1)).await.unwrap();
    assert_eq!(seen("kept"), ["1", "2", "2 then 3"]);
    let second = bench.run(bench.attempt(1, 2)).await.unwrap();
    assert_eq!(first, second);
    assert!(seen("kept").is_empty());
    // The same statement of BROADWAY runs again once it has ended.
    let mut call = bench.attempt(1, 3);
    if let Some(recovery) = &mut call.recovery {
        recovery.scope = "flow/x".to_owned();
        recovery.keeps_end = false;
    }
    for _ in 0..2 {
        bench.run(call.clone()).await.unwrap();
        assert_eq!(seen("kept").len(), 3);
    }
}

#[tokio::test]
async fn checkpoints_of_another_flow_or_too_old_or_tried_too_often_do_not_count() {
    let bench = Bench::new(&three("stale", true)).await;
    let fail = async |fence: i64, expected: &[&str]| {
        let mut call = bench.attempt(1, fence);
        if let Some(recovery) = &mut call.recovery {
            recovery.max_tries = Some(3);
            recovery.time_to_live = Some(Duration::from_secs(60));
        }
        bench.run(call).await.unwrap_err();
        assert_eq!(seen("stale"), expected, "{fence}");
    };
    let (all, last) = (["1", "2", "2 then 3"], ["2 then 3"]);
    fail(1, &all).await;
    fail(2, &last).await;
    fail(3, &last).await;
    // After three tries the fourth starts over.
    fail(4, &all).await;
    fail(5, &last).await;
    bench
        .clock
        .0
        .store(61_000, std::sync::atomic::Ordering::SeqCst);
    fail(6, &all).await;
    fail(7, &last).await;
    bench
        .deploy(&format!("# another\n{}", three("stale", true)))
        .await;
    fail(8, &all).await;
}

#[tokio::test]
async fn an_earlier_try_that_was_replaced_fails() {
    let bench = Bench::new(&three("replaced", false)).await;
    bench.run(bench.attempt(1, 2)).await.unwrap();
    let failure = bench.run(bench.attempt(1, 1)).await.unwrap_err();
    assert_eq!(failure.exception_type(), "Recovery");
    assert!(
        failure.message.contains("another run has taken over"),
        "{failure}"
    );
}

#[tokio::test]
async fn outputs_are_bounded() {
    let flow =
        |body: &str| format!("stages:\n  - name: s\n{body}\noutputs: {{n: '${{s.count}}'}}\n");
    let one =
        "    actors: [{name: a, actor: Probe, inputs: {diary: large, say: x, bytes: 9000000}}]";
    let bench = Bench::new(&flow(one).replace("${s.count}", "${a.said}")).await;
    let failure = bench.failure(json!({})).await;
    assert!(
        failure
            .message
            .contains("an actor may return at most 8 MiB"),
        "{failure}"
    );
    // Of its rows a loop keeps only the collected values.
    let rows: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let repeated = |collect: &str| {
        let body = format!(
            "    loop: {{over: [{}], as: row, collect: {{all: '{collect}'}}}}\n    actors: [{{name: a, actor: Probe, inputs: {{diary: large, say: x, bytes: 7000000}}}}]",
            rows.join(",")
        );
        flow(&body)
    };
    let bench = Bench::new(&repeated("${a.said}")).await;
    assert_eq!(bench.outputs(json!({})).await, json!({"n": 20}));
    let bench = Bench::new(&repeated("${a.large}")).await;
    let failure = bench.failure(json!({})).await;
    assert!(
        failure.message.contains("collects has more than 8 MiB"),
        "{failure}"
    );
    let stages: String = (0..10)
        .map(|n| format!("  - {{name: s{n}, actors: [{{name: a{n}, actor: Probe, inputs: {{diary: large, say: x, bytes: 7000000}}}}]}}\n"))
        .collect();
    let bench = Bench::new(&format!("stages:\n{stages}")).await;
    let failure = bench.failure(json!({})).await;
    assert!(
        failure.message.contains("more than 64 MiB of outputs"),
        "{failure}"
    );
}

#[tokio::test]
async fn calls_are_checked() {
    let bench = Bench::new(
        "\
inputs:
  limit: {required: true}
  topic: {required: true, type: text}
  much: {type: number, default: 1}
  list: {type: list}
stages: [{name: s, actors: [{name: a, actor: Const, inputs: {value: '${list}'}}]}]
outputs: {list: '${a.value}'}
",
    )
    .await;
    let check = async |unit: &str, flow: &str, inputs: Value| {
        let name = FlowName {
            logical_unit: unit.to_owned(),
            flow: flow.to_owned(),
        };
        let inputs = inputs.as_object().unwrap().clone();
        match bench.runner.check(&name, &inputs).await {
            Ok(name) => Ok(name.to_string()),
            Err(refusal) => Err((
                refusal.part,
                refusal.message,
                refusal.hint.unwrap_or_default(),
            )),
        }
    };
    let refused = |part: FlowPart, message: &str, hint: &str| {
        Err((part, message.to_owned(), hint.to_owned()))
    };
    let right = json!({"limit": 1, "topic": 5});
    assert_eq!(
        check("car", "F", right.clone()).await,
        Ok("CAR.f".to_owned())
    );
    assert_eq!(
        check("cat", "f", right.clone()).await,
        refused(
            FlowPart::LogicalUnit,
            "there is no logical unit `cat`",
            "did you mean `CAR`?"
        )
    );
    assert_eq!(
        check("CAR", "nothing", right.clone()).await,
        refused(FlowPart::Flow, "there is no flow `nothing`", "CAR has f")
    );
    assert_eq!(
        check("CAR", "f", json!({})).await,
        refused(
            FlowPart::Call,
            "the inputs `limit`, `topic` must be given",
            ""
        )
    );
    let input = |name: &str| FlowPart::Input(name.to_owned());
    assert_eq!(
        check("CAR", "f", json!({"limt": 1})).await,
        refused(
            input("limt"),
            "the flow has no input `limt`",
            "did you mean `limit`?"
        )
    );
    assert_eq!(
        check(
            "CAR",
            "f",
            json!({"limit": 1, "topic": "x", "much": "many"})
        )
        .await,
        refused(
            input("much"),
            "the input `much` must be a number, not `many`",
            ""
        )
    );
    let lists = json!({"limit": 1, "topic": "x", "list": "[1,\"a\"]"});
    assert_eq!(bench.outputs(lists).await, json!({"list": [1, "a"]}));
}

#[tokio::test]
async fn flows_run_flows_and_no_flow_runs_itself() {
    let bench = Bench::with(&[
        (
            "f",
            "stages: [{name: s, actors: [{name: a, actor: InnerFlow, inputs: {flow: g, inputs: {x: '${n}'}}}]}]\ninputs: {n: }\noutputs: {got: '${a.outputs.y}'}\n",
        ),
        (
            "g",
            "inputs: {x: {required: true}}\nstages: [{name: s, actors: [{name: a, actor: Const, inputs: {value: 'x is ${x}'}}]}]\noutputs: {y: '${a.value}'}\n",
        ),
    ])
    .await;
    assert_eq!(
        bench.outputs(json!({"n": 7})).await,
        json!({"got": "x is 7"})
    );
    let failure = bench.failure(json!({})).await;
    assert_eq!(
        failure.message,
        "stage s: a: flow CAR.g: the input `x` must be given"
    );
    let folder = tempfile::tempdir().unwrap();
    let f = "stages: [{name: s, actors: [{name: a, actor: InnerFlow, inputs: {flow: g, inputs: {y: 1, z: '${n}'}}}]}]\ninputs: {n: }\n";
    let g = "inputs: {x: {required: true}}\nstages: [{name: s, actors: []}]\n";
    let errors = load(folder.path(), &[("f", f), ("g", g)]).await;
    let place = "f.yaml:1: stages.s.actors.inputs.flow";
    let expected = [
        format!("{place}: the flow has no input `y`; did you mean `x`?"),
        format!("{place}: the flow has no input `z`; did you mean `x`?"),
        format!("{place}: the input `x` of that flow must be given"),
    ];
    assert_eq!(errors.unwrap_err(), expected);
    let calls = |flow: &str| {
        format!(
            "stages: [{{name: s, actors: [{{name: a, actor: Broadway, inputs: {{flow: {flow}}}}}]}}]\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let (f, g, h) = (calls("g"), calls("CAR.h"), calls("F"));
    let flows = [("f", f.as_str()), ("g", g.as_str()), ("h", h.as_str())];
    let errors = load(folder.path(), &flows).await.unwrap_err();
    let circle = |flow: &str| {
        format!(
            "{flow}.yaml:1: stages.s.actors.inputs.flow: flow CAR.{flow} would run itself again and again"
        )
    };
    assert_eq!(errors, ["f", "g", "h"].map(circle));
}

#[tokio::test]
async fn files_are_read_and_written() {
    let bench = Bench::new(
        "\
stages:
  - name: write
    actors: [{name: w, actor: FileWrite, inputs: {path: out.json, content: {a: [1, '${n}']}, replace: false}}]
  - name: read
    actors: [{name: r, actor: FileRead, inputs: {path: '${w.path}'}}]
inputs: {n: }
outputs: {text: '${r.text}', bytes: '${w.bytes}'}
",
    )
    .await;
    let outputs = bench.outputs(json!({"n": "x"})).await;
    assert_eq!(outputs, json!({"text": "{\"a\":[1,\"x\"]}", "bytes": 13}));
    let failure = bench.failure(json!({})).await;
    assert!(failure.message.ends_with("it already exists"), "{failure}");
}

#[tokio::test]
async fn errors_of_a_flow_are_reported_with_their_position() {
    let check = async |flow: &str, expected: &[&str]| {
        assert_eq!(errors_of(flow).await, expected, "{flow}");
    };
    check("{}", &["f.yaml:1: stages: is missing"]).await;
    check(
        "stages: {}",
        &["f.yaml:1: stages: must be a list, not a map"],
    )
    .await;
    check(
        "stages:\n  - name: s\n    actors:\n      - name: a\n        actor: DbComand\n        inputs: {interface: x}\n",
        &["f.yaml:5: stages.s.actors.actor: there is no actor `DbComand`; did you mean `DbCommand`?"],
    )
    .await;
    check(
        "stages:\n  - name: s\n    actors:\n      - name: a\n        actor: DbCommand\n        inputs:\n          interface: car\n          sq: select 1\n",
        &[
            "f.yaml:4: stages.s.actors: DbCommand needs the input `sql`",
            "f.yaml:7: stages.s.actors.inputs.interface: there is no interface `car`; did you mean `cars`?",
            "f.yaml:8: stages.s.actors.inputs.sq: DbCommand has no input `sq`; did you mean `sql`?",
        ],
    )
    .await;
    check(
        "stages:\n  - name: s\n    actors:\n      - {name: a, actor: DbCommand, inputs: {interface: cars, sql: selec 1}}\n      - {name: b, actor: DbCommand, inputs: {interface: cars, sql: 'select ${a.x}'}}\n",
        &[
            "f.yaml:4: stages.s.actors.inputs.sql: interface cars: near \"selec\": syntax error",
            "f.yaml:5: stages.s.actors.inputs.sql: takes no links `${…}`: values go into `parameters`, or into other inputs",
        ],
    )
    .await;
    check(
        "\
inputs: {x: }
stages:
  - name: one
    actors:
      - {name: a, actor: Const, inputs: {value: '${b.value}'}}
      - {name: b, actor: Const, inputs: {value: '${c.value}'}}
      - {name: d, actor: Const, inputs: {value: '${d.value} ${missing} ${y}'}}
  - name: two
    condition: ${a.valu} == 1
    actors:
      - {name: c, actor: Const, inputs: {value: '${a.value}'}}
      - {name: a, actor: Const, inputs: {value: '${x}'}}
  - name: loops
    loop: {over: '${c.value}', as: row, collect: {v: '${e.value}'}}
    actors: [{name: e, actor: Const, inputs: {value: '${row.x}'}}]
  - name: three
    actors:
      - {name: f, actor: Const, inputs: {value: '${e.value} ${row} ${loops.v} ${loops.w}'}}
outputs: {x: '${f.value}', y: '${error.message}'}
",
        &[
            "f.yaml:5: stages.one.actors.inputs.value: `b` (line 6) is not visible here: a link may use stages that ended before, rows of enclosing loops, and inputs",
            "f.yaml:6: stages.one.actors.inputs.value: `c` (line 11) is not visible here: a link may use stages that ended before, rows of enclosing loops, and inputs",
            "f.yaml:7: stages.one.actors.inputs.value: `d` (line 7) is not visible here: a link may use stages that ended before, rows of enclosing loops, and inputs",
            "f.yaml:7: stages.one.actors.inputs.value: there is no `missing`",
            "f.yaml:7: stages.one.actors.inputs.value: there is no `y`; did you mean `x`?",
            "f.yaml:9: stages.two.condition: `a` has no output `valu`; did you mean `value`?",
            "f.yaml:12: stages.two.actors.name: `a` is already used in line 5",
            "f.yaml:18: stages.three.actors.inputs.value: `e` (line 15) is not visible here: a link may use stages that ended before, rows of enclosing loops, and inputs",
            "f.yaml:18: stages.three.actors.inputs.value: `loops` has no output `w`; did you mean `v`?",
            "f.yaml:18: stages.three.actors.inputs.value: `row` (line 14) is not visible here: a link may use stages that ended before, rows of enclosing loops, and inputs",
            "f.yaml:19: outputs.y: there is no `error`",
        ],
    )
    .await;
    check(
        "\
inputs: {recoveryid: , n: {type: whole, required: yes}, o: {type: number, default: x}}
stages:
  - name: s
    transaction: [cars]
    condition: a = 1
    loop: {as: row, parallel: 65}
    actors: []
    stages: []
    on_error: {then: go}
  - name: t
  - actors: []
",
        &[
            "f.yaml:1: inputs.n.required: must be true or false, not `yes`",
            "f.yaml:1: inputs.n.type: `whole` is not an input type: the types are any, text, number, boolean, list, map",
            "f.yaml:1: inputs.o.default: must be a number, not `x`",
            "f.yaml:1: inputs.recoveryid: `recoveryid` is a setting of BROADWAY",
            "f.yaml:4: stages.s.transaction: interface cars cannot take part in a transaction: interfaces are read-only",
            "f.yaml:5: stages.s.condition: `a = 1` is not a condition: `a` is not a value: write a link `${…}`, a number, a text in quotes, true, false or null",
            "f.yaml:6: stages.s.loop: a loop has either `over`, a list, or `query`, whose rows are not kept in memory",
            "f.yaml:6: stages.s.loop.parallel: must be a whole number from 1 to 64, not `65`",
            "f.yaml:8: stages.s.stages: a stage has either `actors`, all at once, or `stages`, one after the other",
            "f.yaml:9: stages.s.on_error.then: must be fail or continue, not `go`",
            "f.yaml:10: stages.t: has neither `actors` nor `stages`",
            "f.yaml:11: stages.name: is missing",
        ],
    )
    .await;
    check(
        "\
stages:
  - name: s
    actors:
      - {name: a, actor: FabricCommand, inputs: {command: 'sync_instance CAR.?'}}
      - {name: b, actor: FabricCommand, inputs: {command: 'sync_instnce CAR.?', parameters: ['1']}}
      - {name: c, actor: FabricCommand, inputs: {command: BATCH_PAUSE 'x'}}
      - {name: d, actor: Log, inputs: {message: x, level: loud}}
      - {name: e, actor: Sleep, inputs: {ms: long}}
      - {name: f, actor: JobWait, inputs: {type: PROCES, name: x}}
      - {name: g, actor: InnerFlow, inputs: {flow: gg}}
      - {name: h, actor: Http, inputs: {url: 'http://a', secret_headers: {Authorization: Bearer}}}
      - {name: i, actor: BroadwayJob, inputs: {flow: CAT.f}}
"
        .replace("BATCH_PAUSE 'x'", "\"BATCH_PAUSE 'x'\"")
        .as_str(),
        &[
            "f.yaml:4: stages.s.actors.inputs.command: the statement has 1 `?`, and 0 values were given",
            "f.yaml:5: stages.s.actors.inputs.command: unknown command `sync_instnce`",
            "f.yaml:6: stages.s.actors.inputs.command: BATCH_PAUSE is not available in this version",
            "f.yaml:7: stages.s.actors.inputs.level: must be info or warn, not `loud`",
            "f.yaml:8: stages.s.actors.inputs.ms: must be a whole number from 0 to 86400000, not `long`",
            "f.yaml:9: stages.s.actors.inputs.type: there is no type of job `PROCES`; did you mean `PROCESS`?",
            "f.yaml:10: stages.s.actors.inputs.flow: there is no flow `gg`; did you mean `f`?",
            "f.yaml:11: stages.s.actors.inputs.secret_headers: must be a map of `env:NAME`, without links",
            "f.yaml:12: stages.s.actors.inputs.flow: there is no logical unit `CAT`; did you mean `CAR`?",
        ],
    )
    .await;
    check(
        "stages: [",
        &["f.yaml:2: not YAML: while parsing a node, did not find expected node content"],
    )
    .await;
}

#[tokio::test]
async fn flows_are_bounded_in_size() {
    let deep = (0..12).fold("actors: []".to_owned(), |inner, n| {
        format!("stages: [{{name: s{n}, {inner}}}]")
    });
    let errors = errors_of(&deep).await;
    assert!(
        errors[0].contains("stages may be nested at most 8 deep"),
        "{errors:?}"
    );
    let many: String = (0..501)
        .map(|n| format!("  - {{name: s{n}, actors: []}}\n"))
        .collect();
    let errors = errors_of(&format!("stages:\n{many}")).await;
    assert_eq!(
        errors,
        ["f.yaml:502: stages: a flow has at most 500 stages"]
    );
}

#[test]
fn every_actor_is_documented() {
    let mut names: Vec<&str> = super::actors::names().collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "each has a name of its own");
    let known: Map<String, Value> = Map::new();
    for actor in super::actors::ACTORS {
        let spec = actor.spec();
        assert!(!spec.summary.is_empty() && spec.inputs.iter().all(|input| !input.help.is_empty()));
        assert!(!known.contains_key(spec.name));
    }
}
