//! Errors: problem documents with a stable code that name the place.

use serde_json::json;
use weft_model::clock::Timestamp;
use weft_web::{ApiError, BatchesQuery, Moment, StatusFilter};

use crate::client::call;
use crate::fake::{BATCH, Server};

async fn check_body(
    server: &Server,
    body: &str,
    status: u16,
    code: &str,
    place: serde_json::Value,
) {
    let answer = call(server.address, "POST", "/api/v1/statements")
        .token()
        .text_json(body)
        .send()
        .await;
    let problem = answer.problem(status, code).await;
    let error = &problem["errors"][0];
    for (key, expected) in place.as_object().unwrap() {
        assert_eq!(&error[key], expected, "{body}: {problem}");
    }
    assert!(error["detail"].is_string());
}

#[tokio::test]
async fn bodies_of_wrong_shape_name_the_place() {
    let server = Server::start().await;
    check_body(
        &server,
        "{\n \"statement\": }",
        400,
        "malformed_json",
        json!({ "line": 2, "column": 15 }),
    )
    .await;
    check_body(&server, "", 400, "malformed_json", json!({ "line": 1 })).await;
    check_body(
        &server,
        r#"{"statement":"a"} x"#,
        400,
        "malformed_json",
        json!({ "line": 1, "column": 19 }),
    )
    .await;
    check_body(
        &server,
        r#"{"statement":1}"#,
        422,
        "invalid_body",
        json!({ "pointer": "/statement" }),
    )
    .await;
    check_body(&server, "{}", 422, "invalid_body", json!({ "pointer": "" })).await;
    check_body(
        &server,
        r#"{"statement":"a","sesion":{}}"#,
        422,
        "invalid_body",
        json!({ "pointer": "/sesion" }),
    )
    .await;
    let nested = r#"{"statement":"a","session":{"scope":{"a/b~c":1}}}"#;
    check_body(
        &server,
        nested,
        422,
        "invalid_body",
        json!({ "pointer": "/session/scope/a~1b~0c" }),
    )
    .await;
}

#[tokio::test]
async fn sizes_have_limits() {
    let server = Server::start().await;
    let at_limit = json!({ "statement": "x".repeat(64 * 1024) }).to_string();
    let answer = call(server.address, "POST", "/api/v1/statements")
        .token()
        .text_json(&at_limit)
        .send()
        .await;
    assert_eq!(answer.status, 200);
    let above = json!({ "statement": "x".repeat(64 * 1024 + 1) }).to_string();
    check_body(
        &server,
        &above,
        413,
        "statement_too_long",
        json!({ "pointer": "/statement" }),
    )
    .await;
    let huge = json!({ "statement": "x".repeat(1024 * 1024) }).to_string();
    let answer = call(server.address, "POST", "/api/v1/statements")
        .token()
        .text_json(&huge)
        .send()
        .await;
    answer.problem(413, "too_large").await;
    let long = format!("/api/v1/complete?text={}", "x".repeat(8 * 1024 + 1));
    call(server.address, "GET", &long)
        .token()
        .send()
        .await
        .problem(422, "invalid_parameter")
        .await;
}

