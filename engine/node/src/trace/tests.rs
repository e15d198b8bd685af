use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use weft_model::clock::{Clock, Timestamp};

use super::sessions::SILENCE;
use super::*;

/// Moved by hand.
#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000).plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

struct Bench {
    data: TempDir,
    clock: Arc<Hands>,
    traces: Traces,
}

impl Bench {
    fn new() -> Self {
        Self::with_limit(FILE_BYTES)
    }

    fn with_limit(most_bytes: u64) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands::default());
        let traces = Traces::with_limit(data.path(), clock.clone(), most_bytes);
        Self {
            data,
            clock,
            traces,
        }
    }

    /// The same data folder in another process.
    fn restarted(self) -> Self {
        let traces = Traces::new(self.data.path(), self.clock.clone());
        Self { traces, ..self }
    }

    async fn begin(&self, operation: TracedOperation, filter: &str, session: Option<Uuid>) -> u64 {
        let new = NewTrace {
            operation,
            filter: Filter::read(filter).unwrap(),
            session,
            by: "admin".to_owned(),
        };
        self.traces.begin(new).await.unwrap().number
    }

    fn event(&self, operation: TracedOperation, name: &str) {
        let fields = || json!({"try": 1, "why": "it is due"});
        self.traces.event(operation, "tried", &key(name), fields);
    }

    async fn states(&self) -> Vec<(u64, TraceState, u64)> {
        let listed = self.traces.list().await.unwrap();
        let state = |trace: &TraceStatus| (trace.number, trace.state, trace.lines);
        listed.iter().map(state).collect()
    }

    async fn lines(&self, number: u64) -> Vec<TraceLine> {
        self.traces.lines(number, 100).await.unwrap()
    }
}

fn key(name: &str) -> JobKey {
    JobKey {
        job_type: "PROCESS".to_owned(),
        name: name.to_owned(),
        uid: "u".to_owned(),
    }
}

#[tokio::test]
async fn traced_events_are_written_and_others_are_not_even_built() {
    let bench = Bench::new();
    let asked = |operation, name| {
        let mut was_made = false;
        bench.traces.event(operation, "tried", &key(name), || {
            was_made = true;
            json!({})
        });
        was_made
    };
    assert!(
        !asked(TracedOperation::JobExecutor, "a"),
        "nothing is traced"
    );
    assert!(!bench.data.path().join("traces").exists());
    let number = bench
        .begin(TracedOperation::JobExecutor, "name=a", None)
        .await;
    assert!(asked(TracedOperation::JobExecutor, "a"));
    assert!(!asked(TracedOperation::JobExecutor, "b"), "not this job");
    assert!(
        !asked(TracedOperation::JobsScheduler, "a"),
        "not this operation"
    );
    bench.event(TracedOperation::JobExecutor, "a");
    let lines = bench.lines(number).await;
    let events: Vec<_> = lines.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["begun", "tried", "tried"]);
    assert_eq!(
        lines[0].details,
        "scope=global_scope, filter=name='a', by=admin"
    );
    assert_eq!((lines[0].job.as_deref(), number), (None, 1));
    assert_eq!(lines[2].job.as_deref(), Some("PROCESS a u"));
    assert_eq!(lines[2].details, "try=1, why=it is due");
    let path = bench.data.path().join("traces/1_jobExecutor.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().last().unwrap(),
        r#"{"time":"2023-11-14T22:13:20.000Z","operation":"jobExecutor","event":"tried","type":"PROCESS","name":"a","uid":"u","fields":{"try":1,"why":"it is due"}}"#
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(bench.traces.turn_off(None).await.unwrap(), [1]);
    assert!(!asked(TracedOperation::JobExecutor, "a"));
    assert_eq!(
        bench.traces.turn_off(Some(1)).await.unwrap(),
        [] as [u64; 0]
    );
    assert_eq!(bench.states().await, [(1, TraceState::Off, 3)]);
    assert_eq!(bench.lines(1).await.len(), 3, "its lines stay");
}

#[tokio::test]
async fn an_event_goes_to_each_trace_that_wants_it() {
    let bench = Bench::new();
    bench.begin(TracedOperation::JobExecutor, "", None).await;
    bench
        .begin(TracedOperation::JobExecutor, "type=process", None)
        .await;
    bench.begin(TracedOperation::JobsScheduler, "", None).await;
    bench.event(TracedOperation::JobExecutor, "a");
    assert_eq!(
        bench.states().await,
        [1, 2, 3].map(|number| (number, TraceState::On, if number == 3 { 1 } else { 2 }))
    );
    bench.traces.remove(2).await.unwrap();
    bench.event(TracedOperation::JobExecutor, "a");
    let left = [(1, TraceState::On, 3), (3, TraceState::On, 1)];
    assert_eq!(bench.states().await, left);
    assert_eq!(
        fs::read_dir(bench.data.path().join("traces"))
            .unwrap()
            .count(),
        2
    );
    let error = bench.traces.remove(2).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no trace 2");
    assert!(
        matches!(error, TraceError::NoSuchTrace { there, .. } if there == [1, 3]),
        "it names the existing traces"
    );
    let number = bench.begin(TracedOperation::FolderPoller, "", None).await;
    assert_eq!(number, 4, "a number is not reused");
}

