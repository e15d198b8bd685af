//! Completion: what may follow at a place of a text.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Caller, Parameters, check_length};
use crate::problem::Problem;
use crate::server::App;

const MAX_TEXT_CHARS: usize = 8 * 1_024;

/// What `GET /api/v1/complete` asks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CompleteQuery {
    /// The text so far, at most 8192 characters.
    #[param(max_length = 8192)]
    pub text: String,
    /// Where in the text, in bytes of UTF-8; its end by default.
    #[param(minimum = 0, nullable = false)]
    pub cursor: Option<usize>,
}

/// One way to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// What to insert.
    pub text: String,
    /// What it is, in a few words.
    pub about: String,
}

/// A place in the text, in bytes of UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextRange {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// The ways to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Completion {
    /// What a candidate replaces.
    pub replace: TextRange,
    /// The ways.
    pub candidates: Vec<Candidate>,
}

/// Say what may follow at a place of a statement
#[utoipa::path(get, path = "/api/v1/complete", tag = "statements", params(CompleteQuery),
    responses((status = 200, body = Completion), (status = 422, body = Problem)))]
pub(crate) async fn complete(
    State(app): State<App>,
    Caller(principal): Caller,
    Parameters(mut query): Parameters<CompleteQuery>,
) -> Result<Json<Completion>, Problem> {
    check_length("text", Some(&query.text), MAX_TEXT_CHARS)?;
    let cursor = query.cursor.unwrap_or(query.text.len());
    if !query.text.is_char_boundary(cursor) {
        return Err(Problem::parameter(
            "cursor",
            "not at a character of the text",
        ));
    }
    query.cursor = Some(cursor);
    Ok(Json(app.api.complete(&principal, query).await?))
}
