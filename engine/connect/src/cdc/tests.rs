//! CDC_REPUBLISH with instances that were synced from a deployed project.

use std::collections::BTreeMap;
use std::fs;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value as Json, json};
use weft_model::clock::{SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{BatchId, BatchSpec, EntitySource, JobKey, NodeId};
use weft_node::NodeConfig;
use weft_node::job::Slot;
use weft_project::ProjectCatalogue;
use weft_project::command::{ChunkContext, CommandFactory, EntityOutcome};
use weft_project::interface::Environment;
use weft_sqlite::{Options, SqliteStore};
use weft_store::SelfFence;

use super::*;

const LU: &str = "\
root: car
tables:
  car:
    interface: garage
    query: select id, name, km from cars where id in (:ids)
    id_column: id
    key: [id]
    columns: {id: TEXT, name: TEXT, km: REAL}
  part:
    interface: garage
    query: select car, position, price from parts where car in (:ids)
    id_column: car
    key: [car, position]
    columns: {car: TEXT, position: INTEGER, price: INTEGER}
";
const GARAGE: &str = "\
type: csv
path: ${PROJECT_DIR}/data
tables:
  cars:
    columns: {id: TEXT, name: TEXT, km: REAL}
    index: [id]
  parts:
    columns: {car: TEXT, position: INTEGER, price: INTEGER}
    index: [car]
";
const CARS: usize = 60;
/// The number of parts of each car.
const PARTS: usize = 5;

/// A node with a project, some instances, and the folder `out` that jobs may write to.
struct Bench {
    folder: tempfile::TempDir,
    store: SharedStore,
    catalogue: Arc<ProjectCatalogue>,
    kind: CdcRepublish,
}

impl Bench {
    /// Saves progress after each block; blocks are small.
    async fn new(hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let store = folder.path().join("store");
        let store = SqliteStore::open(store, Options::new(Arc::clone(&clock))).unwrap();
        let store: SharedStore = Arc::new(store);
        let environment = Environment::from_map(BTreeMap::new());
        let mut config =
            NodeConfig::with_defaults(NodeId("n1".to_owned()), folder.path().join("data"));
        config.file_roots = vec![folder.path().join("out")];
        config.http_allowed_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        fs::create_dir_all(folder.path().join("out")).unwrap();
        let catalogue = Arc::new(ProjectCatalogue::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            config.data.clone(),
            environment.clone(),
        ));
        let checkpoints =
            CheckpointStore::new(Arc::clone(&store), Ids::seeded(2), Arc::clone(&clock));
        let kind = CdcRepublish {
            projects: Arc::clone(&catalogue) as Arc<_>,
            http: Http::new(&config.http_allowed_hosts, environment),
            files: Files::new(&config.file_roots),
            store: Arc::clone(&store),
            checkpoints,
            save_interval: Duration::ZERO,
            file_block: BlockSize {
                lines: 7,
                bytes: 4096,
            },
        };
        let bench = Self {
            folder,
            store,
            catalogue,
            kind,
        };
        bench.write("logical_units/CAR/lu.yaml", LU);
        bench.write("interfaces/garage.yaml", GARAGE);
        let cars = (1..=CARS).map(|id| format!("{id},\"name \"\"{id}\"\" ü\",{id}.5\n"));
        bench.write(
            "data/cars.csv",
            &format!("id,name,km\n{}", cars.collect::<String>()),
        );
        let parts = (1..=CARS * PARTS).map(|at| {
            let (car, position) = (at.div_ceil(PARTS), at % PARTS);
            format!("{car},{position},{at}\n")
        });
        bench.write(
            "data/parts.csv",
            &format!("car,position,price\n{}", parts.collect::<String>()),
        );
        let self_fence = SelfFence::for_duration(clock, Duration::from_secs(60));
        let project = bench.folder.path().join("project");
        let ids = Ids::seeded(1);
        let deployed = bench
            .catalogue
            .deploy(&project, "tester", &ids, &self_fence);
        deployed.await.unwrap();
        bench.sync().await;
        bench
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join("project").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    async fn sync(&self) {
        let spec = Arc::new(BatchSpec {
            allow_multiple: true,
            ..BatchSpec::new(
                "CAR",
                EntitySource::List { ids: Vec::new() },
                "sync_instance CAR.?",
            )
        });
        let command = self.catalogue.bind(&spec).await.unwrap();
        let context = ChunkContext {
            batch: BatchId(Uuid::nil()),
            spec,
            execution_id: String::new(),
            fence: 0,
            node: NodeId("n1".to_owned()),
        };
        let ids: Vec<String> = (1..=CARS).map(|id| id.to_string()).collect();
        let mut prepared = command.prepare(&context, &ids).await.unwrap();
        let mut instances = Vec::new();
        for id in &ids {
            match prepared.run(id).await {
                EntityOutcome::Completed { instance, .. } => instances.extend(instance),
                EntityOutcome::Failed(reason) => panic!("{reason}"),
            }
        }
        self.store.save_instances("CAR", &instances).await.unwrap();
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn file(&self, name: &str) -> Json {
        json!({"sink": {"file": self.out(name).display().to_string()}})
    }

    async fn run(&self, job: Job) -> RunEnd {
        self.kind.run(run_of_job(job)).await
    }

    /// The output of a run that succeeds.
    async fn output(&self, job: Job) -> Json {
        match self.run(job).await {
            RunEnd::Succeeded(output) => serde_json::from_str(&output.text.unwrap()).unwrap(),
            RunEnd::Failed(failure) => panic!("{failure:?}"),
        }
    }

    /// The saved state of the job with this uid.
    async fn state(&self, uid: &str) -> Option<RunState> {
        let scope = format!("job/CDC_REPUBLISH/car/{uid}");
        let found = self.store.checkpoints(&scope, None, 10).await.unwrap();
        assert!(found.len() <= 1, "one item: {found:?}");
        let found = found.first()?;
        Some(serde_json::from_str(&found.value).unwrap())
    }

    fn hidden(&self) -> usize {
        let files = fs::read_dir(self.folder.path().join("out")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).count()
    }
}

fn job(uid: &str, fence: i64, arguments: &Json) -> Job {
    let key = JobKey {
        job_type: "CDC_REPUBLISH".to_owned(),
        name: "car".to_owned(),
        uid: uid.to_owned(),
    };
    Job {
        fence,
        worker: Some(NodeId("n1".to_owned())),
        arguments: arguments.to_string(),
        ..Job::waiting(key, Timestamp(7))
    }
}

fn run_of_job(job: Job) -> Run {
    Run {
        job,
        stop: CancellationToken::new(),
        slot: Slot::default(),
    }
}

fn failed(end: RunEnd) -> RunFailure {
    match end {
        RunEnd::Failed(failure) => failure,
        RunEnd::Succeeded(output) => panic!("{output:?}"),
    }
}

fn objects(text: &str) -> Vec<Json> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn add(arguments: &Json, more: &Json) -> Json {
    let mut sum = arguments.as_object().unwrap().clone();
    sum.extend(more.as_object().unwrap().clone());
    Json::Object(sum)
}

/// Drops the run after this many polls, like a process that is killed.
async fn cut(run: impl Future<Output = RunEnd>, polls: usize) -> Option<RunEnd> {
    let mut run = std::pin::pin!(run);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        run.as_mut().poll(context).map(Some)
    })
    .await
}

