//! Flows on a node: actors with real statements, jobs, batches and connections.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weft_connect::{Parts, actors_markdown, flows, kinds, validators};
use weft_model::NodeId;
use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_model::{Principal, Session};
use weft_node::job::{CheckpointStore, JobKinds};
use weft_node::trace::Traces;
use weft_node::{Context, Node, NodeConfig, NodeHandle, Wake};
use weft_project::ProjectCatalogue;
use weft_project::command::CommandFactory;
use weft_project::interface::Environment;
use weft_sqlite::{Options, SqliteStore};
use weft_statement::{
    Answer, AnswerLimits, LateStatements, LocalTokenPolicy, Services, Statements,
};
use weft_store::SharedStore;

use crate::bench::{Calls, PATIENCE};
use crate::http::{Seen, server};

const LU: &str = "\
root: car
ids: select id from cars
tables:
  car:
    interface: cars
    query: select id, name from cars where id in (:ids)
    id_column: id
    key: [id]
    columns: {id: TEXT, name: TEXT}
";

/// A node with a pool of one slot, and a project of one logical unit.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub checkpoints: CheckpointStore,
    late: LateStatements,
    node: NodeHandle,
}

impl Bench {
    pub async fn new(flows_of_unit: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let ids = Ids::seeded(3);
        let options = Options::new(Arc::clone(&clock));
        let store = SqliteStore::open(folder.path().join("store"), options).unwrap();
        let store: SharedStore = Arc::new(store);
        let data = folder.path().join("data");
        let mut config = NodeConfig::with_defaults(NodeId("n1".to_owned()), data.clone());
        config.job_pool_size = 1;
        config.poll_interval = Duration::from_millis(50);
        config.cancel_grace = Duration::from_millis(100);
        config.drain_grace = Duration::from_millis(100);
        config.http_allowed_hosts = vec!["127.0.0.1".to_owned()];
        config.file_roots = vec![folder.path().join("files")];
        fs::create_dir(folder.path().join("files")).unwrap();
        let secret = ("API_AUTH".to_owned(), "Bearer hunter2".to_owned());
        let environment = Environment::from_map(BTreeMap::from([secret]));
        let catalogue = ProjectCatalogue::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            data,
            environment.clone(),
        );
        let catalogue = Arc::new(catalogue.with_validators(validators()));
        let late = LateStatements::default();
        let parts = Parts {
            projects: Arc::clone(&catalogue) as Arc<_>,
            config: config.clone(),
            environment,
            call_back: Arc::new(Calls::default()),
            traces: Traces::default(),
            statements: late.clone(),
            store: Arc::clone(&store),
            checkpoints: CheckpointStore::new(Arc::clone(&store), ids.clone(), Arc::clone(&clock)),
        };
        let checkpoints = parts.checkpoints.clone();
        let flows = flows(&parts);
        let kinds = JobKinds::new(kinds(parts));
        let wake = Wake::default();
        let context = Context::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            ids.clone(),
            config.clone(),
            Arc::clone(&catalogue) as Arc<dyn CommandFactory>,
            kinds.clone(),
            wake.clone(),
        );
        let node = Node::start(Arc::new(context));
        node.serving().await;
        late.serve(Statements::new(Services {
            store,
            clock,
            ids,
            config: Arc::new(config),
            cluster_id: None,
            catalogue,
            wake,
            kinds,
            flows,
            nodes: Arc::new(node.clone()),
            traces: Traces::default(),
            policy: Arc::new(LocalTokenPolicy::new("admin")),
        }));
        let bench = Self {
            folder,
            checkpoints,
            late,
            node,
        };
        bench.file("logical_units/CAR/lu.yaml", LU);
        bench.file(
            "interfaces/cars.yaml",
            "type: csv\npath: ${PROJECT_DIR}/data/cars.csv\n",
        );
        bench.file("data/cars.csv", "id,name\n1,Ford\n2,\"O'Brien\"\n3,Fiat\n");
        bench.file(
            "logical_units/CAR/functions/shout.js",
            "function shout(text, times = 1) {\n  log.info('shouting', text);\n  return { text: text.toUpperCase().repeat(times), n: db('cars').fetchValue('select count(*) from cars') };\n}\n",
        );
        for (name, text) in flows_of_unit {
            bench.file(&format!("logical_units/CAR/flows/{name}.yaml"), text);
        }
        let project = bench.folder.path().join("project");
        bench
            .run(&format!("DEPLOY '{}'", project.display()))
            .await
            .unwrap();
        bench
    }

    pub fn file(&self, path: &str, text: &str) {
        let path = self.folder.path().join("project").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    pub fn written(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join("files").join(name)).ok()
    }

    pub async fn run(&self, text: &str) -> Result<Answer, String> {
        let admin = Principal {
            name: "admin".to_owned(),
        };
        let stop = CancellationToken::new();
        let limits = AnswerLimits::default();
        let answer = self
            .late
            .answer(&admin, text, Session::default(), limits, &stop);
        let answer = tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("an answer");
        answer.map_err(|error| error.message)
    }

    /// The outputs of a flow, in order.
    async fn outputs(&self, text: &str) -> Vec<Value> {
        self.run(text).await.unwrap().rows.remove(0)
    }

    pub async fn error(&self, text: &str) -> String {
        self.run(text).await.unwrap_err()
    }

    async fn status(&self, job: &str) -> String {
        let answer = self
            .run(&format!("JOBSTATUS BROADWAY_JOB {job}"))
            .await
            .unwrap();
        let at = answer.columns.iter().position(|column| column == "Status");
        answer.rows[0][at.unwrap()].as_str().unwrap().to_owned()
    }

    pub async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect(what);
    }

    pub async fn end(self) {
        self.node.drain();
        self.node.ended().await.unwrap();
        self.late.close();
    }
}

