//! INTERFACE_LISTENER on a node, with real flows, real files and a real server. The node has a pool of one slot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use weft_model::clock::Timestamp;
use weft_node::job::CheckpointHolder;

use crate::flows::Bench;
use crate::http::{Seen, server};

/// A second run for one file fails.
const COPY: &str = "\
inputs: {path: , name: , size: , to: {default: out}}
stages:
  - name: read
    actors: [{name: text, actor: FileRead, inputs: {path: '${path}'}}]
  - name: write
    actors: [{name: done, actor: FileWrite, inputs: {path: '${to}/${name}', content: '${size} ${text.text}', replace: false}}]
";

async fn bench(flow: &str) -> Bench {
    let bench = Bench::new(&[("f", flow)]).await;
    for folder in ["in", "out", "ok"] {
        fs::create_dir(file(&bench, folder)).unwrap();
    }
    bench
}

fn file(bench: &Bench, name: &str) -> PathBuf {
    bench.folder.path().join("files").join(name)
}

fn put(bench: &Bench, name: &str, text: &str) {
    fs::write(file(bench, name), text).unwrap();
}

async fn start(bench: &Bench, more: Value, options: &str) -> Result<(), String> {
    let mut arguments = json!({"poll_seconds": 0.1});
    if more.get("url").is_none() {
        arguments["path"] = json!(file(bench, "in"));
    }
    let more = more.as_object().unwrap().clone();
    arguments.as_object_mut().unwrap().extend(more);
    let text =
        format!("STARTJOB INTERFACE_LISTENER NAME='CAR.f' UID='in' ARGS='{arguments}' {options}");
    bench.run(&text).await.map(drop)
}

async fn status(bench: &Bench) -> String {
    let text = "JOBSTATUS INTERFACE_LISTENER 'CAR.f' WITH UID='in'";
    let answer = bench.run(text).await.unwrap();
    let at = answer.columns.iter().position(|column| column == "Status");
    answer.rows[0][at.unwrap()].as_str().unwrap().to_owned()
}

/// Waits for a status; returns the output of the last run.
async fn output_at(bench: &Bench, expected: &str) -> Value {
    let what = format!("it is {expected}");
    bench
        .until(&what, async || status(bench).await == expected)
        .await;
    let text = "JOBHISTORY INTERFACE_LISTENER 'CAR.f' WITH UID='in'";
    let answer = bench.run(text).await.unwrap();
    let at = |name: &str| {
        answer
            .columns
            .iter()
            .position(|column| column == name)
            .unwrap()
    };
    // The newest is the first.
    let output = answer.rows[0][at("Output")].as_str().unwrap();
    serde_json::from_str(output).unwrap()
}

async fn once(bench: &Bench, more: Value, options: &str) -> Value {
    let mut more = more;
    more["once"] = json!(true);
    start(bench, more, options).await.unwrap();
    output_at(bench, "PROCESSED").await
}

async fn stop(bench: &Bench) -> Value {
    let text = "STOPJOB INTERFACE_LISTENER NAME='CAR.f' UID='in'";
    bench.run(text).await.unwrap();
    output_at(bench, "TERMINATED").await
}

fn output_of(handled: u64, failed_tries: u64, given_up: u64) -> Value {
    json!({
        "handled": handled, "failed_tries": failed_tries, "given_up": given_up, "to_try_again": 0,
        "unsettled": 0, "changed": 0, "left_out": 0,
    })
}

async fn written(bench: &Bench, name: &str) -> String {
    let name = format!("out/{name}");
    bench
        .until(&name, async || bench.written(&name).is_some())
        .await;
    bench.written(&name).unwrap()
}