#[tokio::test]
async fn only_json_is_taken() {
    let server = Server::start().await;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let request = call(server.address, "POST", "/api/v1/statements")
            .token()
            .header("content-type", kind);
        let answer = request.body(r#"{"statement":"a"}"#).send().await;
        answer.problem(415, "unsupported_media_type").await;
    }
    let answer = call(server.address, "POST", "/api/v1/statements")
        .token()
        .body("{}")
        .send()
        .await;
    answer.problem(415, "unsupported_media_type").await;
    let request = call(server.address, "POST", "/api/v1/statements").token();
    let request = request.header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(
        request.body(r#"{"statement":"a"}"#).send().await.status,
        200
    );
}

#[tokio::test]
async fn parameters_without_meaning_are_named() {
    let server = Server::start().await;
    for (path, parameter) in [
        ("/api/v1/batches?limit=0", "limit"),
        ("/api/v1/batches?limit=1001", "limit"),
        ("/api/v1/batches?limit=-1", "limit"),
        ("/api/v1/batches?limit=ten", "limit"),
        ("/api/v1/batches?status=SLEEPING", "status"),
        ("/api/v1/batches?from=yesterday", "from"),
        ("/api/v1/batches?lmit=3", "lmit"),
        ("/api/v1/batches/17", "id"),
        ("/api/v1/batches/17/summary", "id"),
        ("/api/v1/batches/17/entities", "id"),
        ("/api/v1/jobs?name=x", "name"),
        ("/api/v1/jobs?type=PROCESS&uid=1", "uid"),
        ("/api/v1/jobs?archived=maybe", "archived"),
        ("/api/v1/jobs?limit=1001", "limit"),
        ("/api/v1/jobs/PROCESS/a/1/runs?limit=0", "limit"),
        ("/api/v1/jobs/PROCESS/a/1/runs?limit=1001", "limit"),
        ("/api/v1/jobs/PROCESS/a/1/runs/17/output", "run"),
        ("/api/v1/jobs/PROCESS/a/1/runs/17-x/output", "run"),
        ("/api/v1/complete?text=%C3%BC&cursor=1", "cursor"),
    ] {
        let problem = call(server.address, "GET", path)
            .token()
            .send()
            .await
            .problem(422, "invalid_parameter")
            .await;
        assert_eq!(
            problem["errors"][0]["parameter"], parameter,
            "{path}: {problem}"
        );
    }
    let problem = call(server.address, "GET", "/api/v1/complete")
        .token()
        .send()
        .await;
    problem.problem(422, "invalid_parameter").await;
}

#[tokio::test]
async fn parameters_arrive_typed() {
    let server = Server::start().await;
    let path =
        "/api/v1/batches?status=WAITING_FOR_JOB&from=2026-01-02T03:04:05Z&filter=a.%2Ab&cursor=c";
    assert_eq!(
        call(server.address, "GET", path)
            .token()
            .send()
            .await
            .status,
        200
    );
    let asked = server.api.batches_asked.lock().unwrap().clone();
    let expected = BatchesQuery {
        status: Some(StatusFilter::WaitingForJob),
        from: Some(Moment(Timestamp(1_767_323_045_000))),
        to: None,
        filter: Some("a.*b".to_owned()),
        cursor: Some("c".to_owned()),
        limit: Some(100),
    };
    assert_eq!(asked, [expected]);
}

#[tokio::test]
async fn the_engines_refusals_have_codes_of_their_own() {
    let server = Server::start().await;
    let path = format!("/api/v1/batches/{BATCH}");
    let problem = call(server.address, "GET", &path)
        .token()
        .send()
        .await
        .problem(404, "not_found")
        .await;
    assert_eq!(problem["detail"], format!("there is no batch {BATCH}"));
    for (error, status, code) in [
        (ApiError::NotAllowed("no".into()), 403, "not_allowed"),
        (
            ApiError::Unavailable("the store is away".into()),
            503,
            "unavailable",
        ),
        (
            ApiError::Invalid {
                parameter: "cursor",
                message: "stale".into(),
            },
            422,
            "invalid_parameter",
        ),
        (
            ApiError::Internal("a secret of ours".into()),
            500,
            "internal",
        ),
    ] {
        *server.api.fail_with.lock().unwrap() = Some(error);
        let problem = call(server.address, "GET", "/api/v1/nodes")
            .token()
            .send()
            .await
            .problem(status, code)
            .await;
        assert!(!problem.to_string().contains("secret of ours"));
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = Server::start().await;
    for path in [
        "/",
        "/nothing",
        "/api/v1",
        "/api/v1/batches/",
        "/api/v2/batches",
    ] {
        call(server.address, "GET", path)
            .token()
            .send()
            .await
            .problem(404, "no_such_route")
            .await;
    }
    let answer = call(server.address, "DELETE", "/api/v1/batches")
        .token()
        .send()
        .await;
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    answer.problem(405, "method_not_allowed").await;
    call(server.address, "POST", "/livez")
        .send()
        .await
        .problem(405, "method_not_allowed")
        .await;
    call(server.address, "OPTIONS", "/api/v1/batches")
        .token()
        .send()
        .await
        .problem(405, "method_not_allowed")
        .await;
}

#[tokio::test]
async fn a_harmless_request_id_is_kept_and_others_are_replaced() {
    let server = Server::start().await;
    let get = |id: &str| {
        call(server.address, "GET", "/livez")
            .header("x-request-id", id)
            .send()
    };
    assert_eq!(
        get("abc-123_X").await.header("x-request-id"),
        Some("abc-123_X")
    );
    for bad in ["", "a b", "<script>", &"x".repeat(65)] {
        let answer = get(bad).await;
        let given = answer.header("x-request-id").unwrap();
        assert!(given.len() == 36 && given != bad, "{bad} -> {given}");
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_server_goes_on() {
    let server = Server::start().await;
    server
        .api
        .panics
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = call(server.address, "GET", "/api/v1/nodes")
        .token()
        .send()
        .await;
    let problem = answer.problem(500, "internal").await;
    assert!(problem["detail"].is_null());
    assert_eq!(
        call(server.address, "GET", "/livez").send().await.status,
        200
    );
}
