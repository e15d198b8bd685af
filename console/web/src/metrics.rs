//! The metrics of the process: one recorder, installed once.

use std::sync::{Mutex, OnceLock, PoisonError};

use axum::http::Method;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// Buckets of every histogram in seconds, from 100 µs to 10 min.
const SECONDS: [f64; 16] = [
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
    600.0,
];

/// The recorder cannot be installed.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the metrics recorder")]
pub struct MetricsError(#[from] BuildError);

/// Installs the recorder behind `/metrics`; later calls do nothing. Call it before anything is counted.
///
/// # Errors
/// Another recorder is installed already.
pub fn install_metrics() -> Result<(), MetricsError> {
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if HANDLE.get().is_some() {
        return Ok(());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    metrics::describe_counter!("http_requests_total", "Answered HTTP requests");
    metrics::describe_histogram!("http_request_seconds", "Time to the head of an HTTP answer");
    metrics::describe_counter!("auth_failures_total", "HTTP requests without a valid token");
    metrics::describe_gauge!("http_statements", "Statements whose frames are being sent");
    // It is still empty, because the lock is held.
    let _ = HANDLE.set(handle);
    Ok(())
}

/// The installed recorder.
pub(crate) fn handle() -> Option<&'static PrometheusHandle> {
    HANDLE.get()
}

/// Counts an answered request. `route` is a declared path, never what the client sent.
pub(crate) fn count_request(route: &str, method: &Method, status: u16, seconds: f64) {
    let method = method_label(method);
    metrics::counter!("http_requests_total", "route" => route.to_owned(), "method" => method, "status" => status.to_string())
        .increment(1);
    metrics::histogram!("http_request_seconds", "route" => route.to_owned()).record(seconds);
}

/// The label of a method. Unknown methods share one, because clients can invent any number of them.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