#[tokio::test]
async fn a_new_file_is_handled_once_even_after_a_restart() {
    let bench = bench(COPY).await;
    put(&bench, "in/a.csv", "first");
    for unfinished in [".a.csv", "a.csv.tmp", "a.csv.part", "a.txt"] {
        put(&bench, &format!("in/{unfinished}"), "x");
    }
    fs::create_dir(file(&bench, "in/folder.csv")).unwrap();
    start(&bench, json!({"pattern": "*.csv"}), "")
        .await
        .unwrap();
    assert_eq!(written(&bench, "a.csv").await, "5 first");
    // It continues to listen, and the only job slot is free meanwhile.
    put(&bench, "in/b.csv", "second");
    assert_eq!(written(&bench, "b.csv").await, "6 second");
    let doing = async || {
        let answer = bench.run("PS in").await.unwrap();
        answer.rows[0].last().unwrap().as_str().unwrap().to_owned()
    };
    let counted = "runs try 1 of 10: 2 files handled so far, 0 given up";
    bench
        .until(counted, async || doing().await == counted)
        .await;
    let other = format!(
        "STARTJOB BROADWAY_JOB NAME='CAR.f' UID='o' ARGS='{}'",
        json!({"path": file(&bench, "in/a.txt"), "name": "other", "size": 1})
    );
    bench.run(&other).await.unwrap();
    assert_eq!(written(&bench, "other").await, "1 x");
    assert_eq!(status(&bench).await, "IN_PROCESS");
    assert_eq!(stop(&bench).await, output_of(2, 0, 0));

    put(&bench, "in/c.csv", "third");
    start(&bench, json!({"pattern": "*.csv"}), "")
        .await
        .unwrap();
    assert_eq!(written(&bench, "c.csv").await, "5 third");
    bench
        .until("three are counted", async || {
            doing().await.contains("3 files handled so far")
        })
        .await;
    assert_eq!(stop(&bench).await, output_of(1, 0, 0));
    // A listener with another UID has handled nothing.
    let pass = format!(
        "STARTJOB INTERFACE_LISTENER NAME='car.F' UID='other' ARGS='{}' MAX_ATTEMPTS=1",
        json!({"path": file(&bench, "in"), "pattern": "*.csv", "poll_seconds": 0.1, "once": true})
    );
    bench.run(&pass).await.unwrap();
    let text = "JOBHISTORY INTERFACE_LISTENER 'car.F' WITH UID='other'";
    bench
        .until("the other has tried all three", async || {
            let answer = bench.run(text).await.unwrap();
            answer.rows.iter().any(|row| {
                let output = row.last().unwrap().as_str().unwrap_or_default();
                output.contains("\"given_up\":3")
            })
        })
        .await;
    bench.end().await;
}

#[tokio::test]
async fn a_changed_file_is_handled_again_only_if_requested() {
    let bench = bench(&COPY.replace("replace: false", "replace: true")).await;
    put(&bench, "in/a.csv", "one");
    assert_eq!(once(&bench, json!({}), "").await, output_of(1, 0, 0));
    put(&bench, "in/a.csv", "one and two");
    let mut changed = output_of(0, 0, 0);
    changed["changed"] = json!(1);
    assert_eq!(once(&bench, json!({}), "").await, changed);
    assert_eq!(bench.written("out/a.csv").unwrap(), "3 one");
    let again = json!({"changed": "handle"});
    assert_eq!(once(&bench, again.clone(), "").await, output_of(1, 0, 0));
    assert_eq!(bench.written("out/a.csv").unwrap(), "11 one and two");
    assert_eq!(once(&bench, again, "").await, output_of(0, 0, 0));
    bench.end().await;
}