#[tokio::test]
async fn values_of_statements_are_literals() {
    let bench = Bench::new(&[(
        "f",
        "\
inputs: {id: }
stages:
  - name: s
    actors:
      - {name: a, actor: FabricCommand, inputs: {command: get CAR.?; select name from car where id = ?, parameters: ['${id}', '${id}']}}
outputs: {name: '${a.first.name}', count: '${a.count}', columns: '${a.columns}'}
"
        .replace("select name from car where id = ?, parameters: ['${id}', '${id}']", "select name from car, parameters: ['${id}']")
        .as_str(),
    )])
    .await;
    let outputs = bench.outputs("BROADWAY CAR.f id=2").await;
    assert_eq!(outputs, [json!("O'Brien"), json!(1), json!(["name"])]);
    let error = bench.error("BROADWAY CAR.f id='1; drop'").await;
    assert!(
        error.contains("instance CAR.1; drop was not found"),
        "{error}"
    );
    bench.end().await;
}

#[tokio::test]
async fn functions_and_scripts_are_called_with_their_arguments() {
    let bench = Bench::new(&[(
        "f",
        "\
inputs: {text: , bad: {default: false}}
stages:
  - name: s
    actors:
      - {name: a, actor: JavaScript, inputs: {function: shout, arguments: {text: '${text}', times: 2}}}
      - {name: b, actor: JavaScript, inputs: {script: \"if (bad === 'yes') throw new RangeError(`too ${bad === 'yes' ? 'bad' : 'good'}`); return [text, x.y + 1]\", arguments: {text: '${text}', x: {y: 1}, bad: '${bad}'}}}
      - {name: c, actor: JavaScript, inputs: {script: 'const x = 1', arguments: {}}}
  - name: loop
    condition: ${bad} == 'loop'
    actors:
      - {name: d, actor: JavaScript, inputs: {script: 'for (;;) {}', timeout_ms: 50}}
outputs: {a: '${a.result}', b: '${b.result}', c: '${c.result}', log: '${a.log}'}
",
    )])
    .await;
    let outputs = bench.outputs("BROADWAY CAR.f text=\"a'b\"").await;
    let expected = [
        json!({"text": "A'BA'B", "n": 3}),
        json!(["a'b", 2]),
        json!(null),
    ];
    assert_eq!(outputs[..3], expected);
    assert!(
        outputs[3].as_str().unwrap().contains("shouting a'b"),
        "{outputs:?}"
    );
    let error = bench.error("BROADWAY CAR.f text=x bad=yes").await;
    assert!(error.contains("stage s: b: too bad (CAR.f b:1)"), "{error}");
    let error = bench.error("BROADWAY CAR.f text=x bad=loop").await;
    assert!(
        error.contains("stage loop: d: it took longer than timeout_ms=50"),
        "{error}"
    );
    bench.end().await;
}

#[tokio::test]
async fn texts_are_read_as_csv_json_and_xml() {
    let bench = Bench::new(&[(
        "f",
        "\
inputs: {csv: {default: ''}, json: {default: '1'}, xml: {default: '<a/>'}, lenient: {default: false}}
stages:
  - name: s
    actors:
      - {name: c, actor: CsvParser, inputs: {text: '${csv}', lenient: '${lenient}'}}
      - {name: n, actor: CsvParser, inputs: {text: '${csv}', header: false, columns: [a, b], delimiter: '|', lenient: true}}
      - {name: j, actor: JsonParser, inputs: {text: '${json}'}}
      - {name: x, actor: XmlParser, inputs: {text: '${xml}', element: car}}
outputs: {c: '${c.rows}', n: '${n.rows}', j: '${j.value}', x: '${x.rows}', rejects: '${c.rejects}'}
",
    )])
    .await;
    let text = "BROADWAY CAR.f csv='a,b\n1,\"x,y\"\n' json='{\"k\":[1,2.5,null]}' xml='<r><car n=\"1\"><m>&amp;x</m></car></r>'";
    let outputs = bench.outputs(&text.replace("\\n", "\n")).await;
    assert_eq!(outputs[0], json!([{"a": "1", "b": "x,y"}]));
    assert_eq!(outputs[2], json!({"k": [1, 2.5, null]}));
    assert_eq!(outputs[3], json!([{"n": "1", "m": "&x"}]));
    let outputs = bench.outputs("BROADWAY CAR.f csv='1|2\n3|4'").await;
    assert_eq!(
        outputs[1],
        json!([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}])
    );
    let bad = "BROADWAY CAR.f csv='a,b\n1\n2,3\n'";
    let error = bench.error(bad).await;
    assert!(error.contains("stage s: c: line 2: "), "{error}");
    let outputs = bench.outputs(&format!("{bad} lenient=true")).await;
    assert_eq!(outputs[0], json!([{"a": "2", "b": "3"}]));
    assert_eq!(outputs[4][0]["line"], 2);
    let error = bench.error("BROADWAY CAR.f json='{'").await;
    assert!(error.contains("; and j: it is not JSON: EOF"), "{error}");
    let error = bench.error("BROADWAY CAR.f xml='<r><car>'").await;
    assert!(
        error.contains("; and x: line 1: it ends in the middle of an element"),
        "{error}"
    );
    bench.end().await;
}

#[tokio::test]
async fn errors_of_functions_are_reported_at_deployment() {
    let bench = Bench::new(&[]).await;
    bench.file(
        "logical_units/CAR/flows/f.yaml",
        "\
inputs: {m: }
stages:
  - name: s
    actors:
      - {name: a, actor: JavaScript, inputs: {function: shuot}}
      - {name: b, actor: JavaScript, inputs: {function: shout, arguments: {txt: x}}}
      - {name: c, actor: JavaScript, inputs: {script: 'return (', arguments: {}}}
      - {name: d, actor: JavaScript, inputs: {script: 'return 1', arguments: '${m}'}}
      - {name: e, actor: JavaScript, inputs: {script: 'return 1', arguments: {'a){': 1}}}
      - {name: f, actor: JavaScript}
      - {name: g, actor: JavaScript, inputs: {script: 'return 1', function: shout}}
",
    );
    let project = bench.folder.path().join("project");
    let admin = Principal {
        name: "admin".to_owned(),
    };
    let (frames, mut received) = tokio::sync::mpsc::channel(64);
    let statements = bench.late.get().unwrap();
    let text = format!("DEPLOY '{}'", project.display());
    let stop = CancellationToken::new();
    let running = statements.run(&admin, &text, Session::default(), frames, stop);
    let reading = async {
        let mut rows = Vec::new();
        while let Some(frame) = received.recv().await {
            if let weft_statement::Frame::Row { row } = frame {
                let text = |at: usize| match &row[at] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                rows.push((0..row.len()).map(text).collect::<Vec<_>>().join("|"));
            }
        }
        rows
    };
    let ((), rows) = tokio::join!(running, reading);
    let has = |part: &str| rows.iter().any(|row| row.contains(part));
    for part in [
        "there is no function `shuot`",
        "the function shout has no parameter `txt`",
        "line 2: SyntaxError",
        "a script needs its arguments by name",
        "`a){` cannot be the name of an argument",
        "JavaScript needs the input `function` or `script`",
        "a function or a script, not both",
    ] {
        assert!(has(part), "{part}: {rows:#?}");
    }
    assert_eq!(rows.len(), 7, "{rows:#?}");
    bench.end().await;
}

#[tokio::test]
async fn a_call_has_one_key_per_run_and_secrets_of_the_node() {
    let seen = Seen::default();
    let port = server(seen.clone()).await;
    let bench = Bench::new(&[(
        "f",
        "\
inputs: {port: , path: {default: echo}, header: {default: x}}
stages:
  - name: s
    actors:
      - name: a
        actor: Http
        inputs:
          url: http://127.0.0.1:${port}/${path}
          method: post
          headers: {X-Mine: '${header}'}
          secret_headers: {Authorization: env:API_AUTH}
          body: {a: ['${port}']}
  - name: t
    actors: [{name: r, actor: FileRead, inputs: {path: go}}]
outputs: {status: '${a.status}', body: '${a.body}', id: '${a.json.cars.0.id}'}
",
    )])
    .await;
    fs::write(bench.folder.path().join("files/go"), "").unwrap();
    let outputs = bench.outputs(&format!("BROADWAY CAR.f port={port}")).await;
    assert_eq!(outputs, [json!(200), json!("hello\n"), json!(null)]);
    let call = seen.calls.lock().unwrap()[0].clone();
    assert_eq!(call.line, "POST /echo");
    assert_eq!(call.body, format!("{{\"a\":[\"{port}\"]}}"));
    assert_eq!(call.headers["authorization"], "Bearer hunter2");
    assert_eq!(call.headers["x-mine"], "x");
    let outputs = bench
        .outputs(&format!("BROADWAY CAR.f port={port} path=json"))
        .await;
    assert_eq!(outputs[2], json!(7));
    let error = bench
        .error(&format!("BROADWAY CAR.f port={port} header=env:API_AUTH"))
        .await;
    assert!(error.contains("write it into secret_headers"), "{error}");
    let error = bench
        .error(&format!("BROADWAY CAR.f port={port} path=broken"))
        .await;
    assert!(
        error.contains("answered 500 Internal Server Error"),
        "{error}"
    );
    let error = bench
        .error(&format!("BROADWAY CAR.f port='{port}@other/'"))
        .await;
    assert!(error.contains("stage s: a: "), "{error}");

    // A call that is repeated after a failure has the same key.
    seen.calls.lock().unwrap().clear();
    fs::remove_file(bench.folder.path().join("files/go")).unwrap();
    for _ in 0..2 {
        let text = format!("BROADWAY CAR.f port={port} recoveryId=r recoveryMaxTries=1");
        bench.error(&text).await;
    }
    let keys: Vec<_> = {
        let calls = seen.calls.lock().unwrap();
        let key = |call: &crate::http::Call| call.headers["idempotency-key"].clone();
        calls.iter().map(key).collect()
    };
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    bench.end().await;
}

#[tokio::test]
async fn actors_wait_for_jobs_and_batches() {
    let wait = |actor: &str, inputs: &str, outputs: &str| {
        format!(
            "inputs: {{x: }}\nstages: [{{name: s, actors: [{{name: a, actor: {actor}, inputs: {{{inputs}}}}}]}}]\noutputs: {{{outputs}}}\n"
        )
    };
    let job = "type: broadway, name: CAR.nothing, uid: '${x}', timeout_ms: 1000";
    let all = "status: '${a.status}', failed: '${a.failed}', total: '${a.total}'";
    let flows = [
        ("nothing", "stages: [{name: s, actors: [{name: a, actor: Const, inputs: {value: 1}}]}]\noutputs: {one: '${a.value}'}\n".to_owned()),
        ("job", wait("JobWait", job, "status: '${a.status}', output: '${a.jobs.0.output}'")),
        ("stop", wait("JobStop", job, "status: '${a.status}'")),
        ("batch", wait("BatchWait", "batch: '${x}', timeout_ms: 20000", all)),
        ("late", wait("BatchWait", "batch: '${x}', timeout_ms: 100", all)),
        (
            "inside",
            "stages: [{name: s, actors: [{name: a, actor: BroadwayJob, inputs: {flow: nothing}}]}, {name: t, actors: [{name: b, actor: JobWait, inputs: {type: BROADWAY_JOB, name: CAR.nothing, uid: '${a.uid}'}}]}, {name: u, actors: [{name: c, actor: FabricCommand, inputs: {command: \"BATCH CAR FABRIC_COMMAND='sync_instance CAR.?'\"}}]}]\noutputs: {status: '${b.status}', added: '${c.first.Added}'}\n".to_owned(),
        ),
    ];
    let flows: Vec<(&str, &str)> = flows
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let bench = Bench::new(&flows).await;

    // With one job slot, a job that runs a flow waits for another job, then for a batch.
    bench
        .run("STARTJOB BROADWAY_JOB NAME='CAR.inside' UID='i'")
        .await
        .unwrap();
    bench
        .until("the flow ends", async || {
            bench.status("'CAR.inside'").await == "PROCESSED"
        })
        .await;
    let history = bench
        .run("JOBHISTORY BROADWAY_JOB 'CAR.inside'")
        .await
        .unwrap();
    let output = history.rows[0].last().unwrap();
    assert_eq!(output, "[{\"status\":\"PROCESSED\",\"added\":3}]");

    bench
        .run("STARTJOB BROADWAY_JOB NAME='CAR.nothing' UID='now'")
        .await
        .unwrap();
    let outputs = bench.outputs("BROADWAY CAR.job x=now").await;
    assert_eq!(outputs, [json!("PROCESSED"), json!("[{\"one\":1}]")]);
    bench
        .run("STARTJOB BROADWAY_JOB NAME='CAR.nothing' UID='later' EXEC_INTERVAL='0 0 1 1 *'")
        .await
        .unwrap();
    let error = bench.error("BROADWAY CAR.job x=later").await;
    let late =
        "job BROADWAY_JOB 'CAR.nothing' with UID 'later' has not ended after timeout_ms=1000";
    assert!(error.contains(late), "{error}");
    assert_eq!(
        bench.outputs("BROADWAY CAR.stop x=later").await,
        ["TERMINATED"]
    );
    assert_eq!(
        bench.status("'CAR.nothing' WITH UID='later'").await,
        "TERMINATED"
    );
    assert_eq!(
        bench.outputs("BROADWAY CAR.stop x=now").await,
        ["PROCESSED"]
    );
    let error = bench.error("BROADWAY CAR.stop x=none").await;
    assert!(
        error.contains("there is no job BROADWAY_JOB 'CAR.nothing' with UID 'none'"),
        "{error}"
    );

    let submit = async |command: &str| {
        let text = format!("BATCH CAR FABRIC_COMMAND='{command}' WITH ASYNC=true");
        let answer = bench.run(&text).await.unwrap();
        let at = answer
            .columns
            .iter()
            .position(|column| column == "Batch id")
            .unwrap();
        answer.rows[0][at].as_str().unwrap().to_owned()
    };
    let done = submit("sync_instance CAR.?").await;
    let outputs = bench.outputs(&format!("BROADWAY CAR.batch x={done}")).await;
    assert_eq!(outputs, [json!("DONE"), json!(0), json!(3)]);
    let slow = submit("echo ? DELAY_MS=3600000").await;
    let error = bench.error(&format!("BROADWAY CAR.late x={slow}")).await;
    assert!(
        error.contains("has not ended after timeout_ms=100"),
        "{error}"
    );
    let text = format!("BROADWAY CAR.batch x={slow}");
    let cancel = format!("BATCH_CANCEL '{slow}'");
    let (outputs, cancelled) = tokio::join!(bench.outputs(&text), bench.run(&cancel));
    cancelled.unwrap();
    assert_eq!(outputs[0], "CANCELLED");
    let error = bench.error("BROADWAY CAR.batch x=1234").await;
    assert!(error.contains("`1234` is not a batch id"), "{error}");
    let none = "00000000-0000-4000-8000-000000000001";
    let error = bench.error(&format!("BROADWAY CAR.batch x={none}")).await;
    assert!(error.contains("there is no batch"), "{error}");
    bench.end().await;
}

#[tokio::test]
async fn a_stopped_job_ends_its_flow_without_error_handlers() {
    let bench = Bench::new(&[(
        "f",
        "\
stages:
  - name: first
    actors: [{name: a, actor: FileWrite, inputs: {path: first, content: x}}]
  - name: second
    actors: [{name: b, actor: Sleep, inputs: {ms: 80000000}}]
    on_error: {then: continue, actors: [{name: c, actor: FileWrite, inputs: {path: handled, content: x}}]}
  - name: third
    actors: [{name: d, actor: FileWrite, inputs: {path: third, content: x}}]
",
    )])
    .await;
    bench
        .run("STARTJOB BROADWAY_JOB NAME='CAR.f' UID='s'")
        .await
        .unwrap();
    bench
        .until("the first stage ends", async || {
            bench.written("first").is_some()
        })
        .await;
    bench
        .run("STOPJOB BROADWAY_JOB NAME='CAR.f' UID='s'")
        .await
        .unwrap();
    bench
        .until("the flow ends", async || {
            bench.status("'CAR.f'").await == "TERMINATED"
        })
        .await;
    assert_eq!(
        (bench.written("handled"), bench.written("third")),
        (None, None)
    );
    bench.end().await;
}

#[tokio::test]
async fn flows_that_call_each_other_by_statements_end() {
    // Nested as deep as allowed, so that one stack would be too small for all of them.
    let call = "actors: [{name: a, actor: FabricCommand, inputs: {command: BROADWAY CAR.f}}]";
    let inner = (0..8).fold(call.to_owned(), |inner, n| {
        format!("loop: {{over: [1], as: row{n}}}, stages: [{{name: s{n}, {inner}}}]")
    });
    let flow = format!("stages: [{{name: s, {inner}}}]\n");
    let bench = Bench::new(&[("f", &flow)]).await;
    let error = bench.error("BROADWAY CAR.f").await;
    assert!(
        error.contains("flows call each other more than 8 deep"),
        "{error}"
    );
    bench.end().await;
}

#[test]
fn the_table_of_actors_is_up_to_date() {
    const BEGIN: &str =
        "<!-- actors: generated, UPDATE_DOCS=1 cargo test -p weft-connect --test kinds -->\n";
    const END: &str = "<!-- end of actors -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/projects.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (written, behind) = rest.split_once(END).unwrap();
    let expected = format!("\n{}\n", actors_markdown());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = [before, BEGIN, &expected, END, behind].concat();
        fs::write(&path, page).unwrap();
        return;
    }
    assert!(
        written == expected,
        "docs/projects.md is out of date; run with UPDATE_DOCS=1"
    );
}
