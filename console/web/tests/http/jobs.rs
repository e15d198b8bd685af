//! Jobs and runs as resources: what arrives at the engine, and how it answers.

use serde_json::{Value, json};
use weft_model::JobKey;
use weft_statement::{EndStatus, JobDraft, Patch, PolicyDraft, Refusal};
use weft_store::StoreError;
use weft_web::{ApiError, ChangeJob, JobStatusName, JobsQuery};

use crate::client::{Answer, call};
use crate::fake::Server;

const PATH: &str = "/api/v1/jobs/BATCH%20PROCESS/nightly%2Fa.b%25c.sh/u%2F1";

fn key() -> JobKey {
    JobKey {
        job_type: "BATCH PROCESS".to_owned(),
        name: "nightly/a.b%c.sh".to_owned(),
        uid: "u/1".to_owned(),
    }
}

async fn get(server: &Server, path: &str) -> Answer {
    call(server.address, "GET", path).token().send().await
}

async fn start(server: &Server, body: &Value) -> Answer {
    let call = call(server.address, "POST", "/api/v1/jobs").token();
    call.json(body).send().await
}

#[tokio::test]
async fn a_list_is_asked_for_with_every_filter() {
    let server = Server::start().await;
    let path = "/api/v1/jobs?type=PROCESS&name=a%2Fb&uid=1&status=SCHEDULED&archived=false&limit=7";
    let page = get(&server, path).await.value().await;
    assert_eq!(page["items"], json!([]));
    assert_eq!(page["counts"]["is_lower_bound"], false);
    let asked = server.api.jobs_asked.lock().unwrap().clone();
    let expected = JobsQuery {
        job_type: Some("PROCESS".to_owned()),
        name: Some("a/b".to_owned()),
        uid: Some("1".to_owned()),
        status: Some(JobStatusName::Scheduled),
        archived: Some(false),
        cursor: None,
        limit: Some(7),
    };
    assert_eq!(asked, [expected]);
}

#[tokio::test]
async fn a_job_is_found_by_parts_that_hold_anything() {
    let server = Server::start().await;
    let job = get(&server, PATH).await.value().await;
    let identity = json!([job["type"], job["name"], job["uid"]]);
    assert_eq!(
        identity,
        json!(["BATCH PROCESS", "nightly/a.b%c.sh", "u/1"])
    );
    assert_eq!(job["next_run"], "at");
    assert_eq!(job["next_run_at"], "2026-01-02T03:04:05.000Z");
    assert_eq!(job["exec_interval"], "0 3 * * *");
    assert_eq!(job["schedule"], "every day at 03:00");
    assert_eq!(job["why_waiting"], "no node is there");
    assert_eq!((&job["runs"], &job["tries"]), (&json!(7), &json!(0)));
    assert_eq!(job["created_by"], "tester");
    assert_eq!(job["candidates"], 2);
    assert_eq!(job["policy"]["misfire"], "ONCE");
    assert_eq!(job["policy"]["max_attempts"], 10);
    let broken = get(&server, "/api/v1/jobs/PROCESS/%FF/1").await;
    broken.problem(400, "bad_request").await;
}

#[tokio::test]
async fn runs_have_the_head_of_their_output_and_a_path_to_what_is_kept() {
    let server = Server::start().await;
    let page = get(&server, &format!("{PATH}/runs?limit=2")).await;
    let page = page.value().await;
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let run = &page["items"][0];
    assert_eq!(run["id"], "1767323045000-3");
    assert_eq!(run["duration_ms"], 1_500);
    assert_eq!(run["output"].as_str().unwrap().len(), 1_024);
    assert_eq!(run["output_is_cut"], true);
    let usual = get(&server, &format!("{PATH}/runs")).await.value().await;
    assert_eq!(usual["items"].as_array().unwrap().len(), 20);

    let output = get(&server, &format!("{PATH}/runs/1767323045000-3/output")).await;
    assert_eq!(
        output.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(output.text().await.len(), 64 * 1_024);
}

#[tokio::test]
async fn a_started_job_has_a_place_and_a_repeated_call_finds_it() {
    let server = Server::start().await;
    let body = json!({
        "type": "PROCESS", "name": "nightly/a b.sh", "uid": "ü", "affinity": ["DC1"],
        "arguments": { "a": [1] }, "exec_interval": "0 3 * * *",
        "policy": { "time_zone": "Europe/Berlin", "max_runs": 3, "retry_factor": 1.5, "paused": true, "end_at": null },
    });
    let answer = start(&server, &body).await;
    assert_eq!(answer.status, 201);
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, "/api/v1/jobs/PROCESS/nightly%2Fa%20b.sh/%C3%BC");
    let started = answer.value().await;
    assert_eq!(get(&server, &location).await.value().await, started);
    let expected = JobDraft {
        job_type: "PROCESS".to_owned(),
        name: "nightly/a b.sh".to_owned(),
        uid: Some("ü".to_owned()),
        affinity: Patch::Set(vec!["DC1".to_owned()]),
        arguments: Patch::Set(json!({ "a": [1] }).as_object().unwrap().clone()),
        exec_interval: Patch::Set("0 3 * * *".to_owned()),
        reset_end_time: None,
        policy: PolicyDraft {
            time_zone: Patch::Set("Europe/Berlin".to_owned()),
            max_runs: Patch::Set(3),
            retry_factor: Patch::Set(1.5),
            paused: Patch::Set(true),
            end_at: Patch::Reset,
            ..PolicyDraft::default()
        },
    };
    server
        .api
        .was_there
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let again = call(server.address, "POST", "/api/v1/jobs")
        .token()
        .header("idempotency-key", "k 1");
    let again = again.json(&json!({ "type": "PROCESS", "name": "n" }));
    let again = again.send().await;
    assert_eq!(
        (again.status.as_u16(), again.header("location")),
        (200, None)
    );
    let starts = server.api.starts.lock().unwrap().clone();
    assert_eq!(starts[0], (expected, None));
    assert_eq!(starts[1].1.as_deref(), Some("k 1"));
}