/// Pseudo-random numbers.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit).unwrap()
    }
}

#[tokio::test]
async fn every_row_of_every_instance_is_an_object() {
    let bench = Bench::new(&[]).await;
    let output = bench.output(job("a", 1, &bench.file("all.jsonl"))).await;
    let text = fs::read_to_string(bench.out("all.jsonl")).unwrap();
    assert_eq!(
        output,
        json!({
            "instances": CARS,
            "rows": CARS * (1 + PARTS),
            "bytes": text.len(),
            "sink": bench.out("all.jsonl").display().to_string(),
        })
    );
    let objects = objects(&text);
    assert_eq!(objects.len(), CARS * (1 + PARTS));
    let of_7: Vec<&Json> = objects
        .iter()
        .filter(|row| row["instance"] == "7")
        .collect();
    assert_eq!(
        of_7[0],
        &json!({
            "logical_unit": "CAR", "instance": "7", "table": "car", "operation": "UPSERT",
            "values": {"id": "7", "name": "name \"7\" ü", "km": 7.5},
        })
    );
    // Tables are in the order of the unit, rows in the order of the key.
    let positions: Vec<&Json> = of_7[1..]
        .iter()
        .map(|row| &row["values"]["position"])
        .collect();
    assert_eq!(positions, [0, 1, 2, 3, 4]);
    assert!(of_7[1..].iter().all(|row| row["table"] == "part"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(bench.out("all.jsonl")).unwrap().permissions(),
    );
    assert_eq!((mode & 0o777, bench.hidden()), (0o644, 0));
}

#[tokio::test]
async fn selected_instances_are_published_and_missing_ones_are_named() {
    let bench = Bench::new(&[]).await;
    let missing: Vec<String> = (0..12).map(|at| format!("no{at}")).collect();
    let mut instances = vec!["3".to_owned(), "3".to_owned()];
    instances.extend(missing.clone());
    instances.push("1".to_owned());
    let more =
        json!({"instances": instances, "tables": "CAR", "types": "Search,Bi", "truncate": true});
    let output = bench
        .output(job("a", 1, &add(&bench.file("some.jsonl"), &more)))
        .await;
    assert_eq!(
        (&output["instances"], &output["rows"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(output["missing"], 12);
    assert_eq!(output["missing_ids"], json!(missing[..10]));
    let objects = objects(&fs::read_to_string(bench.out("some.jsonl")).unwrap());
    let short: Vec<(&str, &str)> = objects
        .iter()
        .map(|row| {
            (
                row["instance"].as_str().unwrap(),
                row["operation"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        short,
        [
            ("3", "TRUNCATE"),
            ("3", "UPSERT"),
            ("1", "TRUNCATE"),
            ("1", "UPSERT")
        ]
    );
    assert_eq!(
        objects[0],
        json!({
            "logical_unit": "CAR", "instance": "3", "table": "car", "types": ["Search", "Bi"],
            "operation": "TRUNCATE",
        })
    );
}

#[tokio::test]
async fn a_file_is_the_same_wherever_its_runs_were_interrupted() {
    let bench = Bench::new(&[]).await;
    let truncate = json!({"truncate": true});
    let whole = add(&bench.file("whole.jsonl"), &truncate);
    let whole_output = bench.output(job("whole", 1, &whole)).await;
    let expected = fs::read_to_string(bench.out("whole.jsonl")).unwrap();
    let (mut resumed, mut partial) = (0, 0);
    for seed in 0..6 {
        let mut chance = Chance(seed);
        let (uid, name) = (format!("cut{seed}"), format!("cut{seed}.jsonl"));
        let arguments = add(&bench.file(&name), &truncate);
        let mut ended = None;
        for fence in 1.. {
            if let Some(state) = bench.state(&uid).await {
                resumed += usize::from(state.progress.passed > 0);
                partial += usize::from(state.progress.partial.is_some());
            }
            assert!(fence < 500, "it does not end");
            let polls = 20 + chance.below(150);
            let run = bench.run(job(&uid, fence, &arguments));
            if let Some(end) = cut(run, polls).await {
                ended = Some(end);
                break;
            }
            assert!(!bench.out(&name).exists() || bench.state(&uid).await.unwrap().is_complete);
        }
        let output = ended.unwrap().into_output().text.unwrap();
        let output: Json = serde_json::from_str(&output).unwrap();
        for count in ["instances", "rows", "bytes"] {
            assert_eq!(output[count], whole_output[count], "{count}");
        }
        let found = fs::read_to_string(bench.out(&name)).unwrap();
        assert_eq!(found, expected, "seed {seed}");
        // A try after the end repeats nothing.
        fs::write(bench.out(&name), "x".repeat(expected.len())).unwrap();
        bench.output(job(&uid, 1_000, &arguments)).await;
        assert_ne!(fs::read_to_string(bench.out(&name)).unwrap(), expected);
    }
    assert!(resumed > 5, "tries resume: {resumed}");
    assert!(partial > 0, "also within an instance: {partial}");
    assert_eq!(bench.hidden(), 0, "nothing is left beside the files");
}

#[tokio::test]
async fn another_run_does_not_continue_an_interrupted_one() {
    let bench = Bench::new(&[]).await;
    let arguments = bench.file("out.jsonl");
    while bench
        .state("a")
        .await
        .is_none_or(|state| state.progress.passed <= 9)
    {
        let run = bench.run(job("a", 1, &arguments));
        let mut passed = std::pin::pin!(run);
        // Until something has been saved.
        for _ in 0..60 {
            assert!(cut(passed.as_mut(), 1).await.is_none());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(
        (bench.hidden(), bench.out("out.jsonl").exists()),
        (1, false)
    );
    let next = Job {
        runs: 1,
        ..job("a", 2, &add(&arguments, &json!({"instances": "5"})))
    };
    let output = bench.output(next).await;
    assert_eq!((&output["instances"], bench.hidden()), (&json!(1), 0));
    let text = fs::read_to_string(bench.out("out.jsonl")).unwrap();
    assert_eq!(objects(&text).len(), 1 + PARTS);
    // Both files are gone, as on another machine, so the run is repeated.
    fs::remove_file(bench.out("out.jsonl")).unwrap();
    let again = Job {
        runs: 1,
        ..job("a", 3, &add(&arguments, &json!({"instances": "5"})))
    };
    bench.output(again).await;
    assert_eq!(fs::read_to_string(bench.out("out.jsonl")).unwrap(), text);
}

/// The calls that a server has received.
#[derive(Clone, Default)]
struct Received {
    calls: Arc<Mutex<Vec<(String, String)>>>,
    /// One of this many calls fails, in one of two ways.
    fails_every: Arc<AtomicUsize>,
    count: Arc<AtomicUsize>,
}

impl Received {
    /// The lines of calls with distinct keys, in order.
    fn lines(&self) -> String {
        let mut seen = std::collections::BTreeSet::new();
        let calls = self.calls.lock().unwrap();
        let first = calls.iter().filter(|(key, _)| seen.insert(key.clone()));
        first.map(|(_, body)| body.as_str()).collect()
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the server lives as long as the test"
)]
async fn server(heard: Received) -> u16 {
    let hear = move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 10_000_000).await.unwrap();
        let call = heard.count.fetch_add(1, Ordering::SeqCst) + 1;
        let every = heard.fails_every.load(Ordering::SeqCst);
        let fails = every > 0 && call.is_multiple_of(every);
        // Half of the failures are lost answers.
        if !fails || call.is_multiple_of(2 * every) {
            assert_eq!(parts.headers["content-type"], "application/x-ndjson");
            assert_eq!(parts.headers["x-mine"], "5");
            let key = parts.headers["idempotency-key"]
                .to_str()
                .unwrap()
                .to_owned();
            let body = String::from_utf8(body.to_vec()).unwrap();
            heard.calls.lock().unwrap().push((key, body));
        }
        match fails {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::NO_CONTENT,
        }
    };
    let router = Router::new().route("/rows", post(hear));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

#[tokio::test]
async fn a_server_that_sometimes_fails_receives_everything_once_by_key() {
    let bench = Bench::new(&["127.0.0.1"]).await;
    bench.output(job("file", 1, &bench.file("all.jsonl"))).await;
    let expected = fs::read_to_string(bench.out("all.jsonl")).unwrap();
    let heard = Received::default();
    heard.fails_every.store(6, Ordering::SeqCst);
    let port = server(heard.clone()).await;
    let url = format!("http://127.0.0.1:{port}/rows?secret=1");
    let arguments = json!({"sink": {"url": url, "batch": 11, "headers": {"X-Mine": 5}}});
    bench.kind.check(&job("a", 1, &arguments)).await.unwrap();
    let mut chance = Chance(9);
    let (mut failures, mut cuts) = (0, 0);
    for fence in 1.. {
        assert!(fence < 200, "it does not end");
        let until = match fence % 2 {
            0 => heard.count.load(Ordering::SeqCst) + 1 + chance.below(3),
            _ => usize::MAX,
        };
        let watch = async {
            while heard.count.load(Ordering::SeqCst) < until {
                tokio::task::yield_now().await;
            }
        };
        let end = tokio::select! {
            biased;
            () = watch => None,
            end = bench.run(job("a", fence, &arguments)) => Some(end),
        };
        match end {
            None => cuts += 1,
            Some(RunEnd::Failed(failure)) => {
                failures += 1;
                assert_eq!(failure.exception_type(), "HttpStatus");
                let answer = "answered 503 Service Unavailable";
                assert_eq!(
                    failure.message,
                    format!("POST http://127.0.0.1:{port}/rows {answer}")
                );
            }
            Some(RunEnd::Succeeded(output)) => {
                let output: Json = serde_json::from_str(&output.text.unwrap()).unwrap();
                assert_eq!(output["rows"], CARS * (1 + PARTS));
                assert_eq!(output["bytes"], expected.len());
                assert_eq!(output["sink"], format!("http://127.0.0.1:{port}/rows"));
                break;
            }
        }
    }
    assert!(failures > 2 && cuts > 2, "{failures} failures, {cuts} cuts");
    assert_eq!(heard.lines(), expected);
    let calls = (CARS * (1 + PARTS)).div_ceil(11);
    let heard_calls = heard.calls.lock().unwrap();
    assert!(
        heard_calls
            .iter()
            .all(|(_, body)| body.lines().count() <= 11)
    );
    // A failure or an interruption repeats one call, not the run.
    assert!(
        heard_calls.len() <= calls + failures + cuts,
        "{}",
        heard_calls.len()
    );
}

#[tokio::test]
async fn a_stopped_run_is_resumed() {
    let bench = Bench::new(&["127.0.0.1"]).await;
    let heard = Received::default();
    let port = server(heard.clone()).await;
    let url = format!("http://127.0.0.1:{port}/rows");
    let arguments = json!({"sink": {"url": url, "batch": 6, "headers": {"X-Mine": "5"}}});
    let run = run_of_job(job("a", 1, &arguments));
    let stop = run.stop.clone();
    let watch = async {
        while heard.count.load(Ordering::SeqCst) < 5 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (end, ()) = tokio::join!(bench.kind.run(run), watch);
    let failure = failed(end);
    assert_eq!(failure.exception_type(), "Stopped");
    let before: Json = serde_json::from_str(&failure.output.text.unwrap()).unwrap();
    assert!(before["rows"].as_u64().unwrap() >= 24, "{before}");
    let output = bench.output(job("a", 2, &arguments)).await;
    assert_eq!(output["instances"], CARS);
    assert_eq!(objects(&heard.lines()).len(), CARS * (1 + PARTS));
    assert!(heard.count.load(Ordering::SeqCst) <= CARS + 1);
}

#[tokio::test]
async fn wrong_arguments_are_named_in_the_error() {
    let bench = Bench::new(&["a.example"]).await;
    let check = async |name: &str, arguments: Json, expected: &str| {
        let mut job = job("a", 1, &arguments);
        job.key.name = name.to_owned();
        let refused = bench.kind.check(&job).await.unwrap_err();
        let hint = refused
            .hint
            .map(|hint| format!(" | {hint}"))
            .unwrap_or_default();
        let found = format!("{}{hint}", refused.message);
        assert!(found.contains(expected), "{arguments}: {found}");
        let failure = failed(bench.run(job).await);
        assert!(failure.output.text.is_none(), "{arguments}");
    };
    let file = bench.file("x.jsonl");
    let with = |more: Json| add(&file, &more);
    let sink = |sink: Json| json!({ "sink": sink });
    check("cra", file.clone(), "did you mean `CAR`?").await;
    check(
        "CAR",
        with(json!({"table": "car"})),
        "has no argument `table` | did you mean `tables`?",
    )
    .await;
    check(
        "CAR",
        with(json!({"tables": "car,prat"})),
        "CAR has no table `prat` | did you mean `part`?",
    )
    .await;
    check(
        "CAR",
        with(json!({"tables": ["_weft_sync"]})),
        "CAR has no table `_weft_sync`",
    )
    .await;
    check(
        "CAR",
        with(json!({"tables": "part\"; drop"})),
        "CAR has no table `part\"; drop`",
    )
    .await;
    check(
        "CAR",
        with(json!({"instances": []})),
        "`instances` must be a list",
    )
    .await;
    check(
        "CAR",
        with(json!({"instances": [["1"]]})),
        "`instances` must be a list",
    )
    .await;
    check(
        "CAR",
        with(json!({"instances": "1,,2"})),
        "`instances` must be a list",
    )
    .await;
    check(
        "CAR",
        with(json!({"types": {"a": 1}})),
        "`types` must be a list",
    )
    .await;
    check(
        "CAR",
        with(json!({"truncate": "maybe"})),
        "`truncate` must be true or false",
    )
    .await;
    check("CAR", json!({}), "CDC_REPUBLISH needs `sink`").await;
    check("CAR", sink(json!("x")), "`sink` must be an object").await;
    check("CAR", sink(json!({})), "neither `file` nor `url`").await;
    check(
        "CAR",
        sink(json!({"queue": "q"})),
        "the sink names `queue`: queues are not available",
    )
    .await;
    check(
        "CAR",
        sink(json!({"topic": "q", "url": "http://a.example"})),
        "the sink names `topic`",
    )
    .await;
    check(
        "CAR",
        sink(json!({"flie": "q"})),
        "the sink has no `flie` | did you mean `file`?",
    )
    .await;
    check(
        "CAR",
        sink(json!({"file": "x.jsonl", "url": "http://a.example"})),
        "`file` and `url`",
    )
    .await;
    check(
        "CAR",
        sink(json!({"file": "x.jsonl", "batch": 5})),
        "`batch` is for a `url`",
    )
    .await;
    check(
        "CAR",
        sink(json!({"file": 5})),
        "`sink.file` must be a path",
    )
    .await;
    check(
        "CAR",
        sink(json!({"file": "/etc/rows.jsonl"})),
        "not below a folder that this node allows",
    )
    .await;
    check(
        "CAR",
        sink(json!({"file": "../x.jsonl"})),
        "is not a path to a file",
    )
    .await;
    check("CAR", sink(json!({"file": "lu.yaml"})), "ends with .jsonl").await;
    check(
        "CAR",
        sink(json!({"file": "nowhere/x.jsonl"})),
        "it does not exist",
    )
    .await;
    check(
        "CAR",
        sink(json!({"url": "http://b.example"})),
        "b.example may not be called",
    )
    .await;
    check(
        "CAR",
        sink(json!({"url": "https://a.example"})),
        "https is not supported",
    )
    .await;
    check(
        "CAR",
        sink(json!({"url": "http://a.example", "batch": 0})),
        "`sink.batch` must be a number from 1",
    )
    .await;
    check(
        "CAR",
        sink(json!({"url": "http://a.example", "timeout_ms": -1})),
        "timeout_ms",
    )
    .await;
    let secret = json!({"Authorization": "Bearer x"});
    check(
        "CAR",
        sink(json!({"url": "http://a.example", "headers": secret})),
        "is a secret",
    )
    .await;
    check(
        "CAR",
        sink(json!({"url": "http://a.example", "headers": {"Idempotency-Key": "1"}})),
        "sent by Weft",
    )
    .await;
    fs::create_dir(bench.out("folder.jsonl")).unwrap();
    check("CAR", bench.file("folder.jsonl"), "is a folder").await;
    let outside = bench.folder.path().join("store");
    std::os::unix::fs::symlink(&outside, bench.out("link.jsonl")).unwrap();
    fs::create_dir_all(bench.folder.path().join("other")).unwrap();
    std::os::unix::fs::symlink("../other", bench.out("way")).unwrap();
    check("CAR", bench.file("way/x.jsonl"), "leads out").await;
    assert_eq!(bench.hidden(), 0);
}