#[tokio::test]
async fn a_file_has_a_size_and_its_last_line_says_so() {
    const LIMIT: u64 = 2_000;
    let bench = Bench::with_limit(LIMIT);
    bench.begin(TracedOperation::JobExecutor, "", None).await;
    for _ in 0..50 {
        bench.event(TracedOperation::JobExecutor, "a");
    }
    let lines = bench.lines(1).await;
    let last = lines.last().unwrap();
    assert_eq!(
        (last.event.as_str(), last.details.as_str()),
        ("full", "note=nothing more is written")
    );
    assert!(lines.len() > 5, "{lines:?}");
    let listed = bench.traces.list().await.unwrap();
    let trace = &listed[0];
    assert_eq!(trace.state, TraceState::Full);
    assert_eq!(trace.lines, u64::try_from(lines.len()).unwrap());
    assert!(fs::metadata(&trace.path).unwrap().len() <= LIMIT);
    // Later events are not even built.
    let wanted = bench.traces.0.wanted.load(Ordering::Relaxed);
    assert_eq!(wanted, 0);
}

#[tokio::test]
async fn no_caller_waits_for_the_disk_and_dropped_events_are_counted() {
    let bench = Bench::new();
    bench.begin(TracedOperation::JobExecutor, "", None).await;
    const EVENTS: u64 = 100_000;
    for _ in 0..EVENTS {
        bench.event(TracedOperation::JobExecutor, "a");
    }
    let listed = bench.traces.list().await.unwrap();
    let (lines, dropped) = (listed[0].lines, listed[0].dropped.unwrap());
    let state = listed[0].state;
    // The first line, and the one that says that the file is full.
    let more = if state == TraceState::Full { 2 } else { 1 };
    assert!(lines + dropped <= EVENTS + more, "{lines} {dropped}");
    assert!(state == TraceState::Full || lines + dropped == EVENTS + more);
}

#[tokio::test]
async fn traces_of_a_session_end_when_it_is_silent() {
    let bench = Bench::new();
    let (session, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let pass = |seconds| bench.clock.0.fetch_add(seconds, Ordering::Relaxed);
    bench
        .begin(TracedOperation::JobExecutor, "", Some(session))
        .await;
    bench
        .begin(TracedOperation::JobExecutor, "", Some(other))
        .await;
    bench.begin(TracedOperation::JobExecutor, "", None).await;
    pass(SILENCE.as_secs());
    drop(bench.traces.keep_session(Some(session)));
    pass(1);
    bench.event(TracedOperation::JobExecutor, "a");
    let (on, off) = (TraceState::On, TraceState::Off);
    assert_eq!(
        bench.states().await,
        [(1, on, 2), (2, off, 1), (3, on, 2)],
        "one session was active"
    );
    // A statement of the session runs all the time.
    let guard = bench.traces.keep_session(Some(session));
    pass(SILENCE.as_secs() * 3);
    assert_eq!(bench.states().await[0].1, on);
    drop(guard);
    pass(SILENCE.as_secs() + 1);
    assert_eq!(bench.states().await[0].1, off);
    assert_eq!(bench.states().await[2].1, on);
    assert!(bench.traces.0.lock().sessions.is_empty());
}

#[tokio::test]
async fn traces_of_an_earlier_process_are_listed_and_their_numbers_are_not_reused() {
    let bench = Bench::new();
    bench
        .begin(
            TracedOperation::JobExecutor,
            "uid=u",
            Some(Uuid::from_u128(1)),
        )
        .await;
    bench.begin(TracedOperation::FolderPoller, "", None).await;
    bench.event(TracedOperation::JobExecutor, "a");
    let before = bench.traces.list().await.unwrap();
    let folder = bench.data.path().join("traces");
    // A line that a crash cut off, and files of others.
    let cut_off = r#"{"time":"2023-11-14T22"#;
    let path = folder.join("1_jobExecutor.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + cut_off).unwrap();
    for name in ["9_other.jsonl", "notes.txt", "x_jobExecutor.jsonl"] {
        fs::write(folder.join(name), "").unwrap();
    }
    fs::create_dir(folder.join("7_jobExecutor.jsonl")).unwrap();
    let bench = bench.restarted();
    let after = bench.traces.list().await.unwrap();
    let expected: Vec<_> = before
        .into_iter()
        .map(|trace| TraceStatus {
            state: TraceState::Off,
            dropped: None,
            ..trace
        })
        .collect();
    assert_eq!(after, expected);
    assert_eq!(bench.lines(1).await.len(), 2);
    assert_eq!(bench.begin(TracedOperation::JobExecutor, "", None).await, 3);
    bench.traces.remove(1).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_node_keeps_a_limited_number_of_traces() {
    let bench = Bench::new();
    for _ in 0..MOST_TRACES {
        bench.begin(TracedOperation::JobExecutor, "", None).await;
    }
    let new = || NewTrace {
        operation: TracedOperation::JobExecutor,
        filter: Filter::default(),
        session: None,
        by: "admin".to_owned(),
    };
    let refused = bench.traces.begin(new()).await;
    assert!(matches!(refused, Err(TraceError::TooMany)));
    bench.traces.remove(7).await.unwrap();
    assert!(bench.traces.begin(new()).await.is_ok());
    let nowhere = Traces::default().begin(new()).await;
    assert!(matches!(nowhere, Err(TraceError::NoFolder)));
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let bench = Bench::new();
    fs::write(bench.data.path().join("traces"), "no folder").unwrap();
    let error = bench.traces.list().await.unwrap_err().to_string();
    assert!(error.contains("traces cannot be used"), "{error}");
}
