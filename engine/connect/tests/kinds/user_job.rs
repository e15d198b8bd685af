//! USER_JOB with a deployed project.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weft_connect::{Parts, kinds, validators};
use weft_model::NodeId;
use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_node::NodeConfig;
use weft_node::job::{
    CheckpointStore, JobKinds, Lender, OUTPUT_BYTES, Retry, Run, RunEnd, RunFailure, Slot,
};
use weft_node::trace::Traces;
use weft_project::interface::Environment;
use weft_project::{CatalogueError, ProjectCatalogue};
use weft_sqlite::{Options, SqliteStore};
use weft_statement::LateStatements;
use weft_store::SelfFence;
use weft_store::SharedStore;

use crate::bench::{Calls, PATIENCE, failed, job, succeeded};

const LU: &str = "description: one car\nroot: car\nids: select id from cars\ntables:\n  car:\n    interface: cars\n    query: select id, name from cars where id in (:ids)\n    id_column: id\n    key: [id]\n    columns: {id: TEXT, name: TEXT}\n";

struct Node {
    folder: tempfile::TempDir,
    clock: SharedClock,
    catalogue: Arc<ProjectCatalogue>,
    kinds: JobKinds,
    ids: Ids,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let store = SqliteStore::open(
            folder.path().join("store"),
            Options::new(Arc::clone(&clock)),
        );
        let store: SharedStore = Arc::new(store.unwrap());
        let environment =
            Environment::from_map(BTreeMap::from([("PW".to_owned(), "hush".to_owned())]));
        let data = folder.path().join("data");
        let config = NodeConfig::with_defaults(NodeId("n1".to_owned()), data.clone());
        let catalogue = ProjectCatalogue::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            data,
            environment.clone(),
        );
        let catalogue = Arc::new(catalogue.with_validators(validators()));
        let kinds = JobKinds::new(kinds(Parts {
            projects: Arc::clone(&catalogue) as Arc<_>,
            config,
            environment,
            call_back: Arc::new(Calls::default()),
            traces: Traces::default(),
            statements: LateStatements::default(),
            checkpoints: CheckpointStore::new(
                Arc::clone(&store),
                Ids::seeded(2),
                Arc::clone(&clock),
            ),
            store,
        }));
        let node = Self {
            folder,
            clock,
            catalogue,
            kinds,
            ids: Ids::seeded(1),
        };
        node.file("logical_units/CARS/lu.yaml", LU);
        node.file(
            "interfaces/cars.yaml",
            "type: csv\npath: ${PROJECT_DIR}/data/cars.csv\n",
        );
        node.file("data/cars.csv", "id,name\n1,Ford\n2,\"O'Brien\"\n3,Fiat\n");
        node
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.folder.path().join("project").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    fn function(&self, name: &str, text: &str) {
        self.file(&format!("logical_units/CARS/functions/{name}.js"), text);
    }

    async fn deploy(&self) -> Result<(), Vec<String>> {
        let project = self.folder.path().join("project");
        let self_fence = SelfFence::for_duration(Arc::clone(&self.clock), PATIENCE);
        let deployed = self
            .catalogue
            .deploy(&project, "tester", &self.ids, &self_fence)
            .await;
        match deployed {
            Ok(_) => Ok(()),
            Err(CatalogueError::Invalid(errors)) => {
                Err(errors.iter().map(ToString::to_string).collect())
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn refusal(&self, name: &str, arguments: &Value) -> String {
        let kind = self.kinds.get("USER_JOB").unwrap();
        let check = kind
            .check(&job("USER_JOB", name, arguments))
            .await
            .unwrap_err();
        match check.hint {
            Some(hint) => format!("{} | {hint}", check.message),
            None => check.message,
        }
    }

    async fn run(&self, name: &str, arguments: &Value) -> RunEnd {
        let kind = self.kinds.get("USER_JOB").unwrap();
        let job = job("USER_JOB", name, arguments);
        kind.check(&job).await.unwrap();
        let run = kind.run(Run {
            job,
            stop: CancellationToken::new(),
            slot: Slot::default(),
        });
        timeout(PATIENCE, run).await.expect("the run ends")
    }

    /// Deploys a function and runs it.
    async fn end_of(&self, text: &str, arguments: &Value) -> RunEnd {
        self.function("f", text);
        self.deploy().await.unwrap();
        self.run("CARS.f", arguments).await
    }
}

#[tokio::test]
async fn a_function_runs_with_its_arguments_and_its_value_is_the_output() {
    let node = Node::new();
    let source = "function f(from, upTo = '9') {\n  const cars = db('cars');\n  const ids = cars.fetch('select id, name from cars where id >= ? and id <= ? order by id', from, upTo);\n  log.info(ids.length, 'cars');\n  return [ids.map((row) => row.name), cars.fetchValue('select count(*) from cars where name = ?', \"O'Brien\"), cars.fetchFirst('select id from cars where id = 7')];\n}";
    let arguments = json!({"from": "2", "session_scope": "{\"scope\":{}}"});
    let output = succeeded(node.end_of(source, &arguments).await);
    assert_eq!(
        output.text.as_deref(),
        Some("INFO 2 cars\n[[\"O'Brien\",\"Fiat\"],1,null]")
    );
    assert_eq!(output.exit_code, None);
    let output = node
        .end_of("function f() { return 1000; }", &json!({}))
        .await;
    assert_eq!(succeeded(output).text.as_deref(), Some("1000"));
    let output = node.end_of("function f() {}", &json!({})).await;
    assert_eq!(succeeded(output).text, None);
}

#[tokio::test]
async fn secrets_are_references_in_the_row_and_resolved_on_the_node() {
    let node = Node::new();
    let source = "function f(password, plain) { return [password, plain]; }";
    let arguments = json!({"password": "env:PW", "plain": "env:PW"});
    let output = succeeded(node.end_of(source, &arguments).await);
    assert_eq!(output.text.as_deref(), Some(r#"["hush","env:PW"]"#));
    for (variable, expected) in [
        ("NO", "NO, which is not set on this node"),
        ("WEFT_TOKEN", "WEFT_TOKEN, which belongs to the node"),
    ] {
        let arguments = json!({ "password": format!("env:{variable}") });
        let failure = failed(node.run("CARS.f", &arguments).await);
        let expected = format!("the argument `password` names {expected}");
        assert_eq!(
            (failure.exception_type(), failure.message.clone()),
            ("Function", expected)
        );
    }
}

#[tokio::test]
async fn jobs_that_cannot_run_are_refused_with_a_hint() {
    let node = Node::new();
    let check = async |name: &str, arguments: Value, expected: &str| {
        assert_eq!(node.refusal(name, &arguments).await, expected);
    };
    check(
        "CARS.countCars",
        json!({}),
        "no project is deployed | DEPLOY '<folder>' deploys one",
    )
    .await;
    node.function("countCars", "function countCars(maker, year) {}");
    node.function("other", "function other() {}");
    node.deploy().await.unwrap();
    node.run("cars.COUNTCARS", &json!({"year": 1})).await;
    for (name, arguments, expected) in [
        (
            "countCars",
            json!({}),
            "`countCars` does not name a function | write NAME='<logical unit>.<function>'",
        ),
        (
            "CAR.countCars",
            json!({}),
            "there is no logical unit `CAR` | did you mean `CARS`?",
        ),
        (
            "NOWHERE.countCars",
            json!({}),
            "there is no logical unit `NOWHERE` | there is CARS",
        ),
        (
            "CARS.countCar",
            json!({}),
            "there is no function `countCar` in CARS | did you mean `countCars`?",
        ),
        (
            "CARS.x",
            json!({}),
            "there is no function `x` in CARS | there are countCars, other",
        ),
        (
            "CARS.countCars",
            json!({"yaer": 1}),
            "the function countCars has no parameter `yaer` | did you mean `year`?",
        ),
        (
            "CARS.countCars",
            json!({"0": 1}),
            "the function countCars has no parameter `0` | its parameters are maker, year",
        ),
        (
            "CARS.other",
            json!({"a": 1}),
            "the function other has no parameter `a` | other has no parameters",
        ),
    ] {
        check(name, arguments, expected).await;
    }
}

#[tokio::test]
async fn functions_that_cannot_be_called_are_reported_at_deployment() {
    let node = Node::new();
    node.function("good", "function good() {}");
    node.function("wrong", "function wrong() {\n  return (;\n}");
    node.function("named", "function name() {}");
    node.function("destructs", "// first\nfunction destructs({a}) {}");
    let found = node.deploy().await.unwrap_err();
    let folder = "logical_units/CARS/functions";
    let expected = [
        format!(
            "{folder}/destructs.js:2: function destructs: the parameter `{{a}}` has no name that ARGS could use"
        ),
        format!("{folder}/named.js:1: the file declares no `function named(…)`"),
        format!("{folder}/wrong.js:2: SyntaxError: unexpected token in expression: ';'"),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_failure_has_a_type_a_location_and_a_retry() {
    let node = Node::new();
    let check = async |text: &str, exception: &str, message: &str, retry: Retry| {
        let failure = failed(node.end_of(text, &json!({})).await);
        let expected = RunFailure {
            retry,
            output: failure.output.clone(),
            ..RunFailure::new(exception, message)
        };
        assert_eq!(failure, expected);
    };
    let at = |line: usize| format!("(logical_units/CARS/functions/f.js:{line})");
    check(
        "function f() {\n  undefined.x;\n}",
        "TypeError",
        &format!("cannot read property 'x' of undefined {}", at(2)),
        Retry::AsPolicy,
    )
    .await;
    check(
        "function f() {\n\n  failJob('enough', 'noRetry');\n}",
        "JobFailed",
        &format!("enough {}", at(3)),
        Retry::Never,
    )
    .await;
    check(
        "function f() { db('garage').fetch('select 1'); }",
        "NotFound",
        &format!("there is no interface `garage` {}", at(1)),
        Retry::AsPolicy,
    )
    .await;
    check(
        "function f() { db('cars').fetch('select wheels from cars'); }",
        "Query",
        &format!("interface cars: no such column: wheels {}", at(1)),
        Retry::AsPolicy,
    )
    .await;
    check(
        "function f() { db('cars').fetch('delete from cars'); }",
        "Query",
        &format!("interface cars: table cars may not be modified {}", at(1)),
        Retry::AsPolicy,
    )
    .await;
    check(
        "function f() { fabric().fetch('select 1'); }",
        "Failed",
        &format!("the node does not run statements now {}", at(1)),
        Retry::AsPolicy,
    )
    .await;
    let many = "with recursive n(n) as (select 1 union all select n + 1 from n)";
    check(
        &format!("function f() {{ db('cars').fetch('{many} select n from n'); }}"),
        "Query",
        &format!(
            "interface cars: the query returns more than 100000 rows {}",
            at(1)
        ),
        Retry::AsPolicy,
    )
    .await;
    check(
        &format!(
            "function f() {{ db('cars').fetch(\"{many} select printf('%1000000d', n) from n\"); }}"
        ),
        "Query",
        &format!(
            "interface cars: the query returns more than 8388608 bytes {}",
            at(1)
        ),
        Retry::AsPolicy,
    )
    .await;
    let failure = failed(
        node.end_of(
            "function f() { log.warn('soon'); throw new Error('x'); }",
            &json!({}),
        )
        .await,
    );
    assert_eq!(failure.output.text.as_deref(), Some("WARN soon"));
}

/// Reports when a slot is lent, and counts the lent ones.
#[derive(Debug, Default)]
struct Slots {
    lent: AtomicIsize,
    lent_now: Notify,
}

impl Lender for Slots {
    fn lend(&self) {
        self.lent.fetch_add(1, Ordering::SeqCst);
        self.lent_now.notify_one();
    }

    fn take_back(&self) {
        self.lent.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_function_sees_a_stop_and_lends_its_slot_while_it_waits_for_a_batch() {
    let node = Node::new();
    // No statement can run here, but the attempt lends the slot.
    let begins =
        "try { fabric().execute('BATCH CARS FABRIC_COMMAND=\"sync_instance CARS.?\"'); } catch {}";
    node.function(
        "f",
        &format!("function f() {{\n  const before = isAborted();\n  {begins}\n  while (!isAborted()) sleep(60000);\n  log.info('tidied up');\n  return before;\n}}"),
    );
    node.function("deaf", &format!("function deaf() {{ {begins} for (;;); }}"));
    node.deploy().await.unwrap();
    let kind = node.kinds.get("USER_JOB").unwrap();
    let started = |name: &str| {
        let slots = Arc::new(Slots::default());
        let run = Run {
            job: job("USER_JOB", name, &json!({})),
            stop: CancellationToken::new(),
            slot: Slot::new(Arc::clone(&slots) as Arc<dyn Lender>),
        };
        (slots, run.stop.clone(), kind.run(run))
    };
    let (slots, stop, run) = started("CARS.f");
    let (ended, ()) = tokio::join!(timeout(PATIENCE, run), async {
        slots.lent_now.notified().await;
        stop.cancel();
    });
    let output = succeeded(ended.expect("the run ends"));
    assert_eq!(output.text.as_deref(), Some("INFO tidied up\nfalse"));
    assert_eq!(slots.lent.load(Ordering::SeqCst), 0);

    let (slots, stop, run) = started("CARS.deaf");
    tokio::select! {
        biased;
        ended = run => panic!("{ended:?}"),
        () = slots.lent_now.notified() => stop.cancel(),
    }
    assert_eq!(slots.lent.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn output_is_bounded() {
    let node = Node::new();
    let text = "function f() { for (let n = 0; n < 5000; n++) log.info('x'.repeat(100)); return 'y'.repeat(1e6) + '!'; }";
    let text = succeeded(node.end_of(text, &json!({})).await).text.unwrap();
    assert!(text.len() <= OUTPUT_BYTES && text.starts_with("INFO xx") && text.ends_with("yy!"));
}
