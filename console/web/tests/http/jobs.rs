//! Jobs and runs as resources.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, PATIENCE};
use crate::server::Server;
use weft_store::faulty::Fault;

const JOBS: &str = "/api/v1/jobs";
const PATH: &str = "/api/v1/jobs/PROCESS/nightly%2Fa.b%25c.sh/u%2F1";

/// The job of [`PATH`], which waits for its time.
fn scheduled() -> Value {
    json!({
        "type": "PROCESS", "name": "nightly/a.b%c.sh", "uid": "u/1", "affinity": ["DC1"],
        "arguments": { "a": [1] }, "exec_interval": "0 3 * * *",
        "policy": { "time_zone": "Europe/Berlin", "max_runs": 3, "retry_factor": 1.5, "paused": true, "end_at": null },
    })
}

async fn start(server: &Server, body: &Value) -> Value {
    let answer = server.post(JOBS, body).await;
    assert_eq!(answer.status, 201);
    answer.value().await
}

/// Waits until a job has this status.
async fn until(server: &Server, path: &str, status: &str) -> Value {
    tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = server.get(path).await;
            if answer.status == 200 {
                let job = answer.value().await;
                if job["status"] == status {
                    return job;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the status in time")
}

#[tokio::test]
async fn a_list_has_every_filter() {
    let server = Server::start().await;
    start(&server, &scheduled()).await;
    for uid in ["1", "2"] {
        start(
            &server,
            &json!({ "type": "process", "name": "a/b", "uid": uid }),
        )
        .await;
    }
    let check = async |query: &str, expected: &[&str]| {
        let page = server.get(&format!("{JOBS}?{query}")).await.value().await;
        let items = page["items"].as_array().unwrap().iter();
        let uids: Vec<_> = items.map(|job| job["uid"].as_str().unwrap()).collect();
        assert_eq!(uids, expected, "{query}");
        assert_eq!(page["counts"]["is_lower_bound"], false);
        page
    };
    check("", &["1", "2", "u/1"]).await;
    check("type=Process&name=a%2Fb", &["1", "2"]).await;
    check("type=PROCESS&name=a%2Fb&uid=1", &["1"]).await;
    check("type=CLEANUP", &[]).await;
    check("status=SCHEDULED", &["u/1"]).await;
    check("archived=true", &[]).await;
    let page = check("archived=false&limit=2", &["1", "2"]).await;
    assert_eq!(page["counts"]["by_status"]["WAITING"], 2);
    assert_eq!(page["counts"]["by_status"]["SCHEDULED"], 1);
    let next = page["next"].as_str().unwrap();
    check(&format!("archived=false&cursor={next}"), &["u/1"]).await;
}

#[tokio::test]
async fn a_job_is_found_by_parts_that_hold_anything() {
    let server = Server::start().await;
    server.put_node("n1", "0.1.0").await;
    start(&server, &scheduled()).await;
    let job = server.get(PATH).await.value().await;
    let identity = json!([job["type"], job["name"], job["uid"]]);
    assert_eq!(identity, json!(["PROCESS", "nightly/a.b%c.sh", "u/1"]));
    assert_eq!(job["exec_interval"], "0 3 * * *");
    assert_eq!(job["schedule"], "at 03:00 every day (Europe/Berlin)");
    assert_eq!(job["next_run"], "at");
    assert!(job["next_run_at"].as_str().unwrap().ends_with(":00.000Z"));
    let why = job["why_waiting"].as_str().unwrap();
    assert!(why.contains("paused"), "{why}");
    assert_eq!((&job["runs"], &job["tries"]), (&json!(0), &json!(0)));
    assert_eq!(job["created_by"], "tester");
    assert_eq!(job["affinity"], json!(["DC1"]));
    assert_eq!(job["candidates"], 1);
    assert_eq!(job["arguments"], json!({ "a": [1] }));
    let policy = &job["policy"];
    assert_eq!(policy["time_zone"], "Europe/Berlin");
    assert_eq!(policy["max_runs"], 3);
    assert_eq!(policy["retry_factor"], 1.5);
    assert_eq!(policy["paused"], true);
    assert_eq!(policy["end_at"], Value::Null);
    assert_eq!(policy["misfire"], "ONCE");
    assert_eq!(policy["max_attempts"], 10);
    let lower = PATH.replace("PROCESS", "process");
    assert_eq!(server.get(&lower).await.value().await, job);
    let broken = server.get("/api/v1/jobs/PROCESS/%FF/1").await;
    broken.problem(400, "bad_request").await;
}

#[tokio::test]
async fn runs_have_the_head_of_their_output_and_a_path_to_what_is_kept() {
    let (server, node) = Server::with_node().await;
    let body = json!({ "type": "PROCESS", "name": "a", "uid": "1" });
    start(&server, &body).await;
    let path = format!("{JOBS}/PROCESS/a/1");
    until(&server, &path, "PROCESSED").await;
    let resumed = server.call("POST", &format!("{path}/resume")).send().await;
    assert_eq!(resumed.status, 200);
    let runs = tokio::time::timeout(PATIENCE, async {
        loop {
            let page = server.get(&format!("{path}/runs")).await.value().await;
            let runs = page["items"].as_array().unwrap().clone();
            if runs.len() == 2 {
                return runs;
            }
        }
    });
    let runs = runs.await.expect("a second run in time");
    let run = &runs[0];
    assert_eq!(
        (&run["node"], &run["status"]),
        (&json!("n1"), &json!("PROCESSED"))
    );
    assert_eq!((&run["attempt"], &run["exit_code"]), (&json!(1), &json!(0)));
    assert_eq!(run["output"].as_str().unwrap().len(), 1_024);
    assert_eq!(run["output_is_cut"], true);
    let page = server.get(&format!("{path}/runs?limit=1")).await;
    assert_eq!(page.value().await["items"], json!([run]));

    let id = run["id"].as_str().unwrap();
    let output = server.get(&format!("{path}/runs/{id}/output")).await;
    let kind = Some("text/plain; charset=utf-8");
    assert_eq!(output.header("content-type"), kind);
    let output = output.text().await;
    assert!(
        (64_000..=64 * 1_024).contains(&output.len()) && output.starts_with("üüü"),
        "{}",
        output.len()
    );
    let absent = server.get(&format!("{path}/runs/1-1/output")).await;
    absent.problem(404, "not_found").await;
    node.drain();
    node.ended().await.unwrap();
}

#[tokio::test]
async fn a_started_job_has_a_path_and_a_repeated_call_finds_it() {
    let server = Server::start().await;
    let body = json!({ "type": "PROCESS", "name": "nightly/a b.sh", "uid": "ü" });
    let answer = server.post(JOBS, &body).await;
    assert_eq!(answer.status, 201);
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, "/api/v1/jobs/PROCESS/nightly%2Fa%20b.sh/%C3%BC");
    let started = answer.value().await;
    assert_eq!(server.get(&location).await.value().await, started);

    let repeatable = async |name: &str, arguments: Value| {
        let body = json!({ "type": "PROCESS", "name": name, "arguments": arguments });
        let call = server.call("POST", JOBS).header("idempotency-key", "k 1");
        call.json(&body).send().await
    };
    let first = repeatable("n", json!({})).await;
    assert_eq!(first.status, 201);
    let again = repeatable("n", json!({})).await;
    assert_eq!(
        (again.status.as_u16(), again.header("location")),
        (200, None)
    );
    assert_eq!(again.value().await["uid"], first.value().await["uid"]);
    let other = repeatable("n", json!({ "a": 1 })).await;
    other.problem(409, "conflict").await;
}

#[tokio::test]
async fn an_idempotency_key_has_a_length_and_is_given_once() {
    let server = Server::start().await;
    for keys in [vec![""], vec!["a", "b"], vec![&*"k".repeat(201)]] {
        let mut call = server.call("POST", JOBS);
        for key in keys {
            call = call.header("idempotency-key", key);
        }
        let answer = call.json(&json!({ "type": "PROCESS", "name": "n" })).send();
        let problem = answer.await.problem(422, "invalid_parameter").await;
        assert_eq!(problem["errors"][0]["parameter"], "Idempotency-Key");
    }
    assert!(server.principals().is_empty());
}

#[tokio::test]
async fn unknown_fields_are_named_in_the_error() {
    let server = Server::start().await;
    let check = async |method: &str, path: &str, body: Value, pointer: &str| {
        let answer = server.call(method, path).json(&body).send().await;
        let problem = answer.problem(422, "invalid_body").await;
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    };
    let named = |more: Value| {
        let mut body = json!({ "type": "PROCESS", "name": "n" });
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        body
    };
    check("POST", JOBS, json!({ "type": "PROCESS" }), "").await;
    check("POST", JOBS, named(json!({ "interval": "1" })), "/interval").await;
    let misspelt = named(json!({ "policy": { "max_run": 1 } }));
    check("POST", JOBS, misspelt, "/policy/max_run").await;
    check(
        "POST",
        JOBS,
        named(json!({ "arguments": [1] })),
        "/arguments",
    )
    .await;
    let text = named(json!({ "policy": { "jitter_ms": "5" } }));
    check("POST", JOBS, text, "/policy/jitter_ms").await;
    let reset = named(json!({ "reset_end_time": true }));
    check("POST", JOBS, reset, "/reset_end_time").await;
    let nothing = named(json!({ "policy": null }));
    check("POST", JOBS, nothing, "/policy").await;
    check("PATCH", PATH, json!({ "name": "other" }), "/name").await;
    check("PATCH", PATH, json!({ "policy": { "x": 1 } }), "/policy/x").await;
    assert!(server.principals().is_empty());
}

#[tokio::test]
async fn a_job_is_changed_stopped_resumed_and_restarted() {
    let server = Server::start().await;
    start(&server, &scheduled()).await;
    let update =
        json!({ "exec_interval": "0 4 * * *", "policy": { "max_runs": null, "paused": false } });
    let answer = server.call("PATCH", PATH).json(&update).send().await;
    assert_eq!(answer.status, 200);
    let job = answer.value().await;
    assert_eq!(job["exec_interval"], "0 4 * * *");
    assert_eq!(job["policy"]["max_runs"], Value::Null);
    assert_eq!(job["policy"]["paused"], false);
    assert_eq!(job["policy"]["time_zone"], "Europe/Berlin", "as it was");
    assert_eq!(job["arguments"], json!({ "a": [1] }), "as they were");
    for (change, status) in [
        ("stop", "TERMINATED"),
        ("resume", "SCHEDULED"),
        ("restart", "WAITING"),
    ] {
        let answer = server.call("POST", &format!("{PATH}/{change}")).send();
        let answer = answer.await;
        assert_eq!(answer.status, 200, "{change}");
        let job = answer.value().await;
        assert_eq!(
            (&job["uid"], &job["status"]),
            (&json!("u/1"), &json!(status))
        );
    }
}

#[tokio::test]
async fn a_removal_needs_an_archived_job_and_answers_without_a_body() {
    let server = Server::start().await;
    start(
        &server,
        &json!({ "type": "PROCESS", "name": "a", "uid": "1" }),
    )
    .await;
    let path = format!("{JOBS}/PROCESS/a/1");
    let remove = async || server.call("DELETE", &path).send().await;
    remove().await.problem(409, "conflict").await;
    let stopped = server.call("POST", &format!("{path}/stop")).send().await;
    assert_eq!(stopped.value().await["archived"], true);
    assert_eq!(remove().await.status, 204);
    remove().await.problem(404, "not_found").await;
}

#[tokio::test]
async fn what_the_engine_refuses_is_a_problem_with_a_place_and_a_hint() {
    let server = Server::start().await;
    let start = async |body: Value| server.post(JOBS, &body).await;
    let pointer = |problem: &Value| problem["errors"][0]["pointer"].clone();

    let answer = start(json!({ "type": "PROCES", "name": "n" })).await;
    let problem = answer.problem(400, "usage").await;
    assert_eq!(pointer(&problem), "/type");
    assert_eq!(problem["hint"], "did you mean `PROCESS`?");
    let body = json!({ "type": "PROCESS", "name": "n", "policy": { "max_runs": 0 } });
    let problem = start(body).await.problem(400, "usage").await;
    assert_eq!(pointer(&problem), "/policy/max_runs");
    let body = json!({ "type": "PROCESS", "name": "n", "arguments": { "password": "x" } });
    let problem = start(body).await.problem(400, "usage").await;
    assert_eq!(pointer(&problem), "/arguments");
    let answer = start(json!({ "type": "PROCESS", "name": "refused.sh" })).await;
    let problem = answer.problem(422, "refused").await;
    assert_eq!(problem["detail"], "there is no scripts/refused.sh");
    let answer = server.get(PATH).await;
    let problem = answer.problem(404, "not_found").await;
    assert_eq!(problem["hint"], "JOBSTATUS PROCESS shows those of the type");
}

#[tokio::test]
async fn a_start_continues_when_the_time_is_up() {
    let server =
        Server::start_with(|options| options.request_timeout = Duration::from_millis(100)).await;
    server.store.set_all(Fault::Unknown);
    let body = json!({ "type": "PROCESS", "name": "a", "uid": "1" });
    let answer: Answer = server.post(JOBS, &body).await;
    answer.problem(503, "timeout").await;
    server.store.set_all(None);
    until(&server, &format!("{JOBS}/PROCESS/a/1"), "WAITING").await;
}