#[tokio::test]
async fn an_idempotency_key_has_a_length_and_is_given_once() {
    let server = Server::start().await;
    for keys in [vec![""], vec!["a", "b"], vec![&*"k".repeat(201)]] {
        let mut call = call(server.address, "POST", "/api/v1/jobs").token();
        for key in keys {
            call = call.header("idempotency-key", key);
        }
        let answer = call.json(&json!({ "type": "PROCESS", "name": "n" })).send();
        let problem = answer.await.problem(422, "invalid_parameter").await;
        assert_eq!(problem["errors"][0]["parameter"], "Idempotency-Key");
    }
    assert!(server.api.starts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn fields_that_are_not_there_are_refused_by_name() {
    let server = Server::start().await;
    let check = async |method: &str, path: &str, body: Value, pointer: &str| {
        let call = call(server.address, method, path).token().json(&body);
        let problem = call.send().await.problem(422, "invalid_body").await;
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    };
    let jobs = "/api/v1/jobs";
    let named = |more: Value| {
        let mut body = json!({ "type": "PROCESS", "name": "n" });
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        body
    };
    check("POST", jobs, json!({ "type": "PROCESS" }), "").await;
    check("POST", jobs, named(json!({ "interval": "1" })), "/interval").await;
    let misspelt = named(json!({ "policy": { "max_run": 1 } }));
    check("POST", jobs, misspelt, "/policy/max_run").await;
    check(
        "POST",
        jobs,
        named(json!({ "arguments": [1] })),
        "/arguments",
    )
    .await;
    let text = named(json!({ "policy": { "jitter_ms": "5" } }));
    check("POST", jobs, text, "/policy/jitter_ms").await;
    let reset = named(json!({ "reset_end_time": true }));
    check("POST", jobs, reset, "/reset_end_time").await;
    let nothing = named(json!({ "policy": null }));
    check("POST", jobs, nothing, "/policy").await;
    check("PATCH", PATH, json!({ "name": "other" }), "/name").await;
    check("PATCH", PATH, json!({ "policy": { "x": 1 } }), "/policy/x").await;
    assert!(server.api.starts.lock().unwrap().is_empty());
    assert!(server.api.changes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn changes_arrive_with_the_job_they_are_about() {
    let server = Server::start().await;
    for change in ["stop", "restart", "resume"] {
        let call = call(server.address, "POST", &format!("{PATH}/{change}"));
        let answer = call.token().send().await;
        assert_eq!(answer.status, 200, "{change}");
        assert_eq!(answer.value().await["uid"], "u/1");
    }
    let update = json!({ "exec_interval": null, "reset_end_time": true, "policy": { "max_runs": null, "paused": false } });
    let answer = call(server.address, "PATCH", PATH).token().json(&update);
    assert_eq!(answer.send().await.status, 200);
    let draft = JobDraft {
        exec_interval: Patch::Reset,
        reset_end_time: Some(true),
        policy: PolicyDraft {
            max_runs: Patch::Reset,
            paused: Patch::Set(false),
            ..PolicyDraft::default()
        },
        ..JobDraft::default()
    };
    let expected = [
        ChangeJob::Stop,
        ChangeJob::Restart,
        ChangeJob::Resume,
        ChangeJob::Update(Box::new(draft)),
    ];
    let changes = server.api.changes.lock().unwrap().clone();
    assert_eq!(changes, expected.map(|change| (key(), change)));
}

#[tokio::test]
async fn a_removal_answers_without_a_body() {
    let server = Server::start().await;
    let answer = call(server.address, "DELETE", PATH).token().send().await;
    assert_eq!(answer.status, 204);
    assert_eq!(*server.api.removals.lock().unwrap(), [key()]);
    let refusal = Refusal::conflict("'PROCESS.a.1' is IN_PROCESS");
    *server.api.fail_with.lock().unwrap() = Some(ApiError::Refused(refusal));
    let answer = call(server.address, "DELETE", PATH).token().send().await;
    answer.problem(409, "conflict").await;
}

#[tokio::test]
async fn what_the_engine_refuses_is_a_problem_with_a_code_a_place_and_a_hint() {
    let server = Server::start().await;
    let away = StoreError::Unavailable("nobody answers".to_owned());
    let broken = StoreError::Refused("a secret of ours".to_owned());
    let cases = [
        (
            Refusal::not_found("there is no job").hint("JOBSTATUS shows them"),
            (404, "not_found"),
        ),
        (
            Refusal::usage("MAX_RUNS takes more").about("MAX_RUNS"),
            (400, "usage"),
        ),
        (Refusal::conflict("Job is running: …"), (409, "conflict")),
        (Refusal::failed("the kind says no"), (422, "refused")),
        (
            Refusal::new(EndStatus::NotAllowed, "eve may not"),
            (403, "not_allowed"),
        ),
        (Refusal::from(away), (503, "unavailable")),
        (Refusal::from(broken), (500, "internal")),
    ];
    for (refusal, (status, code)) in cases {
        *server.api.fail_with.lock().unwrap() = Some(ApiError::Refused(refusal));
        let stop = call(server.address, "POST", &format!("{PATH}/stop"));
        let problem = stop.token().send().await.problem(status, code).await;
        assert!(!problem.to_string().contains("secret of ours"));
        if code == "usage" {
            assert_eq!(problem["errors"][0]["pointer"], "/policy/max_runs");
        }
        if code == "not_found" {
            assert_eq!(problem["hint"], "JOBSTATUS shows them");
        }
    }
}
