//! Access: tokens, hosts and origins on every route.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_model::Principal;
use weft_web::RunTokens;

use crate::client::{Call, call};
use crate::document::{OPEN, operations, protected_operations};
use crate::server::{BATCH, Server, TOKEN};

/// A call of an operation, with all that it needs but the token.
pub fn prepared(server: &Server, method: &str, path: &str) -> Call {
    let path = [
        ("{id}", BATCH.to_string().as_str()),
        ("{type}", "PROCESS"),
        ("{name}", "a%2Fb.sh"),
        ("{uid}", "1"),
        ("{run}", "1767323045000-3"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (part, value)| {
        path.replace(part, value)
    });
    let query = if path.ends_with("/complete") {
        "?text=BATCH_INFO%20"
    } else {
        ""
    };
    let call = call(server.address, method, &format!("{path}{query}"));
    match (method, path.as_str()) {
        ("POST", "/api/v1/statements") => call.json(&json!({ "statement": "CLUSTERID;" })),
        ("POST", "/api/v1/jobs") => call.json(&json!({ "type": "PROCESS", "name": "a" })),
        ("PATCH", _) => call.json(&json!({ "affinity": ["DC1"] })),
        _ => call,
    }
}

#[tokio::test]
async fn every_route_but_the_open_ones_needs_the_token() {
    let server = Server::start().await;
    let operations = operations();
    assert!(operations.len() >= 21, "{operations:?}");
    for (method, path) in &operations {
        let answer = prepared(&server, method, path).send().await;
        if OPEN.contains(&path.as_str()) {
            assert_eq!(answer.status, 200, "{path}");
            continue;
        }
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"weft\""),
            "{path}"
        );
        answer.problem(401, "unauthorized").await;
        let right = prepared(&server, method, path).token().send().await;
        assert!(
            [200, 201, 204, 404].contains(&right.status.as_u16()),
            "{path}: {}",
            right.status
        );
    }
}

#[tokio::test]
async fn every_protected_route_asks_for_permission_as_the_caller() {
    let server = Server::start().await;
    for (method, path) in protected_operations() {
        let before = server.principals().len();
        let answer = prepared(&server, &method, &path).token().send().await;
        answer.text().await;
        assert!(server.principals().len() > before, "{method} {path}");
    }
    assert!(server.principals().iter().all(|name| name == "tester"));
}

#[tokio::test]
async fn wrong_tokens_are_refused_on_every_route() {
    let server = Server::start().await;
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        TOKEN.to_owned(),
        format!("Basic {TOKEN}"),
        format!("Bearer {TOKEN}x"),
        format!("Bearer {}", &TOKEN[1..]),
        format!("Bearer {}", TOKEN.to_uppercase()),
        format!("Bearer {TOKEN} x"),
        format!("Bearer {TOKEN},Bearer {TOKEN}"),
    ];
    for (method, path) in operations() {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        for value in &wrong {
            let answer = prepared(&server, &method, &path)
                .header("authorization", value)
                .send()
                .await;
            answer.problem(401, "unauthorized").await;
        }
        let twice = prepared(&server, &method, &path)
            .token()
            .token()
            .send()
            .await;
        twice.problem(401, "unauthorized").await;
        let elsewhere = format!("{path}?token={TOKEN}&access_token={TOKEN}");
        let answer = prepared(&server, &method, &elsewhere)
            .header("cookie", &format!("token={TOKEN}"))
            .send()
            .await;
        answer.problem(401, "unauthorized").await;
    }
    assert_eq!(
        server.principals(),
        Vec::<String>::new(),
        "nothing reached the engine"
    );
}

#[tokio::test]
async fn unknown_paths_say_nothing_without_a_token() {
    let server = Server::start().await;
    call(server.address, "GET", "/nothing")
        .send()
        .await
        .problem(401, "unauthorized")
        .await;
    call(server.address, "DELETE", "/api/v1/batches")
        .send()
        .await
        .problem(401, "unauthorized")
        .await;
}

#[tokio::test]
async fn a_rebound_name_is_refused_on_every_route_even_with_the_token() {
    let server = Server::start().await;
    let port = server.address.port();
    let hosts = [
        format!("evil.example:{port}"),
        "evil.example".to_owned(),
        format!("127.0.0.1.evil.example:{port}"),
    ];
    for (method, path) in operations() {
        for host in &hosts {
            // What a browser sends after DNS rebinding to 127.0.0.1: the name of the page, and no foreign origin.
            let call = prepared(&server, &method, &path).token().host(Some(host));
            let call = call.header("sec-fetch-site", "same-origin");
            call.send().await.problem(421, "wrong_host").await;
            let origin = format!("http://{host}");
            let call = prepared(&server, &method, &path)
                .token()
                .host(Some(host))
                .header("origin", &origin);
            call.send().await.problem(421, "wrong_host").await;
        }
    }
    assert_eq!(
        server.principals(),
        Vec::<String>::new(),
        "nothing reached the engine"
    );
}