#[tokio::test]
async fn a_file_that_changes_while_others_are_handled_waits_until_it_is_stable() {
    // The flow for `a` changes `b`, which was stable until then.
    let flow = format!(
        "{COPY}  - name: grow\n    condition: ${{name}} == 'a'\n    actors: [{{name: more, actor: FileWrite, inputs: {{path: in/b, content: grown}}}}]\n"
    );
    let bench = bench(&flow).await;
    put(&bench, "in/b", "half");
    put(&bench, "in/a", "x");
    // The older one comes first.
    let before = std::time::SystemTime::UNIX_EPOCH;
    let a = fs::File::options().write(true).open(file(&bench, "in/a"));
    a.unwrap().set_modified(before).unwrap();
    start(&bench, json!({}), "").await.unwrap();
    assert_eq!(written(&bench, "b").await, "5 grown");
    bench
        .until("both are counted", async || {
            let answer = bench.run("PS in").await.unwrap();
            answer.rows[0]
                .last()
                .unwrap()
                .as_str()
                .unwrap()
                .contains("2 files")
        })
        .await;
    assert_eq!(stop(&bench).await, output_of(2, 0, 0));
    bench.end().await;
}

#[tokio::test]
async fn a_failing_file_is_retried_and_given_up_without_delaying_others() {
    let flow = COPY.replace("'${path}'", "'ok/${name}'");
    let bench = bench(&flow).await;
    put(&bench, "in/a", "x");
    put(&bench, "in/b", "x");
    put(&bench, "ok/b", "b");
    let policy = "MAX_ATTEMPTS=3 RETRY_DELAY_MS=50";
    let output = once(&bench, json!({}), policy).await;
    assert_eq!(bench.written("out/b").unwrap(), "1 b");
    let failure = &output["failures"][0];
    assert_eq!(
        (&failure["name"], &failure["tries"]),
        (&json!("a"), &json!(3))
    );
    let error = failure["error"].as_str().unwrap();
    assert!(
        error.contains("stage read: text: ok/a cannot be read"),
        "{error}"
    );
    let counts = [
        &output["handled"],
        &output["failed_tries"],
        &output["given_up"],
    ];
    assert_eq!(counts, [&json!(1), &json!(3), &json!(1)]);
    // A file that was given up is not handled again until it changes.
    put(&bench, "ok/a", "a");
    assert_eq!(once(&bench, json!({}), policy).await, output_of(0, 0, 0));
    put(&bench, "in/a", "better");
    assert_eq!(once(&bench, json!({}), policy).await, output_of(1, 0, 0));
    assert_eq!(bench.written("out/a").unwrap(), "6 a");

    // A recurring job leaves further tries to its next run. The pause counts from the failure.
    put(&bench, "in/c", "x");
    let many = "MAX_ATTEMPTS=2 RETRY_DELAY_MS=3600000";
    start(
        &bench,
        json!({}),
        &format!("{many} EXEC_INTERVAL='00:00:01'"),
    )
    .await
    .unwrap();
    let history = "JOBHISTORY INTERFACE_LISTENER 'CAR.f' WITH UID='in'";
    bench
        .until("a pass leaves it to another one", async || {
            let answer = bench.run(history).await.unwrap();
            let left = answer.rows.iter().filter(|row| {
                let output = row.last().unwrap().as_str().unwrap_or_default();
                output.contains("\"to_try_again\":1")
            });
            left.count() >= 2
        })
        .await;
    let answer = bench
        .run("JOBHISTORY INTERFACE_LISTENER 'CAR.f' WITH UID='in'")
        .await
        .unwrap();
    let tries = answer.rows.iter().filter(|row| {
        let output = row.last().unwrap().as_str().unwrap_or_default();
        output.contains("\"failed_tries\":1")
    });
    assert_eq!(tries.count(), 1);
    bench.end().await;
}

