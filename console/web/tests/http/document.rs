//! The OpenAPI document: committed, served, and correct.

use std::path::Path;

use serde_json::Value;

use crate::client::call;
use crate::server::Server;

fn document() -> Value {
    serde_json::to_value(weft_web::document()).unwrap()
}

/// Every operation of the document: its method and its path.
pub fn operations() -> Vec<(String, String)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods
                .map(|method| (method.to_uppercase(), path.clone()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Paths that need no token.
pub const OPEN: [&str; 3] = ["/livez", "/readyz", "/version"];

/// The operations that call the statement layer.
pub fn protected_operations() -> impl Iterator<Item = (String, String)> {
    let own = ["/metrics", "/api/v1/openapi.json"];
    let operations = operations().into_iter();
    operations.filter(move |(_, path)| !OPEN.iter().chain(&own).any(|other| other == path))
}

#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let current = weft_web::document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "console/web/openapi.json is not current; run with UPDATE_DOCS=1"
    );
}

#[tokio::test]
async fn the_served_document_is_the_same() {
    let server = Server::start().await;
    let served = call(server.address, "GET", "/api/v1/openapi.json")
        .token()
        .send()
        .await
        .value()
        .await;
    assert_eq!(served, document());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn every_operation_says_what_it_needs_and_answers() {
    let document = document();
    for (method, path) in operations() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        assert!(
            operation["summary"].is_string() && operation["operationId"].is_string(),
            "{path}"
        );
        let open = OPEN.contains(&path.as_str());
        let secured = operation["security"]
            .as_array()
            .is_some_and(|needs| !needs.is_empty());
        assert_eq!(secured, !open, "{path}");
        assert_eq!(operation["responses"]["401"].is_object(), !open, "{path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(
                !response["description"].as_str().unwrap().is_empty(),
                "{path} {status}"
            );
            if status.starts_with('4') && status != "431" {
                assert!(
                    response["content"]["application/problem+json"].is_object(),
                    "{path} {status}"
                );
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
