//! Connects the thread of a function with the task that answers its calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weft_lang::Literal;
use weft_model::number::exact_integer;

use super::host::{Host, HostError, TABLE_BYTES, exact};
use super::{Failure, Returned};
use crate::capture::Capture;

/// The end in the thread.
pub(super) struct Bridge {
    pub requests: mpsc::Sender<(Request, oneshot::Sender<Answer>)>,
    pub stop: CancellationToken,
    pub log: Arc<Mutex<Capture>>,
}

/// The answer as JSON.
type Answer = Result<String, HostError>;

/// A call of the function.
pub(super) enum Request {
    Statement(Query),
    Query { interface: String, query: Query },
    Sleep(Duration),
}

#[derive(Deserialize)]
pub(super) struct Query {
    sql: String,
    parameters: Vec<Value>,
    interface: Option<String>,
}

#[derive(Deserialize)]
struct LogLine {
    level: String,
    line: String,
}

#[derive(Deserialize)]
struct SleepRequest {
    milliseconds: u64,
}

impl Bridge {
    /// Answers a call of the prelude with JSON.
    pub(super) fn answer(&self, what: &str, request: &str) -> String {
        match what {
            "isAborted" => return self.stop.is_cancelled().to_string(),
            "log" => {
                if let Ok(LogLine { level, line }) = serde_json::from_str(request) {
                    let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push(format!("{level} {line}\n").as_bytes());
                }
                return "null".to_owned();
            }
            _ => (),
        }
        match read(what, request).and_then(|request| self.ask(request)) {
            // The answer is JSON already.
            Ok(answer) => format!(r#"{{"ok":{answer}}}"#),
            Err(error) => json!({ "error": error }).to_string(),
        }
    }

    /// Sends a request and blocks until the answer arrives.
    fn ask(&self, request: Request) -> Answer {
        let ended = || HostError::new("Interrupted", "the run has ended");
        let (reply, answer) = oneshot::channel();
        self.requests
            .blocking_send((request, reply))
            .map_err(|_| ended())?;
        answer.blocking_recv().map_err(|_| ended())?
    }
}

fn read(what: &str, request: &str) -> Result<Request, HostError> {
    let wrong = |error: serde_json::Error| HostError::new("TypeError", error.to_string());
    match what {
        "sleep" => {
            let sleep: SleepRequest = serde_json::from_str(request).map_err(wrong)?;
            Ok(Request::Sleep(Duration::from_millis(sleep.milliseconds)))
        }
        "fabric" => Ok(Request::Statement(
            serde_json::from_str(request).map_err(wrong)?,
        )),
        "query" => {
            let mut query: Query = serde_json::from_str(request).map_err(wrong)?;
            let interface = query.interface.take().unwrap_or_default();
            Ok(Request::Query { interface, query })
        }
        other => Err(HostError::new("TypeError", format!("`{other}` is unknown"))),
    }
}

/// Answers the calls of a function until it has ended.
pub(super) async fn serve(
    mut requests: mpsc::Receiver<(Request, oneshot::Sender<Answer>)>,
    ended: &mut oneshot::Receiver<Result<Option<Returned>, Failure>>,
    host: &dyn Host,
    stop: &CancellationToken,
) -> Result<Option<Returned>, Failure> {
    loop {
        tokio::select! {
            biased;
            Some((request, reply)) = requests.recv() => {
                // The function waits for the answer, so it cannot end meanwhile.
                let _ = reply.send(carry_out(request, host, stop).await);
            }
            ended = &mut *ended => {
                return ended.unwrap_or_else(|_| {
                    Err(Failure::new("InternalError", "the thread of the function ended early"))
                });
            }
        }
    }
}

async fn carry_out(request: Request, host: &dyn Host, stop: &CancellationToken) -> Answer {
    let mut table = match request {
        Request::Sleep(duration) => {
            let slept = tokio::select! {
                biased;
                () = stop.cancelled() => false,
                () = sleep(duration) => true,
            };
            return Ok(slept.to_string());
        }
        Request::Statement(query) => {
            let parameters = literals(query.parameters)?;
            host.statement(&query.sql, parameters).await?
        }
        Request::Query { interface, query } => {
            let parameters = literals(query.parameters)?;
            host.query(&interface, &query.sql, parameters).await?
        }
    };
    for value in table.rows.iter_mut().flatten() {
        *value = exact(std::mem::take(value));
    }
    let json = serde_json::to_string(&table)
        .map_err(|error| HostError::new("InternalError", error.to_string()))?;
    if json.len() > 2 * TABLE_BYTES {
        return Err(super::host::too_large());
    }
    Ok(json)
}

fn literals(values: Vec<Value>) -> Result<Vec<Literal>, HostError> {
    values.into_iter().map(literal).collect()
}

fn literal(value: Value) -> Result<Literal, HostError> {
    let wrong = |what: String| HostError::new("TypeError", what);
    match value {
        Value::Null => Ok(Literal::Null),
        Value::Bool(value) => Ok(Literal::Bool(value)),
        Value::String(text) => Ok(Literal::Text(text)),
        // JavaScript's numbers are doubles, and JSON has none that are infinite.
        Value::Number(number) => match (exact_integer(number.as_str()), number.as_f64()) {
            (Some(integer), _) => Ok(Literal::Integer(integer)),
            (None, Some(real)) => Ok(Literal::Real(real)),
            (None, None) => Err(wrong(format!("{number} is out of range"))),
        },
        // A BigInt, which the prelude sends as digits.
        Value::Object(object) => {
            let integer = object.get("integer").and_then(Value::as_str);
            integer
                .and_then(|digits| digits.parse().ok())
                .map(Literal::Integer)
                .ok_or_else(|| wrong("a parameter has more than 64 bits".to_owned()))
        }
        Value::Array(_) => Err(wrong("a parameter is a list".to_owned())),
    }
}
