//! The routes and the OpenAPI document, from one list.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder, path::Operation,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::extract::Caller;
use crate::problem::{Code, FieldError, PROBLEM_JSON, Problem};
use crate::{
    batches, complete, entities, health, job_changes, job_runs, jobs, nodes, statements, summary,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weft",
        version = "1",
        description = "Jobs and batches of a Weft cluster. Any node answers.\n\n\
            Every call but `/livez`, `/readyz` and `/version` needs the header `Authorization: Bearer <token>`; \
            `/metrics` and this document do as well. Errors are problem documents (RFC 9457): decide by `code` and \
            report `request_id`. There is no CORS: pages of other origins are refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "statements", description = "The command language"),
        (name = "batches", description = "Batches and their entities"),
        (name = "jobs", description = "Jobs and their runs"),
        (name = "nodes", description = "Nodes of the cluster"),
        (name = "health", description = "Health, version, metrics"),
    ),
    components(schemas(Problem, Code, FieldError))
)]
struct Description;

/// Routes that need no token.
fn open_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::version))
}

/// Routes that need a token.
fn protected_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(statements::run_statement))
        .routes(routes!(complete::complete))
        .routes(routes!(batches::list_batches))
        .routes(routes!(batches::get_batch))
        .routes(routes!(summary::get_batch_summary))
        .routes(routes!(entities::list_entities))
        .routes(routes!(jobs::list_jobs, job_changes::start_job))
        .routes(routes!(
            jobs::get_job,
            job_changes::update_job,
            job_changes::remove_job
        ))
        .routes(routes!(job_changes::stop_job))
        .routes(routes!(job_changes::restart_job))
        .routes(routes!(job_changes::resume_job))
        .routes(routes!(job_runs::list_runs))
        .routes(routes!(job_runs::get_run_output))
        .routes(routes!(nodes::list_nodes))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi_json))
}

/// The open and the protected routes, and the document of both.
pub(crate) fn routers() -> (Router<App>, Router<App>, Document) {
    let (open, mut open_document) = open_routes().split_for_parts();
    let (protected, mut protected_document) = protected_routes().split_for_parts();
    for operation in operations(&mut open_document) {
        operation.security = Some(Vec::new());
    }
    for operation in operations(&mut protected_document) {
        operation.security = Some(vec![SecurityRequirement::new(
            "token",
            Vec::<String>::new(),
        )]);
        add_problem(operation, "401", "No valid token (`unauthorized`)");
    }
    let mut document = Description::openapi();
    document.merge(open_document);
    document.merge(protected_document);
    if let Some(components) = &mut document.components {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token of the node"))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
    for operation in operations(&mut document) {
        finish(operation);
    }
    (open, protected, document)
}

/// The OpenAPI document of the HTTP API.
pub fn document() -> Document {
    routers().2
}

fn operations(document: &mut Document) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ]
        .into_iter()
        .flatten()
    })
}

/// Adds the responses that every operation may give, and sets the content type of problems.
fn finish(operation: &mut Operation) {
    add_problem(
        operation,
        "400",
        "The request cannot be read, or a field has an invalid value (`bad_request`, `malformed_json`, `usage`)",
    );
    add_problem(
        operation,
        "403",
        "A call from another origin, or without permission (`foreign_origin`, `not_allowed`)",
    );
    add_problem(
        operation,
        "421",
        "The Host is not a name of this server (`wrong_host`)",
    );
    add_problem(operation, "500", "An internal error (`internal`)");
    add_problem(
        operation,
        "503",
        "Try again later (`unavailable`, `busy`, `timeout`)",
    );
    let long_head = ResponseBuilder::new()
        .description("The head is longer than 32 KiB; no body")
        .build();
    operation
        .responses
        .responses
        .insert("431".to_owned(), RefOr::T(long_head));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if response.description.is_empty() {
            response.description = describe(status).to_owned();
        }
        let has_problem = response
            .content
            .get("application/json")
            .is_some_and(is_problem);
        if has_problem && let Some(content) = response.content.shift_remove("application/json") {
            response.content.insert(PROBLEM_JSON.to_owned(), content);
        }
    }
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let RefOr::T(content) = content else {
        return false;
    };
    matches!(&content.schema, Some(RefOr::Ref(target)) if target.ref_location.ends_with("/Problem"))
}

fn describe(status: &str) -> &'static str {
    match status {
        "200" => "The answer",
        "201" => "Created; `Location` has its path",
        "404" => "It does not exist (`not_found`)",
        "409" => "The current state does not allow it (`conflict`)",
        "413" => "Too large (`too_large`, `statement_too_long`)",
        "415" => "The body is not application/json (`unsupported_media_type`)",
        "422" => {
            "A value is invalid, `errors` names it; or the request was refused (`invalid_body`, `invalid_parameter`, `refused`)"
        }
        _ => "A problem",
    }
}

fn add_problem(operation: &mut Operation, status: &str, description: &str) {
    let responses = &mut operation.responses.responses;
    if responses.contains_key(status) {
        return;
    }
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    let response = ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, content)
        .build();
    responses.insert(status.to_owned(), RefOr::T(response));
}

/// Show this document
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "health",
    responses((status = 200, body = Object, description = "OpenAPI 3.1")))]
pub(crate) async fn openapi_json(State(app): State<App>, _: Caller) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, app.document.clone()).into_response()
}
