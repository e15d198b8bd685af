//! Health: liveness, readiness, version, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::extract::Caller;
use crate::problem::{Code, Problem};

/// Whether the node can take work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether the node can take work.
    pub ready: bool,
    /// Why the node cannot take work; empty if it can.
    pub reasons: Vec<String>,
}

/// The program that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionInfo {
    /// The name of the program, `weft`.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The commit that the program was built from; null if unknown.
    pub commit: Option<String>,
}

/// Check that the process is alive
#[utoipa::path(get, path = "/livez", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain", description = "It is alive")))]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Check whether the node can take work
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness, description = "It cannot take work, for these reasons")))]
pub(crate) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let reason = if app.shutdown.is_cancelled() {
        Some("the node is shutting down".to_owned())
    } else {
        app.backend.not_ready()
    };
    let status = match reason {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let readiness = Readiness {
        ready: reason.is_none(),
        reasons: reason.into_iter().collect(),
    };
    (status, Json(readiness))
}

/// Show the version of the program
#[utoipa::path(get, path = "/version", tag = "health", responses((status = 200, body = VersionInfo)))]
pub(crate) async fn version() -> Json<VersionInfo> {
    Json(VersionInfo {
        name: "weft".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("WEFT_COMMIT").map(str::to_owned),
    })
}

/// Show the metrics of the node for Prometheus; needs the token because labels name jobs
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain", description = "The text format of Prometheus")))]
pub(crate) async fn metrics(_: Caller) -> Result<Response, Problem> {
    let handle = crate::metrics::handle()
        .ok_or_else(|| Problem::new(Code::Unavailable).detail("metrics are not installed"))?;
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    Ok((kind, handle.render()).into_response())
}