#[tokio::test]
async fn calls_of_foreign_pages_are_refused_on_every_route_even_with_the_token() {
    let server = Server::start().await;
    let port = server.address.port();
    let origins = [
        "null".to_owned(),
        "http://evil.example".to_owned(),
        format!("http://localhost:{}", port ^ 1),
        format!("http://localhost:{port}"),
        format!("https://127.0.0.1:{port}x"),
        String::new(),
    ];
    for (method, path) in operations() {
        for origin in &origins {
            let answer = prepared(&server, &method, &path)
                .token()
                .header("origin", origin)
                .send()
                .await;
            assert!(
                answer
                    .headers
                    .keys()
                    .all(|name| !name.as_str().starts_with("access-control-"))
            );
            answer.problem(403, "foreign_origin").await;
        }
        for site in ["cross-site", "same-site"] {
            let answer = prepared(&server, &method, &path)
                .token()
                .header("sec-fetch-site", site)
                .send()
                .await;
            answer.problem(403, "foreign_origin").await;
        }
        // Even the preflight learns nothing.
        let preflight =
            call(server.address, "OPTIONS", &path).header("origin", "http://evil.example");
        preflight.send().await.problem(403, "foreign_origin").await;
    }
    assert_eq!(
        server.principals(),
        Vec::<String>::new(),
        "nothing reached the engine"
    );
}

#[tokio::test]
async fn our_own_page_may_call() {
    let server =
        Server::start_with(|options| options.allowed_hosts = vec!["weft.example".parse().unwrap()])
            .await;
    let origin = format!("http://{}", server.address);
    let own = call(server.address, "GET", "/api/v1/nodes")
        .token()
        .header("origin", &origin);
    assert_eq!(
        own.header("sec-fetch-site", "same-origin")
            .send()
            .await
            .status,
        200
    );
    let named = call(server.address, "GET", "/api/v1/nodes")
        .token()
        .host(Some("weft.example"));
    assert_eq!(
        named
            .header("origin", "https://weft.example")
            .send()
            .await
            .status,
        200
    );
    let localhost = format!("localhost:{}", server.address.port());
    assert_eq!(
        call(server.address, "GET", "/livez")
            .host(Some(&localhost))
            .send()
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    let server = Server::start().await;
    call(server.address, "GET", "/livez")
        .host(None)
        .send()
        .await
        .problem(400, "bad_request")
        .await;
    let host = server.address.to_string();
    let twice = call(server.address, "GET", "/livez")
        .header("host", &host)
        .send()
        .await;
    assert_eq!(twice.status, 400);
    let other = format!("http://evil.example/livez HTTP/1.1\r\nhost: {host}");
    for target in [
        other,
        format!("http://{host}/livez HTTP/1.1\r\nhost: evil.example"),
    ] {
        assert_eq!(raw(&server, &target).await, "HTTP/1.1 400");
    }
    assert_eq!(
        raw(
            &server,
            &format!("http://{host}/livez HTTP/1.1\r\nhost: {host}")
        )
        .await,
        "HTTP/1.1 200"
    );
}

async fn raw(server: &Server, target: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(format!("GET {target}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head).await.unwrap();
    String::from_utf8(head.to_vec()).unwrap()
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let server = Server::start().await;
    for path in ["/livez", "/api/v1/nodes", "/nothing"] {
        for call in [
            call(server.address, "GET", path),
            call(server.address, "GET", path).token(),
        ] {
            let answer = call.send().await;
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with(
                "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
            ));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("x-frame-options"), Some("DENY"));
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        }
    }
}

#[tokio::test]
async fn a_script_calls_as_the_principal_that_started_it_until_its_run_ends() {
    let tokens = RunTokens::new();
    let shared = tokens.clone();
    let server = Server::start_with(|options| options.run_tokens = shared).await;
    let token = tokens
        .grant(Principal {
            name: "ann".to_owned(),
        })
        .unwrap();
    let bearer = format!("Bearer {}", token.secret().expose());
    let nodes = || call(server.address, "GET", "/api/v1/nodes");
    let asked = || nodes().header("authorization", &bearer).send();
    assert_eq!(asked().await.status, 200);
    assert_eq!(nodes().token().send().await.status, 200);
    drop(token);
    asked().await.problem(401, "unauthorized").await;
    assert_eq!(nodes().token().send().await.status, 200);
    assert_eq!(server.principals(), ["ann", "tester", "tester"]);
}
