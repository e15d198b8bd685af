//! The outermost layer of every request: id, time limit, log line, metrics, headers of the answer.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use uuid::Uuid;

use crate::app::App;
use crate::problem::{Code, Problem, REQUEST_ID, with_request_id};
use crate::security::set_security_headers;

/// Tracks a request. The time limit applies to the head of the answer, because frames may follow for hours.
pub(crate) async fn track(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let answered = AssertUnwindSafe(tokio::time::timeout(
        app.options.request_timeout,
        next.run(request),
    ))
    .catch_unwind()
    .await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::new(Code::Timeout).into_response(),
        Err(_) => {
            tracing::error!(http.route = %route, http.request_id = ?id, "A request to {route} panicked");
            Problem::new(Code::Internal).into_response()
        }
    };
    let mut response = with_request_id(response, &id);
    set_security_headers(response.headers_mut());
    let status = response.status().as_u16();
    let seconds = started.elapsed().as_secs_f64();
    crate::metrics::count_request(&route, &method, status, seconds);
    // The declared path and not the one that was sent, because queries and ids may be confidential.
    tracing::debug!(
        http.request_id = ?id, http.method = %method, http.route = %route, http.status = status, http.seconds = seconds,
        "Answered {method} {route} with {status}"
    );
    response
}

/// The id that the client sent if it is harmless, otherwise a new one.
fn request_id(request: &Request) -> HeaderValue {
    let harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
    };
    let given = request.headers().get(REQUEST_ID);
    given.filter(harmless).cloned().unwrap_or_else(|| {
        let text = Uuid::new_v4().to_string();
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("none"))
    })
}
