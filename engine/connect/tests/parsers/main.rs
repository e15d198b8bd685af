//! PARSER with a deployed project. It is its own process because a test of the other kinds measures memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use weft_connect::{CallBack, Grant, Parts, kinds, validators};
use weft_model::Value;
use weft_model::clock::{SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{Job, JobKey, NodeId, ParsedTable};
use weft_node::NodeConfig;
use weft_node::job::{CheckpointStore, JobKind, JobKinds, Run, RunEnd, RunFailure, Slot};
use weft_node::trace::Traces;
use weft_project::interface::Environment;
use weft_project::source::Parameters;
use weft_project::{CatalogueError, ProjectCatalogue};
use weft_sqlite::{Options, SqliteStore};
use weft_statement::LateStatements;
use weft_store::SelfFence;
use weft_store::SharedStore;
use weft_store::faulty::{Fault, FaultyStore};

/// Grants no access.
#[derive(Debug)]
struct NoCalls;

impl CallBack for NoCalls {
    fn grant(&self, _: &Run) -> Option<Grant> {
        None
    }
}

const LU: &str = "root: ids\ntables:\n  ids:\n    interface: stored\n    query: select id from rows where id in (:ids)\n    id_column: id\n    key: [id]\n    columns: {id: INTEGER}\n";
const STORED: &str = "type: parsed\nlogical_unit: CAR\n";
const ROWS: &str = "files: ${PROJECT_DIR}/in/*\nformat: csv\ntable: rows\ncolumns: {id: INTEGER, name: TEXT}\nkey: id\n";

/// A node with a project whose parser reads the folder `in` next to it.
struct Bench {
    folder: tempfile::TempDir,
    store: SharedStore,
    /// The same store: makes calls fail.
    faults: Arc<FaultyStore>,
    catalogue: Arc<ProjectCatalogue>,
    kinds: JobKinds,
    clock: SharedClock,
    ids: Ids,
}

impl Bench {
    async fn new(parser: &str) -> Self {
        let bench = Self::empty();
        bench.deploy(parser).await.unwrap();
        bench
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let store = folder.path().join("store");
        let store = SqliteStore::open(store, Options::new(Arc::clone(&clock))).unwrap();
        let faults = Arc::new(FaultyStore::new(Arc::new(store)));
        let store: SharedStore = faults.clone();
        let environment = Environment::from_map(BTreeMap::new());
        let mut config =
            NodeConfig::with_defaults(NodeId("n1".to_owned()), folder.path().join("data"));
        config.file_roots = vec![folder.path().join("project/in")];
        let catalogue = ProjectCatalogue::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            config.data.clone(),
            environment.clone(),
        );
        let catalogue = Arc::new(catalogue.with_validators(validators()));
        let kinds = JobKinds::new(kinds(Parts {
            projects: Arc::clone(&catalogue) as Arc<_>,
            config,
            environment,
            call_back: Arc::new(NoCalls),
            traces: Traces::default(),
            statements: LateStatements::default(),
            checkpoints: CheckpointStore::new(
                Arc::clone(&store),
                Ids::seeded(2),
                Arc::clone(&clock),
            ),
            store: Arc::clone(&store),
        }));
        fs::create_dir_all(folder.path().join("project/in")).unwrap();
        Self {
            folder,
            store,
            faults,
            catalogue,
            kinds,
            clock,
            ids: Ids::seeded(1),
        }
    }

    async fn deploy(&self, parser: &str) -> Result<(), String> {
        let project = self.folder.path().join("project");
        for (path, text) in [
            ("logical_units/CAR/lu.yaml", LU),
            ("interfaces/stored.yaml", STORED),
            ("logical_units/CAR/parsers/rows.yaml", parser),
        ] {
            let path = project.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let self_fence = SelfFence::for_duration(Arc::clone(&self.clock), Duration::from_secs(60));
        let deployed = self
            .catalogue
            .deploy(&project, "tester", &self.ids, &self_fence)
            .await;
        match deployed {
            Ok(_) => Ok(()),
            Err(CatalogueError::Invalid(errors)) => {
                Err(errors.iter().map(|error| format!("{error}\n")).collect())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("project/in").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn kind(&self) -> &Arc<dyn JobKind> {
        self.kinds.get("PARSER").unwrap()
    }

    async fn run(&self, fence: i64) -> RunEnd {
        self.kind().run(run(fence)).await
    }

    /// The output of a run that succeeds.
    async fn output(&self, fence: i64) -> Json {
        match self.run(fence).await {
            RunEnd::Succeeded(output) => serde_json::from_str(&output.text.unwrap()).unwrap(),
            RunEnd::Failed(failure) => panic!("{failure:?}"),
        }
    }

    async fn query(&self, sql: &str) -> Vec<Vec<Value>> {
        let project = self.catalogue.current_project().await.unwrap();
        let interface = project.interface("stored").unwrap();
        let answer = interface
            .query(sql, Parameters::Positional(Vec::new()))
            .await;
        answer.unwrap().rows
    }

    async fn count(&self) -> i64 {
        match self.query("select count(*) from rows").await[0][0] {
            Value::Integer(count) => count,
            ref other => panic!("{other:?}"),
        }
    }
}

fn job(name: &str, fence: i64) -> Job {
    let key = JobKey {
        job_type: "PARSER".to_owned(),
        name: name.to_owned(),
        uid: "1".to_owned(),
    };
    Job {
        fence,
        worker: Some(NodeId("n1".to_owned())),
        ..Job::waiting(key, Timestamp(7))
    }
}

fn run(fence: i64) -> Run {
    Run {
        job: job("CAR.rows", fence),
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

fn lines(from: u64, to: u64) -> String {
    (from..to).map(|id| format!("{id},name {id}\n")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn files_become_rows() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", "id,name\n1,Ann\n2,Bob\n");
    bench.write("b.csv.gz", gzip(b"name,id\nCid,3\nAnnie,1\n"));
    let output = bench.output(1).await;
    assert_eq!(
        output,
        json!({"files": 2, "skipped": 0, "records": 4, "rejected": 0, "rejects": null})
    );
    let text = |text: &str| Value::Text(text.to_owned());
    let found = bench.query("select id, name from rows order by id").await;
    assert_eq!(
        found,
        [
            // The later file wins.
            [Value::Integer(1), text("Annie")],
            [Value::Integer(2), text("Bob")],
            [Value::Integer(3), text("Cid")],
        ]
    );
    let by_key = "select name from rows where id in (3, '2', 9, null)";
    assert_eq!(bench.query(by_key).await.len(), 2);
    let joined = "select a.name from rows a join rows b on a.id = b.id + 1";
    assert_eq!(bench.query(joined).await.len(), 2);
    assert!(
        bench
            .query("select * from rows where id = 'x'")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn bad_lines_are_reported_and_the_others_stored() {
    let bench = Bench::new(ROWS).await;
    bench.write(
        "a.csv",
        b"id,name\n1,Ann\nx,Bob\n3\n4,\xff\n,Nobody\n6,\"open\n7,Gil\n",
    );
    let output = bench.output(1).await;
    assert_eq!(
        (&output["records"], &output["rejected"]),
        (&json!(1), &json!(5))
    );
    let rejects = fs::read_to_string(output["rejects"].as_str().unwrap()).unwrap();
    let rejects: Vec<Json> = rejects
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reasons: Vec<_> = rejects
        .iter()
        .map(|reject| {
            (
                reject["line"].as_u64().unwrap(),
                reject["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            (
                3,
                "column `id`: `x` is not a whole number of at most 64 bits"
            ),
            (4, "1 fields for 2 columns"),
            (5, "not UTF-8"),
            (6, "column `id` is a key and is empty"),
            (7, "a quoted field is not closed before the end of the file"),
        ]
    );
    assert!(rejects[0]["file"].as_str().unwrap().ends_with("in/a.csv"));
    assert_eq!(rejects[4]["head"], "6,\"open\n7,Gil");
}

#[tokio::test]
async fn files_and_appended_lines_are_read_once() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", "id,name\n1,Ann\n2,Bo");
    assert_eq!(bench.output(1).await["records"], 2);
    let output = bench.output(2).await;
    assert_eq!(
        (&output["files"], &output["skipped"]),
        (&json!(0), &json!(1))
    );
    // The last line was incomplete, so it is read again with the rest.
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(bench.path("a.csv"))
        .unwrap();
    file.write_all(b"b\n3,Cid\n").unwrap();
    drop(file);
    let output = bench.output(3).await;
    assert_eq!(
        (&output["files"], &output["records"]),
        (&json!(1), &json!(2))
    );
    let names = bench.query("select name from rows where id = 2").await;
    assert_eq!(names, [[Value::Text("Bob".to_owned())]]);
    // Changed content is read again, and so is everything after the definition changes.
    bench.write("a.csv", "id,name,more\n9,New,x\n");
    assert_eq!(bench.output(4).await["records"], 1);
    bench
        .deploy(&ROWS.replace("name: TEXT", "name: TEXT, more: TEXT"))
        .await
        .unwrap();
    assert_eq!(bench.output(5).await["records"], 1);
    assert_eq!(bench.count().await, 4);
    let more = bench.query("select more from rows where id = 9").await;
    assert_eq!(more, [[Value::Text("x".to_owned())]]);
}

#[tokio::test]
async fn a_file_changed_in_place_is_read_again() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", "id,name\n1,Ann\n");
    assert_eq!(bench.output(1).await["records"], 1);
    // Only the time of the last change shows it: the size is the same.
    bench.write("a.csv", "id,name\n1,Eve\n");
    let file = fs::File::options().write(true).open(bench.path("a.csv"));
    let file = file.unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written + Duration::from_secs(60))
        .unwrap();
    assert_eq!(bench.output(2).await["records"], 1);
    let names = bench.query("select name from rows where id = 1").await;
    assert_eq!(names, [[Value::Text("Eve".to_owned())]]);
}

#[tokio::test]
async fn a_longer_file_with_another_beginning_is_read_from_its_start() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", "id,name\n1,Ann\n");
    assert_eq!(bench.output(1).await["records"], 1);
    // Not an appended file: the rows before the old end are new as well.
    bench.write("a.csv", "id,name\n5,Eve\n6,Fay\n");
    assert_eq!(bench.output(2).await["records"], 2);
    let names = bench
        .query("select name from rows where id > 4 order by id")
        .await;
    let text = |name: &str| vec![Value::Text(name.to_owned())];
    assert_eq!(names, [text("Eve"), text("Fay")]);
}

#[tokio::test]
async fn a_place_is_not_saved_for_rows_that_were_not_stored() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", format!("id,name\n{}", lines(0, 2_000)));
    bench.faults.set("put_parsed_rows", "", Fault::Refused);
    failed(bench.run(1).await);
    bench.faults.set("put_parsed_rows", "", None);
    assert_eq!(bench.output(2).await["records"], 2_000);
    assert_eq!(bench.count().await, 2_000);
}

#[tokio::test]
async fn an_interrupted_run_is_resumed() {
    let bench = Bench::new(ROWS).await;
    for part in 0..3 {
        let from = part * 20_000;
        bench.write(
            &format!("{part}.csv"),
            format!("id,name\n{}", lines(from, from + 20_000)),
        );
    }
    let mut cut_in_the_middle = 0;
    // Dropped at any point, like a process that is killed.
    for fence in 1..=6 {
        let stop_at = bench.count().await + 3_000;
        let watch = async {
            while bench.count().await < stop_at {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = watch => cut_in_the_middle += 1,
            end = bench.run(fence) => drop(end),
        }
    }
    assert!(cut_in_the_middle >= 3, "{cut_in_the_middle}");
    let output = bench.output(9).await;
    assert_eq!(bench.count().await, 60_000);
    let distinct = bench.query("select count(distinct name) from rows").await;
    assert_eq!(distinct, [[Value::Integer(60_000)]]);
    assert!(output["records"].as_u64().unwrap() <= 60_000);
    assert_eq!(bench.output(10).await["skipped"], 3);
}

#[tokio::test]
async fn a_replaced_run_saves_nothing() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", "id,name\n1,Ann\n");
    bench.output(2).await;
    bench.write("b.csv", "id,name\n2,Bob\n");
    let failure = failed(bench.run(1).await);
    assert_eq!(failure.exception_type(), "TakenOver");
    assert_eq!(bench.count().await, 1);
}

#[tokio::test]
async fn a_stopped_run_is_resumed_after_the_stored_rows() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", format!("id,name\n{}", lines(0, 60_000)));
    let stopped = run(1);
    let stop = stopped.stop.clone();
    let watch = async {
        while bench.count().await < 2_000 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (end, ()) = tokio::join!(bench.kind().run(stopped), watch);
    let failure = failed(end);
    assert_eq!(failure.exception_type(), "Stopped");
    let before: Json = serde_json::from_str(&failure.output.text.unwrap()).unwrap();
    let before = before["records"].as_u64().unwrap();
    assert!((2_000..60_000).contains(&before), "{before}");
    let after = bench.output(2).await["records"].as_u64().unwrap();
    assert_eq!(before + after, 60_000);
    assert_eq!(bench.count().await, 60_000);
}

#[tokio::test]
async fn a_malicious_file_does_not_affect_others() {
    let bench = Bench::new(&format!("{ROWS}limits: {{bytes: 1000000}}\n")).await;
    bench.write("bomb.csv", gzip(&vec![b'x'; 20 << 20]));
    bench.write("broken.gz", b"\x1f\x8bnot gzip");
    bench.write("good.csv", "id,name\n1,Ann\n");
    let long = [
        b"id,name\n2,".to_vec(),
        vec![b'x'; 3 << 20],
        b"\n3,Cid\n".to_vec(),
    ]
    .concat();
    bench.write("long.csv", long);
    std::os::unix::fs::symlink("/etc/passwd", bench.path("passwd")).unwrap();
    let output = bench.output(1).await;
    assert_eq!(
        (&output["records"], &output["broken_files"]),
        (&json!(2), &json!(3))
    );
    let broken = output["broken"].to_string();
    for reason in [
        "passwd leads out of",
        "more than 1000000 bytes",
        "gzip data is damaged",
    ] {
        assert!(broken.contains(reason), "{reason} in {broken}");
    }
    assert_eq!(bench.count().await, 2);
    let rejects = fs::read_to_string(output["rejects"].as_str().unwrap()).unwrap();
    assert!(rejects.contains("longer than 1 MiB"), "{rejects}");
    // Reported once.
    let output = bench.output(2).await;
    assert_eq!(
        (&output["files"], &output["skipped"]),
        (&json!(0), &json!(4))
    );
}

#[tokio::test]
async fn a_table_without_a_key_has_file_and_line() {
    let parser = ROWS.replace("key: id\n", "");
    let bench = Bench::new(&parser).await;
    bench.write("a.csv", "id,name\n7,Ann\n7,Ann\n,\n");
    bench.output(1).await;
    let found = bench
        .query("select source_line, id from rows order by source_line")
        .await;
    let number = Value::Integer;
    assert_eq!(
        found,
        [
            vec![number(2), number(7)],
            vec![number(3), number(7)],
            vec![number(4), Value::Null],
        ]
    );
}

#[tokio::test]
async fn every_format_fills_the_table() {
    let cases = [
        ("format: jsonl", "{\"id\":1,\"name\":\"Ann\"}\n"),
        (
            "format: json\npath: data.rows",
            "{\"data\":{\"rows\":[{\"id\":1,\"name\":\"Ann\"}]}}",
        ),
        (
            "format: xml\nelement: rows/row",
            "<rows><row id='1'><name>Ann</name></row></rows>",
        ),
        ("format: fixed\nwidths: {id: 3, name: 5}", "001Ann  \n"),
        (
            "format: lines\npattern: '^(?<id>\\d+) (?<name>.*)$'",
            "1 Ann\n",
        ),
        (
            "format: csv\ndelimiter: '|'\nquote: none\nheader: false\nnames: [id, name]",
            "1|Ann\n",
        ),
    ];
    for (format, content) in cases {
        let bench = Bench::new(&ROWS.replace("format: csv", format)).await;
        bench.write("a", content);
        assert_eq!(bench.output(1).await["records"], 1, "{format}");
        let found = bench.query("select id, name from rows").await;
        assert_eq!(
            found,
            [[Value::Integer(1), Value::Text("Ann".to_owned())]],
            "{format}"
        );
    }
}

#[tokio::test]
async fn a_query_fills_a_table() {
    let bench = Bench::empty();
    let interfaces = bench.folder.path().join("project/interfaces");
    fs::create_dir_all(&interfaces).unwrap();
    let source = "type: csv\npath: ${PROJECT_DIR}/in/source.csv\n";
    fs::write(interfaces.join("source.yaml"), source).unwrap();
    bench.write("source.csv", format!("id,name\n{}", lines(0, 1_000)));
    let parser = "interface: source\nquery: select id, upper(name) as loud from source\ntable: rows\n\
        columns: {id: INTEGER, name: {type: TEXT, from: loud}}\nkey: id\n";
    bench.deploy(parser).await.unwrap();
    assert_eq!(bench.output(1).await["records"], 1_000);
    let found = bench.query("select name from rows where id = 999").await;
    assert_eq!(found, [[Value::Text("NAME 999".to_owned())]]);
    let wrong = parser.replace("from: loud", "from: lound");
    let error = bench.deploy(&wrong).await.unwrap_err();
    assert!(
        error.contains(
            "column `name` is read from the field `lound`, which does not exist; did you mean `loud`?"
        ),
        "{error}"
    );
    let error = bench
        .deploy(&parser.replace("key: id\n", ""))
        .await
        .unwrap_err();
    assert!(
        error.contains("only a key identifies the rows of a query"),
        "{error}"
    );
}

#[tokio::test]
async fn definitions_that_cannot_run_are_refused() {
    let bench = Bench::empty();
    let check = async |name: &str, arguments: &str| {
        let job = Job {
            arguments: arguments.to_owned(),
            ..job(name, 0)
        };
        bench
            .kind()
            .check(&job)
            .await
            .map_err(|check| check.message)
    };
    assert_eq!(
        check("CAR.rows", "{}").await,
        Err("no project is deployed".to_owned())
    );
    bench.deploy(ROWS).await.unwrap();
    assert_eq!(check("car.ROWS", "{}").await, Ok(()));
    let refused = [
        ("CAR.row", "there is no parser `row`; did you mean `rows`?"),
        (
            "CAT.rows",
            "there is no logical unit `CAT`; did you mean `CAR`?",
        ),
        ("rows", "`rows` does not name a parser"),
    ];
    for (name, error) in refused {
        assert_eq!(check(name, "{}").await, Err(error.to_owned()));
    }
    let error = check("CAR.rows", r#"{"file":"/etc/passwd"}"#).await;
    assert_eq!(error, Err("a parser has no argument `file`".to_owned()));
    for outside in ["/etc/*", "${PROJECT_DIR}/*.yaml"] {
        bench
            .deploy(&ROWS.replace("${PROJECT_DIR}/in/*", outside))
            .await
            .unwrap();
        let error = check("CAR.rows", "{}").await.unwrap_err();
        assert!(
            error.contains("is in none of the folders that this node allows"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_parser_is_checked_at_deployment() {
    let bench = Bench::empty();
    let cases: [(&str, &[&str]); 9] = [
        (
            "",
            &[
                "rows.yaml:1: table: is missing",
                "rows.yaml:1: columns: is missing",
            ],
        ),
        (
            "table: entity\ncolumns: {id: INTEGR}\nfiles: in/*\nformat: csv\n",
            &[
                "rows.yaml:1: table: every logical unit has a table `entity` already",
                "rows.yaml:2: columns.id: unknown type `INTEGR`",
                "rows.yaml:3: files: `in/*` is not an absolute path",
            ],
        ),
        (
            "table: t\ncolumns: {id: INTEGER}\nfiles: /in/../x\nformat: csw\n",
            &[
                "rows.yaml:3: files: `/in/../x` leaves its folder with `..`",
                "rows.yaml:4: format: unknown format `csw`; the formats are csv, jsonl, json, xml, fixed, lines; did you mean `csv`?",
            ],
        ),
        (
            "table: t\ncolumns: {id: INTEGER}\n",
            &["files: is missing: `files` or an `interface` with a `query`"],
        ),
        (
            "table: t\ncolumns: {id: REAL, source_line: TEXT}\nkey: [id, it]\nfiles: /in/[\nformat: lines\npattern: '('\n",
            &[
                "rows.yaml:3: key: `id` is REAL; only TEXT and INTEGER tell rows apart",
                "rows.yaml:3: key: there is no column `it`; did you mean `id`?",
                "columns.source_line: `source_line` is a column that tables without a key have already",
                "rows.yaml:4: files: `/in/[`",
                "rows.yaml:6: pattern: regex parse error",
            ],
        ),
        (
            "table: t\ncolumns: {id: ANY}\nfiles: /in/*\nformat: fixed\nwidths: {ID: 0}\n",
            &[
                "columns.id: a stored column has a type",
                "widths.ID: must be the width of the column in characters",
            ],
        ),
        (
            "table: t\ncolumns: {id: TEXT}\nfiles: /in/*\nformat: csv\nheader: maybe\nquote: ab\nnames: [x]\nlimit: 1\n",
            &[
                "rows.yaml:5: header: must be true or false, not `maybe`",
                "rows.yaml:6: quote: must be one character, not `ab`",
                "rows.yaml:7: names: the header names the columns",
                "rows.yaml:7: names: column `id` is read from the field `id`, which does not exist",
                "rows.yaml:8: limit: unknown field; did you mean `limits`?",
            ],
        ),
        (
            "table: t\ncolumns: {id: TEXT}\nkey: id\ninterface: nowhere\nquery: select 1\n",
            &["interface: there is no interface `nowhere`"],
        ),
        ("table: t\ncolumns: [\n", &["not YAML"]),
    ];
    for (parser, expected) in cases {
        let error = bench.deploy(parser).await.unwrap_err();
        for part in expected {
            assert!(error.contains(part), "{part}\nin\n{error}");
        }
    }
    // A table that exists with other types.
    bench.deploy(ROWS).await.unwrap();
    let error = bench
        .deploy(&ROWS.replace("name: TEXT", "name: REAL"))
        .await
        .unwrap_err();
    assert!(
        error.contains("table CAR.rows is there already with another type or key for `name`"),
        "{error}"
    );
    let project = bench.catalogue.current_project().await.unwrap();
    let tables: Vec<&ParsedTable> = project
        .logical_unit("CAR")
        .unwrap()
        .parsed_tables
        .values()
        .collect();
    assert!(bench.store.parsed_rows(tables[0], None, 1).await.is_ok());
}

/// Longer than before is not the same as grown: the text before the stored position decides.
#[tokio::test]
async fn a_file_that_was_written_anew_is_read_from_its_start() {
    let bench = Bench::new(ROWS).await;
    // The same head of 4 KiB, then other lines.
    let head = lines(0, 400);
    assert!(head.len() > 4_096);
    bench.write("a.csv", format!("id,name\n{head}900,old\n"));
    assert_eq!(bench.output(1).await["records"], 401);
    bench.write(
        "a.csv",
        format!("id,name\n{head}5,a much longer name\n7,new\n"),
    );
    let output = bench.output(2).await;
    assert_eq!(output["records"], 402, "{output}");
    let rows = bench
        .query("select name from rows where id in (5, 7) order by id")
        .await;
    let text = |text: &str| vec![Value::Text(text.to_owned())];
    assert_eq!(rows, [text("a much longer name"), text("new")]);
}

#[tokio::test]
async fn a_file_of_the_same_size_and_time_with_another_beginning_is_read() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", "id,name\n1,old\n");
    let time = fs::metadata(bench.path("a.csv"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(bench.output(1).await["records"], 1);
    bench.write("a.csv", "id,name\n1,new\n");
    let file = fs::File::options()
        .write(true)
        .open(bench.path("a.csv"))
        .unwrap();
    file.set_modified(time).unwrap();
    drop(file);
    assert_eq!(bench.output(2).await["records"], 1);
    let name = bench.query("select name from rows").await;
    assert_eq!(name, [[Value::Text("new".to_owned())]]);
    assert_eq!(bench.output(3).await["records"], 0);
}

/// A column that the file lacks would become NULL in rows that an earlier file has stored.
#[tokio::test]
async fn a_header_without_a_column_of_the_parser_is_an_error_of_the_file() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", "id,name,more\n1,Ann,x\n");
    assert_eq!(bench.output(1).await["records"], 1);
    bench.write("b.csv", "id,Name\n1,Bob\n");
    bench.write("c.csv", "id,name\r2,Cid\r");
    let output = bench.output(2).await.to_string();
    let missing = "line 1: the header has no column `name`; it names id, Name";
    assert!(output.contains(missing), "{output}");
    assert!(
        output.contains("a carriage return without a line feed"),
        "{output}"
    );
    let name = bench.query("select name from rows").await;
    assert_eq!(name, [[Value::Text("Ann".to_owned())]]);
}

/// The last record may still be written when the file is read.
#[tokio::test]
async fn a_record_that_is_cut_within_quotes_is_read_when_it_is_whole() {
    let bench = Bench::new(ROWS).await;
    bench.write("a.csv", "id,name\n1,a\n2,b\n3,\"4,x\n5,y\n");
    let output = bench.output(1).await;
    assert_eq!(
        (&output["records"], &output["rejected"]),
        (&json!(2), &json!(1))
    );
    let mut file = fs::File::options()
        .append(true)
        .open(bench.path("a.csv"))
        .unwrap();
    file.write_all(b"end\"\n").unwrap();
    drop(file);
    let output = bench.output(2).await;
    assert_eq!(
        (&output["records"], &output["rejected"]),
        (&json!(1), &json!(0))
    );
    let rows = bench.query("select id, name from rows where id >= 3").await;
    assert_eq!(
        rows,
        [[Value::Integer(3), Value::Text("4,x\n5,y\nend".to_owned())]]
    );
}
