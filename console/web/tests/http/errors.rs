//! Errors: problem documents with a stable code that name the place.

use std::time::Duration;

use serde_json::json;
use weft_model::Principal;
use weft_web::RunTokens;

use crate::client::call;
use crate::document::protected_operations;
use crate::security::prepared;
use crate::server::{BATCH, Server, WAITING_BATCH};
use weft_store::faulty::{Fault, HIDDEN};

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
async fn invalid_parameters_are_named() {
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
async fn a_list_of_batches_has_every_filter() {
    let server = Server::start().await;
    server.deploy().await;
    let mut submitted = server.run(WAITING_BATCH).await;
    while submitted.line().await.unwrap()["frame"] != "progress" {}
    let check = async |query: &str, expected: usize| {
        let page = server.get(&format!("/api/v1/batches?{query}")).await;
        let page = page.value().await;
        assert_eq!(page["items"].as_array().unwrap().len(), expected, "{query}");
    };
    check("", 1).await;
    check("status=WAITING_FOR_JOB&from=2026-01-02T03:04:05Z", 1).await;
    check("status=ACTIVE&filter=sync.*Vehicles", 1).await;
    check("status=DONE", 0).await;
    check("to=2026-01-02T03:04:05%2B01:00", 0).await;
    check("filter=a.%2Ab", 0).await;
    let stale = server.get("/api/v1/batches?cursor=stale").await;
    let problem = stale.problem(422, "invalid_parameter").await;
    assert_eq!(problem["errors"][0]["parameter"], "cursor");
}

#[tokio::test]
async fn refusals_have_codes_of_their_own() {
    let tokens = RunTokens::new();
    let shared = tokens.clone();
    let server = Server::start_with(|options| options.run_tokens = shared).await;
    let answer = server.get(&format!("/api/v1/batches/{BATCH}")).await;
    let problem = answer.problem(404, "not_found").await;
    assert_eq!(problem["detail"], format!("there is no batch {BATCH}"));
    let name = "eve".to_owned();
    let eve = tokens.grant(Principal { name }).unwrap();
    let bearer = format!("Bearer {}", eve.secret().expose());
    let answer = call(server.address, "GET", "/api/v1/nodes").header("authorization", &bearer);
    let problem = answer.send().await.problem(403, "not_allowed").await;
    let detail = "eve may not do this: BATCH_READ is needed";
    assert_eq!(problem["detail"], detail);
}

#[tokio::test]
async fn every_route_says_when_the_store_fails() {
    let server = Server::start_with(|options| {
        options.request_timeout = Duration::from_millis(50);
    })
    .await;
    for (method, path) in protected_operations() {
        // Without values of the node there is still the completion of the language; statements have their own end.
        if path.ends_with("/complete") || path.ends_with("/statements") {
            continue;
        }
        for (fault, status, code) in [
            (Fault::Unavailable, 503, "unavailable"),
            (Fault::Refused, 500, "internal"),
            (Fault::Panic, 500, "internal"),
            (Fault::Hang, 503, "timeout"),
        ] {
            server.store.set_all(fault);
            let answer = prepared(&server, &method, &path).token().send().await;
            let retry = (status == 503).then_some("1");
            assert_eq!(answer.header("retry-after"), retry, "{path}");
            let problem = answer.problem(status, code).await;
            assert!(!problem.to_string().contains(HIDDEN), "{problem}");
        }
        server.store.set_all(None);
    }
    assert_eq!(server.get("/api/v1/nodes").await.status, 200);
}

#[tokio::test]
async fn every_route_says_when_the_node_has_not_started() {
    let server = Server::without_node(|_| ()).await;
    server.backend.set_waiting_for("the store is away");
    for (method, path) in protected_operations() {
        if path.ends_with("/statements") {
            continue;
        }
        let answer = prepared(&server, &method, &path).token().send().await;
        let problem = answer.problem(503, "unavailable").await;
        assert_eq!(problem["detail"], "the store is away", "{path}");
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