#[tokio::test]
async fn no_name_that_a_function_throws_ends_the_run() {
    for name in ["Stopped", "Recovery"] {
        let flow = format!(
            "\
inputs: {{path: , name: }}
stages:
  - name: check
    condition: ${{name}} == 'a'
    actors: [{{name: js, actor: JavaScript, inputs: {{script: \"const e = new Error('no'); e.name = '{name}'; throw e\"}}}}]
  - name: write
    actors: [{{name: done, actor: FileWrite, inputs: {{path: 'out/${{name}}', content: x}}}}]
"
        );
        let bench = bench(&flow).await;
        put(&bench, "in/a", "x");
        put(&bench, "in/b", "x");
        let output = once(&bench, json!({}), "MAX_ATTEMPTS=2 RETRY_DELAY_MS=50").await;
        let counts = ["handled", "failed_tries", "given_up"].map(|count| output[count].as_u64());
        assert_eq!(counts, [Some(1), Some(2), Some(1)], "{name}: {output}");
        assert!(bench.written("out/b").is_some());
        bench.end().await;
    }
}

const CALL: &str = "\
inputs: {path: , idempotency_key: , port: }
stages:
  - name: call
    actors: [{name: a, actor: Http, inputs: {url: 'http://127.0.0.1:${port}/echo', method: post, body: '${idempotency_key}'}}]
  - name: go
    actors: [{name: b, actor: FileRead, inputs: {path: ok/go}}]
";

#[tokio::test]
async fn finished_stages_are_not_repeated_by_another_try_or_after_a_crash() {
    let seen = Seen::default();
    let port = server(seen.clone()).await;
    let bench = bench(CALL).await;
    put(&bench, "in/a", "x");
    let more = json!({"inputs": {"port": port}});
    start(&bench, more.clone(), "RETRY_DELAY_MS=50")
        .await
        .unwrap();
    bench
        .until("the first stage ends", async || {
            !seen.calls.lock().unwrap().is_empty()
        })
        .await;
    put(&bench, "ok/go", "");
    bench
        .until("it is handled", async || {
            let answer = bench.run("PS in").await.unwrap();
            answer.rows[0]
                .last()
                .unwrap()
                .as_str()
                .unwrap()
                .contains("1 files")
        })
        .await;
    stop(&bench).await;
    let key = seen.calls.lock().unwrap()[0].body.clone();
    assert!(uuid::Uuid::parse_str(&key).is_ok(), "{key}");
    assert_eq!(seen.calls.lock().unwrap().len(), 1);

    // The state after a process was killed between the end of the flow and the save of the result.
    let holder = CheckpointHolder {
        job: "test".to_owned(),
        created: Timestamp(1),
        fence: 1,
        node: "n1".to_owned(),
    };
    let scope = "listener/car.f/in";
    let mut held = bench.checkpoints.take(scope, &holder).await.unwrap();
    let items = held.all().await.unwrap();
    assert_eq!(items.len(), 2);
    let items = items.into_iter().map(|item| item.item).collect();
    held.save(Vec::new(), items).await.unwrap();
    assert_eq!(once(&bench, more.clone(), "").await, output_of(1, 0, 0));
    assert_eq!(seen.calls.lock().unwrap().len(), 1);
    // Another file is another run.
    put(&bench, "in/b", "x");
    assert_eq!(once(&bench, more, "").await, output_of(1, 0, 0));
    let calls = seen.calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[1].body, key);
    bench.end().await;
}

#[tokio::test]
async fn a_stop_ends_a_running_flow_and_the_next_run_handles_the_file() {
    let flow = "\
inputs: {path: , wait_ms: {type: number, default: 0}}
stages:
  - name: first
    actors: [{name: a, actor: FileWrite, inputs: {path: out/started, content: x}}]
  - name: second
    actors: [{name: b, actor: Sleep, inputs: {ms: '${wait_ms}'}}]
";
    let bench = bench(flow).await;
    put(&bench, "in/a", "x");
    start(&bench, json!({"inputs": {"wait_ms": 80_000_000}}), "")
        .await
        .unwrap();
    written(&bench, "started").await;
    let output = stop(&bench).await;
    assert_eq!(
        output,
        output_of(0, 0, 0),
        "a stop is no failure of the file"
    );
    assert_eq!(once(&bench, json!({}), "").await, output_of(1, 0, 0));
    bench.end().await;
}

#[tokio::test]
async fn no_link_leads_out() {
    let bench = bench(COPY).await;
    let secret = bench.folder.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("s.csv"), "secret").unwrap();
    symlink(secret.join("s.csv"), file(&bench, "in/link.csv")).unwrap();
    put(&bench, "in/a.csv", "x");
    let output = once(&bench, json!({}), "").await;
    assert_eq!(
        (&output["handled"], &output["left_out"]),
        (&json!(1), &json!(1))
    );
    let reason = output["left_out_files"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("link.csv leads out of the folders"),
        "{reason}"
    );
    symlink(&secret, file(&bench, "door")).unwrap();
    let more = json!({"path": file(&bench, "door"), "once": true});
    start(&bench, more, "MAX_ATTEMPTS=1").await.unwrap();
    let output = output_at(&bench, "FAILED").await;
    assert_eq!(output, output_of(0, 0, 0));
    let answer = bench
        .run("JOBSTATUS INTERFACE_LISTENER 'CAR.f'")
        .await
        .unwrap();
    let shown = format!("{:?}", answer.rows);
    assert!(shown.contains("door leads out of the folders"), "{shown}");
    bench.end().await;
}

/// Answers these texts in order, then repeats the last one.
#[allow(
    clippy::disallowed_methods,
    reason = "the server lives as long as the test"
)]
async fn listing(answers: Vec<String>) -> (u16, Arc<Mutex<usize>>) {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let answer = move || async move {
        let mut asked = counted.lock().unwrap();
        let answer = answers[(*asked).min(answers.len() - 1)].clone();
        *asked += 1;
        answer
    };
    let router = Router::new().route("/in/", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (port, asked)
}

#[tokio::test]
async fn files_of_a_listing_are_handled_once_they_are_stable() {
    let sizes = [1, 2, 3, 3, 3].map(|size| {
        json!([{"name": "a.csv", "size": size, "modified": "today"}, "b.csv", "c.txt"]).to_string()
    });
    let (port, asked) = listing(sizes.into()).await;
    let flow = "\
inputs: {path: , name: , size: {type: number, default: -1}}
stages:
  - name: s
    actors: [{name: a, actor: FileWrite, inputs: {path: 'out/${name}', content: '${path} ${size}', replace: false}}]
";
    let bench = bench(flow).await;
    let url = format!("http://127.0.0.1:{port}/in/");
    let more = json!({"url": url, "pattern": "*.csv"});
    start(&bench, more.clone(), "").await.unwrap();
    assert_eq!(written(&bench, "a.csv").await, format!("{url}a.csv 3"));
    assert_eq!(written(&bench, "b.csv").await, format!("{url}b.csv -1"));
    let enough = *asked.lock().unwrap() + 3;
    bench
        .until("it looks again", async || *asked.lock().unwrap() >= enough)
        .await;
    assert_eq!(stop(&bench).await, output_of(2, 0, 0));
    assert_eq!(once(&bench, more.clone(), "").await, output_of(0, 0, 0));

    // A wrong listing is reported; a listening run tolerates some of them.
    let (port, asked) = listing(vec!["<html>".to_owned()]).await;
    let more = json!({"url": format!("http://127.0.0.1:{port}/in/")});
    start(&bench, more, "MAX_ATTEMPTS=1 RETRY_DELAY_MS=3600000")
        .await
        .unwrap();
    bench
        .until("it is tried again", async || {
            status(&bench).await == "WAITING" && *asked.lock().unwrap() > 0
        })
        .await;
    assert_eq!(*asked.lock().unwrap(), 5);
    let answer = bench
        .run("JOBSTATUS INTERFACE_LISTENER 'CAR.f'")
        .await
        .unwrap();
    let shown = format!("{:?}", answer.rows);
    assert!(shown.contains("a listing is a JSON array"), "{shown}");
    bench.end().await;
}

#[tokio::test]
async fn wrong_definitions_are_refused_and_leave_no_row() {
    let flow = "inputs: {name: , path: {type: number}}\nstages: [{name: s, actors: [{name: a, actor: Log, inputs: {message: x}}]}]\n";
    let without = flow.replace(", path: {type: number}", "");
    let bench = Bench::new(&[("good", COPY), ("typed", flow), ("without", &without)]).await;
    let root = bench.folder.path().join("files").display().to_string();
    let good = json!({"path": root});
    let with = |more: Value| {
        let mut arguments = good.clone();
        arguments
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        arguments
    };
    let cases = [
        ("CAR.godo", good.clone(), "there is no flow `godo`"),
        ("CAT.good", good.clone(), "there is no logical unit `CAT`"),
        ("good", good.clone(), "`good` does not name a flow"),
        (
            "CAR.without",
            good.clone(),
            "flow CAR.without has no input `path`",
        ),
        ("CAR.typed", good.clone(), "`path`"),
        (
            "CAR.good",
            with(json!({"patern": "*"})),
            "INTERFACE_LISTENER has no argument `patern`",
        ),
        (
            "CAR.good",
            with(json!({"pattern": "["})),
            "the argument `pattern`, `[`, cannot be read",
        ),
        ("CAR.good", with(json!({"pattern": "a/*"})), "without `/`"),
        (
            "CAR.good",
            with(json!({"poll_seconds": 0})),
            "seconds from 0.1 to 86400",
        ),
        (
            "CAR.good",
            with(json!({"once": "maybe"})),
            "`once` must be true or false",
        ),
        (
            "CAR.good",
            with(json!({"changed": "again"})),
            "`changed` must be ignore or handle",
        ),
        (
            "CAR.good",
            with(json!({"inputs": {"too": 1}})),
            "the flow has no input `too`",
        ),
        (
            "CAR.good",
            with(json!({"inputs": {"name": "x"}})),
            "`name` is given by the listener",
        ),
        (
            "CAR.good",
            with(json!({"url": "http://h"})),
            "`path` and `url` are both given",
        ),
        (
            "CAR.good",
            with(json!({"headers": {}})),
            "`headers` is for a `url`",
        ),
        ("CAR.good", json!({}), "neither `path` nor `url` is given"),
        (
            "CAR.good",
            json!({"path": "/etc"}),
            "/etc is in none of the folders that this node allows",
        ),
        (
            "CAR.good",
            json!({"path": format!("{root}/../secret")}),
            "leaves its folder with `..`",
        ),
        (
            "CAR.good",
            json!({"path": "in"}),
            "`in` is not an absolute path",
        ),
        (
            "CAR.good",
            json!({"url": "http://elsewhere.example/in"}),
            "elsewhere.example may not be called",
        ),
        (
            "CAR.good",
            json!({"url": "in"}),
            "the argument `url` must be an address",
        ),
    ];
    for (name, arguments, expected) in cases {
        let text = format!("STARTJOB INTERFACE_LISTENER NAME='{name}' UID='x' ARGS='{arguments}'");
        let error = bench.error(&text).await;
        assert!(error.contains(expected), "{name} {arguments}: {error}");
    }
    let text = format!("STARTJOB INTERFACE_LISTENER NAME='CAR.good' ARGS='{good}'");
    let error = bench.error(&text).await;
    assert!(
        error.contains("keeps the files it has handled under its UID"),
        "{error}"
    );
    let text = format!(
        "STARTJOB INTERFACE_LISTENER NAME='CAR.good' UID='x' ARGS='{good}' EXEC_INTERVAL='0 6 * * *' OVERLAP=ALLOW"
    );
    let error = bench.error(&text).await;
    assert!(error.contains("would handle all files again"), "{error}");
    let jobs = bench.run("JOBSTATUS INTERFACE_LISTENER").await.unwrap();
    assert!(jobs.rows.is_empty(), "{:?}", jobs.rows);
    bench.end().await;
}
